"""An injured cord of simple geometry, whose volumes have closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Cord:
    """Stained volumes of a cord along z, and the true volumes of its parts."""

    channels: dict[str, NDArray[np.uint16]]
    spacing_um: Spacing
    lesion_mm3: float
    cavity_mm3: float
    cord_mm3: float
    canal_mm3: float
    epicentre_um: float


@pytest.fixture
def cord() -> Callable[..., Cord]:
    """Make a round cord with an ellipsoid lesion, its border of 80 um, a cavity and a canal."""

    def make(
        *, lesion: bool = True, cavity: bool = True, canal: bool = True, border_gap_um: float = 0
    ) -> Cord:
        spacing = (10.0, 8.0, 8.0)
        shape, radius, centre = (120, 128, 128), 440.0, (500.0, 512.0, 512.0)
        semi, hole_radius, canal_radius = (260.0, 160.0, 200.0), 90.0, 35.0
        z, y, x = (
            (np.arange(n) * s).reshape([-1 if a == i else 1 for a in range(3)])
            for i, (n, s) in enumerate(zip(shape, spacing, strict=True))
        )
        dz, dy, dx = z - centre[0], y - centre[1], x - centre[2]
        inside = np.hypot(dy, dx) <= radius + 0 * dz
        tissue, gfap = np.where(inside, 1000.0, 100.0), np.where(inside, 400.0, 100.0)
        if lesion:
            reach = np.sqrt((dz / semi[0]) ** 2 + (dy / semi[1]) ** 2 + (dx / semi[2]) ** 2)
            outer = np.sqrt(
                (dz / (semi[0] + 80)) ** 2 + (dy / (semi[1] + 80)) ** 2 + (dx / (semi[2] + 80)) ** 2
            )
            border = (outer <= 1) & ~((np.abs(dz) < border_gap_um / 2) & (dx > 0))
            gfap[border] = 1600
            gfap[reach <= 1] = 100
        if cavity:
            hole = np.sqrt(dz**2 + dy**2 + dx**2) <= hole_radius
            tissue[hole] = 100
        if canal:
            pipe = np.hypot(dy - 320, dx + 0 * dz) <= canal_radius
            tissue[pipe], gfap[pipe] = 100, 100
        rng = np.random.default_rng(2)
        noisy = {
            name: np.clip(rng.normal(a, 20), 0, 65535).round().astype(np.uint16)
            for name, a in (("GFAP", gfap), ("DNA", tissue))
        }
        length_um = shape[0] * spacing[0]
        return Cord(
            noisy, spacing,
            4 / 3 * math.pi * math.prod(semi) * 1e-9 if lesion else 0.0,
            4 / 3 * math.pi * hole_radius**3 * 1e-9 if cavity else 0.0,
            math.pi * radius**2 * length_um * 1e-9,
            math.pi * canal_radius**2 * length_um * 1e-9 if canal else 0.0,
            centre[0],
        )  # fmt: skip

    return make
