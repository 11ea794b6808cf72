from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import oracles.smooth as oracle
from scimage.kernels.smooth import (
    bank,
    contrasts,
    derivative_weights,
    gaussian_weights,
    highest_contrast,
    smooth,
    smoothed_around,
)

DTYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64)


def noise(shape, dtype, seed=0):
    values = np.random.default_rng(seed).normal(100, 40, shape)
    return np.clip(values, 0, 255).astype(dtype)


def weights_of(sigma):
    return tuple(gaussian_weights(s) for s in sigma)


@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.7, 1.0, 2.5, 6.3])
def test_weights_are_those_of_scipy_and_sum_to_one(sigma):
    half = gaussian_weights(sigma)

    assert half.dtype == np.float32
    np.testing.assert_allclose(half, oracle.gaussian_weights(sigma), rtol=1e-6)
    short = gaussian_weights(sigma, truncate=3)
    np.testing.assert_allclose(short, oracle.gaussian_weights(sigma, 3), rtol=1e-6)
    assert half[0] + 2 * half[1:].sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_microscope_dtype_is_smoothed_like_scipy_does(dtype):
    weights = weights_of((0.5, 1.0, 1.3))
    image = noise((9, 13, 15), dtype)

    result = smooth(image, weights)

    assert result.dtype == np.float32
    np.testing.assert_allclose(result, oracle.smooth(image, weights), rtol=1e-5)


@pytest.mark.parametrize("sigma", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 1.2)])
def test_axes_of_sigma_zero_are_left_alone(sigma):
    image = noise((11, 11, 12), np.uint16)

    result = smooth(image, weights_of(sigma))

    np.testing.assert_allclose(result, oracle.smooth(image, weights_of(sigma)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 6, 7), (5, 1, 7), (5, 6, 1), (1, 1, 1), (3, 7, 5)])
def test_a_padded_volume_is_smoothed_as_scipy_smooths_with_repeated_edges(shape):
    sigma = (0.8, 1.1, 0.6)
    image = noise(shape, np.float32)
    weights = weights_of(sigma)
    reach = [w.size - 1 for w in weights]

    result = smooth(np.pad(image, [(r, r) for r in reach], mode="edge"), weights)

    expected = ndimage.gaussian_filter(image.astype(float), sigma, mode="nearest", radius=reach)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_negative_int16_values_keep_their_sign():
    image = np.full((5, 5, 5), -1000, dtype=np.int16)

    result = smooth(image, weights_of((0.4, 0.4, 0.4)))

    np.testing.assert_allclose(result, -1000, rtol=1e-6)


def test_a_saturated_image_stays_saturated():
    image = np.full((5, 5, 5), 65535, dtype=np.uint16)

    np.testing.assert_allclose(smooth(image, weights_of((0.4, 0.4, 0.4))), 65535, rtol=1e-6)


def test_a_nan_spreads_no_farther_than_the_filter_reaches():
    image = noise((9, 9, 9), np.float32)
    image[4, 4, 4] = np.nan
    weights = weights_of((0.25, 0.25, 0.25))

    result = smooth(image, weights)

    assert np.isnan(result[2:5, 2:5, 2:5]).all()
    assert np.isfinite(result).sum() == result.size - 27


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_part_has_the_same_bits_as_the_whole(dtype):
    image = noise((12, 17, 19), dtype, seed=3)
    weights = weights_of((0.6, 0.9, 1.2))
    rz, ry, rx = (w.size - 1 for w in weights)
    whole = smooth(image, weights)

    for z, y, x in [(0, 0, 0), (1, 2, 3), (2, 5, 1), (0, 1, 6)]:
        part = smooth(image[z : z + 2 * rz + 3, y : y + 2 * ry + 2, x : x + 2 * rx + 3], weights)
        np.testing.assert_array_equal(part, whole[z : z + 3, y : y + 2, x : x + 3])


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_weights_of_the_derivative_are_those_of_scipy(sigma):
    half = derivative_weights(sigma)
    impulse = np.zeros(2 * half.size - 1)
    impulse[half.size - 1] = 1

    response = ndimage.gaussian_filter1d(impulse, sigma, order=1, radius=half.size - 1)

    np.testing.assert_allclose(half[1:], -response[half.size :], atol=1e-7)
    assert half[0] == 0


# Each Gaussian with radii of its own, one of them without any along z.
GAUSSIANS = [weights_of(s) for s in [(0.5, 0.6, 0.7), (0.0, 1.1, 0.9), (1.0, 1.2, 1.5)]]
PAIRS = [(0, 1), (1, 2), (0, 2)]
FACTORS = np.array([2.0, 1.0, 0.5], dtype=np.float32)
HALO = np.array([5, 6, 7])


def filters():
    fine, coarse = np.array(PAIRS).T.copy()
    return (*bank(GAUSSIANS), fine, coarse, FACTORS)


@pytest.mark.parametrize("shape", [(4, 6, 5), (1, 1, 1), (1, 9, 2)])
def test_contrasts_are_differences_of_scipys_smoothed_images(shape):
    data = noise(tuple(np.array(shape) + 2 * HALO), np.float32, seed=1)
    out = np.empty((3, *shape), dtype=np.float32)

    contrasts(data, HALO, *filters(), out)

    expected = oracle.contrasts(data, HALO, GAUSSIANS, PAIRS, FACTORS)
    np.testing.assert_allclose(out, expected, atol=2e-4)


def test_the_highest_contrast_is_that_of_the_first_scale_that_has_it():
    shape = (4, 6, 5)
    data = noise(tuple(np.array(shape) + 2 * HALO), np.float32, seed=2)
    weights, radii, fine, coarse, factor = filters()
    # The last scale is the first one again.
    fine, coarse, factor = (np.append(a, a[0]) for a in (fine, coarse, factor))
    every = np.empty((4, *shape), dtype=np.float32)
    highest, which = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint8)

    contrasts(data, HALO, weights, radii, fine, coarse, factor, every)
    highest_contrast(data, HALO, weights, radii, fine, coarse, factor, highest, which)

    np.testing.assert_array_equal(highest, every.max(axis=0))
    np.testing.assert_array_equal(which, every.argmax(axis=0))
    assert set(np.unique(which)) == {0, 1, 2}


@pytest.mark.parametrize("steps", [(0, 1, 2), (2, 3, 1)])
def test_samples_around_points_are_those_of_the_smoothed_image(steps):
    data = noise((20, 24, 26), np.float32, seed=3)
    points = np.array([[9, 11, 12], [10, 12, 13], [8, 13, 11]])
    which = np.array([0, 2, 1])

    around = smoothed_around(
        data, points, which, np.tile(np.array(steps), (3, 1)), *bank(GAUSSIANS)
    )

    for point, i, samples in zip(points, which, around, strict=True):
        radii = [w.size - 1 for w in GAUSSIANS[i]]
        smoothed = oracle.smooth(data, GAUSSIANS[i])
        place = [p - r + s * np.arange(-1, 2) for p, r, s in zip(point, radii, steps, strict=True)]
        planes = slice(1, 2) if steps[0] == 0 else slice(None)
        expected = smoothed[np.ix_(*place)]
        np.testing.assert_allclose(samples[planes], expected[planes], rtol=1e-5)
