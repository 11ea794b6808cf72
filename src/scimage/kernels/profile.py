"""Counts of label values along an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit
from scimage.kernels.components import run_end

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
    counts = np.zeros((256, labels.shape[axis]), dtype=np.int64)
    sums = np.zeros((256, 3), dtype=np.int64)
    _count(labels, origin, axis, counts, sums)
    return np.ascontiguousarray(counts.T), sums


@jit
def _count(labels, origin, axis, counts, sums):  # type: ignore[no-untyped-def]
    z0, y0, x0 = origin
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            row = labels[z, y]
            x = 0
            while x < row.size:
                value, begin = row[x], x
                x = run_end(row, x)
                n = x - begin
                sums[value, 0] += n * (z + z0)
                sums[value, 1] += n * (y + y0)
                sums[value, 2] += n * x0 + n * (begin + x - 1) // 2
                if axis < 2:
                    counts[value, z if axis == 0 else y] += n
                else:
                    for k in range(begin, x):
                        counts[value, k] += 1
