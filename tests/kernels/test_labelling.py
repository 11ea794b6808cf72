from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles.components as oracle
from scimage.kernels.components import (
    join_labels,
    label_components,
    lowest_of_each,
    measure_components,
    reached_faces,
)


def comb():
    """Teeth that only the last row joins: every tooth begins as a label of its own."""
    mask = np.zeros((2, 5, 9), dtype=bool)
    mask[0, :, ::2] = True
    mask[1, 4] = True
    mask[0, 4, ::2] = True
    return mask


def checkerboard(shape):
    return np.indices(shape).sum(axis=0) % 2 == 0


MASKS = {
    "empty": np.zeros((3, 4, 5), dtype=bool),
    "full": np.ones((3, 4, 5), dtype=bool),
    "one voxel": np.ones((1, 1, 1), dtype=bool),
    "one plane": np.random.default_rng(0).random((1, 9, 11)) < 0.5,
    "thin along y": np.random.default_rng(1).random((9, 1, 11)) < 0.5,
    "thin along x": np.random.default_rng(2).random((9, 11, 1)) < 0.5,
    "corners touch": np.eye(4, dtype=bool)[None],
    "comb": comb(),
    "most labels, even": checkerboard((4, 4, 4)),
    "most labels, odd": checkerboard((3, 5, 7)),
    "shell and core": np.pad(np.pad(np.ones((1, 1, 1), bool), 1), 1, constant_values=True),
}


@pytest.mark.parametrize("name", MASKS)
def test_labels_are_those_of_scipy_in_order_of_first_voxels(name):
    labels, n = label_components(MASKS[name])

    expected, n_expected = oracle.label_components(MASKS[name])
    assert labels.dtype == np.uint32
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected)


@given(mask=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=8)))
def test_labels_of_any_mask_are_those_of_scipy(mask):
    labels, n = label_components(mask)

    expected, n_expected = oracle.label_components(mask)
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("density", [0.2, 0.31, 0.5, 0.8])
def test_labels_of_noise_near_percolation_are_those_of_scipy(density):
    mask = np.random.default_rng(4).random((12, 14, 16)) < density

    labels, _ = label_components(mask)

    np.testing.assert_array_equal(labels, oracle.label_components(mask)[0])


@pytest.mark.parametrize("order", ["transposed", "reversed", "strided"])
def test_memory_layout_does_not_matter(order):
    mask = np.random.default_rng(5).random((6, 7, 8)) < 0.4
    view = {"transposed": mask.T, "reversed": mask[::-1, :, ::-1], "strided": mask[::2, :, ::3]}

    labels, _ = label_components(view[order])

    np.testing.assert_array_equal(labels, oracle.label_components(view[order].copy())[0])


def test_more_voxels_than_uint32_can_number_are_refused_before_anything_is_allocated():
    huge = np.broadcast_to(np.zeros(1, dtype=bool), (2**11, 2**11, 2**11))

    with pytest.raises(ValueError, match="at most 8589934588 can be labelled at once"):
        label_components(huge)


@pytest.mark.parametrize("name", MASKS)
def test_sizes_and_first_voxels_are_those_of_numpy(name):
    labels, n = oracle.label_components(MASKS[name])

    voxels, first = measure_components(labels, n)

    expected_voxels, expected_first = oracle.measure_components(labels, n)
    assert voxels.dtype == first.dtype == np.int64
    np.testing.assert_array_equal(voxels, expected_voxels)
    np.testing.assert_array_equal(first, expected_first)


@pytest.mark.parametrize("name", MASKS)
def test_reached_faces_are_found_by_looking_at_every_voxel(name):
    labels, n = oracle.label_components(MASKS[name])

    np.testing.assert_array_equal(reached_faces(labels, n), oracle.reached_faces(labels, n))


@given(data=st.data(), n=st.integers(1, 20))
def test_joined_labels_are_named_by_the_lowest_in_any_order_of_joining(data, n):
    label = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(label, label), max_size=30))
    expected = oracle.lowest_of_each(n, pairs)

    for order in (pairs, pairs[::-1], [(b, a) for a, b in pairs]):
        one, other = np.array(order, dtype=np.int64).reshape(-1, 2).T
        parent = np.arange(n, dtype=np.int64)
        join_labels(parent, one.copy(), other.copy())
        np.testing.assert_array_equal(lowest_of_each(parent), expected)
