"""Counts of label values along an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["count_by_section"]


def count_by_section(
    labels: NDArray[np.uint8], origin: tuple[int, int, int], axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count each label value in each section across `axis`, and sum the voxels' indices.

    Parameters
    ----------
    labels
        (z, y, x) of uint8.
    origin
        Index (z, y, x) of the first voxel in the volume.
    axis
        0, 1 or 2: sections lie across it.

    Returns
    -------
    counts
        (sections, 256) of int64.
    sums
        (256, 3) of int64: sum of z, y, x indices in the volume, for centroids.
    """
    counts = np.zeros((labels.shape[axis], 256), dtype=np.int64)
    sums = np.zeros((256, 3), dtype=np.int64)
    _count(labels, origin[0], origin[1], origin[2], axis, counts, sums)
    return counts, sums


@jit
def _count(labels, z0, y0, x0, axis, counts, sums):  # type: ignore[no-untyped-def]
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                value = labels[z, y, x]
                section = z if axis == 0 else (y if axis == 1 else x)
                counts[section, value] += 1
                sums[value, 0] += z + z0
                sums[value, 1] += y + y0
                sums[value, 2] += x + x0
