"""Exact Euclidean distances up to a limit, and morphology with balls in micrometres."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["closing", "dilation", "distance_within", "erosion", "reach"]

Spacing = tuple[float, float, float]


def reach(radius_um: float, spacing_um: Spacing) -> tuple[int, int, int]:
    """Voxels (z, y, x) that a ball of this radius reaches from its centre voxel."""
    z, y, x = (math.floor(radius_um / s * (1 + 1e-9)) for s in spacing_um)
    return z, y, x


def distance_within(
    mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float
) -> NDArray[np.float32]:
    """Distance from each voxel centre to the nearest voxel centre in `mask`, up to a radius.

    Parameters
    ----------
    mask
        (z, y, x) of bool.
    spacing_um
        Voxel size (z, y, x).
    radius_um
        Distances beyond it are infinite.

    Returns
    -------
    (z, y, x) of float32, in micrometres. A separable minimum of sums of squares, exact but for
    rounding, and the same bits wherever the voxel lies in the array. A distance equal to the
    radius is within it, also when it exceeds it by rounding (up to one part in 2 million).
    """
    rz, ry, rx = reach(radius_um, spacing_um)
    squared = np.where(mask, np.float32(0), np.float32(np.inf))
    for axis, r in ((2, rx), (1, ry), (0, rz)):
        if r:
            steps = (np.arange(r + 1) * spacing_um[axis]) ** 2
            swapped = np.ascontiguousarray(np.moveaxis(squared, axis, 0))
            flat = swapped.reshape(swapped.shape[0], -1)
            lower = _lower_envelope(flat, steps.astype(np.float32)).reshape(swapped.shape)
            squared = np.moveaxis(lower, 0, axis)
    limit = np.float32(radius_um**2 * (1 + 1e-6))
    return np.sqrt(np.where(squared <= limit, squared, np.float32(np.inf)))


@jit
def _lower_envelope(values, steps):  # type: ignore[no-untyped-def]
    out = values.copy()
    n = values.shape[0]
    for i in range(n):
        into = out[i]
        for k in range(1, steps.size):
            step = steps[k]
            if i - k >= 0:
                other = values[i - k]
                for j in range(into.size):
                    into[j] = min(into[j], other[j] + step)
            if i + k < n:
                other = values[i + k]
                for j in range(into.size):
                    into[j] = min(into[j], other[j] + step)
    return out


def dilation(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """All voxels whose centre is within `radius_um` of the centre of a voxel in `mask`."""
    return np.isfinite(distance_within(mask, spacing_um, radius_um))


def erosion(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """All voxels of `mask` farther than `radius_um` from every voxel outside it.

    What lies beyond the array does not erode.
    """
    return ~dilation(~mask, spacing_um, radius_um)


def closing(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """Dilation and then erosion with a ball; exact where twice its reach lies in the array."""
    return erosion(dilation(mask, spacing_um, radius_um), spacing_um, radius_um)
