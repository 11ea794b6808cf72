"""Watershed basins by steepest descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit
from scimage.kernels.components import find_root

__all__ = ["watershed_basins"]

# Labels and flat indices are uint32.
_MOST_VOXELS = 2**32 - 1


def watershed_basins(
    values: NDArray[Any], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], int, NDArray[np.uint8]]:
    """Split a mask into the basins of a landscape.

    Every voxel points to the lowest of itself and its 6 neighbours in the mask: the one with the
    smallest pair (value, flat index). As this order is strict there are no plateaus and no
    flooding, and what a voxel points to depends on its neighbours alone. The pointers make a
    forest, and its trees are the basins. This is the toboggan of Fairfield (1990), the discrete
    form of the watershed by topographic distance of Meyer (1994).

    Parameters
    ----------
    values
        (z, y, x) of integers, float32 or float64: the core and one voxel around it. NaN counts
        as infinitely high.
    mask
        (z, y, x) of bool, of the same shape. False where there is no volume.

    Returns
    -------
    labels
        (z, y, x) of uint32 over the core: 0 outside the mask, 1, 2, ... in the order of each
        tree's first voxel. A voxel that points out of the core is the root of a tree.
    n
        Number of trees.
    leads
        (z, y, x) of uint8 over the core: 1 + i where a voxel points out of face i of the core
        (faces in the order z low, z high, y low, y high, x low, x high), else 0.

    Raises
    ------
    ValueError
        The core has so many voxels that uint32 might not number its trees.
    """
    nz, ny, nx = (n - 2 for n in mask.shape)
    if nz * ny * nx > _MOST_VOXELS:
        raise ValueError(f"{nz * ny * nx} voxels; at most {_MOST_VOXELS} can be labelled at once")
    labels = np.zeros((nz, ny, nx), dtype=np.uint32)
    leads = np.zeros((nz, ny, nx), dtype=np.uint8)
    if not mask[1:-1, 1:-1, 1:-1].any():
        return labels, 0, leads
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), np.inf, values)
    parent = np.empty(nz * ny * nx, dtype=np.uint32)
    _point(np.ascontiguousarray(values), np.ascontiguousarray(mask), parent, leads)
    return labels, int(_number(np.ascontiguousarray(mask), parent, labels)), leads


@jit
def _lowest(values, mask, z, y, x):  # type: ignore[no-untyped-def]
    """0 for the voxel itself, or 1 + the face that it shares with its lowest neighbour."""
    lowest = values[z, y, x]
    toward = 0
    # From near to far behind the voxel, where only a smaller value is lower; then from near to
    # far before it, where an equal one is lower too. So the flat index decides between equals.
    if mask[z, y, x + 1] and values[z, y, x + 1] < lowest:
        lowest = values[z, y, x + 1]
        toward = 6
    if mask[z, y + 1, x] and values[z, y + 1, x] < lowest:
        lowest = values[z, y + 1, x]
        toward = 4
    if mask[z + 1, y, x] and values[z + 1, y, x] < lowest:
        lowest = values[z + 1, y, x]
        toward = 2
    if mask[z, y, x - 1] and values[z, y, x - 1] <= lowest:
        lowest = values[z, y, x - 1]
        toward = 5
    if mask[z, y - 1, x] and values[z, y - 1, x] <= lowest:
        lowest = values[z, y - 1, x]
        toward = 3
    if mask[z - 1, y, x] and values[z - 1, y, x] <= lowest:
        toward = 1
    return toward


@jit
def _point(values, mask, parent, leads):  # type: ignore[no-untyped-def]
    nz, ny, nx = leads.shape
    steps = (-ny * nx, ny * nx, -nx, nx, -1, 1)
    i = 0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                parent[i] = i
                if mask[z + 1, y + 1, x + 1]:
                    toward = _lowest(values, mask, z + 1, y + 1, x + 1)
                    at_face = (z == 0, z == nz - 1, y == 0, y == ny - 1, x == 0, x == nx - 1)
                    if toward > 0 and at_face[toward - 1]:
                        leads[z, y, x] = toward
                    elif toward > 0:
                        parent[i] = i + steps[toward - 1]
                i += 1


@jit
def _number(mask, parent, labels):  # type: ignore[no-untyped-def]
    nz, ny, nx = labels.shape
    flat = labels.ravel()
    n = np.uint32(0)
    i = 0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if mask[z + 1, y + 1, x + 1]:
                    root = find_root(parent, i)
                    # A tree's first voxel may come before its root, which keeps the number.
                    if flat[root] == 0:
                        n += np.uint32(1)
                        flat[root] = n
                    flat[i] = flat[root]
                i += 1
    return n
