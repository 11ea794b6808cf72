"""The cord's shapes as numbers: section, grey matter, lesion, cavities, graft."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scimage.errors import UsageError
from scimage.phantom._parameters import (
    CAVITIES,
    GRAFT_CENTRE,
    GRAFT_SEMI_AXES,
    MICROSCOPES,
    PhantomParameters,
)
from scimage.phantom._streams import generator

# Horns and commissure as tapered capsules (convention): end (x, y), radius, end, radius;
# x in units of the cord's half width, y and radius of its half depth, dorsal positive.
_GREY_CAPSULES = (
    (0.15, 0.10, 0.15, 0.43, 0.66, 0.09),
    (0.17, -0.04, 0.18, 0.37, -0.42, 0.24),
    (0.00, 0.03, 0.12, 0.22, 0.03, 0.14),
)
_CANAL_HEIGHT = 0.03
_FISSURE_TOP = -0.18
_FISSURE_WIDTH_OF_CANAL = 0.4

_ROUGHNESS_SD = 0.08  # section 5
_ROUGHNESS_TERMS = 12
# Beyond these the surface would meet the cavities or the outside of the cord.
_LEAST_RADIUS, _LARGEST_RADIUS = 0.77, 1.24


class Anatomy(NamedTuple):
    """Shapes in micrometres, in the image's frame (z, y, x), as kernels take them.

    Parameters
    ----------
    z_mid, y_mid, x_mid
        Epicentre; the cord's centreline passes through (y_mid, x_mid) there.
    bend_radius
        The centreline runs along a circle in the z-x plane; sections are taken across z.
    cord_y, cord_x
        Semi-axes of the section.
    grey
        Tapered capsules of one half, (n, 6): x, y, radius, x, y, radius; y dorsal.
    canal_y, canal_radius, fissure_top, fissure_half_width
        Hollow spaces on the midline; y dorsal.
    lesion
        Semi-axes (z, y, x), then the centre's dorsal offset.
    roughness
        Zonal harmonics of the lesion's surface, (n, 5): direction z, y, x, amplitude, degree.
    cavities, graft
        Ellipsoids, (n, 6): centre relative to the epicentre (z, dorsal y, x), semi-axes.
    border
        Width of the astroglial border.
    shell
        Farthest distance from the lesion at which it still changes a pixel.
    """

    z_mid: float
    y_mid: float
    x_mid: float
    bend_radius: float
    cord_y: float
    cord_x: float
    grey: NDArray[np.float64]
    canal_y: float
    canal_radius: float
    fissure_top: float
    fissure_half_width: float
    lesion: NDArray[np.float64]
    roughness: NDArray[np.float64]
    cavities: NDArray[np.float64]
    graft: NDArray[np.float64]
    border: float
    shell: float


def plan(parameters: PhantomParameters) -> tuple[Anatomy, tuple[int, int, int]]:
    """Lay the cord into its image.

    Returns
    -------
    anatomy, shape
        Shapes, and the image's size in voxels (z, y, x).
    """
    spacing = MICROSCOPES[parameters.microscope].spacing_um
    cord_y, cord_x = parameters.cord_semi_axes_um
    half = parameters.imaged_length_um / 2.0
    radius = parameters.bend_radius_um
    sagitta = radius - math.sqrt(radius * radius - half * half)
    extent = (
        2.0 * half,
        2.0 * (cord_y + parameters.margin_um),
        2.0 * (cord_x + parameters.margin_um) + sagitta,
    )
    shape = tuple(math.ceil(length / step) for length, step in zip(extent, spacing, strict=True))
    lesion = np.array([*parameters.lesion_semi_axes_um, 0.04 * cord_y])
    if _LARGEST_RADIUS * lesion[1] + lesion[3] > 0.97 * cord_y:
        raise UsageError(
            "phantom parameter lesion_scale",
            found=str(parameters.lesion_scale),
            expected="a lesion that stays inside the cord",
            remedy="Lower lesion_scale.",
        )
    random = generator(parameters.seed, "anatomy")
    mirror = random.choice((-1.0, 1.0), size=3)
    anatomy = Anatomy(
        z_mid=(shape[0] - 1) / 2.0 * spacing[0],
        y_mid=(shape[1] - 1) / 2.0 * spacing[1],
        x_mid=((shape[2] - 1) * spacing[2] - sagitta) / 2.0,
        bend_radius=radius,
        cord_y=cord_y,
        cord_x=cord_x,
        grey=np.array(_GREY_CAPSULES) * [cord_x, cord_y, cord_y, cord_x, cord_y, cord_y],
        canal_y=_CANAL_HEIGHT * cord_y,
        canal_radius=parameters.canal_diameter_um / 2.0,
        fissure_top=_FISSURE_TOP * cord_y,
        fissure_half_width=parameters.canal_diameter_um * _FISSURE_WIDTH_OF_CANAL / 2.0,
        lesion=lesion,
        roughness=_roughness(random),
        cavities=_cavities(parameters, lesion, mirror),
        graft=_graft(parameters, lesion, mirror),
        border=parameters.border_um,
        shell=parameters.border_um + parameters.border_decay_um,
    )
    return anatomy, (shape[0], shape[1], shape[2])


def lesion_radii(
    directions: NDArray[np.float64], roughness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Radius of the lesion's surface in units of its semi-axes.

    The cube of the radius is 1 plus zonal harmonics of degree 2 and more, whose mean over
    the sphere is zero: the rough lesion has exactly the volume of the smooth ellipsoid.

    Parameters
    ----------
    directions
        Unit vectors, (n, 3) in the order z, y, x.
    roughness
        As in `Anatomy`.
    """
    cosine = directions @ roughness[:, :3].T
    degree = roughness[:, 4]
    legendre = np.where(
        degree == 2,
        1.5 * cosine**2 - 0.5,
        np.where(
            degree == 3,
            2.5 * cosine**3 - 1.5 * cosine,
            4.375 * cosine**4 - 3.75 * cosine**2 + 0.375,
        ),
    )
    radii: NDArray[np.float64] = np.cbrt(1.0 + legendre @ roughness[:, 3])
    return radii


def sphere_points(n: int) -> NDArray[np.float64]:
    """Nearly even unit vectors (Fibonacci lattice), (n, 3)."""
    i = np.arange(n) + 0.5
    z = 1.0 - 2.0 * i / n
    angle = np.pi * (1.0 + math.sqrt(5.0)) * i
    ring = np.sqrt(1.0 - z * z)
    return np.stack([z, ring * np.sin(angle), ring * np.cos(angle)], axis=1)


def _roughness(random: np.random.Generator) -> NDArray[np.float64]:
    points = sphere_points(4_000)
    while True:
        directions = random.normal(size=(_ROUGHNESS_TERMS, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        degree = np.arange(_ROUGHNESS_TERMS) % 3 + 2
        amplitude = random.normal(size=_ROUGHNESS_TERMS) * np.sqrt(2 * degree + 1)
        terms = np.column_stack([directions, amplitude, degree])
        # Small amplitudes first: the cube root is then linear and gives the scale.
        terms[:, 3] *= 1e-3 / np.abs(amplitude).sum()
        terms[:, 3] *= _ROUGHNESS_SD / lesion_radii(points, terms).std()
        radii = lesion_radii(points, terms)
        if radii.min() >= _LEAST_RADIUS and radii.max() <= _LARGEST_RADIUS:
            return terms


def _cavities(
    parameters: PhantomParameters, lesion: NDArray[np.float64], mirror: NDArray[np.float64]
) -> NDArray[np.float64]:
    rows = [
        [
            mirror[0] * z * lesion[0],
            mirror[1] * y * lesion[1] + lesion[3],
            mirror[2] * x * lesion[2],
            *(radius * lesion[:3]),
        ]
        for z, y, x, radius in CAVITIES[: parameters.cavities]
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def _graft(
    parameters: PhantomParameters, lesion: NDArray[np.float64], mirror: NDArray[np.float64]
) -> NDArray[np.float64]:
    if parameters.vehicle:
        return np.empty((0, 6))
    scale = 1.0
    if parameters.graft_volume_mm3 is not None:
        scale = (parameters.graft_volume_mm3 / parameters.largest_graft_mm3) ** (1 / 3)
    centre = np.array(GRAFT_CENTRE) * lesion[:3] * mirror + [0.0, lesion[3], 0.0]
    semi_axes = np.array(GRAFT_SEMI_AXES) * lesion[:3] * scale
    return np.concatenate([centre, semi_axes])[np.newaxis]
