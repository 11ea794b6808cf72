"""Exact counts of real numbers in bins that need no range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["BINS", "bins_of", "count"]

# A value falls into the bin of the upper 16 bits of its float32, made to sort like numbers:
# one bin for each integer up to 256, relative width below 1/128 above.
BINS = 65536


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
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    bits = numbers.reshape(-1).view(np.uint32)
    counts = np.zeros(BINS, dtype=np.int64)
    _count(bits, counts)
    return counts


@jit
def _count(bits, counts):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        b = bits[i]
        if (b & np.uint32(0x7F800000)) == np.uint32(0x7F800000):
            continue
        b = ~b if b & np.uint32(0x80000000) else b | np.uint32(0x80000000)
        counts[b >> np.uint32(16)] += 1


def bins_of(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Bin of each value of an array of any shape and real dtype; what is not finite has none.

    Returns
    -------
    Flat, in the order of the array, without the values that are not finite.
    """
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    bits = flat[np.isfinite(flat)].view(np.uint32)
    bins = np.empty(bits.size, dtype=np.uint16)
    _bins(bits, bins)
    return bins


@jit
def _bins(bits, bins):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        b = bits[i]
        b = ~b if b & np.uint32(2147483648) else b | np.uint32(2147483648)
        bins[i] = b >> np.uint32(16)
