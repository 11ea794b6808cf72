from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.filters import threshold_otsu

from scimage.blocks import BlockGrid, Histogram
from scimage.blocks.histogram import BINS
from scimage.kernels import histogram as kernel

MODERATE = st.floats(-1e6, 1e6, width=32)


def width_at(value):
    """Width of the bin that holds `value`: below 1/128 of it, and tiny at zero."""
    return max(abs(value) / 128, 1e-30)


def bimodal(dtype=np.float32, n=4000):
    r = np.random.default_rng(0)
    return np.concatenate([r.normal(90, 12, n), r.normal(400, 60, n // 3)]).astype(dtype)


def test_room_and_kernel_agree_on_the_number_of_bins():
    assert kernel.BINS == BINS


@given(values=hnp.arrays(np.float32, st.integers(1, 60), elements=MODERATE), q=st.floats(0, 1))
def test_a_quantile_lies_between_numpys_neighbouring_values_within_a_bin(values, q):
    result = Histogram.of(values).quantile(q)

    low = np.quantile(values.astype(float), q, method="lower")
    high = np.quantile(values.astype(float), q, method="higher")
    rank = max(0, math.ceil(q * values.size) - 1)
    exact = float(np.sort(values)[rank])
    low, high = min(low, exact), max(high, exact)
    assert low - width_at(low) <= result <= high + width_at(high)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("q", [0.0, 0.01, 0.1587, 0.5, 0.9, 1.0])
def test_quantiles_of_every_dtype_are_numpys_within_a_bin(dtype, q):
    values = np.clip(bimodal(), 0, 250).astype(dtype)
    if dtype == np.int16:
        values -= 125

    result = Histogram.of(values).quantile(q)

    expected = float(np.quantile(values, q))
    assert abs(result - expected) <= max(abs(expected) / 100, 1.01)


def test_the_spread_is_the_scaled_median_absolute_deviation_within_a_bin():
    values = np.random.default_rng(1).normal(1000, 50, 20000).astype(np.float32)

    expected = 1.4826 * np.median(np.abs(values - np.median(values)))
    assert Histogram.of(values).spread() == pytest.approx(expected, abs=1000 / 128)
    assert Histogram.of(values - 1000).spread() == pytest.approx(expected, rel=0.02)


def test_the_spread_of_equal_values_is_zero():
    assert Histogram.of(np.full(100, 123.4, dtype=np.float32)).spread() == 0


def test_otsu_is_scikit_images_within_a_bin():
    values = bimodal()

    result = Histogram.of(values).otsu()

    expected = threshold_otsu(values.astype(float), nbins=4000)
    below = np.mean(values < expected)
    assert abs(np.mean(values < result) - below) < 0.005


def test_otsu_parts_two_values_between_them():
    values = np.array([10] * 50 + [200] * 3, dtype=np.uint8)

    assert 10 < Histogram.of(values).otsu() <= 200


def test_otsu_of_equal_values_is_their_bin():
    assert Histogram.of(np.full(9, 77, dtype=np.uint8)).otsu() == pytest.approx(77, abs=1)


def test_a_histogram_of_nothing_has_no_statistics():
    nothing = Histogram.of(np.array([np.nan, np.inf], dtype=np.float32))

    assert nothing.total == 0
    assert math.isnan(nothing.quantile(0.5))
    assert math.isnan(nothing.spread())
    assert math.isnan(nothing.otsu())


@pytest.mark.parametrize("value", [np.finfo(np.float32).max, -np.finfo(np.float32).max])
def test_the_largest_numbers_are_counted_and_stay_finite(value):
    values = np.array([value] * 3 + [1.0], dtype=np.float32)

    histogram = Histogram.of(values)

    assert histogram.total == 4
    assert histogram.quantile(0.5) == pytest.approx(float(value), rel=1 / 128)
    assert np.isfinite(histogram.centres()).all()
    assert math.isfinite(histogram.otsu())
    assert math.isfinite(histogram.spread())


def test_every_value_lies_in_the_bin_whose_centre_is_nearest_to_it():
    values = np.concatenate([bimodal(), -bimodal(), [0, 1e-20, 3e38]]).astype(np.float32)
    centres = Histogram.of(np.zeros(0)).centres()

    for value in values[::97]:
        (bin_,) = np.flatnonzero(Histogram.of(value[None]).counts)
        assert abs(centres[bin_] - value) <= width_at(float(value))


def test_whole_numbers_up_to_256_have_bins_of_their_own():
    counts = Histogram.of(np.arange(-256, 257, dtype=np.int16)).counts

    assert counts.max() == 1


def test_between_keeps_the_bins_whose_centres_lie_in_the_range():
    histogram = Histogram.of(np.arange(100, dtype=np.uint8))

    assert histogram.between(-math.inf, 50).total + histogram.between(50, math.inf).total == 100
    assert histogram.between(10, 20).total == 10
    assert histogram.between(200, 300).total == 0


def test_without_mode_removes_only_the_fullest_bin():
    histogram = Histogram.of(np.array([0] * 5 + [7] * 4 + [9], dtype=np.uint8))

    assert histogram.without_mode().total == 5
    assert histogram.total == 10


@given(
    values=hnp.arrays(
        np.float32, st.tuples(*[st.integers(1, 6)] * 3), elements=st.floats(width=32)
    ),
    block=st.tuples(*[st.integers(1, 7)] * 3),
    data=st.data(),
)
def test_the_sum_of_packed_blocks_is_the_histogram_of_the_whole_in_any_order(values, block, data):
    parts = [Histogram.of(values[b.core]).packed() for b in BlockGrid(values.shape, block)]

    total = Histogram.sum_of(data.draw(st.permutations(parts)))

    np.testing.assert_array_equal(total.counts, Histogram.of(values).counts)


def test_counts_beyond_32_bits_are_exact():
    bins = np.array([40000], dtype=np.uint16)

    total = Histogram.sum_of([(bins, np.array([2**40])), (bins, np.array([1]))])

    assert total.total == 2**40 + 1


def test_a_packed_histogram_holds_only_what_was_counted():
    bins, counts = Histogram.of(np.array([3, 3, 5], dtype=np.uint8)).packed()

    assert bins.dtype == np.uint16
    assert counts.tolist() == [2, 1]


def test_the_top_share_goes_without_taking_the_bin_that_it_ends_in():
    values = np.concatenate([np.full(600, 5), np.full(399, 300), [65535]]).astype(np.uint16)
    kept = Histogram.of(values).without_top(0.001)
    assert kept.total == 999
    assert kept.quantile(1.0) == pytest.approx(300, rel=1 / 128)
