"""Signed distances to the cord's surfaces: at a point, on a lattice, as labels, as volumes.

Distances are in micrometres, negative inside. A point is (z, y, x) in the image's frame.
They are first-order distances (implicit function over the length of its gradient): exact
at the surface, which is what labels and volumes use.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.kernels import jit
from scimage.phantom._anatomy import Anatomy
from scimage.phantom._random import site_key, uniform

CORD, GREY, HOLLOW, LESION, CAVITY, GRAFT, TEXTURE = range(7)
N_FIELDS = 7
_FAR = 1e4
# Beyond the cord's surface by more than a nucleus and the blur, nothing else matters.
_OUTSIDE_UM = 25.0
# Farther than this factor of the lesion's radius its roughness (at most 1.24) is out of reach.
_ROUGH_REACH = 1.25


@jit
def _ellipsoid(p: float, q: float, r: float, a: float, b: float, c: float) -> float:
    u, v, w = p / a, q / b, r / c
    radius = math.sqrt(u * u + v * v + w * w)
    if radius < 1e-6:
        return -min(a, b, c)
    gradient = math.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2) / radius
    return (radius - 1.0) / gradient


@jit
def _lesion(p: float, q: float, r: float, g: Anatomy) -> float:
    a, b, c = float(g.lesion[0]), float(g.lesion[1]), float(g.lesion[2])
    u, v, w = p / a, q / b, r / c
    radius = math.sqrt(u * u + v * v + w * w)
    if radius < 1e-6:
        return -min(a, b, c)
    gradient = math.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2) / radius
    if (radius - _ROUGH_REACH) / gradient > g.shell:
        return (radius - 1.0) / gradient
    cube = 1.0
    for i in range(g.roughness.shape[0]):
        t = (g.roughness[i, 0] * u + g.roughness[i, 1] * v + g.roughness[i, 2] * w) / radius
        s = t * t
        if g.roughness[i, 4] == 2.0:
            legendre = 1.5 * s - 0.5
        elif g.roughness[i, 4] == 3.0:
            legendre = (2.5 * s - 1.5) * t
        else:
            legendre = (4.375 * s - 3.75) * s + 0.375
        cube += g.roughness[i, 3] * legendre
    return (radius - math.pow(cube, 1.0 / 3.0)) / gradient


@jit
def _grey(u: float, v: float, capsules: NDArray[np.float64]) -> float:
    nearest = _FAR
    u = abs(u)
    for i in range(capsules.shape[0]):
        du, dv = capsules[i, 3] - capsules[i, 0], capsules[i, 4] - capsules[i, 1]
        pu, pv = u - capsules[i, 0], v - capsules[i, 1]
        t = min(max((pu * du + pv * dv) / (du * du + dv * dv), 0.0), 1.0)
        radius = capsules[i, 2] + t * (capsules[i, 5] - capsules[i, 2])
        nearest = min(nearest, math.sqrt((pu - t * du) ** 2 + (pv - t * dv) ** 2) - radius)
    return nearest


@jit
def distances(z: float, y: float, x: float, g: Anatomy, out: NDArray[np.float64]) -> None:
    """Write the first six fields at one point into `out`."""
    p = z - g.z_mid
    w = x - g.x_mid
    u = w - (g.bend_radius - math.sqrt(g.bend_radius * g.bend_radius - p * p))
    v = g.y_mid - y
    out[CORD] = _ellipsoid(0.0, v, u, _FAR, g.cord_y, g.cord_x)
    if out[CORD] > _OUTSIDE_UM:
        out[GREY : GRAFT + 1] = _FAR
        return
    out[GREY] = _grey(u, v, g.grey)
    canal = math.sqrt(u * u + (v - g.canal_y) ** 2) - g.canal_radius
    out[HOLLOW] = min(canal, max(abs(u) - g.fissure_half_width, v - g.fissure_top))
    out[LESION] = _lesion(p, v - g.lesion[3], w, g)
    out[CAVITY] = _FAR
    for i in range(g.cavities.shape[0]):
        c = g.cavities[i]
        out[CAVITY] = min(out[CAVITY], _ellipsoid(p - c[0], v - c[1], w - c[2], c[3], c[4], c[5]))
    out[GRAFT] = _FAR
    for i in range(g.graft.shape[0]):
        c = g.graft[i]
        out[GRAFT] = min(out[GRAFT], _ellipsoid(p - c[0], v - c[1], w - c[2], c[3], c[4], c[5]))


@jit
def label_of(
    cord: float,
    grey: float,
    hollow: float,
    lesion: float,
    cavity: float,
    graft: float,
    border: float,
) -> int:
    """Label value of a point; what replaces what is decided here and nowhere else."""
    if cord > 0.0:
        return 0
    if cavity < 0.0:
        return 4
    if graft < 0.0:
        return 6
    if lesion < 0.0:
        return 3
    if hollow < 0.0:
        return 8
    if lesion < border:
        return 5
    if grey < 0.0:
        return 1
    return 2


@jit
def label_at(z: float, y: float, x: float, g: Anatomy, scratch: NDArray[np.float64]) -> int:
    """Label value at one point, in micrometres."""
    distances(z, y, x, g, scratch)
    return label_of(
        scratch[CORD],
        scratch[GREY],
        scratch[HOLLOW],
        scratch[LESION],
        scratch[CAVITY],
        scratch[GRAFT],
        g.border,
    )


@jit
def labels_at(points: NDArray[np.float64], g: Anatomy) -> NDArray[np.uint8]:
    """Label values at points (n, 3), in micrometres."""
    scratch = np.empty(N_FIELDS)
    out = np.empty(points.shape[0], np.uint8)
    for i in range(points.shape[0]):
        out[i] = label_at(points[i, 0], points[i, 1], points[i, 2], g, scratch)
    return out


@jit
def lattice(
    first: tuple[int, int, int],
    size: tuple[int, int, int],
    step_um: tuple[float, float, float],
    g: Anatomy,
    key: np.uint64,
) -> NDArray[np.float32]:
    """All fields on nodes of the global lattice.

    Parameters
    ----------
    first, size
        Index of the first node and number of nodes (z, y, x).
    step_um
        Distance between nodes.
    key
        Stream of the tissue's texture, white noise in [-1, 1) from node to node.

    Returns
    -------
    NDArray[np.float32]
        (z, y, field, x), so that one field of one row is contiguous.
    """
    out = np.empty((size[0], size[1], N_FIELDS, size[2]), np.float32)
    scratch = np.empty(N_FIELDS)
    for i in range(size[0]):
        for j in range(size[1]):
            for k in range(size[2]):
                zi, yi, xi = first[0] + i, first[1] + j, first[2] + k
                distances(zi * step_um[0], yi * step_um[1], xi * step_um[2], g, scratch)
                scratch[TEXTURE] = 2.0 * uniform(site_key(key, zi, yi, xi), 0) - 1.0
                for f in range(N_FIELDS):
                    out[i, j, f, k] = scratch[f]
    return out


@jit
def count_labels(
    first: tuple[float, float, float],
    step: tuple[float, float, float],
    size: tuple[int, int, int],
    g: Anatomy,
) -> NDArray[np.int64]:
    """Histogram of the labels at `size` points from `first`, `step` micrometres apart."""
    counts = np.zeros(9, np.int64)
    scratch = np.empty(N_FIELDS)
    for i in range(size[0]):
        for j in range(size[1]):
            for k in range(size[2]):
                z, y, x = first[0] + i * step[0], first[1] + j * step[1], first[2] + k * step[2]
                counts[label_at(z, y, x, g, scratch)] += 1
    return counts
