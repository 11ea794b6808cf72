"""Twins of scimage.kernels.gradients."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage


def gradient(image, sigma_um, spacing_um):
    sigma = [sigma_um / s for s in spacing_um]
    radius = [int(np.ceil(4 * s)) for s in sigma]
    return np.stack(
        [
            ndimage.gaussian_filter(
                image.astype(np.float64),
                sigma,
                order=[int(a == axis) for a in range(3)],
                radius=radius,
                mode="nearest",
            )
            / spacing_um[axis]
            for axis in range(3)
        ]
    )


def structure_tensor(image, sigma_um, rho_um, spacing_um):
    slopes = gradient(image, sigma_um, spacing_um)
    rho = [rho_um / s for s in spacing_um]
    radius = [int(np.ceil(4 * s)) for s in rho]
    return np.stack(
        [
            ndimage.gaussian_filter(a * b, rho, radius=radius, mode="nearest")
            for a, b in itertools.combinations_with_replacement(slopes, 2)
        ]
    )
