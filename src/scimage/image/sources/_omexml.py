"""OME-XML, checked before any parser or any allocation trusts it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from scimage.errors import FormatError
from scimage.image.sources._boundary import one_line, refuse
from scimage.image.sources._spacing import Spacing, spacing_from

__all__ = ["OmeImage", "claims_ome", "read_ome"]

# A classic IFD that can describe a plane has at least eight entries of 12 bytes.
_BYTES_PER_PLANE = 100


@dataclass(frozen=True, slots=True)
class OmeImage:
    """The one image of an OME-XML: sizes by axis letter, spacing, channels."""

    sizes: dict[str, int]
    spacing: Spacing
    channel_names: tuple[str | None, ...]
    channel_colors: tuple[str | None, ...]


def claims_ome(description: str) -> bool:
    """Tell whether an image description starts like OME-XML, even a cut one."""
    return re.search(r"<(\w+:)?OME[\s>]", description[:4096]) is not None


def read_ome(text: str, path: Path) -> OmeImage:
    """Check and read the OME-XML of a TIFF file.

    Parameters
    ----------
    text
        The whole image description.
    path
        The file it came from; a series may span other files of its folder only.

    Raises
    ------
    FormatError
        The XML declares entities or is damaged, names a file outside the folder
        or a missing one, or holds anything else than one image of axes c, z, y, x.
    """
    # An entity can be expanded without bound or point at another file, and no
    # microscope needs one.
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise refuse(path, "an OME-XML with a DOCTYPE or ENTITY declaration", "plain OME-XML")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as err:
        raise refuse(path, f"a damaged OME-XML ({one_line(err)})", "well-formed XML") from err
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    _check_structure(root, path)
    pixels = root.findall("./Image/Pixels")
    if len(pixels) != 1:
        raise refuse(path, f"{len(pixels)} images in the OME-XML", "exactly one")
    try:
        sizes = {axis: int(pixels[0].attrib[f"Size{axis}"]) for axis in "XYZCT"}
    except (KeyError, ValueError) as err:
        raise refuse(path, f"an OME-XML without sizes ({one_line(err)})", "SizeX to SizeT") from err
    _check_planes(root, pixels[0], sizes, path)
    channels = pixels[0].findall("Channel")
    return OmeImage(
        sizes=sizes,
        spacing=_spacing(pixels[0]),
        channel_names=tuple(channel.get("Name") for channel in channels),
        channel_colors=tuple(_color(channel.get("Color")) for channel in channels),
    )


def _check_structure(root: ElementTree.Element, path: Path) -> None:
    main = root.find(".//BinaryOnly")
    if main is not None:
        name = one_line(main.get("MetadataFile", "its main file"))
        raise FormatError(
            path,
            found=f"a part of an image that {name} describes",
            expected="the file that holds the OME-XML",
            remedy=f"Open {name} if it is a TIFF, else export the image as one OME-TIFF.",
        )
    # tifffile sizes an array by the numbers in these annotations; and lifetime,
    # phase or angle are not axes of a stack that cells are counted in.
    for element in root.iter():
        if element.tag[:-1].endswith("Along"):
            raise refuse(path, f"an extra axis ({element.tag})", "the axes c, z, y, x")
        # tifffile looks at the ends of names: what is checked here must be all it sees.
        for known in ("Image", "Pixels", "TiffData", "UUID"):
            if element.tag.endswith(known) and element.tag != known:
                raise refuse(path, f"an element {element.tag} in the OME-XML", known)


def _check_planes(
    root: ElementTree.Element, pixels: ElementTree.Element, sizes: dict[str, int], path: Path
) -> None:
    """Refuse counts that the files could not hold, before anything is sized by them."""
    stored = path.stat().st_size
    own_uuid = root.get("UUID")
    companions: dict[str, int] = {}
    for uuid in pixels.iterfind("./TiffData/UUID"):
        name = uuid.get("FileName")
        if name is None or name == path.name or (uuid.text is not None and uuid.text == own_uuid):
            continue
        if name not in companions:
            companions[name] = _size_of_companion(name, path)
    stored += sum(companions.values())
    limit = max(stored // _BYTES_PER_PLANE, 1)
    try:
        stated = [
            int(data.get("PlaneCount", data.get("NumPlanes", 1)))
            for data in pixels.iterfind("TiffData")
        ]
        indices = [int(data.get("IFD", 0)) for data in pixels.iterfind("TiffData")]
    except ValueError as err:
        raise refuse(path, f"a damaged TiffData ({one_line(err)})", "whole numbers") from err
    planes = math.prod(sizes[axis] for axis in "ZCT") // max(_samples(pixels), 1)
    if min(sizes.values()) < 1 or min([*stated, *indices, 0]) < 0:
        raise refuse(path, "a size below 1 in the OME-XML", "sizes of at least 1")
    if planes > limit:
        raise refuse(
            path,
            f"{planes} planes in the OME-XML",
            f"at most {limit}, as the file has {stored} bytes",
        )
    if sum(stated) > planes:
        raise refuse(path, f"{sum(stated)} planes in the OME-XML", f"{planes} by its sizes")


def _samples(pixels: ElementTree.Element) -> int:
    first = pixels.find("Channel")
    text = "1" if first is None else first.get("SamplesPerPixel", "1")
    return int(text) if text.isdecimal() else 1


def _size_of_companion(name: str, path: Path) -> int:
    plain = Path(name).name == name and "\\" not in name and name not in {"", ".", ".."}
    folder = path.parent.resolve()
    if not plain or (folder / name).resolve().parent != folder:
        raise refuse(path, f"a plane in {one_line(name)!r}", "planes in files of the same folder")
    if not (folder / name).is_file():
        raise FormatError(
            path,
            found=f"a plane in {one_line(name)!r}, which is not in the folder",
            expected="all files of the image",
            remedy="Copy the missing file back, or undo the renaming.",
        )
    return (folder / name).stat().st_size


def _spacing(pixels: ElementTree.Element) -> Spacing:
    sizes = {}
    for axis in "ZYX":
        text = pixels.get(f"PhysicalSize{axis}")
        try:
            size = None if text is None else float(text)
        except ValueError:
            size = math.nan
        # The schema's default unit is the micrometre: a missing unit is stated.
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        sizes[axis] = (f"PhysicalSize{axis}", size, unit)
    units = ", ".join(dict.fromkeys(one_line(unit) for _, _, unit in sizes.values()))
    return spacing_from(sizes, f"OME-XML PhysicalSizeZ/Y/X ({units})")


def _color(text: str | None) -> str | None:
    try:
        value = int(text or "")
    except ValueError:
        return None
    # OME stores red, green, blue and alpha as one signed 32-bit number.
    return f"{(value & 0xFFFFFFFF) >> 8:06X}"
