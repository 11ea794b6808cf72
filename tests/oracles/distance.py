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


def signed_distance_within(mask, spacing_um, radius_um):
    outside = distance_within(mask, spacing_um, radius_um)
    return np.where(mask, -distance_within(~mask, spacing_um, radius_um), outside)


def squared_integers(mask, spacing_um, radius_um):
    """Squared distances for spacings of whole micrometres, in integers; -1 beyond the radius."""
    out = np.full(mask.shape, -1)
    where = np.argwhere(mask) * np.array(spacing_um)
    for index in np.ndindex(*mask.shape):
        squares = ((where - np.array(index) * spacing_um) ** 2).sum(axis=1)
        if squares.size and squares.min() <= radius_um**2:
            out[index] = squares.min()
    return out


def ball(spacing_um, radius_um):
    reach = [int(radius_um / s * (1 + 1e-9)) for s in spacing_um]
    offsets = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    squares = sum((k * s) ** 2 for k, s in zip(offsets, spacing_um, strict=True))
    return squares <= (radius_um * (1 + 1e-9)) ** 2


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


def opening(mask, spacing_um, radius_um):
    structure = ball(spacing_um, radius_um)
    # Beyond the array nothing erodes and nothing exists.
    eroded = ndimage.binary_erosion(mask, structure, border_value=1)
    return ndimage.binary_dilation(eroded, structure)


def fill_holes(mask):
    return ndimage.binary_fill_holes(mask)
