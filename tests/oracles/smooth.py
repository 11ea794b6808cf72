"""Twins of scimage.kernels.smooth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def gaussian_weights(sigma_px, truncate=4):
    radius = int(np.ceil(truncate * sigma_px))
    impulse = np.zeros(2 * radius + 1)
    impulse[radius] = 1
    if radius:
        impulse = ndimage.gaussian_filter1d(impulse, sigma_px, radius=radius, mode="constant")
    return impulse[radius:]


def smooth(padded, weights):
    data = np.asarray(padded, dtype=np.float64)
    for axis, half in enumerate(weights):
        r = half.size - 1
        whole = np.concatenate([half[:0:-1], half]).astype(np.float64)
        data = ndimage.correlate1d(data, whole, axis=axis, mode="constant")
        data = np.take(data, range(r, data.shape[axis] - r), axis=axis)
    return data


def contrasts(data, halo, gaussians, pairs, factors):
    """Differences of smoothed images; `gaussians` are half kernels (z, y, x) and `pairs` theirs."""
    smoothed = []
    for weights in gaussians:
        surplus = [h - w.size + 1 for h, w in zip(halo, weights, strict=True)]
        near = data[tuple(slice(s, n - s) for s, n in zip(surplus, data.shape, strict=True))]
        smoothed.append(smooth(near, weights))
    return np.stack(
        [f * (smoothed[a] - smoothed[b]) for (a, b), f in zip(pairs, factors, strict=True)]
    )
