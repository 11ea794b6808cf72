"""The bank of filters that answers to nuclei of a range of diameters.

For a ball of diameter D the difference of two Gaussians, s and 1.6 s, is largest at its centre
when s = D / (2 q). The difference is divided by what a ball of contrast 1 would give, so that
its value is the contrast of the nucleus, in grey levels, at every scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scimage.graft.parameters import GraftParameters

__all__ = ["Scale", "border_variance", "filter_bank", "half_kernels", "white_noise_gain"]

# Ratio of the two Gaussians: 1.6 is nearest to a Laplacian (Marr & Hildreth 1980).
_RATIO = 1.6
# Neighbouring scales differ by at most this factor.
_STEP = 1.3
# In 'plane' mode planes are only smoothed a little, to join the sections of one nucleus.
_Z_SMOOTH_PLANES = 0.6

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """One filter: widths in voxels (z, y, x), and the gain for a ball of contrast 1.

    `inner` smooths the image; `outer` smooths the result further, to the background.
    """

    diameter_um: float
    inner_px: Spacing
    outer_px: Spacing
    gain: float


def filter_bank(parameters: GraftParameters, spacing_um: Spacing) -> tuple[Scale, ...]:
    """Filters from the smallest to the largest diameter, in geometric steps."""
    low, high = parameters.diameter_um
    n = math.ceil(math.log(high / low) / math.log(_STEP) - 1e-6) + 1
    diameters = [math.sqrt(low * high)] if n < 2 else np.geomspace(low, high, n)
    return tuple(_scale(float(d), parameters.background, spacing_um) for d in diameters)


def _scale(diameter_um: float, background: str, spacing_um: Spacing) -> Scale:
    plane = background == "plane"
    dimensions = 2 if plane else 3
    q = math.sqrt(2 * dimensions * math.log(_RATIO) / (1 - _RATIO**-2))
    inner = diameter_um / 2 / q
    outer = inner * math.sqrt(_RATIO**2 - 1)
    inner_z = math.hypot(inner, _Z_SMOOTH_PLANES * spacing_um[0]) if plane else inner
    z, y, x = spacing_um
    return Scale(
        diameter_um,
        (inner_z / z, inner / y, inner / x),
        (0.0 if plane else outer / z, outer / y, outer / x),
        _mass_within(q, dimensions) - _mass_within(q / _RATIO, dimensions),
    )


def _mass_within(radius: float, dimensions: int) -> float:
    """Share of a unit Gaussian of 2 or 3 dimensions that lies within a radius."""
    if dimensions == 2:
        return 1 - math.exp(-radius * radius / 2)
    tail = math.sqrt(2 / math.pi) * radius * math.exp(-radius * radius / 2)
    return math.erf(radius / math.sqrt(2)) - tail


def half_kernels(sigma_px: Spacing) -> tuple[NDArray[np.float32], ...]:
    """Half Gaussian kernels for z, y, x."""
    from scimage.kernels.smooth import gaussian_weights

    return tuple(gaussian_weights(s) for s in sigma_px)


def white_noise_gain(scale: Scale) -> float:
    """Variance of the contrast that white noise of variance 1 makes, away from the faces."""
    core_core = core_wide = wide_wide = 1.0
    for inner, outer in zip(
        half_kernels(scale.inner_px), half_kernels(scale.outer_px), strict=True
    ):
        core = _whole(inner)
        wide = np.convolve(core, _whole(outer))
        margin = (wide.size - core.size) // 2
        core = np.pad(core, margin)
        core_core *= float(core @ core)
        core_wide *= float(core @ wide)
        wide_wide *= float(wide @ wide)
    return (core_core - 2 * core_wide + wide_wide) / scale.gain**2


def _whole(half: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.concatenate([half[:0:-1], half]).astype(np.float64)


def border_variance(n: int, half_weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variance of smoothed white noise at each of `n` positions between two repeated edges.

    Repeating the edge voxel gives it more weight, so noise is smoothed less near the edge.
    """
    w = _whole(half_weights)
    r = half_weights.size - 1
    out = np.full(n, (w**2).sum())
    for i in {*range(min(r, n)), *range(max(0, n - r), n)}:
        reached = np.clip(np.arange(i - r, i + r + 1), 0, n - 1)
        out[i] = (np.bincount(reached - reached[0], weights=w) ** 2).sum()
    return out
