"""Twins of scimage.kernels.components."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def label_components(mask):
    """SciPy's 6-connected labels, numbered by each component's first voxel."""
    labels, n = ndimage.label(mask)
    found, first = np.unique(labels[mask], return_index=True)
    number = np.zeros(n + 1, dtype=np.uint32)
    number[found[np.argsort(first)]] = np.arange(1, n + 1)
    return number[labels], n


def measure_labels(labels, n, volume=None, origin=(0, 0, 0)):
    """From the list of each label's voxels, in Python's integers."""
    table = np.zeros((n, 11), dtype=np.int64)
    strides = [int(np.prod((volume or labels.shape)[axis + 1 :])) for axis in range(3)]
    for i in range(n):
        where = [
            [at + o for at, o in zip(place, origin, strict=True)]
            for place in np.argwhere(labels == i + 1).tolist()
        ]
        if where:
            along = list(zip(*where, strict=True))
            first = sum(at * step for at, step in zip(where[0], strides, strict=True))
            table[i] = [
                len(where), first, *map(sum, along), *map(min, along), *(max(a) + 1 for a in along)
            ]  # fmt: skip
    return table


def reached_faces(labels, n):
    reached = np.zeros((n, 6), dtype=bool)
    for i in range(n):
        where = np.argwhere(labels == i + 1)
        for axis in range(3):
            reached[i, 2 * axis] = (where[:, axis] == 0).any()
            reached[i, 2 * axis + 1] = (where[:, axis] == labels.shape[axis] - 1).any()
    return reached


def lowest_of_each(n, pairs):
    groups = [{i} for i in range(n)]
    for a, b in pairs:
        if groups[a] is not groups[b]:
            groups[a] |= groups[b]
            for member in groups[b]:
                groups[member] = groups[a]
    return np.array([min(group) for group in groups])
