"""Connected components of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = [
    "find_root",
    "join_labels",
    "label_components",
    "lowest_of_each",
    "measure_components",
    "reached_faces",
]

# Labels are uint32; at most every second voxel begins a new one.
_MOST_VOXELS = 2**33 - 4


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], int]:
    """Label the 6-connected components of a mask.

    Parameters
    ----------
    mask
        (z, y, x) of bool.

    Returns
    -------
    labels
        (z, y, x) of uint32: 0 outside, 1, 2, ... in the order of each component's first voxel.
    n
        Number of components.

    Raises
    ------
    ValueError
        The mask has so many voxels that uint32 might not number its components.
    """
    if mask.size > _MOST_VOXELS:
        raise ValueError(f"{mask.size} voxels; at most {_MOST_VOXELS} can be labelled at once")
    labels = np.zeros(mask.shape, dtype=np.uint32)
    if not mask.any():
        return labels, 0
    parent = np.zeros(mask.size // 2 + 2, dtype=np.uint32)
    return labels, int(_label(np.ascontiguousarray(mask), labels, parent))


@jit
def find_root(parent: NDArray[Any], i: Any) -> Any:
    """Root of the tree that element `i` is in; paths are halved in place (Tarjan 1984).

    `parent` is (n,) of unsigned or int64; a root is its own parent.
    """
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def _join(parent, a, b):  # type: ignore[no-untyped-def]
    a = find_root(parent, a)
    b = find_root(parent, b)
    if a < b:
        parent[b] = a
        return a
    parent[a] = b
    return b


@jit
def _label(mask, labels, parent):  # type: ignore[no-untyped-def]
    used = np.uint32(0)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if not mask[z, y, x]:
                    continue
                label = np.uint32(0)
                if x > 0 and labels[z, y, x - 1] > 0:
                    label = labels[z, y, x - 1]
                if y > 0 and labels[z, y - 1, x] > 0:
                    above = labels[z, y - 1, x]
                    label = above if label == 0 else _join(parent, label, above)
                if z > 0 and labels[z - 1, y, x] > 0:
                    before = labels[z - 1, y, x]
                    label = before if label == 0 else _join(parent, label, before)
                if label == 0:
                    used += np.uint32(1)
                    label = used
                    parent[label] = label
                labels[z, y, x] = label
    final = np.zeros(used + 1, dtype=np.uint32)
    n = np.uint32(0)
    for i in range(1, used + 1):
        root = find_root(parent, np.uint32(i))
        if final[root] == 0:
            n += np.uint32(1)
            final[root] = n
        final[i] = final[root]
    flat = labels.ravel()
    for i in range(flat.size):
        flat[i] = final[flat[i]]
    return n


def measure_components(
    labels: NDArray[np.uint32], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Size and first voxel of each component.

    Parameters
    ----------
    labels
        (z, y, x) of uint32, from :func:`label_components`.
    n
        Number of components.

    Returns
    -------
    voxels, first
        (n,) of int64: number of voxels, and flat index of the first, of component 1, 2, ...
    """
    voxels = np.zeros(n, dtype=np.int64)
    first = np.zeros(n, dtype=np.int64)
    if n > 0:
        _measure(labels.ravel(), voxels, first)
    return voxels, first


@jit
def _measure(labels, voxels, first):  # type: ignore[no-untyped-def]
    for i in range(labels.size):
        label = labels[i]
        if label > 0:
            if voxels[label - 1] == 0:
                first[label - 1] = i
            voxels[label - 1] += 1


def reached_faces(labels: NDArray[np.uint32], n: int) -> NDArray[np.bool_]:
    """Which of the `n` components of `labels` (z, y, x) reach which face of the array.

    (n, 6) of bool; faces in the order z low, z high, y low, y high, x low, x high.
    """
    reached = np.zeros((n + 1, 6), dtype=bool)
    for face in range(6):
        reached[np.take(labels, (0, -1)[face % 2], axis=face // 2), face] = True
    return reached[1:]


@jit
def join_labels(parent: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> None:
    """Join the sets of ``one[i]`` and ``other[i]`` for every i, in place.

    `parent` is (n,) of int64, at first ``arange(n)``; the lowest member stands for its set, so
    the outcome does not depend on the order of the pairs.
    """
    for i in range(one.size):
        _join(parent, one[i], other[i])


@jit
def lowest_of_each(parent: NDArray[Any]) -> NDArray[Any]:
    """Lowest member of the set of each element, (n,) of int64, after :func:`join_labels`."""
    lowest = parent.copy()
    for i in range(lowest.size):
        # A parent is never above its child, and so it is already settled.
        lowest[i] = lowest[lowest[i]]
    return lowest
