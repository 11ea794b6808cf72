from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import oracles.components as oracle
from scimage.kernels.components import (
    COLUMNS,
    fold_tables,
    join_labels,
    label_and_measure,
    label_components,
    lowest_of_each,
    measure_labels,
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
    "whole words": np.random.default_rng(3).random((3, 4, 24)) < 0.6,
    "long runs": np.random.default_rng(6).random((3, 4, 50)) < 0.93,
    "long gaps": np.random.default_rng(7).random((4, 5, 67)) < 0.05,
    "full words": np.ones((2, 3, 16), dtype=bool),
    "last voxel": np.arange(3 * 4 * 8).reshape(3, 4, 8) == 95,
}


@pytest.mark.parametrize("name", MASKS)
def test_labels_are_those_of_scipy_in_order_of_first_voxels(name):
    labels, n = label_components(MASKS[name])

    expected, n_expected = oracle.label_components(MASKS[name])
    assert labels.dtype == np.uint32
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected)


@given(mask=hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 6)] * 2, st.integers(1, 20))))
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


@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 64])
def test_blobs_of_any_width_are_those_of_scipy(density, width):
    noise = ndimage.gaussian_filter(np.random.default_rng(8).random((20, 30, width)), 1.5)
    mask = noise > np.quantile(noise, 1 - density)

    np.testing.assert_array_equal(label_components(mask)[0], oracle.label_components(mask)[0])


VOLUME, ORIGIN = (2**20, 2**20, 2**20), (2**19, 2**18, 2**20 - 100)


@pytest.mark.parametrize("name", MASKS)
def test_components_are_measured_by_looking_at_every_voxel(name):
    labels, table = label_and_measure(MASKS[name], VOLUME, ORIGIN)

    expected, n = oracle.label_components(MASKS[name])
    assert table.dtype == np.int64
    assert table.shape == (n, COLUMNS)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(table, oracle.measure_labels(expected, n, VOLUME, ORIGIN))


@given(
    labels=hnp.arrays(
        np.uint32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=20),
        elements=st.integers(0, 3),
    )
)  # fmt: skip
def test_labels_that_are_not_connected_are_measured_too(labels):
    table = measure_labels(labels, 4, VOLUME, ORIGIN)

    np.testing.assert_array_equal(table, oracle.measure_labels(labels, 4, VOLUME, ORIGIN))


def test_index_sums_beyond_32_bits_are_exact():
    volume, origin = (2**40, 10, 10), (2**39, 0, 0)

    _, table = label_and_measure(np.ones((1, 2, 9), dtype=bool), volume, origin)

    assert table[0, :3].tolist() == [18, 2**39 * 100, 18 * 2**39]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int16, np.uint32])
@pytest.mark.parametrize("order", ["plain", "strided"])
def test_intensities_are_summed_exactly(dtype, order):
    mask = MASKS["long runs"] if order == "plain" else MASKS["long runs"][:, ::-1, ::2]
    limits = (0, 2) if dtype == np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    intensity = np.random.default_rng(9).integers(*limits, mask.shape).astype(dtype)

    labels, table = label_and_measure(mask, VOLUME, ORIGIN, intensity)

    n = len(table)
    expected = [sum(intensity[labels == i + 1].tolist()) for i in range(n)]
    np.testing.assert_array_equal(table[:, :-1], oracle.measure_labels(labels, n, VOLUME, ORIGIN))
    assert table[:, -1].tolist() == expected
    np.testing.assert_array_equal(measure_labels(labels, n, VOLUME, ORIGIN, intensity), table)


def test_saturated_intensities_do_not_overflow():
    mask = np.ones((2, 40, 50), dtype=bool)
    saturated = np.full(mask.shape, 2**32 - 1, dtype=np.uint32)

    _, table = label_and_measure(mask, mask.shape, (0, 0, 0), saturated)

    assert table[0, -1] == mask.size * (2**32 - 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_intensities_whose_sums_are_not_exact_are_refused(dtype):
    with pytest.raises(ValueError, match="only integers up to 32 bits are exact"):
        measure_labels(
            np.ones((1, 1, 1), np.uint32), 1, (1, 1, 1), (0, 0, 0), np.ones((1, 1, 1), dtype)
        )


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 11))
def test_tables_of_two_halves_fold_into_that_of_the_whole(seed, cut):
    r = np.random.default_rng(seed)
    labels = r.integers(0, 4, (3, 4, 12), dtype=np.uint32)
    intensity = r.integers(0, 99, labels.shape, dtype=np.uint16)
    into = np.zeros((4, COLUMNS + 1), dtype=np.int64)

    # Rows of a half that has no such label are empty, and must not count as the first voxel.
    for part, x0 in ((np.s_[..., :cut], 0), (np.s_[..., cut:], cut)):
        table = measure_labels(
            labels[part].copy(), 3, labels.shape, (0, 0, x0), intensity[part].copy()
        )
        there = table[:, 0] > 0
        fold_tables(table[there], np.flatnonzero(there) + 1, into)

    whole = measure_labels(labels, 3, labels.shape, (0, 0, 0), intensity)
    np.testing.assert_array_equal(into[1:], whole)
    np.testing.assert_array_equal(whole[:, :COLUMNS], oracle.measure_labels(labels, 3))


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
