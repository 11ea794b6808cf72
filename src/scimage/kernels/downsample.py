"""Block sums, exact block means and block modes: the levels of a pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["block_mode", "block_sum", "rounded_mean"]


def block_sum(array: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
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
    shape = tuple(-(-n // f) for n, f in zip(array.shape, factors, strict=True))
    exact = np.int64 if array.dtype.kind in "iub" else np.float64
    out = np.zeros(shape, dtype=exact)
    _add_blocks(array, factors[0], factors[1], factors[2], out)
    return out


@jit
def _add_blocks(array, fz, fy, fx, out):  # type: ignore[no-untyped-def]
    for z in range(array.shape[0]):
        for y in range(array.shape[1]):
            row = array[z, y]
            into = out[z // fz, y // fy]
            if fx == 1:
                for x in range(row.size):
                    into[x] += row[x]
            elif fx == 2:
                for x in range(row.size // 2):
                    into[x] += into.dtype.type(row[2 * x]) + into.dtype.type(row[2 * x + 1])
                if row.size % 2:
                    into[row.size // 2] += row[row.size - 1]
            else:
                for x in range(row.size):
                    into[x // fx] += row[x]


def rounded_mean(
    sums: NDArray[Any],
    covered: tuple[int, int, int],
    factors: tuple[int, int, int],
    dtype: np.dtype[Any],
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
    counts = [
        np.minimum(f, n - f * np.arange(s, dtype=np.int64))
        for f, n, s in zip(factors, covered, sums.shape, strict=True)
    ]
    n = counts[0][:, None, None] * counts[1][None, :, None] * counts[2][None, None, :]
    means: NDArray[Any] = (2 * sums + n) // (2 * n) if sums.dtype.kind == "i" else sums / n
    return means.astype(dtype, copy=False)


def block_mode(labels: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Most frequent label in each block of `factors` voxels; ties go to the smallest label.

    `labels` is (z, y, x), integers; the shape of the result is rounded up.
    """
    shape = tuple(-(-n // f) for n, f in zip(labels.shape, factors, strict=True))
    out = np.zeros(shape, dtype=labels.dtype)
    _vote(labels, factors[0], factors[1], factors[2], out)
    return out


@jit
def _vote(labels, fz, fy, fx, out):  # type: ignore[no-untyped-def]
    seen = np.empty(fz * fy * fx, dtype=labels.dtype)
    for z in range(out.shape[0]):
        z1 = min((z + 1) * fz, labels.shape[0])
        for y in range(out.shape[1]):
            y1 = min((y + 1) * fy, labels.shape[1])
            for x in range(out.shape[2]):
                x1 = min((x + 1) * fx, labels.shape[2])
                first = labels[z * fz, y * fy, x * fx]
                n = 0
                uniform = True
                for zz in range(z * fz, z1):
                    for yy in range(y * fy, y1):
                        for xx in range(x * fx, x1):
                            value = labels[zz, yy, xx]
                            seen[n] = value
                            n += 1
                            uniform &= value == first
                if uniform:
                    out[z, y, x] = first
                    continue
                best, best_count = first, 0
                for i in range(n):
                    count = 0
                    for j in range(n):
                        count += seen[j] == seen[i]
                    if count > best_count or (count == best_count and seen[i] < best):
                        best, best_count = seen[i], count
                out[z, y, x] = best
