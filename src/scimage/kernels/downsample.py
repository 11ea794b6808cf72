"""Block sums, exact block means and block modes: the levels of a pyramid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["bin_means", "block_mode", "block_sum", "rounded_mean"]

Shape = tuple[int, int, int]


def block_sum(array: NDArray[Any], factors: Shape) -> NDArray[Any]:
    """Sum over blocks of `factors` voxels; blocks at the far end may be smaller.

    Parameters
    ----------
    array
        (z, y, x), integers or floats.
    factors
        Block size along z, y, x.

    Returns
    -------
    (z, y, x) of int64 for integers, float64 for floats; shape is rounded up.
    """
    out: NDArray[Any] = np.zeros(_coarse(array.shape, factors), dtype=_exact(array.dtype))
    _sum_blocks(array, factors, _columns(array, factors), out)
    return out


def rounded_mean(
    sums: NDArray[Any], covered: Shape, factors: Shape, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Divide block sums by the number of voxels in each block.

    Parameters
    ----------
    sums
        (z, y, x), from :func:`block_sum`, possibly in several steps.
    covered
        Shape (z, y, x) of the full-resolution array that the sums cover.
    factors
        Block size in full-resolution voxels.
    dtype
        Of the result; integer means are rounded half up.
    """
    if sums.dtype.kind == "i":
        out = np.empty(sums.shape, dtype=dtype)
        _divide(sums, covered, factors, out)
        return out
    counts = [
        np.minimum(f, n - f * np.arange(s, dtype=np.int64))
        for f, n, s in zip(factors, covered, sums.shape, strict=True)
    ]
    n = counts[0][:, None, None] * counts[1][None, :, None] * counts[2][None, None, :]
    means: NDArray[Any] = sums / n
    return means.astype(dtype, copy=False)


def _coarse(shape: tuple[int, ...], factors: Shape) -> tuple[int, ...]:
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def _exact(dtype: np.dtype[Any]) -> type:
    return np.int64 if dtype.kind in "iub" else np.float64


def _columns(array: NDArray[Any], factors: Shape) -> NDArray[Any]:
    """Room for one row of sums, in the narrowest type that holds those of a block."""
    narrow = array.dtype.kind in "iub" and array.dtype.itemsize <= 2
    fits = narrow and math.prod(factors) < 2**15
    return np.empty(array.shape[2], dtype=np.int32 if fits else _exact(array.dtype))


@jit
def _sum_rows(array, z, y, factors, columns):  # type: ignore[no-untyped-def]
    """Sum the rows of a row of blocks, column by column."""
    for x in range(columns.size):
        columns[x] = 0
    for zz in range(z * factors[0], min((z + 1) * factors[0], array.shape[0])):
        for yy in range(y * factors[1], min((y + 1) * factors[1], array.shape[1])):
            row = array[zz, yy]
            for x in range(row.size):
                columns[x] += row[x]


@jit
def _sum_columns(columns, fx, out):  # type: ignore[no-untyped-def]
    whole = columns.size // fx
    if fx == 2:
        for x in range(whole):
            out[x] = columns[2 * x] + columns[2 * x + 1]
    else:
        for x in range(whole):
            out[x] = columns[x * fx]
        for k in range(1, fx):
            for x in range(whole):
                out[x] += columns[x * fx + k]
    if whole < out.size:
        out[whole] = 0
        for x in range(whole * fx, columns.size):
            out[whole] += columns[x]


@jit
def _sum_blocks(array, factors, columns, out):  # type: ignore[no-untyped-def]
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            _sum_rows(array, z, y, factors, columns)
            _sum_columns(columns, factors[2], out[z, y])


@jit
def _divide(sums, covered, factors, out):  # type: ignore[no-untyped-def]
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            _divide_row(sums[z, y], z, y, covered, factors, out[z, y])


@jit
def _divide_row(sums, z, y, covered, factors, out):  # type: ignore[no-untyped-def]
    fz, fy, fx = factors
    rows = min(fz, covered[0] - z * fz) * min(fy, covered[1] - y * fy)
    whole = covered[2] // fx
    n = rows * fx
    if n & (n - 1) == 0:
        shift = 0
        while 1 << shift < n:
            shift += 1
        half = n >> 1
        for x in range(whole):
            out[x] = (sums[x] + half) >> shift
    else:
        for x in range(whole):
            out[x] = (2 * np.int64(sums[x]) + n) // (2 * n)
    if whole < out.size:
        n = rows * (covered[2] - whole * fx)
        out[whole] = (2 * np.int64(sums[whole]) + n) // (2 * n)


def block_mode(labels: NDArray[Any], factors: Shape) -> NDArray[Any]:
    """Most frequent label in each block of `factors` voxels; ties go to the smallest label.

    `labels` is (z, y, x), integers; the shape of the result is rounded up.
    """
    out = np.zeros(_coarse(labels.shape, factors), dtype=labels.dtype)
    _vote(labels, factors, out)
    return out


@jit
def _vote(labels, factors, out):  # type: ignore[no-untyped-def]
    fz, fy, fx = factors
    lowest = np.empty(labels.shape[2], dtype=labels.dtype)
    highest = np.empty(labels.shape[2], dtype=labels.dtype)
    seen = np.empty(fz * fy * fx, dtype=labels.dtype)
    for z in range(out.shape[0]):
        z1 = min((z + 1) * fz, labels.shape[0])
        for y in range(out.shape[1]):
            y1 = min((y + 1) * fy, labels.shape[1])
            first = labels[z * fz, y * fy]
            for x in range(first.size):
                lowest[x] = highest[x] = first[x]
            for zz in range(z * fz, z1):
                for yy in range(y * fy, y1):
                    row = labels[zz, yy]
                    for x in range(row.size):
                        lowest[x] = min(lowest[x], row[x])
                        highest[x] = max(highest[x], row[x])
            into = out[z, y]
            for x in range(into.size):
                x0, x1 = x * fx, min((x + 1) * fx, lowest.size)
                low, high = lowest[x0], highest[x0]
                for k in range(x0 + 1, x1):
                    low, high = min(low, lowest[k]), max(high, highest[k])
                into[x] = low
                if low < high:
                    into[x] = _most_frequent(labels, z * fz, z1, y * fy, y1, x0, x1, seen)


@jit
def _most_frequent(labels, z0, z1, y0, y1, x0, x1, seen):  # type: ignore[no-untyped-def]
    n = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                seen[n] = labels[z, y, x]
                n += 1
    best, best_count = seen[0], 0
    for i in range(n):
        count = 0
        for j in range(n):
            count += seen[j] == seen[i]
        if count > best_count or (count == best_count and seen[i] < best):
            best, best_count = seen[i], count
    return best


def bin_means(array: NDArray[Any], bins: Shape, out: NDArray[np.float32]) -> None:
    """Fill `out` with the means of blocks of `bins` voxels; those at the far end may be smaller.

    Parameters
    ----------
    array
        (z, y, x), integers or floats.
    bins
        Voxels along z, y, x that become one.
    out
        (z, y, x) of float32, of the shape of `array` over `bins`, rounded up. Means of integers
        are exact but for rounding to float32.
    """
    _bin_means(array, bins, _columns(array, bins), out)


@jit
def _bin_means(array, factors, columns, out):  # type: ignore[no-untyped-def]
    fz, fy, fx = factors
    sums = np.empty(out.shape[2], dtype=columns.dtype)
    whole = columns.size // fx
    for z in range(out.shape[0]):
        layers = min(fz, array.shape[0] - z * fz)
        for y in range(out.shape[1]):
            _sum_rows(array, z, y, factors, columns)
            _sum_columns(columns, fx, sums)
            rows = layers * min(fy, array.shape[1] - y * fy)
            into = out[z, y]
            share = 1.0 / (rows * fx)
            for x in range(whole):
                into[x] = sums[x] * share
            if whole < into.size:
                into[whole] = sums[whole] / (rows * (columns.size - whole * fx))
