"""Grey levels that part one compartment from the next, from histograms of the whole image."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from scimage.blocks import Histogram

__all__ = ["decay_per_plane", "half_way", "half_way_of_three", "inner_level", "intact_and_dense"]

# A plane counts towards the decay when it holds this share of the fullest plane's voxels.
_SHARE_OF_PLANE = 0.05
# A line that leaves more of the variance than this is no decay.
_UNEXPLAINED = 0.5
# Fewer planes than this say nothing about a decay.
_FEWEST_PLANES = 8


def half_way(histogram: Histogram) -> float:
    """Half way between the medians of the two classes that Otsu's threshold parts.

    Half way is where a blurred edge really is; Otsu's own threshold moves with the sizes of the
    classes. The brightest thousandth is left out first: a few saturated specks would otherwise
    make a class of their own. Infinite (nothing is above it) where all values are alike or there
    are none.
    """
    usual = histogram.without_top(0.001)
    return _between_medians(usual, usual.otsu())


def half_way_of_three(histogram: Histogram) -> float:
    """Half way between the lowest two of three classes: medium and tissue, under a third, brighter.

    For a stain that tissue carries unevenly, where two classes would part bright tissue from all
    else. The classes are those of Otsu's method for three (Liao et al. 2001).
    """
    from skimage.filters import threshold_multiotsu

    usual = histogram.without_top(0.001)
    low, high = usual.quantile(0.0), usual.quantile(1.0)
    if not low < high:
        return math.inf
    counts, edges = np.histogram(
        usual.centres(), bins=256, range=(low, high), weights=usual.counts.astype(np.float64)
    )
    if np.count_nonzero(counts) < 3:
        return half_way(histogram)
    first, second = threshold_multiotsu(hist=(counts, (edges[:-1] + edges[1:]) / 2), classes=3)
    return _between_medians(usual.between(-math.inf, float(second)), float(first))


def _between_medians(histogram: Histogram, threshold: float) -> float:
    low = histogram.between(-math.inf, threshold).quantile(0.5)
    high = histogram.between(threshold, math.inf).quantile(0.5)
    return (low + high) / 2 if low < high else math.inf


def intact_and_dense(histogram: Histogram) -> tuple[float, float]:
    """Grey level of intact tissue, and of the plateau of dense GFAP around a lesion.

    Intact is the median of all tissue; its spread is measured below the median, where neither
    border nor distractors reach. The plateau is the 90th percentile of what exceeds intact
    tissue by five spreads, so that the slow decay outside the border does not lower it. In a
    short piece of cord most tissue may be injured, and nothing exceeds its median; then the lower
    of two classes (Otsu) is intact, if the median of the upper one exceeds it by three spreads
    (the halves of one bell curve are less than two apart). The plateau is infinite where there is
    no dense GFAP.
    """
    intact = histogram.quantile(0.5)
    dense = histogram.between(_clearly_above(histogram, 5), math.inf)
    if not dense.total:
        otsu = histogram.otsu()
        lower, upper = histogram.between(-math.inf, otsu), histogram.between(otsu, math.inf)
        if upper.quantile(0.5) > _clearly_above(lower, 3):
            intact, dense = lower.quantile(0.5), upper
    return intact, dense.quantile(0.9) if dense.total else math.inf


def _clearly_above(histogram: Histogram, spreads: float) -> float:
    """So many spreads above the median; a spread is the distance to the 16th percentile."""
    median = histogram.quantile(0.5)
    return median + spreads * max(median - histogram.quantile(0.1587), 1e-6 * abs(median))


def inner_level(core: Histogram, plateau: float, border_threshold: float) -> float:
    """Half way between core and border; a threshold that the user gave is not second-guessed."""
    if not core.total or not math.isfinite(plateau):
        return math.inf
    return min((core.quantile(0.5) + plateau) / 2, border_threshold)


def decay_per_plane(planes: Mapping[int, Histogram], background: float) -> float:
    """Change of the logarithm of the signal from plane to plane: how light is lost in depth.

    A straight line through the logarithm of each plane's median above `background`, weighted by
    the plane's voxels (Beer and Lambert). Most of a plane's tissue is intact, and a lesion in
    the middle bends the line to neither side. 0 where there are too few planes, or where a line
    explains less than half of the differences between them.
    """
    fullest = max((h.total for h in planes.values()), default=0)
    index, log_signal, weight = [], [], []
    for plane, histogram in planes.items():
        signal = histogram.quantile(0.5) - background
        if histogram.total >= _SHARE_OF_PLANE * fullest and signal > 0:
            index.append(plane)
            log_signal.append(math.log(signal))
            weight.append(math.sqrt(histogram.total))
    if len(index) < _FEWEST_PLANES:
        return 0.0
    signal_of, share = np.array(log_signal), np.square(weight)
    line = np.polyfit(index, signal_of, 1, w=weight)
    residual = np.average((signal_of - np.polyval(line, index)) ** 2, weights=share)
    spread = np.average((signal_of - np.average(signal_of, weights=share)) ** 2, weights=share)
    return float(line[0]) if residual < _UNEXPLAINED * spread else 0.0
