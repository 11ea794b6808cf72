"""Volumes of the truth: closed forms where they exist, fine quadrature elsewhere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.phantom._anatomy import Anatomy
from scimage.phantom._fields import count_labels
from scimage.phantom._parameters import LABELS

# Points across the fissure, the smallest shape: 4.8 um in plane for a canal of 60 um. A whole
# number of steps across a slab counts its width exactly, wherever the points begin.
_FISSURE_POINTS = 5
_LESION_POINTS = 80


def true_volumes_mm3(
    anatomy: Anatomy, shape: tuple[int, int, int], spacing_um: tuple[float, float, float]
) -> dict[str, float]:
    """Volume of every label inside the image, of the cord and of the lesion.

    Parameters
    ----------
    anatomy
        The shapes.
    shape, spacing_um
        Size of the image in voxels and of a voxel in micrometres (z, y, x).
    """
    start, stop = -0.5 * spacing_um[0], (shape[0] - 0.5) * spacing_um[0]
    # The roughest surface allowed, and the border beyond it.
    reach = 1.25 * anatomy.lesion[0] + 1.25 * anatomy.border
    near = max(start, anatomy.z_mid - reach), min(stop, anatomy.z_mid + reach)
    volume: NDArray[np.float64] = _quadrature(anatomy, near[0], near[1], _LESION_POINTS)
    whole = near != (start, stop)
    if whole:
        # Beyond the lesion every section is the same, displaced.
        section = _quadrature(anatomy, start, start + 1.0, 1)
        volume = volume + section * ((stop - start) - (near[1] - near[0]))
    result = {name: float(volume[value]) * 1e-9 for name, value in LABELS.items() if value}

    cavity, graft = _ellipsoids_um3(anatomy.cavities), _ellipsoids_um3(anatomy.graft)
    lesion = _ellipsoids_um3(anatomy.lesion[np.newaxis, [0, 0, 0, 0, 1, 2]])
    if whole:
        result["cavity"] = cavity * 1e-9
        result["graft"] = graft * 1e-9
        result["lesion_core"] = (lesion - cavity - graft) * 1e-9
    result["lesion_total"] = result["lesion_core"] + result["cavity"] + result["graft"]
    result["cord"] = math.pi * anatomy.cord_y * anatomy.cord_x * (stop - start) * 1e-9
    return result


def _ellipsoids_um3(rows: NDArray[np.float64]) -> float:
    return float(4.0 / 3.0 * math.pi * np.prod(rows[:, 3:], axis=1).sum())


def _quadrature(anatomy: Anatomy, start: float, stop: float, n_z: int) -> NDArray[np.float64]:
    """Volume of each label between two z, in cubic micrometres, by the midpoint rule."""
    step = 2.0 * anatomy.fissure_half_width / _FISSURE_POINTS
    sag = anatomy.bend_radius - math.sqrt(
        anatomy.bend_radius**2 - max(abs(start - anatomy.z_mid), abs(stop - anatomy.z_mid)) ** 2
    )
    steps = ((stop - start) / n_z, step, step)
    low_y, low_x = anatomy.y_mid - anatomy.cord_y, anatomy.x_mid - anatomy.cord_x
    size = (
        n_z,
        math.ceil(2.0 * anatomy.cord_y / step) + 1,
        math.ceil((2.0 * anatomy.cord_x + sag) / step) + 1,
    )
    first = (start + 0.5 * steps[0], low_y - 0.25 * step, low_x - 0.25 * step)
    counts = count_labels(first, steps, size, anatomy)
    return counts.astype(np.float64) * math.prod(steps)
