"""Voxel sizes: from any unit of length to micrometres, or a reason why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scimage.image.sources._boundary import one_line
from scimage.image.units import absurd_length, micrometres_per, readable_unit

__all__ = ["UNKNOWN", "Spacing", "imagej_spacing", "spacing_from"]

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
        factor = micrometres_per(unit)
        if size is None:
            reasons.append(f"{name} is not stated")
        elif factor is None:
            reasons.append(f"unit of {name} is {one_line(readable_unit(unit)) or 'not stated'}")
        elif not (math.isfinite(size) and size > 0):
            reasons.append(f"{name} is {size:g}")
        elif absurd_length(size * factor):
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
    if micrometres_per(unit) == micrometres_per("inch"):
        dots = per_unit["X"]
        if dots is not None and round(dots, 3) in _DOTS_PER_INCH:
            return Spacing(None, f"{dots:g} dots per inch are no calibration")
    depth = metadata.get("spacing")
    sizes = {
        "Z": ("ImageJ spacing", _number(depth) if depth is not None else None, units["Z"]),
        "Y": ("ImageJ pixel height", _inverse(per_unit["Y"]), units["Y"]),
        "X": ("ImageJ pixel width", _inverse(per_unit["X"]), units["X"]),
    }
    return spacing_from(
        sizes, f"ImageJ spacing + TIFF resolution ({one_line(readable_unit(unit))})"
    )


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
