from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles.components as oracle
from scimage.blocks import BlockComponents, BlockGrid, faces_of, merge_components


def parts_of(mask, block):
    """Each block's labels and its partial, by the oracles alone."""
    labels, parts = {}, []
    for b in BlockGrid(mask.shape, block):
        local, n = oracle.label_components(mask[b.core])
        voxels, first = oracle.measure_components(local, n)
        place = np.stack(np.unravel_index(first, b.shape), axis=1) + np.array(b.origin)
        at_face = [
            [s.start == 0, s.stop == size] for s, size in zip(b.core, mask.shape, strict=True)
        ]
        touches = oracle.reached_faces(local, n) & np.array(at_face).ravel()
        flat = np.ravel_multi_index(tuple(place.T), mask.shape).astype(np.int64)
        labels[b.index] = local
        parts.append(
            BlockComponents(b.index, voxels, flat, touches, faces_of(local.astype(np.uint32)))
        )
    return labels, parts


def assembled(mask, block, labels, merged):
    whole = np.zeros(mask.shape, dtype=np.int64)
    for b in BlockGrid(mask.shape, block):
        whole[b.core] = merged.component[b.index][labels[b.index]]
    return whole


def check(mask, block, order=None):
    labels, parts = parts_of(mask, block)

    merged = merge_components(parts if order is None else [parts[i] for i in order(len(parts))])

    expected, n = oracle.label_components(mask)
    np.testing.assert_array_equal(assembled(mask, block, labels, merged), expected)
    np.testing.assert_array_equal(merged.voxels[1:], np.bincount(expected.ravel())[1:])
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

    merged = merge_components(parts)

    assert merged.component[0, 0, 0].tolist() == [0, 2]
    assert merged.component[0, 0, 1].tolist() == [0, 1]


@given(seed=st.integers(0, 2**32 - 1), block=BLOCKS)
def test_the_order_of_the_blocks_does_not_matter(seed, block):
    r = np.random.default_rng(seed)
    mask = r.random((6, 7, 8)) < 0.4

    check(mask, block, order=r.permutation)


def test_first_voxels_beyond_32_bits_keep_their_order():
    faces = faces_of(np.ones((1, 1, 1), dtype=np.uint32))
    none = np.zeros((1, 6), dtype=bool)
    parts = [
        BlockComponents((2 * i, 0, 0), np.array([2**40]), np.array([first]), none, faces)
        for i, first in enumerate([2**45, 2**33, 2**33 - 1])
    ]

    merged = merge_components(parts)

    assert [merged.component[2 * i, 0, 0][1] for i in range(3)] == [3, 2, 1]
    assert merged.voxels.tolist() == [0, 2**40, 2**40, 2**40]


def test_faces_of_a_block_are_small_where_labels_are_runs():
    labels = np.zeros((64, 64, 64), dtype=np.uint32)
    labels[:32] = 1

    packed = faces_of(labels)

    assert sum(len(data) for _, data in packed) < 1000
