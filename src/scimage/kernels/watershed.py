"""Watershed basins by steepest descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

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
    steps = np.array([0, -ny * nx, ny * nx, -nx, nx, -1, 1])
    mask = np.ascontiguousarray(mask)
    _point(np.ascontiguousarray(values), mask, steps, parent, leads)
    _follow(parent)
    return labels, int(_number(mask, parent, labels)), leads


@jit
def _point(values, mask, steps, parent, leads):  # type: ignore[no-untyped-def]
    """Set each voxel's parent: what it points to, or where that leads by smaller indices alone."""
    nz, ny, nx = leads.shape
    toward = np.empty(nx, dtype=np.uint8)
    i = 0
    for z in range(nz):
        for y in range(ny):
            _toward_lowest(values, mask, z + 1, y + 1, toward)
            out = leads[z, y]
            if z == 0:
                _lead_out(toward, 1, out)
            if z == nz - 1:
                _lead_out(toward, 2, out)
            if y == 0:
                _lead_out(toward, 3, out)
            if y == ny - 1:
                _lead_out(toward, 4, out)
            _lead_out(toward[:1], 5, out)
            _lead_out(toward[-1:], 6, out[-1:])
            for x in range(nx):
                here = np.uint32(i)
                to = np.uint32(i + steps[toward[x]])
                parent[here] = to
                parent[here] = parent[min(to, here)]
                i += 1


@jit
def _toward_lowest(values, mask, z, y, toward):  # type: ignore[no-untyped-def]
    """For each voxel of a row 0, or 1 + the face that it shares with its lowest neighbour.

    Every neighbour is looked at, so that there is nothing to branch on and the loop vectorises.
    """
    here, m = values[z, y], mask[z, y]
    above, m_above = values[z, y - 1], mask[z, y - 1]
    below, m_below = values[z, y + 1], mask[z, y + 1]
    back, m_back = values[z - 1, y], mask[z - 1, y]
    front, m_front = values[z + 1, y], mask[z + 1, y]
    for i in range(toward.size):
        x = i + 1
        lowest = here[x]
        to = np.uint8(0)
        # From near to far behind the voxel, where only a smaller value is lower; then from near
        # to far before it, where an equal one is lower too. So the flat index decides between
        # equals.
        lower = m[x + 1] & (here[x + 1] < lowest)
        lowest = here[x + 1] if lower else lowest
        to = np.uint8(6) if lower else to
        lower = m_below[x] & (below[x] < lowest)
        lowest = below[x] if lower else lowest
        to = np.uint8(4) if lower else to
        lower = m_front[x] & (front[x] < lowest)
        lowest = front[x] if lower else lowest
        to = np.uint8(2) if lower else to
        lower = m[x - 1] & (here[x - 1] <= lowest)
        lowest = here[x - 1] if lower else lowest
        to = np.uint8(5) if lower else to
        lower = m_above[x] & (above[x] <= lowest)
        lowest = above[x] if lower else lowest
        to = np.uint8(3) if lower else to
        lower = m_back[x] & (back[x] <= lowest)
        to = np.uint8(1) if lower else to
        toward[i] = to if m[x] else np.uint8(0)


@jit
def _lead_out(toward, code, leads):  # type: ignore[no-untyped-def]
    """What points out of this face of the core becomes a root."""
    for x in range(toward.size):
        if toward[x] == code:
            leads[x] = code
            toward[x] = 0


@jit
def _follow(parent):  # type: ignore[no-untyped-def]
    """Let each voxel point to the root of its tree.

    Each sweep at least halves the paths, and those that go its way it follows to their ends.
    """
    changed = True
    backwards = True
    while changed:
        changed = False
        for i in range(parent.size):
            here = np.uint32(parent.size - 1 - i if backwards else i)
            old = parent[here]
            new = parent[old]
            parent[here] = new
            changed |= new != old
        backwards = not backwards


@jit
def _number(mask, parent, labels):  # type: ignore[no-untyped-def]
    nz, ny, nx = labels.shape
    flat = labels.ravel()
    n = np.uint32(0)
    i = 0
    for z in range(nz):
        for y in range(ny):
            inside = mask[z + 1, y + 1]
            for x in range(nx):
                if inside[x + 1]:
                    root = parent[i]
                    # A tree's first voxel may come before its root, which keeps the number.
                    if flat[root] == 0:
                        n += np.uint32(1)
                        flat[root] = n
                    flat[i] = flat[root]
                i += 1
    return n
