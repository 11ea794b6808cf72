"""Exact counts of real numbers in bins that need no range."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["BINS", "bins_of", "count", "count_by_plane"]

# A value falls into the bin of the upper 16 bits of its float32, made to sort like numbers:
# one bin for each integer up to 256, relative width below 1/128 above.
BINS = 65536

# All of the exponent: infinity or no number.
_NOT_FINITE = 0x7F80


def count(values: NDArray[Any]) -> NDArray[np.int64]:
    """Count the values that are finite as float32.

    Parameters
    ----------
    values
        Any shape, any real dtype.

    Returns
    -------
    (65536,) of int64.
    """
    bin_of, keys, every = _keyed(values)
    tallies = np.zeros((4, bin_of.size), dtype=np.int64)
    _tally(keys, every, *tallies)
    counts = np.zeros(BINS + 1, dtype=np.int64)
    np.add.at(counts, bin_of, tallies.sum(axis=0))
    return counts[:BINS]


def bins_of(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Bin of each value of an array of any shape and real dtype; what is not finite has none.

    Returns
    -------
    Flat, in the order of the array, without the values that are not finite.
    """
    bin_of, keys, every = _keyed(values)
    bins = np.empty(keys.size // every, dtype=np.uint16)
    return bins[: _look_up(keys, every, bin_of, bins)]


def _keyed(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any], int]:
    """Bin of each possible key, and the keys: the last of every so many numbers.

    Short integers are their own keys, of all others it is the upper half of their float32.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2:
        return _bins_of_all(flat.dtype), flat.view(f"u{flat.dtype.itemsize}"), 1
    with np.errstate(over="ignore"):
        numbers = flat.astype(np.float32, copy=False)
    return _bins_of_halves(), numbers.view(np.uint16), 2


@cache
def _bins_of_halves() -> NDArray[np.int64]:
    """Bin of each upper half of a float32; ``BINS`` for those that are not finite."""
    half = np.arange(BINS)
    bins = np.where(half & 0x8000, ~half & 0xFFFF, half | 0x8000)
    return np.where(half & _NOT_FINITE == _NOT_FINITE, BINS, bins)


@cache
def _bins_of_all(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Bin of each number of a type of at most 16 bits, in the order of their bits."""
    unsigned = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    return _bins_of_halves()[unsigned.view(dtype).astype(np.float32).view(np.uint16)[1::2]]


@jit
def _tally(keys, every, one, two, three, four):  # type: ignore[no-untyped-def]
    # Four tallies: to add to the same number again has to wait for the last time.
    n = keys.size // every
    last = every - 1
    for i in range(n // 4):
        k = 4 * every * i + last
        one[keys[k]] += 1
        two[keys[k + every]] += 1
        three[keys[k + 2 * every]] += 1
        four[keys[k + 3 * every]] += 1
    for i in range(n - n % 4, n):
        one[keys[every * i + last]] += 1


@jit
def _look_up(keys, every, bin_of, bins):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(bins.size):
        found = bin_of[keys[every * i + every - 1]]
        bins[n] = found
        n += found < 65536
    return n


def count_by_plane(
    bins: NDArray[np.uint16], mask: NDArray[np.bool_], axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the bins of the voxels in a mask, plane by plane.

    Parameters
    ----------
    bins, mask
        (z, y, x).
    axis
        0, 1 or 2: planes lie across it.

    Returns
    -------
    planes, bins, counts
        (n,) of int64: what was counted at least once, by plane and then by bin.
    """
    low, high = (int(bins.min()), int(bins.max())) if bins.size else (0, 0)
    counts = np.zeros((bins.shape[axis], high - low + 1), dtype=np.int64)
    _count_by_plane(bins, mask, axis, low, counts)
    planes, found = np.nonzero(counts)
    return planes, found + low, counts[planes, found]


@jit
def _count_by_plane(bins, mask, axis, low, counts):  # type: ignore[no-untyped-def]
    for z in range(bins.shape[0]):
        for y in range(bins.shape[1]):
            row, inside = bins[z, y], mask[z, y]
            plane = z if axis == 0 else y
            for x in range(row.size):
                if inside[x]:
                    counts[x if axis == 2 else plane, row[x] - low] += 1
