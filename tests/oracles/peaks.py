"""Twins of scimage.kernels.peaks."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage


def find_maxima(response, scale, cut, margin):
    found = []
    core = (range(m, n - m) for m, n in zip(margin, response.shape, strict=True))
    for place in itertools.product(*core):
        value = response[place]
        near = [
            tuple(p + d for p, d in zip(place, step, strict=True))
            for step in itertools.product((-1, 0, 1), repeat=3)
            if any(step)
        ]
        if value >= cut[scale[place]] and all(
            response[n] < value or (response[n] == value and n > place) for n in near
        ):
            found.append(place)
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def subvoxel_offset(response, points):
    out = np.zeros((len(points), 3))
    for i, point in enumerate(points):
        for axis in range(3):
            line = np.moveaxis(response, axis, -1)[tuple(np.delete(point, axis))]
            y = line[point[axis] - 1 : point[axis] + 2].astype(np.float64)
            y = np.where(np.isinf(y), y[1], y)
            a, b, _ = np.polyfit([-1, 0, 1], y, 2)
            out[i, axis] = np.clip(-b / (2 * a), -0.5, 0.5) if a < -1e-9 else 0
    return out


def roundness(smoothed, points, step, spacing_um):
    out = []
    _, sy, sx = step
    for z, y, x in points:
        p = smoothed[z].astype(np.float64)
        hy, hx = sy * spacing_um[1], sx * spacing_um[2]
        yy = (p[y + sy, x] - 2 * p[y, x] + p[y - sy, x]) / hy**2
        xx = (p[y, x + sx] - 2 * p[y, x] + p[y, x - sx]) / hx**2
        yx = p[y + sy, x + sx] - p[y + sy, x - sx] - p[y - sy, x + sx] + p[y - sy, x - sx]
        yx /= 4 * hy * hx
        small, large = np.linalg.eigvalsh(-np.array([[yy, yx], [yx, xx]]))
        out.append(small / large if large > 0 else -1)
    return np.array(out)


def half_maximum_diameter(image, points, offsets, diameters_um, spacing_um):
    out = []
    for point, offset, diameter in zip(points, offsets, diameters_um, strict=True):
        plane = image[int(np.floor(point[0] + offset[0] + 0.5))].astype(np.float64)
        r = np.linspace(0, 1.1 * diameter, 34)
        angle = 2 * np.pi * np.arange(16)[:, None] / 16
        y = point[1] + offset[1] + np.sin(angle) * r / spacing_um[1]
        x = point[2] + offset[2] + np.cos(angle) * r / spacing_um[2]
        profile = ndimage.map_coordinates(plane, [y, x], order=1)
        half = (np.median(profile[:, :5]) + np.percentile(profile[:, 23:], 25)) / 2
        radii = []
        for line in profile:
            below = np.flatnonzero(line < half)
            if below.size == 0:
                radii.append(r[-1])
            elif below[0] == 0:
                radii.append(0.0)
            else:
                k = below[0]
                radii.append(np.interp(-half, [-line[k - 1], -line[k]], [r[k - 1], r[k]]))
        out.append(2 * np.median(radii))
    return np.array(out)


def ball_and_ring(image, points, offsets, radii_um, ring_um, spacing_um, inside):
    means, medians = [], []
    exists = np.zeros(image.shape, dtype=bool)
    exists[tuple(slice(a, b) for a, b in zip(*inside, strict=True))] = True
    for point, offset, radius in zip(points, offsets, radii_um, strict=True):
        steps = np.indices(image.shape).reshape(3, -1).T - point - offset
        away = np.sqrt(((steps * spacing_um) ** 2).sum(axis=1)).reshape(image.shape)
        ball = image[exists & (away <= radius)]
        ring = image[
            exists
            & (away > radius)
            & (away >= radius + ring_um[0])
            & (away <= radius + sum(ring_um))
        ]
        means.append(ball.astype(np.float64).mean() if ball.size else float(image[tuple(point)]))
        medians.append(np.median(ring.astype(np.float64)) if ring.size else means[-1])
    return np.array(means), np.array(medians)


def suppress(pairs, n):
    kept = []
    near = {(int(a), int(b)) for a, b in pairs}
    for b in range(n):
        if not any((a, b) in near for a in kept):
            kept.append(b)
    return np.isin(np.arange(n), kept)
