from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

import oracles.histogram as histogram_oracle
import oracles.profile as profile_oracle
from scimage.kernels.histogram import BINS, bins_of, count, count_by_plane
from scimage.kernels.profile import count_by_section


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.float32, np.float64]
)
def test_values_of_every_dtype_fall_into_the_bins_of_their_upper_bits(dtype):
    values = np.random.default_rng(0).normal(0, 120, (5, 7, 11))
    values = (values if np.issubdtype(dtype, np.floating) else np.abs(values) % 250).astype(dtype)

    counts = count(values)

    assert counts.shape == (BINS,)
    np.testing.assert_array_equal(counts, histogram_oracle.count(values))


def test_negative_int16_values_are_counted_below_zero():
    counts = count(np.array([-32768, -1, 0, 1, 32767], dtype=np.int16))

    assert counts[: BINS // 2].sum() == 2
    assert counts.sum() == 5


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_every_number_of_a_short_integer_type_has_the_bin_of_its_bits(dtype):
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1).astype(dtype)

    np.testing.assert_array_equal(count(values), histogram_oracle.count(values))
    assert bins_of(values).tolist() == [bin_by_bits(v) for v in values.tolist()]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("order", ["transposed", "reversed", "strided"])
def test_memory_layout_does_not_matter(dtype, order):
    values = np.random.default_rng(2).integers(0, 999, (5, 6, 7)).astype(dtype)
    view = {"transposed": values.T, "reversed": values[::-1], "strided": values[::2, :, ::3]}

    np.testing.assert_array_equal(count(view[order]), histogram_oracle.count(view[order]))


def test_values_that_are_not_finite_are_not_counted():
    assert count(np.array([np.nan, -np.nan, np.inf, -np.inf, 1.0], dtype=np.float32)).sum() == 1


def test_values_beyond_float32_are_not_counted():
    assert count(np.array([1e300, -1e300, 1.0])).sum() == 1


def test_an_empty_array_has_no_counts():
    assert count(np.zeros((0,), dtype=np.uint16)).sum() == 0


def test_saturated_images_fill_one_bin():
    counts = count(np.full((4, 5, 6), 65535, dtype=np.uint16))

    assert counts.max() == counts.sum() == 120


@given(
    values=hnp.arrays(
        np.float32, hnp.array_shapes(max_dims=3, max_side=6), elements={"allow_subnormal": True}
    )
)
def test_any_floats_are_counted_as_their_bits_say(values):
    np.testing.assert_array_equal(count(values), histogram_oracle.count(values))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 1)])
def test_sections_are_counted_as_numpy_counts_them(shape, axis):
    labels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    counts, sums = count_by_section(labels, (10, 200, 3000), axis)

    expected_counts, expected_sums = profile_oracle.count_by_section(labels, (10, 200, 3000), axis)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_array_equal(sums, expected_sums)


def test_index_sums_beyond_32_bits_are_exact():
    labels = np.full((2, 2, 2), 7, dtype=np.uint8)

    _, sums = count_by_section(labels, (2**31, 2**33, 2**40), 0)

    assert sums[7].tolist() == [8 * 2**31 + 4, 8 * 2**33 + 4, 8 * 2**40 + 4]


def bin_by_bits(value: float) -> int:
    """Upper half of a float32's bits, turned so that it sorts like the number."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return (bits ^ 0xFFFFFFFF if bits >> 31 else bits | 0x80000000) >> 16


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_each_value_has_the_bin_of_its_bits(dtype):
    values = np.random.default_rng(5).integers(0, 120, (4, 5, 6)).astype(dtype)
    if dtype in ("int16", "float32"):
        values -= 60
    assert bins_of(values).tolist() == [bin_by_bits(v) for v in values.ravel()]
    assert count(values)[bins_of(values)].min() > 0


def test_what_is_not_finite_has_no_bin():
    values = np.array([1.0, np.nan, np.inf, -np.inf, 2.0], dtype=np.float32)
    assert bins_of(values).tolist() == [bin_by_bits(1.0), bin_by_bits(2.0)]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 7, 3), (1, 1, 1), (0, 3, 3)])
def test_bins_are_counted_plane_by_plane_inside_a_mask(axis, shape):
    r = np.random.default_rng(3)
    bins, mask = r.integers(40000, 40006, shape).astype(np.uint16), r.random(shape) < 0.7

    planes, found, counts = count_by_plane(bins, mask, axis)

    expected = Counter(zip(np.nonzero(mask)[axis].tolist(), bins[mask].tolist(), strict=True))
    together = zip(planes.tolist(), found.tolist(), strict=True)
    assert list(zip(together, counts.tolist(), strict=True)) == sorted(expected.items())
