"""Twins of scimage.kernels.distance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def distance_within(mask, spacing_um, radius_um):
    if not mask.any():
        return np.full(mask.shape, np.inf)
    exact = ndimage.distance_transform_edt(~mask, sampling=spacing_um)
    # "Within" includes equality, which 0.1 * 3 in binary does not always show.
    return np.where(exact <= radius_um * (1 + 1e-9), exact, np.inf)


def dilation(mask, spacing_um, radius_um):
    out = np.zeros(mask.shape, dtype=bool)
    where = np.argwhere(mask) * np.array(spacing_um)
    for index in np.ndindex(*mask.shape):
        away = np.sqrt(((where - np.array(index) * spacing_um) ** 2).sum(axis=1))
        out[index] = (away <= radius_um * (1 + 1e-9)).any()
    return out


def erosion(mask, spacing_um, radius_um):
    return np.isinf(distance_within(~mask, spacing_um, radius_um))


def closing(mask, spacing_um, radius_um):
    grown = np.isfinite(distance_within(mask, spacing_um, radius_um))
    return erosion(grown, spacing_um, radius_um)
