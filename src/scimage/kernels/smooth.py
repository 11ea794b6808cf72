"""Separable Gaussian smoothing with finite support."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["gaussian_weights", "smooth"]

# Beyond four sigma a Gaussian holds 6e-5 of its weight.
_TRUNCATE = 4.0


def gaussian_weights(sigma_px: float) -> NDArray[np.float32]:
    """Half of a sampled, normalised Gaussian: the weight at distance 0, 1, ... voxels.

    A sigma of 0 gives a single weight of 1.
    """
    radius = math.ceil(_TRUNCATE * sigma_px)
    if radius == 0:
        return np.ones(1, dtype=np.float32)
    half: NDArray[np.float64] = np.exp(-0.5 * (np.arange(radius + 1) / sigma_px) ** 2)
    half /= half[0] + 2 * half[1:].sum()
    return half.astype(np.float32)


def smooth(
    padded: NDArray[Any],
    weights: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Convolve with a separable symmetric kernel, without padding.

    Parameters
    ----------
    padded
        (z, y, x), any real dtype.
    weights
        Half kernels for z, y, x from :func:`gaussian_weights`, of radii rz, ry, rx.

    Returns
    -------
    (z - 2 rz, y - 2 ry, x - 2 rx) of float32. Each voxel is the same sum in the same order
    wherever it lies in the array, so blocks with a halo give the same bits as the whole. Without
    any smoothing it is `padded` itself where that is float32.
    """
    data = np.ascontiguousarray(padded, dtype=np.float32)
    if weights[2].size > 1:
        data = _along_x(data, weights[2])
    if weights[1].size > 1:
        data = _along_y(data, weights[1])
    if weights[0].size > 1:
        data = _along_z(data, weights[0])
    return data


@jit
def _along_x(data, w):  # type: ignore[no-untyped-def]
    r = w.size - 1
    n = data.shape[2] - 2 * r
    out = np.empty((data.shape[0], data.shape[1], n), dtype=np.float32)
    for z in range(data.shape[0]):
        for y in range(data.shape[1]):
            row = data[z, y]
            into = out[z, y]
            centre = row[r : r + n]
            for x in range(n):
                into[x] = w[0] * centre[x]
            for k in range(1, r + 1):
                left = row[r - k : r - k + n]
                right = row[r + k : r + k + n]
                wk = w[k]
                for x in range(n):
                    into[x] += wk * (left[x] + right[x])
    return out


@jit
def _along_y(data, w):  # type: ignore[no-untyped-def]
    r = w.size - 1
    n = data.shape[1] - 2 * r
    out = np.empty((data.shape[0], n, data.shape[2]), dtype=np.float32)
    for z in range(data.shape[0]):
        for y in range(n):
            into = out[z, y]
            centre = data[z, y + r]
            for x in range(into.size):
                into[x] = w[0] * centre[x]
            for k in range(1, r + 1):
                left = data[z, y + r - k]
                right = data[z, y + r + k]
                wk = w[k]
                for x in range(into.size):
                    into[x] += wk * (left[x] + right[x])
    return out


@jit
def _along_z(data, w):  # type: ignore[no-untyped-def]
    r = w.size - 1
    n = data.shape[0] - 2 * r
    out = np.empty((n, data.shape[1], data.shape[2]), dtype=np.float32)
    for z in range(n):
        for y in range(data.shape[1]):
            into = out[z, y]
            centre = data[z + r, y]
            for x in range(into.size):
                into[x] = w[0] * centre[x]
            for k in range(1, r + 1):
                left = data[z + r - k, y]
                right = data[z + r + k, y]
                wk = w[k]
                for x in range(into.size):
                    into[x] += wk * (left[x] + right[x])
    return out
