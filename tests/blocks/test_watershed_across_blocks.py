from __future__ import annotations

import itertools
import math
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import oracles.components as components_oracle
import oracles.watershed as oracle
from scimage.blocks import Block, BlockGrid, WatershedPass, Window, pack, unpack
from scimage.errors import UsageError


@dataclass(frozen=True)
class Stored:
    """An array as a pass reads it."""

    data: np.ndarray

    @property
    def shape(self):
        return self.data.shape

    def read(self, region):
        return self.data[region].copy()


def computed(pass_, blocks):
    """Each block's labels, and all partials as they travel."""
    labels, packed = {}, []
    for block in blocks:
        labels[block.index], partial = pass_.compute(Window(block, pass_.inputs))
        packed.append(pack(partial))
    return labels, packed


def basins(values, mask, block, order=list):
    """Basins of the whole volume, and what is known of each."""
    pass_ = WatershedPass(Stored(values), Stored(mask), None)
    labels, packed = computed(pass_, BlockGrid(values.shape, block))
    merged = pass_.merge(map(unpack, order(packed)))
    whole = np.zeros(values.shape, dtype=np.int64)
    for b in BlockGrid(values.shape, block):
        whole[b.core] = merged.component[b.index][labels[b.index]]
    return whole, merged


def check(values, mask, block, order=list):
    whole, merged = basins(values, mask, block, order)

    expected, n = oracle.watershed_basins(values, mask > 0)
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(merged.table[1:], components_oracle.measure_labels(expected, n))
    assert merged.table[0].tolist() == [0, -1, *[0] * 9]
    np.testing.assert_array_equal(merged.touches[1:], components_oracle.reached_faces(expected, n))
    assert not merged.touches[0].any()
    return n


BLOCKS = st.tuples(*[st.integers(1, 9)] * 3)


@given(data=st.data(), block=BLOCKS)
def test_basins_of_any_division_and_order_of_blocks_are_those_of_the_whole(data, block):
    shape = data.draw(st.tuples(*[st.integers(1, 8)] * 3))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]))
    values = data.draw(hnp.arrays(dtype, shape))
    mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 4])))

    check(values, mask, block, lambda parts: data.draw(st.permutations(parts)))


@given(
    seed=st.integers(0, 2**32 - 1),
    block=BLOCKS,
    levels=st.sampled_from([1, 2, 6, 2**16 - 1]),
    density=st.sampled_from([0.3, 0.7, 1.0]),
)
@example(seed=0, block=(1, 1, 1), levels=6, density=1.0)
@example(seed=0, block=(2, 3, 5), levels=2, density=0.7)
@example(seed=0, block=(20, 20, 20), levels=6, density=0.7)
def test_basins_of_noise_are_those_of_the_whole(seed, block, levels, density):
    r = np.random.default_rng(seed)
    values = r.integers(0, levels, (7, 8, 9), dtype=np.uint16)
    mask = (r.random(values.shape) < density).astype(np.uint8)

    check(values, mask, block, lambda parts: [parts[i] for i in r.permutation(len(parts))])


@pytest.mark.parametrize("block", [(5, 7, 11), (1, 26, 26), (13, 13, 13), (30, 30, 30)])
def test_basins_of_a_smooth_landscape_are_those_of_the_whole(block):
    noise = np.random.default_rng(1).random((24, 25, 26)).astype(np.float32)
    values = ndimage.gaussian_filter(noise, 2)

    assert check(values, np.ones(values.shape, dtype=np.uint8), block) > 5


def bowls(shape, centres):
    """Distance to the nearest of some centres, rounded, so that there are plateaus too."""
    place = np.stack(np.indices(shape), axis=-1)
    away = [np.linalg.norm(place - np.array(c), axis=-1) for c in centres]
    return np.min(away, axis=0).astype(np.uint8)


@pytest.mark.parametrize(
    "centre", [(4, 3, 3), (3, 3, 3), (4, 4, 3), (4, 4, 4), (3, 4, 4), (0, 0, 0), (7, 7, 7)]
)
def test_a_bowl_across_block_faces_edges_or_corners_is_one_basin(centre):
    # Without rounding, so that there is no second minimum.
    place = np.stack(np.indices((8, 8, 8)), axis=-1)
    values = np.linalg.norm(place - np.array(centre), axis=-1).astype(np.float32)

    assert check(values, np.ones((8, 8, 8), dtype=np.uint8), (4, 4, 4)) == 1


@pytest.mark.parametrize("block", [(4, 4, 4), (3, 5, 2), (16, 16, 16)])
def test_touching_bowls_are_told_apart_wherever_the_blocks_meet(block):
    values = bowls((8, 9, 16), [(4, 4, 3), (4, 4, 11)])
    mask = (values < 5).astype(np.uint8)

    whole, _ = basins(values, mask, block)

    assert whole[4, 4, 3] != whole[4, 4, 11]
    check(values, mask, block)


def test_basins_that_meet_exactly_at_a_block_face_stay_two():
    values = np.array([0, 1, 1, 0], dtype=np.uint8).reshape(1, 1, 4)
    # Equal values side by side, but each has something lower on its own side.
    whole, _ = basins(values, np.ones_like(values), (1, 1, 2))

    assert whole.ravel().tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("step", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (0, 1, -1)])
def test_voxels_that_touch_at_an_edge_or_corner_of_blocks_stay_two(step):
    mask = np.zeros((8, 8, 8), dtype=np.uint8)
    mask[3, 3, 4 if min(step) < 0 else 3] = 1
    mask[tuple(np.argwhere(mask)[0] + step)] = 1

    assert check(np.zeros((8, 8, 8), dtype=np.float32), mask, (4, 4, 4)) == 2


@pytest.mark.parametrize("downhill", [1, -1])
def test_a_slope_through_many_blocks_is_one_basin(downhill):
    values = downhill * np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    values[1::2] = values[1::2, ::-1]

    assert check(values, np.ones((3, 4, 5), dtype=np.uint8), (1, 1, 1)) == 1


def test_beyond_the_border_of_the_volume_nothing_attracts():
    # The edge is repeated there: equal values before a voxel would be lower.
    values = np.zeros((3, 3, 3), dtype=np.uint8)

    assert check(values, np.ones_like(values), (2, 2, 2)) == 1


@pytest.mark.parametrize("mask_dtype", [bool, np.uint8, np.int16, np.uint32])
def test_whatever_is_not_0_lies_in_the_mask(mask_dtype):
    mask = np.array([0, 1, 200, 0, 7]).astype(mask_dtype).reshape(1, 1, 5)

    whole, _ = basins(np.zeros((1, 1, 5), dtype=np.float32), mask, (1, 1, 2))

    assert whole.ravel().tolist() == [0, 1, 1, 0, 2]


def test_more_basins_than_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr("scimage.blocks.components._MOST_COMPONENTS", 5)
    values = np.zeros((1, 1, 12), dtype=np.uint8)

    with pytest.raises(UsageError, match=r"more than 5 separate parts .* raise the threshold"):
        basins(values, np.ones_like(values), (1, 1, 2))


VOLUME, BLOCK = (2048, 2048, 2100), (32, 32, 50)
# More than 2**33 voxels.
BOXES = {
    "across flat index 2**31": ((495, 60, 95), (517, 70, 105)),
    "across flat index 2**32": ((990, 30, 45), (1030, 34, 55)),
    "up to flat index 2**33": ((1980, 2010, 2095), (1999, 2020, 2100)),
    "in the far corner": ((2014, 2014, 2045), (2048, 2048, 2100)),
}


@dataclass(frozen=True)
class Boxes:
    """A huge volume of 0, with boxes of 1."""

    shape = VOLUME

    def read(self, region):
        data = np.zeros([s.stop - s.start for s in region], dtype=np.uint8)
        for low, high in BOXES.values():
            data[box_in(region, low, high)] = 1
        return data


@dataclass(frozen=True)
class Valleys:
    """A huge volume with a valley at z = 0, 16, 32, ... and ridges half way."""

    shape = VOLUME

    def read(self, region):
        z, y, x = region
        away = np.abs((np.arange(z.start, z.stop) + 8) % 16 - 8).astype(np.float32)
        return np.tile(away.reshape(-1, 1, 1), (1, y.stop - y.start, x.stop - x.start))


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


def slabs():
    """The basins of the boxes: from behind a ridge up to and with the next one."""
    for low, high in BOXES.values():
        cuts = [z for z in range(low[0] + 1, high[0]) if z % 16 == 9]
        for a, b in itertools.pairwise([low[0], *cuts, high[0]]):
            yield (a, *low[1:]), (b, *high[1:])


def test_basins_of_a_volume_beyond_2_to_the_33_voxels_are_numbered_and_measured():
    blocks = {b.index: b for low, high in BOXES.values() for b in blocks_around(low, high)}
    expected = sorted(slabs(), key=lambda slab: np.ravel_multi_index(slab[0], VOLUME))
    firsts = [int(np.ravel_multi_index(low, VOLUME)) for low, _ in expected]
    assert firsts[0] < 2**31 < 2**32 < 2**33 < firsts[-1]
    assert len(expected) == 2 + 3 + 2 + 3
    pass_ = WatershedPass(Valleys(), Boxes(), None)

    # The last box comes first: its blocks have the lowest provisional ids.
    labels, packed = computed(pass_, reversed(blocks.values()))
    merged = pass_.merge(map(unpack, packed))

    assert merged.first.tolist() == [-1, *firsts]
    sizes = [math.prod(b - a for a, b in zip(*slab, strict=True)) for slab in expected]
    assert merged.voxels.tolist() == [0, *sizes]
    for index, block in blocks.items():
        whole = np.zeros(block.shape, dtype=np.int64)
        for i, (low, high) in enumerate(expected, start=1):
            whole[box_in(block.core, low, high)] = i
        np.testing.assert_array_equal(merged.component[index][labels[index]], whole)


@dataclass(frozen=True)
class Unread:
    """Values that nobody may ask for."""

    shape = VOLUME

    def read(self, region):
        raise AssertionError("values were read where the mask is empty")


def test_an_empty_block_reads_no_values_and_sends_next_to_nothing():
    pass_ = WatershedPass(Unread(), Boxes(), None)
    block = next(blocks_around((640, 640, 500), (641, 641, 501)))

    labels, partial = pass_.compute(Window(block, pass_.inputs))

    assert labels.shape == BLOCK
    assert labels.dtype == np.uint32
    assert not labels.any()
    assert len(pack(partial)) < 400


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["smooth", "noise", "single voxels", "NaN"])
def test_a_block_needs_no_more_memory_than_is_planned(dtype, kind):
    shape = (40, 40, 40)
    values = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    mask = np.ones(shape, dtype=np.uint8)
    if kind == "smooth":
        values = ndimage.gaussian_filter(values, 2)
    elif kind == "single voxels":
        mask = (np.indices(shape).sum(axis=0) % 2).astype(np.uint8)
    elif np.issubdtype(dtype, np.floating) and kind == "NaN":
        values[::9] = np.nan
    pass_ = WatershedPass(Stored(values), Stored(mask), None)
    window = Window(next(iter(BlockGrid(shape, shape))), pass_.inputs)
    pass_.compute(window)

    tracemalloc.start()
    try:
        pass_.compute(window)
        assert tracemalloc.get_traced_memory()[1] <= pass_.bytes_per_voxel * (40 + 2) ** 3
    finally:
        tracemalloc.stop()
