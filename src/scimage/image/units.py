"""Lengths: the units that files use, brought to micrometres."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["absurd_spacing", "micrometres_per"]

# Names as NGFF (UDUNITS-2), OME-XML, NIfTI and ImageJ write them, lower-cased.
_MICROMETRES: dict[str, float] = {
    **dict.fromkeys(("angstrom", "å", "ångström"), 1e-4),
    **dict.fromkeys(("picometer", "pm"), 1e-6),
    **dict.fromkeys(("nanometer", "nm"), 1e-3),
    **dict.fromkeys(
        ("micrometer", "micrometre", "micron", "microns", "um", "µm", "μm", "\\u00b5m"), 1.0
    ),
    **dict.fromkeys(("millimeter", "mm"), 1e3),
    **dict.fromkeys(("centimeter", "cm"), 1e4),
    **dict.fromkeys(("decimeter", "dm"), 1e5),
    **dict.fromkeys(("meter", "m"), 1e6),
    **dict.fromkeys(("inch", "in"), 25_400.0),
    **dict.fromkeys(("foot", "ft"), 304_800.0),
    **dict.fromkeys(("thou", "mil"), 25.4),
}

# No microscope has voxels outside these bounds; they catch a wrong unit or a default.
_SMALLEST_UM, _LARGEST_UM = 1e-3, 1e4


def micrometres_per(unit: str | None) -> float | None:
    """Micrometres in one `unit`; None when the unit is missing or no length (``"pixel"``)."""
    return _MICROMETRES.get(unit.strip().lower()) if unit else None


def absurd_spacing(spacing_um: Sequence[float]) -> str | None:
    """Say why no microscope has these voxels (z, y, x in micrometres), or None if one may."""
    for axis, value in zip("zyx"[-len(spacing_um) :], spacing_um, strict=True):
        if not math.isfinite(value) or value <= 0:
            return f"{axis} spacing is {value:g}"
        if not _SMALLEST_UM <= value <= _LARGEST_UM:
            return f"{axis} spacing is {value:g} um, outside {_SMALLEST_UM:g} to {_LARGEST_UM:g} um"
    return None
