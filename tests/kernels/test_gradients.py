from __future__ import annotations

import numpy as np
import pytest

import oracles.gradients as oracle
from scimage.kernels.gradients import gradient, gradient_magnitude, structure_tensor

ONE = (1.0, 1.0, 1.0)
FLAT = (3.0, 1.0, 0.7)


def noise(shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).normal(100, 40, shape)
    return np.clip(values, 0, 255).astype(dtype)


def reach(sigma_um, spacing_um):
    return [int(np.ceil(4 * sigma_um / s)) for s in spacing_um]


def padded(image, reach):
    return np.pad(image, [(r, r) for r in reach], mode="edge")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("spacing_um", [ONE, FLAT])
def test_gradients_are_scipys(dtype, spacing_um):
    image = noise((7, 9, 11), dtype)

    result = gradient(padded(image, reach(1.2, spacing_um)), 1.2, spacing_um)

    assert result.dtype == np.float32
    np.testing.assert_allclose(result, oracle.gradient(image, 1.2, spacing_um), atol=2e-4)


@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 9, 4), (5, 1, 6), (5, 6, 1), (1, 1, 1)])
def test_the_magnitude_is_scipys_in_thin_volumes_too(shape):
    image = noise(shape)

    result = gradient_magnitude(padded(image, reach(1.0, FLAT)), 1.0, FLAT)

    expected = np.sqrt((oracle.gradient(image, 1.0, FLAT) ** 2).sum(axis=0))
    np.testing.assert_allclose(result, expected, atol=2e-4)


@pytest.mark.parametrize("spacing_um", [ONE, FLAT])
def test_the_structure_tensor_is_that_of_scipys_filters(spacing_um):
    image = noise((24, 26, 34))
    r, s = reach(1.0, spacing_um), reach(1.5, spacing_um)
    inner = tuple(slice(a + b, n - a - b) for a, b, n in zip(r, s, image.shape, strict=True))

    result = structure_tensor(image, 1.0, 1.5, spacing_um)

    expected = oracle.structure_tensor(image, 1.0, 1.5, spacing_um)[:, *inner]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_a_ramp_has_its_slope_and_a_saturated_image_none():
    z, y, x = np.indices((17, 17, 17), dtype=np.float32)
    ramp = 2 * z - 3 * y + x

    slopes = gradient(ramp, 2.0, (2.0, 2.0, 2.0))

    np.testing.assert_allclose(slopes[:, 2, 2, 2], [1.0, -1.5, 0.5], rtol=2e-3)
    assert not gradient_magnitude(np.full((9, 9, 9), 65535, np.uint16), 1.0, ONE).any()


def test_a_nan_spreads_no_farther_than_the_filter_reaches():
    image = noise((13, 13, 13))
    image[6, 6, 6] = np.nan

    result = gradient_magnitude(image, 0.5, ONE)

    # Differences across the voxel itself leave it out.
    assert np.isfinite(result[4, 4, 4])
    assert np.isnan(result[2:7, 2:7, 2:7]).sum() == np.isnan(result).sum() == 125 - 1


def test_a_part_has_the_same_bits_as_the_whole():
    image = noise((14, 17, 19), np.uint16)
    rz, ry, rx = reach(0.9, FLAT)
    whole = gradient(image, 0.9, FLAT), gradient_magnitude(image, 0.9, FLAT)

    part = image[1 : 1 + 2 * rz + 3, 2 : 2 + 2 * ry + 2, 3 : 3 + 2 * rx + 3]

    np.testing.assert_array_equal(gradient(part, 0.9, FLAT), whole[0][:, 1:4, 2:4, 3:6])
    np.testing.assert_array_equal(gradient_magnitude(part, 0.9, FLAT), whole[1][1:4, 2:4, 3:6])
