"""What a synthetic cord is made of: parameters, presets, and where each number comes from.

"Section 5" below is the phantom section of the project's domain reference, column
"standard". Numbers marked *(convention)* are choices of this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from scimage.errors import UsageError

__all__ = [
    "CHANNELS",
    "CHANNEL_COLOURS",
    "LABELS",
    "MICROSCOPES",
    "PRESETS",
    "SPECIES",
    "Microscope",
    "PhantomParameters",
    "Species",
]

CHANNELS: tuple[str, ...] = ("GFAP", "DNA", "human_nuclei", "autofluorescence")

# RRGGBB as OMERO metadata writes it; magenta against green is safe for red-green blindness.
CHANNEL_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "GFAP": "00FF00",
        "DNA": "3070FF",
        "human_nuclei": "FF00FF",
        "autofluorescence": "B0B0B0",
    }
)

# Label values: domain reference, section 2.
LABELS: Mapping[str, int] = MappingProxyType(
    {
        "background": 0,
        "spared_grey": 1,
        "spared_white": 2,
        "lesion_core": 3,
        "cavity": 4,
        "astroglial_border": 5,
        "graft": 6,
        "canal_or_fissure": 8,
    }
)


@dataclass(frozen=True, slots=True)
class Species:
    """Anatomy at T9 (section 5); semi-axes in the order z, y, x."""

    cord_semi_axes_um: tuple[float, float]
    length_um: float
    lesion_semi_axes_um: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Microscope:
    """Voxel size, blur and camera (section 5); tuples in the order z, y, x."""

    spacing_um: tuple[float, float, float]
    psf_sigma_um: tuple[float, float, float]
    attenuation_length_um: float
    bits: int
    counts_per_electron: float
    offset_counts: float


SPECIES: Mapping[str, Species] = MappingProxyType(
    {
        "mouse": Species((625.0, 800.0), 6_000.0, (800.0, 400.0, 450.0)),
        "rat": Species((1_050.0, 1_300.0), 12_000.0, (2_000.0, 700.0, 800.0)),
    }
)

# Gain and offset (convention): 2.2 counts per electron over 100 is a 16-bit sCMOS camera,
# 8 over 50 lets a 12-bit confocal saturate at 505 electrons, four times the peak signal.
MICROSCOPES: Mapping[str, Microscope] = MappingProxyType(
    {
        "confocal": Microscope((1.5, 0.32, 0.32), (0.8, 0.16, 0.16), 60.0, 12, 8.0, 50.0),
        "light-sheet-hi": Microscope((2.5, 0.65, 0.65), (2.0, 0.45, 0.45), 1_500.0, 16, 2.2, 100.0),
        "light-sheet-lo": Microscope((4.0, 1.8, 1.8), (3.0, 1.0, 1.0), 1_500.0, 16, 2.2, 100.0),
    }
)


@dataclass(frozen=True, slots=True)
class PhantomParameters:
    """One synthetic injured cord under one microscope.

    Parameters
    ----------
    species
        Sets the cord's section, the lesion's size and the default length.
    microscope
        Sets voxel size, point spread function, attenuation and camera.
    seed
        Every random choice follows from it; equal parameters give equal pixels.
    length_um
        Imaged length along z, centred on the epicentre; None takes the species' 6 or
        12 mm (section 5). The cord runs through both ends of the image. Shorter than
        the lesion is allowed: a thick section through the epicentre.
    margin_um
        Empty medium around the cord in y and x; 60 *(convention)*.
    optical_axis
        Axis along which light is lost with depth; y *(convention)*.
    bend_radius_um
        Radius of the centreline's bend in the z-x plane; section 5: 15 to 40 mm.
    cord_scale
        Multiplies the cord's and the lesion's size, not the cells'; below 1 makes
        small volumes that still show everything.
    lesion_scale
        Multiplies the lesion's size further.
    cavities
        Number of cavities in the lesion, 0 to 2 (section 5).
    border_um
        Width of the dense GFAP border, which is also label 5; section 5: 80.
    border_decay_um
        Distance over which the border falls to intact GFAP; section 5: 250.
    canal_diameter_um
        Central canal, section 5: 40 to 80; the ventral fissure is 0.4 as wide
        *(convention)*.
    vehicle
        True for an animal without a graft: no human cells at all.
    graft_volume_mm3
        None takes 15.1% of the lesion: 0.09 mm3 in a mouse, 0.71 in a rat (section 5:
        0.05 to 1.5). At most that, as a larger one would meet the cavities.
    human_nuclei_per_mm3
        Density in the graft; section 5: 2e4 to 4e5.
    tail_fraction
        Part of the human cells that migrated along the cord; 0.10 *(convention)*.
    meningeal_fraction
        Part of the human cells that lie on the cord's surface; section 5: 5%.

    Raises
    ------
    UsageError
        A value is outside its bounds.
    """

    species: Literal["mouse", "rat"]
    microscope: Literal["confocal", "light-sheet-hi", "light-sheet-lo"]
    seed: int
    length_um: float | None = None
    margin_um: float = 60.0
    optical_axis: Literal["z", "y", "x"] = "y"
    bend_radius_um: float = 25_000.0
    cord_scale: float = 1.0
    lesion_scale: float = 1.0
    cavities: int = 2
    border_um: float = 80.0
    border_decay_um: float = 250.0
    canal_diameter_um: float = 60.0
    vehicle: bool = False
    graft_volume_mm3: float | None = None
    human_nuclei_per_mm3: float = 1e5
    tail_fraction: float = 0.10
    meningeal_fraction: float = 0.05

    def __post_init__(self) -> None:
        for name, allowed in (
            ("species", tuple(SPECIES)),
            ("microscope", tuple(MICROSCOPES)),
            ("optical_axis", ("z", "y", "x")),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"phantom parameter {name}",
                    found=repr(getattr(self, name)),
                    expected="one of " + ", ".join(allowed),
                    remedy="Choose one of those.",
                )
        self._within("seed", 0, 2**63 - 1)
        if self.length_um is not None:
            self._within("length_um", 10.0, 100_000.0)
        self._within("margin_um", 0.0, 5_000.0)
        self._within("cord_scale", 0.05, 2.0)
        self._within("lesion_scale", 0.1, 1.15)
        self._within("cavities", 0, 2)
        self._within("border_um", 1.0, 500.0)
        self._within("border_decay_um", 1.0, 1_000.0)
        self._within("canal_diameter_um", 4.0, 200.0)
        self._within("human_nuclei_per_mm3", 1e3, 4e5)
        self._within("tail_fraction", 0.0, 0.4)
        self._within("meningeal_fraction", 0.0, 0.4)
        # Sections are taken across z, which is fair while the cord runs nearly along it.
        self._within("bend_radius_um", max(10_000.0, self.imaged_length_um), math.inf)
        if self.graft_volume_mm3 is not None:
            self._within("graft_volume_mm3", 1e-6, self.largest_graft_mm3)

    def _within(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise UsageError(
                f"phantom parameter {name}",
                found=str(value),
                expected=f"{least:g} to {most:g}",
                remedy="Give a value within these bounds.",
            )
        if isinstance(least, int) and isinstance(most, int) and not isinstance(value, int):
            raise UsageError(
                f"phantom parameter {name}",
                found=repr(value),
                expected="a whole number",
                remedy="Give an int.",
            )

    @property
    def imaged_length_um(self) -> float:
        """Length of the image along z before rounding to voxels."""
        return SPECIES[self.species].length_um if self.length_um is None else self.length_um

    @property
    def cord_semi_axes_um(self) -> tuple[float, float]:
        """Semi-axes of the cord's section (y, x)."""
        y, x = SPECIES[self.species].cord_semi_axes_um
        return y * self.cord_scale, x * self.cord_scale

    @property
    def lesion_semi_axes_um(self) -> tuple[float, float, float]:
        """Semi-axes of the lesion before roughness (z, y, x)."""
        scale = self.cord_scale * self.lesion_scale
        z, y, x = SPECIES[self.species].lesion_semi_axes_um
        return z * scale, y * scale, x * scale

    @property
    def largest_graft_mm3(self) -> float:
        """Volume of the graft that still clears the cavities and the lesion's surface."""
        z, y, x = (
            semi * part
            for semi, part in zip(self.lesion_semi_axes_um, GRAFT_SEMI_AXES, strict=True)
        )
        return 4.0 / 3.0 * math.pi * z * y * x * 1e-9


# In units of the lesion's semi-axes (convention). They keep graft, cavities and surface
# apart for every roughness allowed, so that the truth's volumes are closed forms.
GRAFT_CENTRE = (-0.22, 0.0, 0.0)
GRAFT_SEMI_AXES = (0.50, 0.55, 0.55)
CAVITIES = ((0.50, 0.05, -0.16, 0.22), (0.34, -0.10, 0.42, 0.18))

PRESETS: Mapping[str, PhantomParameters] = MappingProxyType(
    {
        "mouse-light-sheet-lo": PhantomParameters("mouse", "light-sheet-lo", seed=1),
        "mouse-light-sheet-hi": PhantomParameters("mouse", "light-sheet-hi", seed=1),
        # Light from a confocal reaches 60 um: a thick transverse section, imaged from its face.
        "mouse-confocal": PhantomParameters(
            "mouse", "confocal", seed=1, length_um=60.0, optical_axis="z"
        ),
        "rat-light-sheet-lo": PhantomParameters("rat", "light-sheet-lo", seed=1),
        "mouse-demo": PhantomParameters(
            "mouse",
            "light-sheet-lo",
            seed=1,
            length_um=1_800.0,
            margin_um=40.0,
            cord_scale=0.5,
            border_um=50.0,
            border_decay_um=150.0,
        ),
        "tiny": PhantomParameters(
            "mouse",
            "light-sheet-lo",
            seed=1,
            length_um=340.0,
            margin_um=16.0,
            cord_scale=0.15,
            border_um=12.0,
            border_decay_um=37.0,
            canal_diameter_um=16.0,
            human_nuclei_per_mm3=4e5,
        ),
    }
)
