"""Separable Gaussian smoothing with finite support, plane by plane, and contrasts of Gaussians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = [
    "bank",
    "contrasts",
    "convolve",
    "convolve_differences",
    "derivative_weights",
    "gaussian_weights",
    "highest_contrast",
    "smooth",
    "smoothed_around",
]

# Beyond four sigma a Gaussian holds 6e-5 of its weight.
_TRUNCATE = 4.0
# So many voxels are worked on at a time: the sums of all taps stay in the nearest cache.
_PIECE = 1024


def gaussian_weights(sigma_px: float, truncate: float = _TRUNCATE) -> NDArray[np.float32]:
    """Half of a sampled, normalised Gaussian: the weight at distance 0, 1, ... voxels.

    It ends `truncate` sigma from its centre; a sigma of 0 gives a single weight of 1.
    """
    return _sampled(sigma_px, truncate).astype(np.float32)


def derivative_weights(sigma_px: float, truncate: float = _TRUNCATE) -> NDArray[np.float32]:
    """Half of a Gaussian's derivative: what the difference at distance 0, 1, ... counts.

    That of ``scipy.ndimage.gaussian_filter1d`` with order 1. `sigma_px` is above 0.
    """
    half = _sampled(sigma_px, truncate)
    half *= np.arange(half.size) / sigma_px**2
    return half.astype(np.float32)


def _sampled(sigma_px: float, truncate: float) -> NDArray[np.float64]:
    radius = math.ceil(truncate * sigma_px)
    if radius == 0:
        return np.ones(1)
    half: NDArray[np.float64] = np.exp(-0.5 * (np.arange(radius + 1) / sigma_px) ** 2)
    half /= half[0] + 2 * half[1:].sum()
    return half


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
    rz, ry, rx = (w.size - 1 for w in weights)
    if rz == ry == rx == 0:
        return data
    nz, ny, nx = data.shape
    out = np.empty((nz - 2 * rz, ny - 2 * ry, nx - 2 * rx), dtype=np.float32)
    if out.size:
        _smooth(data, *bank([weights]), out)
    return out


def bank(
    gaussians: list[tuple[NDArray[np.float32], ...]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Put half kernels into one array: weights (n, 3, longest) and their radii (n, 3)."""
    radii = np.array([[w.size - 1 for w in of_one] for of_one in gaussians], dtype=np.int64)
    weights = np.zeros((len(gaussians), 3, int(radii.max()) + 1), dtype=np.float32)
    for i, of_one in enumerate(gaussians):
        for axis, half in enumerate(of_one):
            weights[i, axis, : half.size] = half
    return weights, radii


@jit
def convolve(source: Any, at: Any, step: Any, weights: Any, radius: Any, out: Any, n: Any) -> None:
    """Weighted sums of `n` voxels in a row and of those `step`, 2 `step`, ... before and after.

    ``out[i]`` is that around ``source[at + radius * step + i]``; `source` and `out` are flat, of
    float32. Sums are always taken in the same order, from near to far.
    """
    for begin in range(0, n, _PIECE):
        m = min(_PIECE, n - begin)
        into = out[begin : begin + m]
        centre = at + begin + radius * step
        here = source[centre : centre + m]
        w0 = weights[0]
        for i in range(m):
            into[i] = w0 * here[i]
        # Two distances at a time: half as many times the sums go to memory and back.
        for k in range(1, radius, 2):
            w1, w2 = weights[k], weights[k + 1]
            far = k * step
            a1 = source[centre - far : centre - far + m]
            b1 = source[centre + far : centre + far + m]
            far += step
            a2 = source[centre - far : centre - far + m]
            b2 = source[centre + far : centre + far + m]
            for i in range(m):
                into[i] = into[i] + w1 * (a1[i] + b1[i]) + w2 * (a2[i] + b2[i])
        if radius % 2:
            w1 = weights[radius]
            far = radius * step
            a1 = source[centre - far : centre - far + m]
            b1 = source[centre + far : centre + far + m]
            for i in range(m):
                into[i] = into[i] + w1 * (a1[i] + b1[i])


@jit
def convolve_differences(
    source: Any, at: Any, step: Any, weights: Any, radius: Any, out: Any, n: Any
) -> None:
    """The same as :func:`convolve` with differences, what lies after less what lies before."""
    for begin in range(0, n, _PIECE):
        m = min(_PIECE, n - begin)
        into = out[begin : begin + m]
        centre = at + begin + radius * step
        for k in range(1, radius + 1):
            w = weights[k]
            far = k * step
            a = source[centre - far : centre - far + m]
            b = source[centre + far : centre + far + m]
            if k == 1:
                for i in range(m):
                    into[i] = w * (b[i] - a[i])
            else:
                for i in range(m):
                    into[i] = into[i] + w * (b[i] - a[i])


@jit
def _smooth_plane(data, z, halo, weights, radii, rows, columns, out):  # type: ignore[no-untyped-def]
    """One plane, smoothed, to `out` (flat), whose rows have the length of those of `data`.

    `z` is its index in `data` less ``halo[0]``; `rows` and `columns` are workspace.
    """
    _, ny, nx = data.shape
    flat = data.ravel()
    n_rows, n_columns = ny - 2 * halo[1], nx - 2 * halo[2]
    above = halo[1] - radii[1]
    at = (z + halo[0] - radii[0]) * ny * nx + above * nx
    convolve(flat, at, ny * nx, weights[0], radii[0], rows, (n_rows + 2 * radii[1]) * nx)
    # Constants with a type: of a bare one numba compiles a variant of its own.
    convolve(rows, np.int64(0), nx, weights[1], radii[1], columns, n_rows * nx)
    # Also between the end of a row and the next one's beginning, where nobody looks.
    n = (n_rows - 1) * nx + n_columns
    convolve(columns, halo[2] - radii[2], np.int64(1), weights[2], radii[2], out, n)


@jit
def _smooth(data, weights, radii, out):  # type: ignore[no-untyped-def]
    _, ny, nx = data.shape
    # Each an array of its own: the compiler cannot tell apart what are parts of one.
    rows = np.empty(ny * nx, dtype=np.float32)
    columns = np.empty(ny * nx, dtype=np.float32)
    plane = np.empty(ny * nx, dtype=np.float32)
    for z in range(out.shape[0]):
        _smooth_plane(data, z, radii[0], weights[0], radii[0], rows, columns, plane)
        for y in range(out.shape[1]):
            out[z, y, :] = plane[y * nx : y * nx + out.shape[2]]


@jit
def contrasts(
    data: Any, halo: Any, weights: Any, radii: Any, fine: Any, coarse: Any, factor: Any, out: Any
) -> None:
    """Difference of two Gaussians at each of several scales.

    Parameters
    ----------
    data
        (z, y, x) of float32; the core and `halo`.
    halo
        (3,) of int64, not below any radius.
    weights, radii
        Half kernels of all Gaussians, (n, 3, longest) of float32, and their radii, (n, 3) of int64.
    fine, coarse
        (scales,) of int64: of each scale, the Gaussian of its core and that of its background.
    factor
        (scales,) of float32: what their difference is multiplied with.
    out
        (scales, z, y, x) of float32, to be filled.
    """
    _, ny, nx = data.shape
    rows = np.empty(ny * nx, dtype=np.float32)
    columns = np.empty(ny * nx, dtype=np.float32)
    planes = np.empty((radii.shape[0], ny * nx), dtype=np.float32)
    for z in range(out.shape[1]):
        for g in range(radii.shape[0]):
            _smooth_plane(data, z, halo, weights[g], radii[g], rows, columns, planes[g])
        for s in range(fine.size):
            times = factor[s]
            for y in range(out.shape[2]):
                into = out[s, z, y]
                a = planes[fine[s], y * nx : y * nx + into.size]
                b = planes[coarse[s], y * nx : y * nx + into.size]
                for x in range(into.size):
                    into[x] = (a[x] - b[x]) * times


@jit
def highest_contrast(
    data: Any,
    halo: Any,
    weights: Any,
    radii: Any,
    fine: Any,
    coarse: Any,
    factor: Any,
    highest: Any,
    which: Any,
) -> None:
    """The largest of :func:`contrasts` at each voxel, and the scale that has it.

    `highest` is (z, y, x) of float32 and `which` (z, y, x) of uint8, both to be filled; of equal
    contrasts that of the first scale is taken. No contrast is ever stored but the largest.
    """
    _, ny, nx = data.shape
    rows = np.empty(ny * nx, dtype=np.float32)
    columns = np.empty(ny * nx, dtype=np.float32)
    planes = np.empty((radii.shape[0], ny * nx), dtype=np.float32)
    for z in range(highest.shape[0]):
        for g in range(radii.shape[0]):
            _smooth_plane(data, z, halo, weights[g], radii[g], rows, columns, planes[g])
        for y in range(highest.shape[1]):
            best, of = highest[z, y], which[z, y]
            for s in range(fine.size):
                times, scale = factor[s], np.uint8(s)
                a = planes[fine[s], y * nx : y * nx + best.size]
                b = planes[coarse[s], y * nx : y * nx + best.size]
                if s == 0:
                    for x in range(best.size):
                        best[x] = (a[x] - b[x]) * times
                        of[x] = scale
                else:
                    for x in range(best.size):
                        value = (a[x] - b[x]) * times
                        higher = value > best[x]
                        best[x] = value if higher else best[x]
                        of[x] = scale if higher else of[x]


@jit
def smoothed_around(
    data: Any, points: Any, gaussian: Any, steps: Any, weights: Any, radii: Any
) -> Any:
    """The smoothed image at points and at their neighbours some steps away.

    Parameters
    ----------
    data
        (z, y, x) of float32, reaching a step and the Gaussian's radius beyond each point.
    points
        (n, 3) of int64.
    gaussian
        (n,) of int64: by which Gaussian the image is smoothed around each.
    steps
        (n, 3) of int64: how far the neighbours are along z, y, x.
    weights, radii
        As for :func:`contrasts`.

    Returns
    -------
    (n, 3, 3, 3) of float64: at minus one step, none, and one step along z, y and x. Without a
    step along z only the middle plane is filled.
    """
    out = np.zeros((points.shape[0], 3, 3, 3), dtype=np.float64)
    for i in range(points.shape[0]):
        w, r = weights[gaussian[i]], radii[gaussian[i]]
        z0, y0, x0 = points[i, 0], points[i, 1], points[i, 2]
        dz, dy, dx = steps[i, 0], steps[i, 1], steps[i, 2]
        wide, high = 2 * (dx + r[2]) + 1, 2 * (dy + r[1]) + 1
        plane = np.empty((high, wide), dtype=np.float64)
        lines = np.empty((3, wide), dtype=np.float64)
        for c in range(3):
            if dz == 0 and c != 1:
                continue
            plane[:] = 0
            for k in range(-r[0], r[0] + 1):
                weight = np.float64(w[0, abs(k)])
                for y in range(high):
                    begin = x0 - dx - r[2]
                    row = data[z0 + (c - 1) * dz + k, y0 - dy - r[1] + y, begin : begin + wide]
                    into = plane[y]
                    for x in range(wide):
                        into[x] += weight * row[x]
            lines[:] = 0
            for b in range(3):
                for k in range(2 * r[1] + 1):
                    weight = np.float64(w[1, abs(k - r[1])])
                    for x in range(wide):
                        lines[b, x] += weight * plane[b * dy + k, x]
                for a in range(3):
                    for k in range(2 * r[2] + 1):
                        out[i, c, b, a] += w[2, abs(k - r[2])] * lines[b, a * dx + k]
    return out
