"""Derivatives of a smoothed image, and its structure tensor: features for pixel classifiers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit
from scimage.kernels.smooth import (
    bank,
    convolve,
    convolve_differences,
    derivative_weights,
    gaussian_weights,
    smooth,
)

__all__ = ["gradient", "gradient_magnitude", "structure_tensor"]

Spacing = tuple[float, float, float]


def gradient(padded: NDArray[Any], sigma_um: float, spacing_um: Spacing) -> NDArray[np.float32]:
    """Derivatives of a Gaussian, along z, y and x.

    Parameters
    ----------
    padded
        (z, y, x), any real dtype: the core and, on each side, ``ceil(4 * sigma)`` voxels.
    sigma_um
        Width of the Gaussian, above 0.
    spacing_um
        Voxel size (z, y, x).

    Returns
    -------
    (3, z, y, x) of float32, over the core, in grey levels per micrometre. The same bits wherever
    a voxel lies in the array.
    """
    data, arguments, shape = _prepared(padded, sigma_um, spacing_um)
    out = np.empty((3, *shape), dtype=np.float32)
    if out.size:
        _gradient(data, *arguments, out)
    return out


def gradient_magnitude(
    padded: NDArray[Any], sigma_um: float, spacing_um: Spacing
) -> NDArray[np.float32]:
    """Length of :func:`gradient`: (z, y, x) of float32, in grey levels per micrometre.

    With voxels of 1 um it is that of ``scipy.ndimage.gaussian_gradient_magnitude``.
    """
    data, arguments, shape = _prepared(padded, sigma_um, spacing_um)
    out = np.empty(shape, dtype=np.float32)
    if out.size:
        _magnitude(data, *arguments, out)
    return out


def structure_tensor(
    padded: NDArray[Any], sigma_um: float, rho_um: float, spacing_um: Spacing
) -> NDArray[np.float32]:
    """Products of the gradient's components, averaged by another Gaussian.

    Bigun & Granlund (1987). `padded` has ``ceil(4 * sigma)`` and ``ceil(4 * rho)`` voxels on each
    side of the core, all else is as in :func:`gradient`.

    Returns
    -------
    (6, z, y, x) of float32: zz, zy, zx, yy, yx, xx, in squared grey levels per square micrometre.
    """
    slopes = gradient(padded, sigma_um, spacing_um)
    z, y, x = (gaussian_weights(rho_um / s) for s in spacing_um)
    pairs = itertools.combinations_with_replacement(slopes, 2)
    return np.stack([smooth(one * other, (z, y, x)) for one, other in pairs])


def _prepared(
    padded: NDArray[Any], sigma_um: float, spacing_um: Spacing
) -> tuple[NDArray[np.float32], tuple[NDArray[Any], NDArray[Any], NDArray[Any]], tuple[int, ...]]:
    """What the loops need: the data, weights and radii, weights of the derivatives per um."""
    data = np.ascontiguousarray(padded, dtype=np.float32)
    sigma_px = [sigma_um / s for s in spacing_um]
    weights, radii = bank([tuple(gaussian_weights(s) for s in sigma_px)])
    slopes = [
        derivative_weights(p) / np.float32(s) for p, s in zip(sigma_px, spacing_um, strict=True)
    ]
    derived, _ = bank([tuple(slopes)])
    shape = tuple(max(0, n - 2 * r) for n, r in zip(data.shape, radii[0].tolist(), strict=True))
    return data, (weights[0], radii[0], derived[0]), shape


@jit
def _along(kind, source, at, step, weights, radius, derived, out, n):  # type: ignore[no-untyped-def]
    if kind:
        convolve_differences(source, at, step, derived, radius, out, n)
    else:
        convolve(source, at, step, weights, radius, out, n)


@jit
def _slope_of_plane(data, z, axis, weights, radii, derived, rows, columns, out):  # type: ignore[no-untyped-def]
    """The derivative along `axis` in one plane, to `out` (flat) with rows as long as in `data`."""
    _, ny, nx = data.shape
    n_rows = ny - 2 * radii[1]
    n = n_rows * nx - 2 * radii[2]
    flat = data.ravel()
    _along(axis == 0, flat, z * ny * nx, ny * nx, weights[0], radii[0], derived[0], rows, ny * nx)
    _along(axis == 1, rows, np.int64(0), nx, weights[1], radii[1], derived[1], columns, n_rows * nx)
    zero, one = np.int64(0), np.int64(1)
    _along(axis == 2, columns, zero, one, weights[2], radii[2], derived[2], out, n)


@jit
def _gradient(data, weights, radii, derived, out):  # type: ignore[no-untyped-def]
    _, ny, nx = data.shape
    rows = np.empty(ny * nx, dtype=np.float32)
    columns = np.empty(ny * nx, dtype=np.float32)
    plane = np.empty(ny * nx, dtype=np.float32)
    for z in range(out.shape[1]):
        for axis in range(3):
            _slope_of_plane(data, z, axis, weights, radii, derived, rows, columns, plane)
            for y in range(out.shape[2]):
                out[axis, z, y, :] = plane[y * nx : y * nx + out.shape[3]]


@jit
def _magnitude(data, weights, radii, derived, out):  # type: ignore[no-untyped-def]
    _, ny, nx = data.shape
    rows = np.empty(ny * nx, dtype=np.float32)
    columns = np.empty(ny * nx, dtype=np.float32)
    plane = np.empty(ny * nx, dtype=np.float32)
    for z in range(out.shape[0]):
        for axis in range(3):
            _slope_of_plane(data, z, axis, weights, radii, derived, rows, columns, plane)
            for y in range(out.shape[1]):
                into, slope = out[z, y], plane[y * nx : y * nx + out.shape[2]]
                for x in range(into.size):
                    squares = slope[x] * slope[x] if axis == 0 else into[x] + slope[x] * slope[x]
                    into[x] = np.sqrt(squares) if axis == 2 else squares
