from __future__ import annotations

import numpy as np
import pytest

import oracles.downsample as oracle
from scimage.kernels.downsample import (
    bin_means,
    block_mode,
    block_sum,
    rounded_mean,
)

FACTORS = [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 1, 1), (3, 2, 5), (1, 4, 3), (9, 9, 9)]
SHAPES = [(4, 6, 8), (5, 7, 3), (1, 9, 2), (1, 1, 1), (2, 1, 7)]
LIMITS = {np.uint8: (0, 255), np.uint16: (0, 65535), np.int16: (-32768, 32767)}


def image_of(shape, dtype, seed=0):
    r = np.random.default_rng(seed)
    if dtype in LIMITS:
        low, high = LIMITS[dtype]
        return r.integers(low, high, shape, dtype=dtype, endpoint=True)
    return r.normal(0, 1e3, shape).astype(dtype)


def block_mean(image, factors):
    return rounded_mean(block_sum(image, factors), image.shape, factors, image.dtype)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_cover_every_voxel_of_any_shape(shape, factors):
    image = image_of(shape, np.uint16)

    sums = block_sum(image, factors)

    assert sums.dtype == np.int64
    np.testing.assert_array_equal(sums, oracle.block_sum(image, factors))


@pytest.mark.parametrize("dtype", [np.bool_, *LIMITS, np.uint32, np.float32])
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2), (1, 3, 3)])
def test_sums_of_any_dtype_are_exact(dtype, factors):
    image = np.round(np.abs(image_of((3, 5, 7), np.float32))).astype(dtype)

    sums = block_sum(image, factors)

    np.testing.assert_array_equal(sums, oracle.block_sum(image, factors))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("factors", FACTORS)
def test_integer_means_are_exact_and_rounded_half_up(dtype, factors):
    image = image_of((5, 7, 6), dtype, seed=1)

    means = rounded_mean(block_sum(image, factors), image.shape, factors, image.dtype)

    assert means.dtype == dtype
    np.testing.assert_array_equal(means, oracle.block_mean(image, factors))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 3, 3), (40, 40, 40)])
@pytest.mark.parametrize("limit", [0, 1])
def test_means_of_saturated_images_do_not_overflow(dtype, factors, limit):
    image = np.full((40, 40, 41), LIMITS[dtype][limit], dtype=dtype)

    assert np.unique(block_mean(image, factors)).tolist() == [LIMITS[dtype][limit]]


@pytest.mark.parametrize("order", ["transposed", "reversed", "strided"])
def test_memory_layout_does_not_matter(order):
    image = image_of((6, 7, 8), np.uint16)
    view = {"transposed": image.T, "reversed": image[::-1, :, ::-1], "strided": image[::2, :, ::3]}

    means = block_mean(view[order], (2, 2, 2))

    np.testing.assert_array_equal(means, oracle.block_mean(view[order].copy(), (2, 2, 2)))


def test_negative_halves_are_rounded_up():
    image = np.array([-1, 0, -3, -2], dtype=np.int16).reshape(1, 1, 4)

    means = rounded_mean(block_sum(image, (1, 1, 2)), image.shape, (1, 1, 2), image.dtype)

    assert means.ravel().tolist() == [0, -2]


def test_float_means_are_those_of_numpy():
    image = image_of((5, 7, 6), np.float32)

    means = rounded_mean(block_sum(image, (2, 3, 2)), image.shape, (2, 3, 2), image.dtype)

    np.testing.assert_allclose(means, oracle.block_mean(image, (2, 3, 2)), rtol=1e-6)


def test_a_nan_spoils_only_its_own_block():
    image = image_of((4, 4, 4), np.float32)
    image[0, 0, 0] = np.nan

    means = rounded_mean(block_sum(image, (2, 2, 2)), image.shape, (2, 2, 2), image.dtype)

    assert np.isnan(means).sum() == 1
    assert np.isnan(means[0, 0, 0])


@pytest.mark.parametrize("value", [0, 255, 65535])
def test_constant_images_stay_constant(value):
    image = np.full((5, 6, 7), value, dtype=np.uint16)

    means = rounded_mean(block_sum(image, (2, 4, 4)), image.shape, (2, 4, 4), image.dtype)

    assert np.unique(means).tolist() == [value]


def test_sums_of_sums_give_the_mean_of_the_voxels_and_not_a_mean_of_means():
    image = image_of((5, 7, 6), np.uint16)
    twice = block_sum(block_sum(image, (2, 2, 2)), (2, 2, 2))

    means = rounded_mean(twice, image.shape, (4, 4, 4), image.dtype)

    np.testing.assert_array_equal(means, oracle.block_mean(image, (4, 4, 4)))


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int16])
def test_modes_are_the_most_frequent_labels_and_ties_go_to_the_smallest(dtype, factors):
    labels = np.random.default_rng(2).integers(0, 4, (5, 7, 6)).astype(dtype)

    modes = block_mode(labels, factors)

    assert modes.dtype == dtype
    np.testing.assert_array_equal(modes, oracle.block_mode(labels, factors))


def test_a_tie_between_background_and_label_is_background():
    labels = np.array([9, 0, 0, 9], dtype=np.uint32).reshape(1, 2, 2)

    assert block_mode(labels, (1, 2, 2)).item() == 0


@pytest.mark.parametrize("bins", FACTORS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
def test_means_of_bins_are_exact_but_for_rounding_to_float32(shape, bins, dtype):
    image = image_of(shape, dtype)
    sums = oracle.block_sum(image, bins)
    voxels = oracle.block_sum(np.ones(shape, np.int64), bins)
    out = np.full(sums.shape, np.nan, dtype=np.float32)

    bin_means(image, bins, out)

    # Twice rounded: the share of a voxel in a bin, and the product.
    np.testing.assert_allclose(out, sums / voxels, rtol=1.2e-7, atol=1e-4)


def test_a_bin_with_a_voxel_that_is_no_number_has_no_mean():
    image = np.ones((2, 4, 6), dtype=np.float32)
    image[0, 1, 2] = np.nan
    out = np.empty((1, 2, 3), dtype=np.float32)

    bin_means(image, (2, 2, 2), out)

    assert np.isnan(out[0, 0, 1])
    assert (np.delete(out.ravel(), 1) == 1).all()
