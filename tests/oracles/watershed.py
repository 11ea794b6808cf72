"""Twin of scimage.kernels.watershed, on a whole volume."""

from __future__ import annotations

import numpy as np


def watershed_basins(values, mask):
    """Rank all voxels by (value, flat index), point to the lowest rank, follow the pointers."""
    values = np.where(np.isnan(values), np.inf, values) if values.dtype.kind == "f" else values
    order = np.argsort(values, axis=None, kind="stable")
    rank = np.empty(values.size, dtype=np.int64)
    rank[order] = np.arange(values.size)
    around = np.pad(np.where(mask, rank.reshape(mask.shape), values.size), 1, mode="constant",
                    constant_values=values.size)  # fmt: skip
    steps = [(0, 0, 0), *np.eye(3, dtype=int), *-np.eye(3, dtype=int)]
    lowest = np.min([np.roll(around, step, axis=(0, 1, 2)) for step in steps], axis=0)
    to = np.arange(values.size)
    to[mask.ravel()] = order[lowest[1:-1, 1:-1, 1:-1][mask]]
    while (to[to] != to).any():
        to = to[to]
    return number_by_first_voxel(np.where(mask, to.reshape(mask.shape) + 1, 0))


def number_by_first_voxel(labels):
    """Labels 1, 2, ... in the order of first voxels, and how many; 0 stays 0."""
    found, first = np.unique(labels[labels > 0], return_index=True)
    number = np.zeros(labels.max(initial=0) + 1, dtype=np.int64)
    number[found[np.argsort(first)]] = np.arange(1, found.size + 1)
    return number[labels], found.size
