"""The bank of filters that answers to nuclei of a range of diameters.

For a ball of diameter D the difference of two Gaussians, s and 1.6 s, is largest at its centre
when s = D / (2 q). The difference is divided by what a ball of contrast 1 would give, so that
its value is the contrast of the nucleus, in grey levels, at every scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import Shape
from scimage.graft.parameters import GraftParameters

__all__ = [
    "Bank",
    "Scale",
    "bank_of",
    "border_variance",
    "filter_bank",
    "half_kernels",
    "white_noise_gain",
]

# Ratio of the two Gaussians: 1.6 is nearest to a Laplacian (Marr & Hildreth 1980).
_RATIO = 1.6
# Neighbouring scales differ by the root of that, so that the background of one scale is the core
# of another: a Gaussian is computed once for both.
_STEP = math.sqrt(_RATIO)
# Beyond three sigma a Gaussian holds 0.3% of its weight; both of a scale are cut off alike.
_TRUNCATE = 3.0
# In 'plane' mode planes are only smoothed a little, to join the sections of one nucleus.
_Z_SMOOTH_PLANES = 0.6

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """One filter: two Gaussians, their sigma in voxels (z, y, x), and the gain for a ball.

    `fine` smooths the image to the core of a nucleus and `coarse` to its background. Their
    difference is `gain` at the centre of a ball of contrast 1.
    """

    diameter_um: float
    fine_px: Spacing
    coarse_px: Spacing
    gain: float


def filter_bank(
    parameters: GraftParameters, spacing_um: Spacing, bins: Shape = (1, 1, 1)
) -> tuple[Scale, ...]:
    """Filters in geometric steps, each for the diameters up to half a step from its own.

    `bins` (z, y, x) is how many stored voxels were averaged to one, which smooths already.
    """
    low, high = parameters.diameter_um
    n = max(1, math.ceil(math.log(high / low) / math.log(_STEP) - 1e-6))
    smallest = math.sqrt(low * high) / _STEP ** ((n - 1) / 2)
    plane = parameters.background == "plane"
    return tuple(_scale(smallest, i, plane, spacing_um, bins) for i in range(n))


def _scale(smallest_um: float, i: int, plane: bool, spacing_um: Spacing, bins: Shape) -> Scale:
    dimensions = 2 if plane else 3
    q = math.sqrt(2 * dimensions * math.log(_RATIO) / (1 - _RATIO**-2))
    # Equal powers give equal numbers: this is how a Gaussian that is needed twice is known.
    fine, coarse = (smallest_um * _STEP**k / 2 / q for k in (i, i + 2))
    fine_z = math.hypot(fine, _Z_SMOOTH_PLANES * spacing_um[0]) if plane else fine
    return Scale(
        smallest_um * _STEP**i,
        _in_voxels((fine_z, fine, fine), spacing_um, bins),
        _in_voxels((fine_z if plane else coarse, coarse, coarse), spacing_um, bins),
        _mass_within(q, dimensions) - _mass_within(q / _RATIO, dimensions),
    )


def _in_voxels(sigma_um: Spacing, spacing_um: Spacing, bins: Shape) -> Spacing:
    """Sigma in voxels (z, y, x), less what a mean over `bins` voxels smooths."""
    z, y, x = (
        math.sqrt(max(0.0, (sigma / s) ** 2 - (1 - b**-2) / 12))
        for sigma, s, b in zip(sigma_um, spacing_um, bins, strict=True)
    )
    return z, y, x


def _mass_within(radius: float, dimensions: int) -> float:
    """Share of a unit Gaussian of 2 or 3 dimensions that lies within a radius."""
    if dimensions == 2:
        return 1 - math.exp(-radius * radius / 2)
    tail = math.sqrt(2 / math.pi) * radius * math.exp(-radius * radius / 2)
    return math.erf(radius / math.sqrt(2)) - tail


def half_kernels(sigma_px: Spacing) -> tuple[NDArray[np.float32], ...]:
    """Half Gaussian kernels for z, y, x."""
    from scimage.kernels.smooth import gaussian_weights

    return tuple(gaussian_weights(s, _TRUNCATE) for s in sigma_px)


@dataclass(frozen=True, slots=True)
class Bank:
    """The filters of all scales as :func:`scimage.kernels.smooth.contrasts` takes them."""

    weights: NDArray[np.float32]
    radii: NDArray[np.int64]
    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]
    factor: NDArray[np.float32]

    @property
    def reach(self) -> Shape:
        """Voxels (z, y, x) that the widest filter reaches from its centre."""
        z, y, x = self.radii.max(axis=0).tolist()
        return z, y, x


@lru_cache(maxsize=16)
def bank_of(scales: tuple[Scale, ...]) -> Bank:
    """The filters of these scales; each Gaussian is in it once."""
    from scimage.kernels.smooth import bank

    gaussians = list(dict.fromkeys(g for s in scales for g in (s.fine_px, s.coarse_px)))
    return Bank(
        *bank([half_kernels(g) for g in gaussians]),
        np.array([gaussians.index(s.fine_px) for s in scales]),
        np.array([gaussians.index(s.coarse_px) for s in scales]),
        np.array([1 / s.gain for s in scales], dtype=np.float32),
    )


def white_noise_gain(scale: Scale) -> float:
    """Variance of the contrast that white noise of variance 1 makes, away from the faces."""
    core_core = core_wide = wide_wide = 1.0
    for fine, coarse in zip(
        half_kernels(scale.fine_px), half_kernels(scale.coarse_px), strict=True
    ):
        core, wide = _whole(fine), _whole(coarse)
        margin = (wide.size - core.size) // 2
        core = np.pad(core, max(margin, 0))
        wide = np.pad(wide, max(-margin, 0))
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
