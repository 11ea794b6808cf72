"""How much contrast chance makes: over the whole image, and at the brightness of one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import Histogram, Shape
from scimage.graft.passes import BRIGHTNESS_SHIFT, Candidates, NoiseSample
from scimage.graft.scales import Scale, border_variance, half_kernels, white_noise_gain

__all__ = ["Noise", "signal_to_noise"]

# Classes of brightness with fewer voxels say nothing about their noise.
_FEWEST_VOXELS = 2000


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of one channel.

    Attributes
    ----------
    per_scale
        Robust spread (1.4826 MAD) of the contrast at each scale over the whole image.
    read, gain
        Variance of a single voxel is ``read + gain * brightness``: the photon-transfer curve,
        fitted to the robust spread of second differences in classes of brightness. It tells
        noise from texture, and bright tissue, where photons are noisier, from dark background.
    """

    per_scale: tuple[float, ...]
    read: float
    gain: float

    @classmethod
    def of(cls, sample: NoiseSample) -> Noise:
        """Estimate the noise from a sample of the image."""
        return cls(tuple(_spread(h) for h in sample.contrast), *_transfer(sample.differences))

    def voxel_variance(self, brightness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance of single voxels of this brightness."""
        return np.maximum(self.read + self.gain * brightness, 0.0)


def _spread(histogram: Histogram) -> float:
    """Robust spread; where over half of the values are equal (blank margins), of the others."""
    spread = histogram.spread()
    if spread == 0:
        spread = histogram.without_mode().spread()
    return spread if math.isfinite(spread) else 0.0


def _transfer(differences: Mapping[int, Histogram]) -> tuple[float, float]:
    """Straight line through variance against brightness, each class weighted by its voxels."""
    brightness, variance, weight = [], [], []
    for key, histogram in differences.items():
        if histogram.total >= _FEWEST_VOXELS:
            first = key << BRIGHTNESS_SHIFT
            brightness.append(Histogram.centre_of(first, first + (1 << BRIGHTNESS_SHIFT)))
            # The second difference of white noise has six times its variance.
            variance.append(histogram.spread() ** 2 / 6)
            weight.append(math.sqrt(histogram.total))
    if not variance:
        return 0.0, 0.0
    mean = float(np.average(variance, weights=np.square(weight)))
    if len(variance) < 2:
        return mean, 0.0
    gain, read = np.polyfit(brightness, variance, 1, w=weight)
    return (float(read), float(gain)) if gain > 0 else (mean, 0.0)


def signal_to_noise(
    found: Candidates,
    surroundings: NDArray[np.float64],
    noise: Noise,
    scales: Sequence[Scale],
    shape: Shape,
) -> NDArray[np.float64]:
    """Contrast of each candidate in units of the noise at its place.

    The noise is that of the whole image or what photons make at the brightness of the cell's
    surroundings, whichever is greater. Near the volume's faces edges are repeated and smoothing
    averages fewer voxels; the noise that this adds is counted.

    Parameters
    ----------
    found
        (n) candidates.
    surroundings
        (n,) brightness around each.
    shape
        Of the volume (z, y, x).
    """
    snr = np.zeros(len(found))
    voxel = noise.voxel_variance(surroundings)
    for i, scale in enumerate(scales):
        mine = found.scale == i
        if not mine.any() or noise.per_scale[i] == 0:
            continue
        core, interior = np.ones(int(mine.sum())), 1.0
        for axis, weights in enumerate(half_kernels(scale.fine_px)):
            along = border_variance(shape[axis], weights)
            core *= along[found.voxel[mine, axis]]
            interior *= along.min()
        photons = voxel[mine] * white_noise_gain(scale)
        surplus = voxel[mine] * (core - interior) / scale.gain**2
        total = np.maximum(noise.per_scale[i] ** 2, photons) + surplus
        snr[mine] = found.contrast[mine] / np.sqrt(total)
    return snr
