"""Voxel sizes: from any unit of length to micrometres, or a reason why not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from scimage.image.sources._boundary import one_line

__all__ = ["UNKNOWN", "Spacing", "imagej_spacing", "spacing_from"]

# The units of the OME schema (2016-06, UnitsLength), of ImageJ and of NIfTI.
# 'pixel' and 'reference frame' are in the schema and deliberately not here.
_UM_PER_UNIT = {
    "ym": 1e-18, "zm": 1e-15, "am": 1e-12, "fm": 1e-9, "pm": 1e-6, "nm": 1e-3,
    "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3, "nanometres": 1e-3,
    "å": 1e-4, "angstrom": 1e-4, "angstroms": 1e-4,
    "um": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometers": 1.0, "micrometre": 1.0, "micrometres": 1.0,
    "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "millimetre": 1e3, "millimetres": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimeters": 1e4, "centimetre": 1e4, "centimetres": 1e4,
    "dm": 1e5, "m": 1e6, "meter": 1e6, "meters": 1e6, "metre": 1e6, "metres": 1e6,
    "dam": 1e7, "hm": 1e8, "km": 1e9,
    "thou": 25.4, "li": 25.4e3 / 12, "in": 25.4e3, "inch": 25.4e3, "inches": 25.4e3, '"': 25.4e3,
    "ft": 304.8e3, "yd": 914.4e3, "mi": 1609.344e6, "pt": 25.4e3 / 72,
}  # fmt: skip

# Between an electron microscope's pixel and the thickest slice of a clinical scanner.
_SMALLEST_UM, _LARGEST_UM = 1e-3, 1e4

# What printers, screens and cameras write when nobody calibrated anything.
_DOTS_PER_INCH = frozenset({72, 75, 90, 96, 100, 120, 144, 150, 200, 240, 300, 400, 600, 1200})


@dataclass(frozen=True, slots=True)
class Spacing:
    """A voxel size (z, y, x) in micrometres with its origin, or None with the reason."""

    um: tuple[float, float, float] | None
    origin: str


UNKNOWN = Spacing(None, "no voxel size in the file")


def spacing_from(sizes: Mapping[str, tuple[str, float | None, str]], origin: str) -> Spacing:
    """Convert the sizes that a file states.

    Parameters
    ----------
    sizes
        For each of 'Z', 'Y' and 'X' what the file calls it, the stated size (None
        when absent) and its unit.
    origin
        Where they were stated, for the user.

    Returns
    -------
    The voxel size, or the reason why it cannot be used. A size outside 1e-3 to
    1e4 micrometres is a mistake, and a negative one is not mirrored into a
    positive one: both mean that the writer did not know.
    """
    if all(size is None for _, size, _ in sizes.values()):
        return UNKNOWN
    um: dict[str, float] = {}
    reasons = []
    for axis in "ZYX":
        name, size, unit = sizes[axis]
        factor = _UM_PER_UNIT.get(_plain_unit(unit))
        if size is None:
            reasons.append(f"{name} is not stated")
        elif factor is None:
            reasons.append(f"unit of {name} is {one_line(_readable(unit)) or 'not stated'}")
        elif not (math.isfinite(size) and size > 0):
            reasons.append(f"{name} is {size:g}")
        elif not _SMALLEST_UM <= size * factor <= _LARGEST_UM:
            reasons.append(f"{name} is {size * factor:g} µm")
        else:
            um[axis] = size * factor
    if reasons:
        known = f" ({', '.join(f'{axis} {um[axis]:.6g} µm' for axis in um)})" if um else ""
        return Spacing(None, reasons[0] + known)
    return Spacing((um["Z"], um["Y"], um["X"]), origin)


def imagej_spacing(
    metadata: Mapping[str, object], x_pixels_per_unit: object, y_pixels_per_unit: object
) -> Spacing:
    """Read the calibration of an ImageJ file.

    Parameters
    ----------
    metadata
        The key = value lines of the image description: 'spacing' is the distance
        of planes in 'unit' ('zunit' and 'yunit' where they differ).
    x_pixels_per_unit, y_pixels_per_unit
        The tags XResolution and YResolution, as (numerator, denominator).
    """
    unit = str(metadata.get("unit", ""))
    if not unit:
        return UNKNOWN
    per_unit = {"X": _ratio(x_pixels_per_unit), "Y": _ratio(y_pixels_per_unit)}
    units = {
        "Z": str(metadata.get("zunit", unit)),
        "Y": str(metadata.get("yunit", unit)),
        "X": unit,
    }
    if _UM_PER_UNIT.get(_plain_unit(unit)) == _UM_PER_UNIT["inch"]:
        dots = per_unit["X"]
        if dots is not None and round(dots, 3) in _DOTS_PER_INCH:
            return Spacing(None, f"{dots:g} dots per inch are no calibration")
    depth = metadata.get("spacing")
    sizes = {
        "Z": ("ImageJ spacing", _number(depth) if depth is not None else None, units["Z"]),
        "Y": ("ImageJ pixel height", _inverse(per_unit["Y"]), units["Y"]),
        "X": ("ImageJ pixel width", _inverse(per_unit["X"]), units["X"]),
    }
    return spacing_from(sizes, f"ImageJ spacing + TIFF resolution ({one_line(_readable(unit))})")


def _plain_unit(unit: str) -> str:
    text = _readable(unit)
    # The micro sign U+00B5 and the Greek letter U+03BC look the same and both occur.
    return text.replace("µ", "μ").lower() if text not in {"Mm", "Pm", "Gm"} else ""


def _readable(unit: str) -> str:
    return re.sub(r"\\u00[bB]5", "µ", unit).strip().strip("\0")


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _ratio(value: object) -> float | None:
    match value:
        case (int(above), int(below)):
            return above / below if below else math.nan
        case _:
            return None


def _inverse(value: float | None) -> float | None:
    if value is None:
        return None
    return 1 / value if value else math.inf
