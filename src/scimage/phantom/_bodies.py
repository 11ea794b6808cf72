"""Nuclei, macrophages, precipitates and vessels, drawn into a tile of photons.

All positions are micrometres from the centre of the image's first voxel, (z, y, x).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.kernels import jit
from scimage.phantom._anatomy import Anatomy
from scimage.phantom._fields import N_FIELDS, label_at
from scimage.phantom._random import normal, site_key, uniform

# Longest semi-axis over equivalent radius at the largest axis ratio: 1.4 ** (2 / 3) < 1.26.
_LONGEST = 1.26
# Part of a lattice cell over which a site may move: neighbours keep 0.4 of the pitch.
_JITTER = 0.6
# The lattice lies askew in the image, so that no projection along an axis shows it.
_ASKEW = np.linalg.qr(np.array([[2.0, 1.0, 0.6], [-0.9, 2.1, 1.1], [0.7, -1.3, 1.9]]))[0]


@jit
def _span(centre: float, reach: float, first: int, size: int, step: float) -> tuple[int, int]:
    begin = max(math.floor((centre - reach) / step) - first, 0)
    end = min(math.ceil((centre + reach) / step) + 1 - first, size)
    return begin, end


@jit
def _ellipsoid(
    out: NDArray[np.float32],
    first: tuple[int, int, int],
    spacing: tuple[float, float, float],
    samples: int,
    centre: tuple[float, float, float],
    diameter: float,
    ratio: float,
    axis: tuple[float, float, float],
    photons: float,
) -> None:
    """Add a spheroid of the given equivalent diameter and axis ratio along `axis`."""
    radius = 0.5 * diameter
    long, short = radius * ratio ** (2.0 / 3.0), radius * ratio ** (-1.0 / 3.0)
    along, across = 1.0 / (long * long), 1.0 / (short * short)
    width = spacing[2]
    reach = max(long, short) + width
    z0, z1 = _span(centre[0], reach, first[0], out.shape[0], spacing[0])
    y0, y1 = _span(centre[1], reach, first[1], out.shape[1], spacing[1])
    x0, x1 = _span(centre[2], reach, first[2], out.shape[2], spacing[2])
    outside = (1.0 + 0.5 * width / radius) ** 2
    for z in range(z0, z1):
        for s in range(samples):
            dz = (first[0] + z + (s + 0.5) / samples - 0.5) * spacing[0] - centre[0]
            for y in range(y0, y1):
                dy = (first[1] + y) * spacing[1] - centre[1]
                for x in range(x0, x1):
                    dx = (first[2] + x) * spacing[2] - centre[2]
                    dot = dz * axis[0] + dy * axis[1] + dx * axis[2]
                    square = (dz * dz + dy * dy + dx * dx) * across + dot * dot * (along - across)
                    if square < outside:
                        covered = 0.5 - (math.sqrt(square) - 1.0) * radius / width
                        out[z, y, x] += photons * min(covered, 1.0) / samples


@jit
def add_spheroids(
    out: NDArray[np.float32],
    first: tuple[int, int, int],
    spacing: tuple[float, float, float],
    samples: int,
    centres: NDArray[np.float64],
    shapes: NDArray[np.float64],
    photons: float,
) -> None:
    """Add listed nuclei.

    Parameters
    ----------
    out
        Photons (z, y, x).
    first, spacing
        Index of the tile's first voxel, and voxel size in micrometres (z, y, x).
    samples
        Supersampling in z.
    centres
        (n, 3), micrometres.
    shapes
        (n, 6): equivalent diameter, axis ratio, axis z, y, x, relative brightness.
    photons
        At brightness 1.
    """
    for i in range(centres.shape[0]):
        s = shapes[i]
        centre = (centres[i, 0], centres[i, 1], centres[i, 2])
        axis = (s[2], s[3], s[4])
        _ellipsoid(out, first, spacing, samples, centre, s[0], s[1], axis, photons * s[5])


@jit
def add_scattered(
    out: NDArray[np.float32],
    first: tuple[int, int, int],
    spacing: tuple[float, float, float],
    samples: int,
    key: np.uint64,
    pitch: float,
    chance: NDArray[np.float64],
    diameters: tuple[float, float, float, float],
    photons: float,
    spread: float,
    g: Anatomy,
) -> None:
    """Add bodies that sit on a jittered global lattice, at most one a site.

    Parameters
    ----------
    key
        Stream that decides presence, place, size and brightness of every site.
    pitch
        Distance between sites, micrometres.
    chance
        Probability that a site is taken, by label value.
    diameters
        Mean, standard deviation, least and largest, micrometres. A largest diameter
        up to 1.5 voxels makes points, whose light goes to the eight nearest voxels.
    photons, spread
        Mean brightness and its standard deviation relative to it.
    """
    scratch = np.empty(N_FIELDS)
    points = diameters[3] <= 1.5 * spacing[2]
    reach = 0.5 * _LONGEST * diameters[3] + max(spacing[0], spacing[2])
    low = np.empty(3)
    high = np.empty(3)
    begin = np.empty(3, np.int64)
    end = np.empty(3, np.int64)
    for a in range(3):
        low[a] = first[a] * spacing[a] - reach
        high[a] = (first[a] + out.shape[a]) * spacing[a] + reach
    for a in range(3):
        middle, extent = 0.0, 0.0
        for b in range(3):
            middle += 0.5 * _ASKEW[b, a] * (low[b] + high[b])
            extent += 0.5 * abs(_ASKEW[b, a]) * (high[b] - low[b])
        begin[a] = math.floor((middle - extent) / pitch) - 1
        end[a] = math.ceil((middle + extent) / pitch) + 1
    for i in range(begin[0], end[0]):
        for j in range(begin[1], end[1]):
            for k in range(begin[2], end[2]):
                site = site_key(key, i, j, k)
                p = (i + 0.5 + _JITTER * (uniform(site, 0) - 0.5)) * pitch
                q = (j + 0.5 + _JITTER * (uniform(site, 1) - 0.5)) * pitch
                r = (k + 0.5 + _JITTER * (uniform(site, 2) - 0.5)) * pitch
                z = _ASKEW[0, 0] * p + _ASKEW[0, 1] * q + _ASKEW[0, 2] * r
                y = _ASKEW[1, 0] * p + _ASKEW[1, 1] * q + _ASKEW[1, 2] * r
                x = _ASKEW[2, 0] * p + _ASKEW[2, 1] * q + _ASKEW[2, 2] * r
                if not (low[0] < z < high[0] and low[1] < y < high[1] and low[2] < x < high[2]):
                    continue
                if uniform(site, 3) >= chance[label_at(z, y, x, g, scratch)]:
                    continue
                diameter = diameters[0] + diameters[1] * normal(site, 4)
                diameter = min(max(diameter, diameters[2]), diameters[3])
                light = photons * max(1.0 + spread * normal(site, 6), 0.2)
                if points:
                    _point(out, first, spacing, (z, y, x), diameter, light)
                    continue
                ratio = 0.7 * 2.0 ** uniform(site, 8)
                cosine = 2.0 * uniform(site, 9) - 1.0
                angle = 2.0 * math.pi * uniform(site, 10)
                ring = math.sqrt(1.0 - cosine * cosine)
                axis = (cosine, ring * math.sin(angle), ring * math.cos(angle))
                _ellipsoid(out, first, spacing, samples, (z, y, x), diameter, ratio, axis, light)


@jit
def _point(
    out: NDArray[np.float32],
    first: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float],
    diameter: float,
    photons: float,
) -> None:
    filled = math.pi / 6.0 * diameter**3 / (spacing[0] * spacing[1] * spacing[2])
    z, y, x = centre[0] / spacing[0], centre[1] / spacing[1], centre[2] / spacing[2]
    i, j, k = math.floor(z), math.floor(y), math.floor(x)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                p, q, r = i + a - first[0], j + b - first[1], k + c - first[2]
                if 0 <= p < out.shape[0] and 0 <= q < out.shape[1] and 0 <= r < out.shape[2]:
                    part = (1 - abs(z - i - a)) * (1 - abs(y - j - b)) * (1 - abs(x - k - c))
                    out[p, q, r] += photons * filled * part


@jit
def cover_tubes(
    out: NDArray[np.float32],
    first: tuple[int, int, int],
    spacing: tuple[float, float, float],
    samples: int,
    segments: NDArray[np.float64],
) -> None:
    """Raise `out` to the part of each voxel that vessels fill.

    Parameters
    ----------
    out
        Covered part, (z, y, x); joints of segments are not counted twice.
    segments
        (n, 7): start z, y, x, end z, y, x, radius; micrometres.
    """
    width = spacing[2]
    for i in range(segments.shape[0]):
        s = segments[i]
        radius = s[6]
        ez, ey, ex = s[3] - s[0], s[4] - s[1], s[5] - s[2]
        square = ez * ez + ey * ey + ex * ex
        reach = radius + width
        z0, z1 = _span(
            0.5 * (s[0] + s[3]), reach + 0.5 * abs(ez), first[0], out.shape[0], spacing[0]
        )
        y0, y1 = _span(
            0.5 * (s[1] + s[4]), reach + 0.5 * abs(ey), first[1], out.shape[1], spacing[1]
        )
        x0, x1 = _span(
            0.5 * (s[2] + s[5]), reach + 0.5 * abs(ex), first[2], out.shape[2], spacing[2]
        )
        limit = (radius + 0.5 * width) ** 2
        for z in range(z0, z1):
            for y in range(y0, y1):
                dy = (first[1] + y) * spacing[1] - s[1]
                for x in range(x0, x1):
                    dx = (first[2] + x) * spacing[2] - s[2]
                    total = 0.0
                    for sub in range(samples):
                        dz = (first[0] + z + (sub + 0.5) / samples - 0.5) * spacing[0] - s[0]
                        t = min(max((dz * ez + dy * ey + dx * ex) / square, 0.0), 1.0)
                        d = (dz - t * ez) ** 2 + (dy - t * ey) ** 2 + (dx - t * ex) ** 2
                        if d < limit:
                            total += min(0.5 - (math.sqrt(d) - radius) / width, 1.0)
                    out[z, y, x] = max(out[z, y, x], total / samples)
