"""Twin of scimage.kernels.profile."""

from __future__ import annotations

import numpy as np


def count_by_section(labels, origin, axis):
    sections = np.moveaxis(labels, axis, 0)
    counts = np.array([np.bincount(s.ravel(), minlength=256) for s in sections])
    place = np.indices(labels.shape) + np.array(origin)[:, None, None, None]
    sums = np.array([[p[labels == value].sum() for p in place] for value in range(256)])
    return counts, sums
