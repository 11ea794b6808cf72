"""Lists drawn once for the whole cord, in canonical order: human nuclei and vessels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.phantom._anatomy import Anatomy
from scimage.phantom._fields import labels_at
from scimage.phantom._parameters import LABELS, PhantomParameters
from scimage.phantom._streams import generator

KINDS = ("graft", "tail", "meningeal")

# Section 5.
_DIAMETER_UM, _DIAMETER_SD_UM = 8.0, 1.0
_AXIS_RATIO = (0.7, 1.4)
_BRIGHTNESS_CV = 0.35
_CLUSTER_SIGMA_UM = (15.0, 40.0)
_TAIL_MEAN_UM, _TAIL_END_UM = 300.0, 3_000.0
_VESSEL_DIAMETER_UM = (5.0, 20.0)
# Convention. 5.5 to 10.5 um stays inside the 5 to 12 um of a graft cell's definition.
_DIAMETER_BOUNDS_UM = (5.5, 10.5)
_CELLS_PER_CLUSTER = 40
_LEAST_GAP_DIAMETERS = 0.8
_MENINGEAL_DEPTH_UM = (-10.0, 2.0)
_MENINGEAL_REACH_UM = 1_000.0
_VESSELS_PER_MM3 = 60.0
_VESSEL_STEPS, _VESSEL_STEP_UM, _VESSEL_TURN = 14, 35.0, 0.35


def human_nuclei(
    parameters: PhantomParameters, anatomy: Anatomy
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Draw all human nuclei of the cord, imaged or not, ordered by z, y, x.

    Returns
    -------
    centres, shapes, kinds
        (n, 3) micrometres; (n, 6) equivalent diameter, axis ratio, axis z, y, x, relative
        brightness; (n,) index into KINDS.
    """
    if parameters.vehicle:
        return np.empty((0, 3)), np.empty((0, 6)), np.empty(0, np.int64)
    random = generator(parameters.seed, "human nuclei")
    semi_axes = anatomy.graft[0, 3:]
    volume_mm3 = 4.0 / 3.0 * math.pi * float(np.prod(semi_axes)) * 1e-9
    in_graft = max(round(volume_mm3 * parameters.human_nuclei_per_mm3), 1)
    total = in_graft / (1.0 - parameters.tail_fraction - parameters.meningeal_fraction)
    wanted = np.array(
        [
            in_graft,
            round(total * parameters.tail_fraction),
            round(total * parameters.meningeal_fraction),
        ]
    )
    parents = _in_ellipsoid(random, anatomy, math.ceil(in_graft / _CELLS_PER_CLUSTER) + 1)
    sigmas = random.uniform(*_CLUSTER_SIGMA_UM, size=len(parents))
    centres, diameters, kinds = np.empty((0, 3)), np.empty(0), np.empty(0, np.int64)
    while True:
        missing = np.maximum(wanted - np.bincount(kinds, minlength=3), 0)
        if not missing.any():
            break
        fresh = [
            _clustered(random, anatomy, parents, sigmas, int(missing[0])),
            _migrated(random, anatomy, int(missing[1])),
            _meningeal(random, anatomy, int(missing[2])),
        ]
        sizes = [len(part) for part in fresh]
        diameter = random.normal(_DIAMETER_UM, _DIAMETER_SD_UM, sum(sizes))
        centres = np.concatenate([centres, *fresh])
        diameters = np.concatenate([diameters, diameter.clip(*_DIAMETER_BOUNDS_UM)])
        kinds = np.concatenate([kinds, np.repeat(np.arange(3), sizes)])
        keep = _apart(centres, diameters)
        centres, diameters, kinds = centres[keep], diameters[keep], kinds[keep]
    keep = np.concatenate([np.flatnonzero(kinds == i)[:n] for i, n in enumerate(wanted)])
    order = keep[np.lexsort(centres[keep].T[::-1])]
    centres, diameters, kinds = centres[order], diameters[order], kinds[order]
    n = len(centres)
    ratio = np.exp(random.uniform(math.log(_AXIS_RATIO[0]), math.log(_AXIS_RATIO[1]), n))
    axis = random.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    sigma = math.sqrt(math.log(1.0 + _BRIGHTNESS_CV**2))
    brightness = random.lognormal(-0.5 * sigma**2, sigma, n)
    return centres, np.column_stack([diameters, ratio, axis, brightness]), kinds


def vessels(
    parameters: PhantomParameters, anatomy: Anatomy, length_um: float
) -> NDArray[np.float64]:
    """Draw the vessels as straight segments of winding paths.

    Returns
    -------
    NDArray[np.float64]
        (n, 7): start z, y, x, end z, y, x, radius; micrometres.
    """
    random = generator(parameters.seed, "vessels")
    section_um2 = math.pi * anatomy.cord_y * anatomy.cord_x
    n = round(_VESSELS_PER_MM3 * section_um2 * length_um * 1e-9)
    start = _in_section(random, anatomy, random.uniform(-0.5, 0.5, n) * length_um)
    turns = random.normal(size=(n, _VESSEL_STEPS, 3))
    turns[:, 1:] *= _VESSEL_TURN
    heading = np.cumsum(turns, axis=1)
    heading /= np.linalg.norm(heading, axis=2, keepdims=True)
    path = start[:, np.newaxis] + _VESSEL_STEP_UM * np.cumsum(heading, axis=1)
    low, high = _VESSEL_DIAMETER_UM
    log_diameter = random.uniform(math.log(low), math.log(high), n)
    radius = np.broadcast_to(0.5 * np.exp(log_diameter)[:, np.newaxis], (n, _VESSEL_STEPS - 1))
    segments = np.concatenate(
        [path[:, :-1].reshape(-1, 3), path[:, 1:].reshape(-1, 3), radius.reshape(-1, 1)], axis=1
    )
    inside = np.ones(len(segments), bool)
    for ends in (segments[:, :3], segments[:, 3:6]):
        inside &= _tissue(np.ascontiguousarray(ends), anatomy)
    return segments[inside]


def _tissue(points: NDArray[np.float64], anatomy: Anatomy) -> NDArray[np.bool_]:
    empty = [LABELS[name] for name in ("background", "cavity", "canal_or_fissure")]
    return ~np.isin(labels_at(points, anatomy), empty)


def _in_ellipsoid(random: np.random.Generator, anatomy: Anatomy, n: int) -> NDArray[np.float64]:
    """Even points of the graft, relative to the epicentre: z, dorsal y, x."""
    direction = random.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = direction * np.cbrt(random.uniform(size=(n, 1)))
    inside: NDArray[np.float64] = anatomy.graft[0, :3] + points * anatomy.graft[0, 3:]
    return inside


def _in_section(
    random: np.random.Generator, anatomy: Anatomy, p: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Even points of the cord's sections at distances `p` along z from the epicentre."""
    angle = random.uniform(0.0, 2.0 * np.pi, len(p))
    radius = np.sqrt(random.uniform(size=len(p)))
    return _surface(anatomy, p, angle, radius, np.zeros(len(p)))


def _surface(
    anatomy: Anatomy,
    p: NDArray[np.float64],
    angle: NDArray[np.float64],
    radius: NDArray[np.float64] | float,
    outward: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Points of sections at `radius` times the outline, moved outward by micrometres."""
    cosine, sine = np.cos(angle), np.sin(angle)
    normal_y, normal_x = sine / anatomy.cord_y, cosine / anatomy.cord_x
    norm = np.hypot(normal_y, normal_x)
    v = radius * anatomy.cord_y * sine + outward * normal_y / norm
    u = radius * anatomy.cord_x * cosine + outward * normal_x / norm
    bend = anatomy.bend_radius - np.sqrt(anatomy.bend_radius**2 - p**2)
    return np.column_stack([anatomy.z_mid + p, anatomy.y_mid - v, anatomy.x_mid + bend + u])


def _clustered(
    random: np.random.Generator,
    anatomy: Anatomy,
    parents: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    n: int,
) -> NDArray[np.float64]:
    """Children of Thomas clusters (Thomas 1949) that fall inside the graft."""
    parent = random.integers(len(parents), size=2 * n)
    p = parents[parent] + sigmas[parent, np.newaxis] * random.normal(size=(2 * n, 3))
    middle = np.array([anatomy.z_mid, anatomy.y_mid, anatomy.x_mid])
    points: NDArray[np.float64] = middle + p * [1.0, -1.0, 1.0]
    inside: NDArray[np.float64] = points[labels_at(points, anatomy) == LABELS["graft"]]
    return inside


def _migrated(random: np.random.Generator, anatomy: Anatomy, n: int) -> NDArray[np.float64]:
    """Cells at exponential distances along z from the ends of the graft."""
    # Inverse of the distribution cut at the end of the tail.
    share = random.uniform(size=2 * n) * -math.expm1(-_TAIL_END_UM / _TAIL_MEAN_UM)
    distance = -_TAIL_MEAN_UM * np.log1p(-share)
    side = random.choice((-1.0, 1.0), size=2 * n)
    p = anatomy.graft[0, 0] + side * (anatomy.graft[0, 3] + distance)
    points = _in_section(random, anatomy, p)
    return points[_tissue(points, anatomy)]


def _meningeal(random: np.random.Generator, anatomy: Anatomy, n: int) -> NDArray[np.float64]:
    """Cells on the cord's surface around the level of the graft."""
    reach = anatomy.graft[0, 3] + _MENINGEAL_REACH_UM
    p = anatomy.graft[0, 0] + random.uniform(-reach, reach, n)
    angle = random.uniform(0.0, 2.0 * np.pi, n)
    return _surface(anatomy, p, angle, 1.0, -random.uniform(*_MENINGEAL_DEPTH_UM, size=n))


def _apart(centres: NDArray[np.float64], diameters: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keep each nucleus unless an earlier one that is kept lies too close."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(centres).query_pairs(
        _LEAST_GAP_DIAMETERS * _DIAMETER_BOUNDS_UM[1], output_type="ndarray"
    )
    gap = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
    near = gap < _LEAST_GAP_DIAMETERS * diameters[pairs].mean(axis=1)
    pairs = np.sort(pairs[near], axis=1)
    keep = np.ones(len(centres), bool)
    # By the later member: the earlier one's own fate is then always decided.
    for earlier, later in pairs[np.lexsort(pairs.T)]:
        if keep[earlier]:
            keep[later] = False
    return keep
