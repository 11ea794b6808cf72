"""Twins of scimage.kernels.smooth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def gaussian_weights(sigma_px):
    radius = int(np.ceil(4 * sigma_px))
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
