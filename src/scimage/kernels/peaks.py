"""Local maxima, and what can be said of a bright blob around each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = [
    "ball_and_ring",
    "find_maxima",
    "half_maximum_diameter",
    "roundness",
    "subvoxel_offset",
    "suppress",
]

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


def find_maxima(
    response: NDArray[np.float32],
    scale: NDArray[np.uint8],
    cut: NDArray[np.float64],
    margin: Shape,
) -> NDArray[np.int64]:
    """Find voxels that exceed their 26 neighbours and the threshold of their scale.

    Parameters
    ----------
    response
        (z, y, x) of float32; the core and a margin of at least one voxel. -inf where there is no
        volume.
    scale
        (z, y, x) of uint8: which threshold applies.
    cut
        Threshold of each scale.
    margin
        Voxels around the core, where maxima are not looked for.

    Returns
    -------
    (n, 3) of int64, indices z, y, x into `response`, in that order. Of neighbours with equal
    values the first in that order is the maximum.
    """
    found = np.empty((max(64, response.size // 512), 3), dtype=np.int64)
    while True:
        n = int(_maxima(response, scale, cut, margin[0], margin[1], margin[2], found))
        if n <= len(found):
            return found[:n].copy()
        found = np.empty((n, 3), dtype=np.int64)


@jit
def _maxima(response, scale, cut, mz, my, mx, found):  # type: ignore[no-untyped-def]
    n = 0
    lowest = cut.min()
    for z in range(mz, response.shape[0] - mz):
        for y in range(my, response.shape[1] - my):
            row = response[z, y]
            # Most rows hold nothing, which this tells of many voxels at once.
            any_high = False
            for x in range(row.size):
                any_high |= row[x] >= lowest
            if not any_high:
                continue
            for x in range(mx, response.shape[2] - mx):
                value = row[x]
                # Not "<": a value that is no number is no maximum.
                if not value >= lowest or not value >= cut[scale[z, y, x]]:
                    continue
                highest = True
                for dz in range(-1, 2):
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            other = response[z + dz, y + dy, x + dx]
                            before = dz * 9 + dy * 3 + dx < 0
                            if other > value or (before and other == value):
                                highest = False
                    if not highest:
                        break
                if highest:
                    if n < found.shape[0]:
                        found[n, 0] = z
                        found[n, 1] = y
                        found[n, 2] = x
                    n += 1
    return n


@jit
def subvoxel_offset(response: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """Offset (n, 3) in voxels of the vertex of a parabola through each axis' three samples.

    Clipped to half a voxel; a neighbour outside the volume (-inf) counts as equal to the centre.
    """
    out = np.zeros((points.shape[0], 3), dtype=np.float64)
    for i in range(points.shape[0]):
        z, y, x = points[i, 0], points[i, 1], points[i, 2]
        c = np.float64(response[z, y, x])
        for axis in range(3):
            dz, dy, dx = int(axis == 0), int(axis == 1), int(axis == 2)
            u = np.float64(response[z - dz, y - dy, x - dx])
            v = np.float64(response[z + dz, y + dy, x + dx])
            u = c if u == -np.inf else u
            v = c if v == -np.inf else v
            bend = u - 2 * c + v
            if bend < 0:
                out[i, axis] = min(0.5, max(-0.5, 0.5 * (u - v) / bend))
    return out


@jit
def roundness(samples: Any, steps_um: Any) -> Any:
    """Ratio of the smaller to the larger in-plane curvature at each point.

    1 for a disc, 0 for a ridge (a vessel, a fibre, a stripe), negative for a saddle or a pit.

    Parameters
    ----------
    samples
        (n, 3, 3, 3) of float64: the smoothed image around each point, from
        :func:`scimage.kernels.smooth.smoothed_around`; the middle plane is used.
    steps_um
        (n, 3): distance (z, y, x) between samples, in micrometres.

    Returns
    -------
    (n,) of float64.
    """
    out = np.empty(samples.shape[0], dtype=np.float64)
    for i in range(samples.shape[0]):
        p = samples[i, 1]
        y, x = steps_um[i, 1], steps_um[i, 2]
        yy = (2 * p[1, 1] - p[0, 1] - p[2, 1]) / y**2
        xx = (2 * p[1, 1] - p[1, 0] - p[1, 2]) / x**2
        yx = (p[0, 2] + p[2, 0] - p[2, 2] - p[0, 0]) / (4 * y * x)
        mean = (yy + xx) / 2
        half = np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
        out[i] = (mean - half) / (mean + half) if mean + half > 0 else -1.0
    return out


def half_maximum_diameter(
    image: NDArray[np.float32],
    light: tuple[NDArray[np.float32], NDArray[np.float32]],
    points: NDArray[np.int64],
    offsets: NDArray[np.float64],
    diameters_um: NDArray[np.float64],
    spacing_um: Spacing,
) -> NDArray[np.float64]:
    """In-plane width of a blob at half its height above the local background.

    Along 16 directions from the centre, the first crossing of half way between the centre's
    value and the background (lower quartile between 0.75 and 1.1 of the expected diameter); twice
    the median of the 16. Touching neighbours disturb the directions that they lie in only.

    Parameters
    ----------
    image
        (z, y, x) of float32; must reach 1.1 diameters, 2 voxels and the smoothing around each
        centre.
    light
        Half kernels for y and x: by how much the plane is smoothed around each centre.
    points, offsets
        (n, 3) voxel of `image` that holds each centre, and the centre's offset from it in voxels;
        apart, because their sum would round differently in different blocks. The nearest plane in
        z is used.
    diameters_um
        (n,) expected diameters.
    spacing_um
        Voxel size (z, y, x).

    Returns
    -------
    (n,) of float64, in micrometres.
    """
    angles = np.arange(16) * (2 * np.pi / 16)
    out = np.empty(len(points), dtype=np.float64)
    _half_maximum(
        image,
        *light,
        points,
        offsets,
        diameters_um,
        spacing_um[1],
        spacing_um[2],
        np.sin(angles),
        np.cos(angles),
        out,
    )
    return out


@jit
def _bilinear(plane, y, x, dy, dx):  # type: ignore[no-untyped-def]
    y0, x0 = int(np.floor(dy)), int(np.floor(dx))
    fy, fx = dy - y0, dx - x0
    y0 += y
    x0 += x
    return (plane[y0, x0] * (1 - fx) + plane[y0, x0 + 1] * fx) * (1 - fy) + (
        plane[y0 + 1, x0] * (1 - fx) + plane[y0 + 1, x0 + 1] * fx
    ) * fy


@jit
def _quantile(values, q):  # type: ignore[no-untyped-def]
    """Quantile of numbers, linear between two of them, as numpy's; `values` are put in disorder.

    By Hoare's selection (1961); those of numba take seconds to compile.
    """
    place = q * (values.size - 1)
    k = int(place)
    first, last = 0, values.size - 1
    while first < last:
        pivot = values[(first + last) // 2]
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            last = j
        elif k >= i:
            first = i
        else:
            break
    if k == place:
        return values[k]
    above = values[k + 1]
    for i in range(k + 2, values.size):
        above = min(above, values[i])
    return values[k] + (place - k) * (above - values[k])


@jit
def _smoothed_patch(plane, y0, x0, wy, wx, across, patch):  # type: ignore[no-untyped-def]
    """Fill `patch` with the smoothed plane, from row y0 and column x0 on; `across` is workspace."""
    ry, rx = wy.size - 1, wx.size - 1
    n = patch.shape[1]
    across[:] = 0
    for y in range(patch.shape[0] + 2 * ry):
        into = across[y]
        for k in range(-rx, rx + 1):
            weight = np.float64(wx[abs(k)])
            row = plane[y0 - ry + y, x0 + k : x0 + k + n]
            for x in range(n):
                into[x] += weight * row[x]
    patch[:] = 0
    for y in range(patch.shape[0]):
        into = patch[y]
        for k in range(-ry, ry + 1):
            weight = np.float64(wy[abs(k)])
            row = across[y + ry + k]
            for x in range(n):
                into[x] += weight * row[x]


@jit
def _half_maximum(  # type: ignore[no-untyped-def]
    image, wy, wx, points, offsets, diameters, sy, sx, sines, cosines, out
):
    steps = 34
    values = np.empty((sines.size, steps), dtype=np.float64)
    widths = np.empty(sines.size, dtype=np.float64)
    for i in range(points.shape[0]):
        reach = 1.1 * diameters[i]
        ny, nx = int(np.ceil(reach / sy)) + 1, int(np.ceil(reach / sx)) + 1
        across = np.empty((2 * (ny + wy.size) + 1, 2 * nx + 2), dtype=np.float64)
        plane = np.empty((2 * ny + 2, 2 * nx + 2), dtype=np.float64)
        at = points[i, 0] + int(np.floor(offsets[i, 0] + 0.5))
        _smoothed_patch(image[at], points[i, 1] - ny, points[i, 2] - nx, wy, wx, across, plane)
        for a in range(sines.size):
            for k in range(steps):
                r = reach * k / (steps - 1)
                dy = offsets[i, 1] + sines[a] * r / sy
                dx = offsets[i, 2] + cosines[a] * r / sx
                values[a, k] = _bilinear(plane, ny, nx, dy, dx)
        outer = int(np.ceil(0.75 / 1.1 * (steps - 1)))
        background = _quantile(values[:, outer:].ravel(), 0.25)
        inner = max(1, int(steps * (1 / 6) / 1.1))
        half = (_quantile(values[:, :inner].ravel(), 0.5) + background) / 2
        for a in range(sines.size):
            widths[a] = reach
            for k in range(steps):
                if values[a, k] < half:
                    widths[a] = 0.0
                    if k > 0:
                        drop = values[a, k - 1] - values[a, k]
                        part = (values[a, k - 1] - half) / drop if drop > 0 else 0.0
                        widths[a] = reach * (k - 1 + part) / (steps - 1)
                    break
        out[i] = 2 * _quantile(widths, 0.5)


def ball_and_ring(
    image: NDArray[Any],
    points: NDArray[np.int64],
    offsets: NDArray[np.float64],
    radii_um: NDArray[np.float64],
    ring_um: tuple[float, float],
    spacing_um: Spacing,
    inside: tuple[Shape, Shape],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean in a ball around each centre, and median in a ring around that ball.

    Parameters
    ----------
    image
        (z, y, x), any real dtype.
    points, offsets
        (n, 3) voxel of `image` that holds each centre, and the centre's offset from it in voxels.
    radii_um
        (n,) radius of each ball; it holds at least the nearest voxel.
    ring_um
        The ring begins this far outside the ball and is this thick.
    spacing_um
        Voxel size (z, y, x).
    inside
        First and last-plus-one index of the voxels that exist; others are left out.

    Returns
    -------
    means, medians
        (n,) of float64. The median of the ring resists neighbours that reach into it; where the
        ring has no voxel it is the mean of the ball.
    """
    low, high = np.array(inside[0]), np.array(inside[1])
    gap, thick = ring_um
    means, medians = (np.empty(len(points), dtype=np.float64) for _ in range(2))
    _ball_and_ring(
        image,
        points,
        offsets,
        radii_um,
        gap,
        thick,
        np.array(spacing_um),
        low,
        high,
        means,
        medians,
    )
    return means, medians


@jit
def _ball_and_ring(  # type: ignore[no-untyped-def]
    image, points, offsets, radii, gap, thick, spacing, low, high, means, medians
):
    first = np.empty(3, dtype=np.int64)
    last = np.empty(3, dtype=np.int64)
    for i in range(points.shape[0]):
        r = radii[i]
        reach = r + gap + thick
        ball, begin, end = r**2, (r + gap) ** 2, reach**2
        room = 1
        for a in range(3):
            p = points[i, a]
            first[a] = max(low[a] - p, int(np.ceil(offsets[i, a] - reach / spacing[a])))
            last[a] = min(high[a] - 1 - p, int(np.floor(offsets[i, a] + reach / spacing[a])))
            room *= max(0, last[a] - first[a] + 1)
        ring = np.empty(room, dtype=np.float64)
        in_ring, in_ball, total = 0, 0, np.float64(0)
        for dz in range(first[0], last[0] + 1):
            z2 = ((dz - offsets[i, 0]) * spacing[0]) ** 2
            for dy in range(first[1], last[1] + 1):
                zy2 = z2 + ((dy - offsets[i, 1]) * spacing[1]) ** 2
                row = image[points[i, 0] + dz, points[i, 1] + dy]
                for dx in range(first[2], last[2] + 1):
                    d2 = zy2 + ((dx - offsets[i, 2]) * spacing[2]) ** 2
                    if d2 <= ball:
                        total += row[points[i, 2] + dx]
                        in_ball += 1
                    elif begin <= d2 <= end:
                        ring[in_ring] = row[points[i, 2] + dx]
                        in_ring += 1
        if in_ball == 0:
            total = np.float64(image[points[i, 0], points[i, 1], points[i, 2]])
            in_ball = 1
        means[i] = total / in_ball
        medians[i] = _quantile(ring[:in_ring], 0.5) if in_ring else means[i]


@jit
def suppress(pairs: NDArray[Any], n: int) -> NDArray[Any]:
    """Keep points greedily, in order of rank.

    Parameters
    ----------
    pairs
        (m, 2) of int64: ranks (a < b) of points that are too near each other, sorted.
    n
        Number of points, ranked 0 (best) to n - 1.

    Returns
    -------
    (n,) of bool: a point is kept unless a kept point of better rank is too near.
    """
    kept = np.ones(n, dtype=np.bool_)
    for i in range(pairs.shape[0]):
        if kept[pairs[i, 0]]:
            kept[pairs[i, 1]] = False
    return kept
