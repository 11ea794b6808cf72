"""Statistics of a whole volume from exact counts, so that no division can change them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Histogram", "PackedHistogram"]

# The bins are those of scimage.kernels.histogram, named here so that kernels load on use.
BINS = 65536

PackedHistogram: TypeAlias = tuple[NDArray[np.uint16], NDArray[np.int64]]


@cache
def _lower_edges() -> NDArray[np.float64]:
    ordered = np.arange(BINS + 1, dtype=np.uint64) << np.uint64(16)
    ordered = np.minimum(ordered, np.uint64(0xFFFFFFFF)).astype(np.uint32)
    positive = ordered >= np.uint32(0x80000000)
    bits = np.where(positive, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    with np.errstate(invalid="ignore"):
        edges: NDArray[np.float64] = bits.astype(np.uint32).view(np.float32).astype(np.float64)
    # The last bin of finite numbers ends with the largest of them.
    edges[np.isposinf(edges)] = np.finfo(np.float32).max
    return edges


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts (65536,) of int64 in the bins of :mod:`scimage.kernels.histogram`.

    Statistics come from these counts alone and are exact to the width of a bin: below 1/128 of
    the value.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Histogram:
        """Count the finite values (any shape, any real dtype)."""
        from scimage.kernels import histogram

        return cls(histogram.count(values))

    def packed(self) -> PackedHistogram:
        """The bins that hold something: what a block sends home."""
        bins = np.flatnonzero(self.counts)
        return bins.astype(np.uint16), self.counts[bins]

    @classmethod
    def sum_of(cls, parts: Iterable[PackedHistogram]) -> Histogram:
        """Add up packed histograms."""
        counts = np.zeros(BINS, dtype=np.int64)
        for bins, n in parts:
            counts[bins] += n
        return cls(counts)

    @staticmethod
    def centre_of(first: int, last: int) -> float:
        """Middle of the values of the bins from `first` up to, not including, `last`."""
        edges = _lower_edges()
        return float((edges[first] + edges[last]) / 2)

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def between(self, low: float, high: float) -> Histogram:
        """Only the bins whose centres lie in [low, high)."""
        centres = self.centres()
        return Histogram(np.where((centres >= low) & (centres < high), self.counts, 0))

    def without_top(self, share: float) -> Histogram:
        """Without the bins that hold only values of the top `share`."""
        below = np.cumsum(self.counts) - self.counts
        return Histogram(np.where(below < (1 - share) * self.total, self.counts, 0))

    def without_mode(self) -> Histogram:
        """The same without its fullest bin."""
        counts = self.counts.copy()
        counts[np.argmax(counts)] = 0
        return Histogram(counts)

    def centres(self) -> NDArray[np.float64]:
        """Centre of each bin (0 for the bins beyond the largest float32, which stay empty)."""
        edges = _lower_edges()
        with np.errstate(invalid="ignore"):
            return np.nan_to_num((edges[:-1] + edges[1:]) / 2)

    def quantile(self, q: float) -> float:
        """Value below which the share `q` of the counts lies, linear inside a bin.

        NaN when nothing was counted.
        """
        if self.total == 0:
            return float("nan")
        cumulative = np.cumsum(self.counts)
        wanted = q * self.total
        # A whole number, as a float would turn all of them into floats first.
        i = int(np.searchsorted(cumulative, math.ceil(wanted), side="left"))
        while self.counts[i] == 0:
            i += 1
        edges = _lower_edges()
        before = cumulative[i] - self.counts[i]
        share = (wanted - before) / self.counts[i]
        return float(edges[i] + share * (edges[i + 1] - edges[i]))

    def spread(self) -> float:
        """Standard deviation of a Gaussian of the same median absolute deviation (1.4826 MAD).

        NaN when nothing was counted.
        """
        if self.total == 0:
            return float("nan")
        away = np.abs(self.centres() - self.quantile(0.5))
        order = np.argsort(away, kind="stable")
        cumulative = np.cumsum(self.counts[order])
        return 1.4826 * float(away[order][np.searchsorted(cumulative, 0.5 * self.total)])

    def otsu(self) -> float:
        """Threshold that parts the counts into two classes of greatest between-class variance.

        Otsu (1979). NaN when nothing was counted.
        """
        centres = self.centres()
        n = self.counts.astype(np.float64)
        below = np.cumsum(n)
        above = below[-1] - below
        total_below = np.cumsum(n * centres)
        total = total_below[-1]
        valid = (below > 0) & (above > 0)
        if not valid.any():
            return self.quantile(0.5)
        mean_below = total_below[valid] / below[valid]
        mean_above = (total - total_below[valid]) / above[valid]
        spread = below[valid] * above[valid] * (mean_above - mean_below) ** 2
        i = np.flatnonzero(valid)[int(np.argmax(spread))]
        return float(_lower_edges()[i + 1])
