"""One page of a TIFF file: whether its pixels may be used, and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import FormatError
from scimage.image.sources._base import checked_dtype
from scimage.image.sources._boundary import one_line, refuse, truncated
from scimage.image.sources._codecs import LZW, check_compression, check_ratio
from scimage.image.sources._planes import EncodedPlane, Layout, Plane, RawPlane

__all__ = ["Page", "check_page", "layout_of", "pages_of"]

_PALETTE, _YCBCR, _JPEG = 3, 6, 7

# PhotometricInterpretation: white is zero, black is zero, RGB, palette, YCbCr.
# Values are read as stored: 'white is zero' is a way to show them, as in ImageJ.
_PHOTOMETRICS = {0, 1, 2, _PALETTE, _YCBCR}

_PREDICTORS = {1, 2, 3}


@dataclass(frozen=True, slots=True)
class Page:
    """The planes of one page: one, or one for each sample of a pixel."""

    path: Path
    layout: Layout
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode_options: dict[str, Any]
    raw: bool

    def moved(self, offset: int) -> Page:
        """The same page with its raw pixels elsewhere in the file."""
        return replace(self, offsets=np.array([offset], np.int64), raw=True)

    def plane(self, sample: int) -> Plane:
        """The plane of one sample of the pixels."""
        layout = self.layout
        separate, mixed = (sample, 0) if layout.separate > 1 else (0, sample)
        if self.raw:
            plane_bytes = layout.height * layout.width * layout.dtype.itemsize
            return RawPlane(
                self.path,
                int(self.offsets[0]) + separate * plane_bytes,
                layout.width,
                layout.dtype,
                layout.interleaved,
                mixed,
            )
        first = separate * layout.grid[0] * layout.grid[1]
        return EncodedPlane(
            self.path, layout, self.offsets, self.counts, self.decode_options, mixed, first
        )


def check_page(keyframe: Any, path: Path, *, trust_palette: bool) -> None:
    """Refuse pages whose values are not intensities in rows from the top left.

    Parameters
    ----------
    keyframe
        The first page of the series, a tifffile.TiffPage.
    path
        The file, for messages.
    trust_palette
        The writer is known to use palettes as lookup tables for display only.

    Raises
    ------
    FormatError
        The page is one of those, or compressed in a way that is not on the list.
    """
    check_compression(int(keyframe.compression), path)
    checked_dtype(keyframe.dtype, path)
    photometric = int(keyframe.photometric)
    if photometric not in _PHOTOMETRICS or (
        photometric == _YCBCR and int(keyframe.compression) != _JPEG
    ):
        raise refuse(path, f"the colour space {photometric}", "intensities or RGB")
    if photometric == _PALETTE and not trust_palette and not _is_ramp(keyframe.colormap):
        raise refuse(path, "a colour palette", "intensities or RGB")
    if int(keyframe.predictor) not in _PREDICTORS:
        raise refuse(path, f"predictor {int(keyframe.predictor)}", "predictor 1, 2 or 3")
    whole_bytes = keyframe.bitspersample in {8, 16, 32} and int(keyframe.fillorder) == 1
    if int(keyframe.compression) == LZW and not whole_bytes:
        raise refuse(path, f"LZW of {keyframe.bitspersample} bits", "LZW of 8, 16 or 32 bits")
    if keyframe.imagedepth > 1:
        raise refuse(path, "pages that are volumes", "one plane a page")
    if 0 in keyframe.shaped:
        raise refuse(path, "an empty image", "at least one pixel")
    orientation = keyframe.tags.valueof(274, 1)
    if orientation != 1:
        raise FormatError(
            path,
            found=f"orientation {one_line(orientation)}: rows or columns are mirrored or turned",
            expected="rows from the top, columns from the left",
            remedy="Save it in the orientation that you see: programs disagree on this tag, "
            "and a mirrored section would exchange left and right.",
        )


def _is_ramp(colormap: Any) -> bool:
    if colormap is None:
        return False
    steps = np.diff(np.asarray(colormap, np.int64), axis=-1)
    return bool((steps >= 0).all() or (steps <= 0).all())


def layout_of(keyframe: Any, path: Path) -> Layout:
    """Describe the strips or tiles of a page and of all pages like it.

    Raises
    ------
    FormatError
        They announce more pixels than their bytes can hold.
    """
    separate, _, height, width, interleaved = keyframe.shaped
    tiled = bool(keyframe.is_tiled)
    keyframe.init_decode()
    layout = Layout(
        decode=keyframe.decode,
        compression=int(keyframe.compression),
        predictor=int(keyframe.predictor),
        tiled=tiled,
        ratio=check_compression(int(keyframe.compression), path),
        height=height,
        width=width,
        segment_height=keyframe.tilelength if tiled else min(keyframe.rowsperstrip, height),
        segment_width=keyframe.tilewidth if tiled else width,
        dtype=keyframe.dtype.newbyteorder(keyframe.parent.byteorder),
        interleaved=interleaved,
        separate=separate,
    )
    if min(layout.segment_height, layout.segment_width) < 1:
        raise refuse(path, "strips or tiles of no size", "at least one pixel each")
    if not keyframe.is_final:
        largest = max(keyframe.databytecounts, default=0)
        check_ratio(layout.decoded_bytes(layout.segment_height), largest, layout.ratio, path)
    return layout


def pages_of(pages: Iterable[Any], path: Path) -> list[Page]:
    """Locate the pixels of pages (tifffile.TiffPage or TiffFrame) and check that they are there.

    Raises
    ------
    FormatError
        A page is missing, or its file ends before its pixels do.
    """
    layouts: dict[int, Layout] = {}
    sizes: dict[str, int] = {}
    found = []
    for number, page in enumerate(pages):
        if page is None:
            raise refuse(path, f"plane {number} without pixels", "all planes of the image")
        keyframe = page.keyframe
        if id(keyframe) not in layouts:
            layouts[id(keyframe)] = layout_of(keyframe, path)
        name = str(page.parent.filehandle.path)
        if name not in sizes:
            sizes[name] = Path(name).stat().st_size
        found.append(_located(page, layouts[id(keyframe)], Path(name), sizes[name]))
    return found


def _located(page: Any, layout: Layout, path: Path, size: int) -> Page:
    offsets = np.array(page.dataoffsets, np.int64)
    counts = np.minimum(np.array(page.databytecounts, np.int64), layout.most_stored)
    keyframe = page.keyframe
    raw = bool(keyframe.is_final) and bool(np.all(np.diff(offsets) == counts[:-1]))
    if raw:
        offsets, counts = offsets[:1], np.array([keyframe.nbytes], np.int64)
    needed = 1 if raw else layout.separate * layout.grid[0] * layout.grid[1]
    if min(len(offsets), len(counts)) < needed:
        raise refuse(path, f"{len(offsets)} strips or tiles in a page", f"{needed}")
    offsets, counts = offsets[:needed], counts[:needed]
    if min(offsets.min(), counts.min()) <= 0:
        raise refuse(path, "a strip or tile without data", "data for every pixel")
    end = int((offsets + counts).max())
    if end > size:
        raise truncated(path, end, size)
    options = {}
    if layout.compression == _JPEG:
        options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    return Page(path, layout, offsets, counts, options, raw)
