"""Lengths: the units that files use, brought to micrometres."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

__all__ = ["absurd_length", "absurd_spacing", "micrometres_per", "readable_unit"]

# The units of NGFF (UDUNITS-2), of the OME schema (2016-06, UnitsLength), of ImageJ and of NIfTI,
# lower-cased. 'pixel' and 'reference frame' are in the OME schema and deliberately not here.
_UM_PER_UNIT = {
    "ym": 1e-18, "zm": 1e-15, "am": 1e-12, "fm": 1e-9, "pm": 1e-6, "picometer": 1e-6,
    "å": 1e-4, "angstrom": 1e-4, "angstroms": 1e-4, "ångström": 1e-4,
    "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3, "nanometres": 1e-3,
    "um": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometers": 1.0, "micrometre": 1.0, "micrometres": 1.0,
    "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "millimetre": 1e3, "millimetres": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimeters": 1e4, "centimetre": 1e4, "centimetres": 1e4,
    "dm": 1e5, "decimeter": 1e5, "m": 1e6, "meter": 1e6, "meters": 1e6, "metre": 1e6,
    "metres": 1e6, "dam": 1e7, "hm": 1e8, "hectometer": 1e8, "km": 1e9, "kilometer": 1e9,
    "thou": 25.4, "li": 25.4e3 / 12, "in": 25.4e3, "inch": 25.4e3, "inches": 25.4e3, '"': 25.4e3,
    "ft": 304.8e3, "foot": 304.8e3, "yd": 914.4e3, "yard": 914.4e3, "mi": 1609.344e6,
    "mile": 1609.344e6, "pt": 25.4e3 / 72,
}  # fmt: skip

# Between an electron microscope's pixel and the thickest slice of a clinical scanner.
_SMALLEST_UM, _LARGEST_UM = 1e-3, 1e4


def readable_unit(unit: str) -> str:
    """The unit without escapes and padding."""
    return re.sub(r"\\u00[bB]5", "µ", unit).strip().strip("\0")


def micrometres_per(unit: str | None) -> float | None:
    """Micrometres in one `unit`; None when the unit is missing or no length (``"pixel"``)."""
    text = readable_unit(unit or "")
    # Only their capital tells mega- from millimetres.
    if text in {"Mm", "Pm", "Gm"}:
        return None
    # The micro sign U+00B5 and the Greek letter U+03BC look the same and both occur.
    return _UM_PER_UNIT.get(text.replace("µ", "μ").lower())


def absurd_length(length_um: float) -> bool:
    """Whether no microscope has voxels of this length."""
    return not (math.isfinite(length_um) and _SMALLEST_UM <= length_um <= _LARGEST_UM)


def absurd_spacing(spacing_um: Sequence[float]) -> str | None:
    """Say why no microscope has these voxels (z, y, x in micrometres), or None if one may."""
    for axis, value in zip("zyx"[-len(spacing_um) :], spacing_um, strict=True):
        if not math.isfinite(value) or value <= 0:
            return f"{axis} spacing is {value:g}"
        if absurd_length(value):
            return f"{axis} spacing is {value:g} um, outside {_SMALLEST_UM:g} to {_LARGEST_UM:g} um"
    return None
