from __future__ import annotations

import gc
import itertools
import math
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles.components as oracle
from scimage.blocks import (
    Block,
    BlockComponents,
    BlockGrid,
    ComponentsPass,
    Window,
    faces_of,
    merge_components,
    pack,
    unpack,
)
from scimage.errors import UsageError


def parts_of(mask, block):
    """Each block's labels and its partial, by the oracles alone."""
    labels, parts = {}, []
    for b in BlockGrid(mask.shape, block):
        local, n = oracle.label_components(mask[b.core])
        table = oracle.measure_labels(local, n, mask.shape, b.origin)
        labels[b.index] = local
        parts.append(BlockComponents(b.index, table, faces_of(local.astype(np.uint32))))
    return labels, parts


def table_of(voxels, first):
    """A table of one component, of which nothing else matters."""
    return np.array([[voxels, first, *[0] * 6, *[1] * 3]])


def assembled(mask, block, labels, merged):
    whole = np.zeros(mask.shape, dtype=np.int64)
    for b in BlockGrid(mask.shape, block):
        whole[b.core] = merged.component[b.index][labels[b.index]]
    return whole


def check(mask, block, order=None):
    labels, parts = parts_of(mask, block)

    merged = merge_components(
        parts if order is None else [parts[i] for i in order(len(parts))], mask.shape
    )

    expected, n = oracle.label_components(mask)
    np.testing.assert_array_equal(assembled(mask, block, labels, merged), expected)
    np.testing.assert_array_equal(merged.table[1:], oracle.measure_labels(expected, n))
    np.testing.assert_array_equal(merged.touches[1:], oracle.reached_faces(expected, n))
    assert merged.voxels[0] == 0
    assert not merged.touches[0].any()
    assert merged.voxels.dtype == np.int64
    return n


BLOCKS = st.tuples(*[st.integers(1, 9)] * 3)


@given(
    mask=hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 8)] * 3)),
    block=BLOCKS,
)
@example(mask=np.ones((7, 7, 7), dtype=bool), block=(1, 1, 1))
@example(mask=np.zeros((5, 5, 5), dtype=bool), block=(2, 3, 2))
def test_components_of_any_division_are_those_of_the_whole(mask, block):
    check(mask, block)


@pytest.mark.parametrize("block", [(3, 4, 5), (1, 16, 16), (5, 5, 5), (7, 2, 16), (20, 20, 20)])
@pytest.mark.parametrize("density", [0.25, 0.32, 0.45, 0.7])
def test_noise_near_percolation_is_joined_as_in_the_whole(density, block):
    mask = np.random.default_rng(0).random((11, 13, 16)) < density

    assert check(mask, block) > 0


@pytest.mark.parametrize(
    ("name", "corner", "size", "components"),
    [
        ("within a block", (1, 1, 1), (2, 2, 2), 1),
        ("across a face", (3, 1, 1), (2, 2, 2), 1),
        ("across an edge", (3, 3, 1), (2, 2, 2), 1),
        ("across a corner", (3, 3, 3), (2, 2, 2), 1),
        ("up to a face", (2, 2, 2), (2, 2, 2), 1),
        ("in all blocks", (0, 0, 0), (12, 12, 12), 1),
        ("at the border of the volume", (0, 0, 10), (1, 1, 2), 1),
    ],
)
def test_a_box_is_one_component(name, corner, size, components):
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = True

    assert check(mask, (4, 4, 4)) == components


@pytest.mark.parametrize("step", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (0, 1, -1)])
def test_boxes_that_touch_at_an_edge_or_corner_of_blocks_stay_two(step):
    mask = np.zeros((8, 8, 8), dtype=bool)
    mask[3, 3, 4 if min(step) < 0 else 3] = True
    mask[tuple(np.argwhere(mask)[0] + step)] = True

    assert check(mask, (4, 4, 4)) == 2


def test_arms_that_only_a_far_block_joins_are_one_component():
    mask = np.zeros((1, 5, 24), dtype=bool)
    mask[0, [0, 2, 4]] = True
    mask[0, :, -1] = True

    assert check(mask, (1, 1, 4)) == 1


def test_components_are_numbered_by_their_first_voxel_and_not_by_their_block():
    mask = np.zeros((2, 4, 8), dtype=bool)
    mask[1, 0, 0] = True  # in the first block, but after the other one
    mask[0, 3, 7] = True
    _, parts = parts_of(mask, (2, 4, 4))

    merged = merge_components(parts, mask.shape)

    assert merged.component[0, 0, 0].tolist() == [0, 2]
    assert merged.component[0, 0, 1].tolist() == [0, 1]


@given(seed=st.integers(0, 2**32 - 1), block=BLOCKS)
def test_the_order_of_the_blocks_does_not_matter(seed, block):
    r = np.random.default_rng(seed)
    mask = r.random((6, 7, 8)) < 0.4

    check(mask, block, order=r.permutation)


def test_first_voxels_beyond_32_bits_keep_their_order():
    faces = faces_of(np.ones((1, 1, 1), dtype=np.uint32))
    volume = (2**20, 2**20, 2**20)
    parts = [
        BlockComponents((2 * i, 0, 0), table_of(2**40, first), faces)
        for i, first in enumerate([2**45, 2**33, 2**33 - 1])
    ]

    merged = merge_components(parts, volume)

    assert [merged.component[2 * i, 0, 0][1] for i in range(3)] == [3, 2, 1]
    assert merged.voxels.tolist() == [0, 2**40, 2**40, 2**40]


def test_faces_of_a_block_are_small_where_labels_are_runs():
    labels = np.zeros((64, 64, 64), dtype=np.uint32)
    labels[:32] = 1

    packed = faces_of(labels)

    assert sum(map(len, packed)) < 1000


@dataclass(frozen=True)
class Stored:
    """An array as a pass reads it."""

    data: np.ndarray

    @property
    def shape(self):
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype.name

    def read(self, region):
        return self.data[region].copy()


def computed(pass_, blocks):
    """Each block's labels, and all partials as they travel."""
    labels, packed = {}, []
    for block in blocks:
        labels[block.index], partial = pass_.compute(Window(block, pass_.inputs))
        packed.append(pack(partial))
    return labels, packed


@given(data=st.data(), block=BLOCKS)
def test_the_pass_finds_the_components_of_the_whole_in_any_division_and_order(data, block):
    bits = data.draw(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 8)] * 3)))
    pass_ = ComponentsPass(Stored(bits), 2, None)

    labels, packed = computed(pass_, BlockGrid(bits.shape, block))
    merged = pass_.merge(unpack(p) for p in data.draw(st.permutations(packed)))

    expected, n = oracle.label_components((bits & 2) == 0)
    np.testing.assert_array_equal(assembled(bits, block, labels, merged), expected)
    np.testing.assert_array_equal(merged.table[1:], oracle.measure_labels(expected, n))
    np.testing.assert_array_equal(merged.touches[1:], oracle.reached_faces(expected, n))
    assert all(local.dtype == np.uint32 for local in labels.values())
    assert all(table.dtype == np.int64 for table in merged.component.values())


@given(data=st.data(), block=BLOCKS, dtype=st.sampled_from([np.uint8, np.uint16, np.int16]))
def test_intensities_of_any_division_are_those_of_the_whole(data, block, dtype):
    shape = data.draw(st.tuples(*[st.integers(1, 8)] * 3))
    bits = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    intensity = data.draw(hnp.arrays(dtype, shape))
    pass_ = ComponentsPass(Stored(bits), 1, None, Stored(intensity))

    _, packed = computed(pass_, BlockGrid(shape, block))
    merged = pass_.merge(map(unpack, packed))

    expected, n = oracle.label_components(bits == 0)
    sums = [sum(intensity[expected == i + 1].tolist()) for i in range(n)]
    if n:
        assert merged.intensity.tolist() == [0, *sums]
    np.testing.assert_array_equal(merged.table[1:, :11], oracle.measure_labels(expected, n))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_intensities_whose_sums_would_depend_on_the_division_are_refused(dtype):
    bits = np.zeros((1, 1, 1), dtype=np.uint8)

    with pytest.raises(UsageError, match=r"integers of at most 32 bits.* as it was stored"):
        ComponentsPass(Stored(bits), 1, None, Stored(bits.astype(dtype)))


def test_components_know_their_centroids_bounds_and_faces():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1:4, 0:2, 2:8] = True
    _, parts = parts_of(mask, (2, 3, 4))

    merged = merge_components(parts, mask.shape)

    assert np.isnan(merged.centroid[0]).all()
    assert merged.centroid[1].tolist() == [2.0, 0.5, 4.5]
    assert merged.bounds.tolist() == [[[0, 0]] * 3, [[1, 4], [0, 2], [2, 8]]]
    assert merged.touches.tolist() == [[False] * 6, [False, False, True, False, False, True]]


def test_blocks_of_more_than_2_to_the_16_labels_are_joined_label_by_label():
    columns = np.broadcast_to(np.indices((400, 400)).sum(axis=0) % 2, (2, 400, 400))
    pass_ = ComponentsPass(Stored(columns.astype(np.uint8)), 1, None)

    _, packed = computed(pass_, BlockGrid(columns.shape, (1, 400, 400)))
    merged = pass_.merge(map(unpack, packed))

    assert merged.voxels.tolist() == [0] + 80_000 * [2]
    for index in ((0, 0, 0), (1, 0, 0)):
        np.testing.assert_array_equal(merged.component[index], np.arange(80_001))


def test_no_blocks_have_no_components():
    merged = merge_components([], (4, 4, 4))

    assert merged.component == {}
    assert merged.voxels.tolist() == [0]
    assert merged.touches.shape == (1, 6)


@pytest.mark.parametrize("limit", [1, 5])
def test_more_components_than_fit_in_memory_are_refused_before_more_is_read(monkeypatch, limit):
    monkeypatch.setattr("scimage.blocks.components._MOST_COMPONENTS", limit)
    _, parts = parts_of(np.indices((4, 4, 4)).sum(axis=0) % 2 == 0, (1, 1, 2))
    read = []

    with pytest.raises(UsageError, match=f"more than {limit} separate .* raise the threshold"):
        merge_components((read.append(part) or part for part in parts), (4, 4, 4))

    assert len(read) == limit + 1


def test_as_many_components_as_fit_in_memory_are_merged(monkeypatch):
    monkeypatch.setattr("scimage.blocks.components._MOST_COMPONENTS", 32)
    _, parts = parts_of(np.indices((4, 4, 4)).sum(axis=0) % 2 == 0, (1, 1, 2))

    assert merge_components(parts, (4, 4, 4)).voxels.tolist() == [0] + 32 * [1]


def test_merging_holds_no_faces_that_both_neighbours_have_shown():
    noise = np.random.default_rng(0).integers(1, 3, (1, 256, 256), dtype=np.uint32)
    faces = faces_of(noise, at_border=(False, False, True, True, True, True))
    two = np.repeat(table_of(1, 1), 2, axis=0)
    held = []

    def parts(n):
        for i in range(n):
            part = BlockComponents((i, 0, 0), two, faces)
            yield BlockComponents(*unpack(pack(part.packed())))
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        for n in (4, 24):
            merge_components(parts(n), (n, 256, 256))
    finally:
        tracemalloc.stop()

    assert len(faces[0]) > 10_000
    assert held[1] - held[0] < 20 * 2_000


VOLUME, BLOCK = (2048, 2048, 2100), (32, 32, 50)
# More than 2**33 voxels. Boxes, in the order of their first voxels, with the faces they touch.
BOXES = {
    "across flat index 2**31": ((495, 60, 95), (517, 70, 105), ""),
    "across flat index 2**32": ((990, 30, 45), (1030, 34, 55), ""),
    "up to flat index 2**33": ((1980, 2010, 2095), (1999, 2020, 2100), "x high"),
    "in the far corner": ((2014, 2014, 2045), (2048, 2048, 2100), "z high, y high, x high"),
}
FACES = ("z low", "z high", "y low", "y high", "x low", "x high")


@dataclass(frozen=True)
class Boxes:
    """A huge volume of 1, with boxes of 0."""

    shape = VOLUME

    def read(self, region):
        data = np.ones([s.stop - s.start for s in region], dtype=np.uint8)
        for low, high, _ in BOXES.values():
            data[box_in(region, low, high)] = 0
        return data


def box_in(region, low, high):
    return tuple(
        slice(max(a - s.start, 0), max(b - s.start, 0))
        for s, a, b in zip(region, low, high, strict=True)
    )


def blocks_around(low, high):
    """The blocks of the huge volume that a box reaches into."""
    touched = (range(a // n, (b - 1) // n + 1) for a, b, n in zip(low, high, BLOCK, strict=True))
    for index in itertools.product(*touched):
        core = tuple(
            slice(i * n, min((i + 1) * n, size))
            for i, n, size in zip(index, BLOCK, VOLUME, strict=True)
        )
        yield Block(index, core, VOLUME)


def test_components_of_a_volume_beyond_2_to_the_33_voxels_are_numbered_and_measured():
    blocks = {b.index: b for low, high, _ in BOXES.values() for b in blocks_around(low, high)}
    firsts = [int(np.ravel_multi_index(low, VOLUME)) for low, _, _ in BOXES.values()]
    assert firsts[0] < 2**31 < firsts[1] < 2**32 < firsts[2] < 2**33 < firsts[3]
    assert len(blocks) == 30
    pass_ = ComponentsPass(Boxes(), 1, None)

    # The last box comes first: its blocks have the lowest provisional ids.
    labels, packed = computed(pass_, reversed(blocks.values()))
    merged = pass_.merge(map(unpack, packed))

    assert merged.first.tolist() == [-1, *firsts]
    assert merged.voxels.tolist() == [
        0, *(math.prod(b - a for a, b in zip(low, high, strict=True)) for low, high, _ in
             BOXES.values()),
    ]  # fmt: skip
    touched = [", ".join(itertools.compress(FACES, row.tolist())) for row in merged.touches[1:]]
    assert touched == [faces for _, _, faces in BOXES.values()]
    for index, block in blocks.items():
        expected = np.zeros(block.shape, dtype=np.int64)
        for i, (low, high, _) in enumerate(BOXES.values(), start=1):
            expected[box_in(block.core, low, high)] = i
        np.testing.assert_array_equal(merged.component[index][labels[index]], expected)


def test_an_empty_block_is_not_labelled_and_sends_next_to_nothing(monkeypatch):
    monkeypatch.setattr("scimage.kernels.components._count_runs", None)
    pass_ = ComponentsPass(Boxes(), 1, None)
    block = next(blocks_around((640, 640, 500), (641, 641, 501)))

    labels, partial = pass_.compute(Window(block, pass_.inputs))

    assert labels.shape == BLOCK
    assert labels.dtype == np.uint32
    assert not labels.any()
    assert len(pack(partial)) < 400


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0, None])
def test_a_block_needs_no_more_memory_than_is_planned(density, measured):
    shape = (40, 40, 40)
    mask = (
        np.random.default_rng(0).random(shape) < density
        if density is not None
        else (np.indices(shape).sum(axis=0) % 2 == 0)
    )
    intensity = Stored(np.ones(shape, dtype=np.uint32)) if measured else None
    pass_ = ComponentsPass(Stored((~mask).astype(np.uint8)), 1, None, intensity)
    window = Window(next(iter(BlockGrid(shape, shape))), pass_.inputs)
    pass_.compute(window)

    tracemalloc.start()
    try:
        pass_.compute(window)
        assert tracemalloc.get_traced_memory()[1] <= pass_.bytes_per_voxel * mask.size
    finally:
        tracemalloc.stop()
