"""TIFF, BigTIFF, OME-TIFF, ImageJ hyperstacks, SVS and NDPI.

tifffile finds the pages and decodes a strip or tile; which bytes are read, and
whether they are decoded at all, is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scimage.errors import FormatError
from scimage.image.sources._base import Description, PlaneSource, checked_dtype, unique_names
from scimage.image.sources._boundary import decoding, refuse, truncated
from scimage.image.sources._codecs import check_ratio
from scimage.image.sources._omexml import OmeImage, claims_ome, read_ome
from scimage.image.sources._planes import Plane, RawPlane
from scimage.image.sources._spacing import UNKNOWN, Spacing, imagej_spacing
from scimage.image.sources._tiff_chain import check_chain
from scimage.image.sources._tiff_page import check_page, layout_of, pages_of

__all__ = ["TiffSource", "open_tiff"]

# TIFFs of these makers give their axes, spacing or even pages another meaning
# than the tags say. Bio-Formats knows them all.
_OTHER_MAKERS = (
    "avs", "bif", "eer", "fluoview", "indica", "lsm", "mdgel", "ndtiff",
    "nih", "philips", "qpi", "scanimage", "scn", "sis", "stk",
)  # fmt: skip

_SLIDES = {"svs": "Aperio SVS", "ndpi": "Hamamatsu NDPI"}

# Raw rows are best read in pieces of about this many bytes.
_RAW_CHUNK = 2**20

# Index of a page of the series (samples counted once) and of a sample -> plane.
_FindPlane = Callable[[int, int], Plane]


@dataclass(frozen=True, slots=True)
class _Axes:
    """How channel and z of the image map to the planes of a series."""

    channels: int
    planes: int
    samples: int  # of a pixel, each becomes a channel
    channel_stride: int
    z_stride: int

    @property
    def pages(self) -> int:
        """Number of planes of the series, all samples counted once."""
        return self.channels * self.planes


class TiffSource(PlaneSource):
    """The one image of a TIFF file, or of an OME-TIFF of several files."""

    def __init__(
        self,
        description: Description,
        inputs: Sequence[Path],
        axes: _Axes,
        find_plane: _FindPlane,
    ) -> None:
        super().__init__(description, inputs)
        self._axes = axes
        self._find_plane = find_plane

    def plane(self, channel: int, z: int) -> Plane:
        """Find a plane."""
        channel, sample = divmod(channel, self._axes.samples)
        index = channel * self._axes.channel_stride + z * self._axes.z_stride
        return self._find_plane(index, sample)


def open_tiff(path: Path) -> TiffSource:
    """Open a TIFF file of any kind named above.

    Parameters
    ----------
    path
        An existing file.

    Raises
    ------
    FormatError
        The file is damaged or truncated, has no single image with the axes
        c, z, y, x, or uses a compression or colour space that is not supported.
    """
    import tifffile

    with decoding(path), tifffile.TiffFile(path) as tif:
        return _describe(tif, path)


def _describe(tif: Any, path: Path) -> TiffSource:
    if not tif.is_ndpi:  # which has links of its own, of 64 bits in a classic TIFF
        check_chain(path)
    first = tif.pages.first
    ome = None
    if first.is_ome:
        ome = read_ome(first.description, path)
    elif claims_ome(first.description):
        raise refuse(path, "an OME-XML that is cut off", "one that ends with </OME>")
    else:
        for maker in _OTHER_MAKERS:
            if getattr(tif, f"is_{maker}", False):
                raise refuse(path, f"a TIFF of the kind {maker.upper()}", "OME-TIFF or ImageJ TIFF")
    # Micro-Manager's own index is not needed to read its OME-TIFF, and tifffile
    # sizes a list by the numbers in it.
    tif.is_mmstack = False
    series = _single_series(tif, path)
    keyframe = series.keyframe
    check_page(keyframe, path, trust_palette=ome is not None or tif.is_imagej)
    axes = _axes(series, path)
    height, width = (series.shape[i] for i in _yx(series))
    if ome is not None:
        _check_against_ome(series, ome, axes, (height, width), path)
    dtype = checked_dtype(keyframe.dtype, path)
    layout = layout_of(keyframe, path)
    inputs = _inputs(series, path)
    stored = sum(file.stat().st_size for file in inputs)
    decoded = axes.pages * axes.samples * height * width * dtype.itemsize
    check_ratio(decoded, stored, layout.ratio, path)
    find_plane = _planes(series, axes, inputs)
    chunk = (min(height, layout.segment_height), min(width, layout.segment_width))
    if isinstance(find_plane(0, 0), RawPlane):
        chunk = (max(1, min(height, _RAW_CHUNK // (width * dtype.itemsize))), width)
    names, colors = _channels(tif, series, ome, axes)
    description = Description(
        path=str(path),
        format=_format(tif, ome),
        shape=(axes.channels * axes.samples, axes.planes, height, width),
        dtype=dtype,
        spacing=_spacing(tif, ome),
        channel_names=names,
        channel_colors=colors,
        preferred_chunk=(1, *chunk),
    )
    return TiffSource(description, inputs, axes, find_plane)


def _single_series(tif: Any, path: Path) -> Any:
    series = tif.series
    if series and series[0].kind in _SLIDES:
        # The first is the scan; label, overview and smaller levels follow.
        return series[0]
    # tifffile falls back to the bare pages where the pixels that an ImageJ or
    # tifffile header announces are not there.
    kinds = {s.kind for s in series}
    for kind, flag in (("imagej", tif.is_imagej), ("shaped", tif.is_shaped)):
        if flag and kinds.isdisjoint({kind, "ome", "shaped"}):
            raise FormatError(
                path,
                found="fewer pixels than its description announces",
                expected="all planes of the image",
                remedy="Copy the file again from the microscope: this copy is cut off or damaged.",
            )
    full = [s for s in series if not (s.keyframe.is_reduced or s.keyframe.is_subifd)]
    if len(full) != 1:
        sizes = ", ".join("x".join(map(str, s.shape)) for s in full[:3])
        raise refuse(
            path,
            f"{len(full)} images of different size or type ({sizes or 'none'})",
            "one image, all planes alike",
        )
    return full[0]


def _axis_names(series: Any) -> str:
    """Axis letters of a series, interleaved or separate samples called S."""
    axes: str = series.axes
    shape = series.shape
    samples = series.keyframe.shaped[4]
    if axes.endswith("YXC") and shape[-1] == samples:
        return axes[:-1] + "S"
    return axes


def _yx(series: Any) -> tuple[int, int]:
    axes = _axis_names(series)
    return axes.index("Y"), axes.index("X")


def _axes(series: Any, path: Path) -> _Axes:
    """Find c and z among the axes of a series.

    Raises
    ------
    FormatError
        There is a time axis, or an axis whose meaning is unknown.
    """
    names, shape = _axis_names(series), series.shape
    if names.strip("S")[-2:] != "YX" or len(names) != len(shape):
        raise refuse(path, f"the axes {names}", "planes of y and x")
    sizes = {name: size for name, size in zip(names, shape, strict=True) if name != "S"}
    leading = [(n, s) for n, s in zip(names, shape, strict=True) if n not in "YXS" and s > 1]
    if sizes.get("T", 1) > 1:
        raise FormatError(
            path,
            found=f"a time axis of {sizes['T']} points",
            expected="a single time point",
            remedy="Export one time point; if these are the planes of a stack, reorder the axes "
            "in Fiji (Image > Hyperstacks > Re-order Hyperstack).",
        )
    # Pages that nobody named are the planes of a stack, unless z has a name too.
    unnamed = [name for name, _ in leading if name in "IQ"]
    if len(unnamed) == 1 and sizes.get("Z", 1) == 1:
        leading = [("Z" if name in "IQ" else name, size) for name, size in leading]
    odd = [f"{name} of {size}" for name, size in leading if name not in "CZ"]
    if odd or len({name for name, _ in leading}) < len(leading):
        raise refuse(
            path, f"axes {names} with an unknown axis {', '.join(odd)}", "the axes c, z, y, x"
        )
    count, strides = 1, {}
    for name, size in reversed(leading):
        strides[name] = count
        count *= size
    named = dict(leading)
    return _Axes(
        channels=named.get("C", 1),
        planes=named.get("Z", 1),
        samples=shape[names.index("S")] if "S" in names else 1,
        channel_stride=strides.get("C", 0),
        z_stride=strides.get("Z", 0),
    )


def _check_against_ome(
    series: Any, ome: OmeImage, axes: _Axes, yx: tuple[int, int], path: Path
) -> None:
    stated = tuple(ome.sizes[axis] for axis in "CZYX")
    found = (axes.channels * axes.samples, axes.planes, *yx)
    # libvips writes OME-XML that lists no planes; one plane cannot be mixed up.
    listed = series.kind == "ome" or axes.pages == 1
    if stated != found or not listed:
        raise refuse(
            path,
            f"pages of shape {found}",
            f"the (c, z, y, x) = {stated} that its OME-XML lists",
        )


def _inputs(series: Any, path: Path) -> list[Path]:
    own = path.resolve()
    files = {own: path}
    for page in series:
        if page is not None:
            file = Path(page.parent.filehandle.path).resolve()
            files.setdefault(file, path.parent / file.name)
    return list(files.values())


def _planes(series: Any, axes: _Axes, inputs: Sequence[Path]) -> _FindPlane:
    """Locate the pixels of each plane of a series, counted without samples."""
    path = inputs[0]
    keyframe = series.keyframe
    # Separate sample planes that the series itself calls channels or planes.
    folded = 1 if "S" in _axis_names(series) else keyframe.shaped[0]
    needed = -(-axes.pages // folded)
    start = series.dataoffset
    contiguous = start is not None and keyframe.is_final and len(inputs) == 1
    if len(series) != needed and not (contiguous and len(series) == 1):
        raise refuse(path, f"{len(series)} pages", f"{needed}, as the metadata of the file say")
    if contiguous:
        size, end = path.stat().st_size, start + needed * keyframe.nbytes
        if end > size:
            raise truncated(path, end, size)
        # ImageJ's stacks of more than 4 GB have one page for all planes.
        first = pages_of([series[0]], path)[0]

        def shifted(index: int, sample: int) -> Plane:
            number, part = divmod(index, folded)
            return first.moved(start + number * keyframe_bytes).plane(part + sample)

        keyframe_bytes: int = keyframe.nbytes
        return shifted
    pages = pages_of(series, path)

    def listed(index: int, sample: int) -> Plane:
        number, part = divmod(index, folded)
        return pages[number].plane(part + sample)

    return listed


def _format(tif: Any, ome: OmeImage | None) -> str:
    if ome is not None:
        return "OME-TIFF"
    if tif.is_imagej:
        return "ImageJ TIFF"
    return _SLIDES.get(tif.series[0].kind, "TIFF")


def _spacing(tif: Any, ome: OmeImage | None) -> Spacing:
    if ome is not None:
        return ome.spacing
    first = tif.pages.first
    tags = first.tags
    if tif.is_imagej:
        return imagej_spacing(tif.imagej_metadata or {}, tags.valueof(282), tags.valueof(283))
    # Aperio's micrometres per pixel; a section has no distance of planes.
    scale = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", first.description)
    if scale:
        return Spacing(None, f"no distance of planes in the file (Y, X {scale.group(1)} µm)")
    if tags.valueof(282) is not None:
        return Spacing(None, f"{UNKNOWN.origin}; TIFF resolution tags are no calibration")
    return UNKNOWN


def _channels(
    tif: Any, series: Any, ome: OmeImage | None, axes: _Axes
) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Name and colour each channel as far as the file states it."""
    names: list[str | None] = [None] * axes.channels
    colors: list[str | None] = [None] * axes.channels
    if ome is not None:
        stated = len(ome.channel_names) == axes.channels
        names = list(ome.channel_names) if stated else names
        colors = list(ome.channel_colors) if stated else colors
    elif tif.is_imagej:
        metadata = tif.imagej_metadata or {}
        names = _imagej_labels(metadata, axes) or names
        colors = _imagej_colors(metadata, axes.channels) or colors
    if axes.samples == 1:
        return unique_names(names), tuple(colors)
    samples = _sample_names(series.keyframe, axes.samples)
    tints = [{"red": "FF0000", "green": "00FF00", "blue": "0000FF"}.get(s or "") for s in samples]
    full = [
        f"{name or f'channel_{c}'}_{sample or s}" if axes.channels > 1 else sample
        for c, name in enumerate(names)
        for s, sample in enumerate(samples)
    ]
    return unique_names(full), tuple(tints * axes.channels)


def _sample_names(keyframe: Any, count: int) -> list[str | None]:
    names: list[str | None] = ["red", "green", "blue"] if keyframe.photometric in {2, 6} else [None]
    # ExtraSamples 1 and 2 are opacity, 0 is anything.
    extra = ["alpha" if kind in {1, 2} else None for kind in keyframe.extrasamples]
    names += extra[-(count - len(names)) :] if count > len(names) else []
    return (names + [None] * count)[:count]


def _imagej_labels(metadata: dict[str, Any], axes: _Axes) -> list[str | None] | None:
    """Take the slice labels as channel names where each channel has one of its own."""
    labels = metadata.get("Labels")
    if axes.channels == 1 or not labels or len(labels) != axes.pages:
        return None
    own = [
        {str(labels[c * axes.channel_stride + z * axes.z_stride]) for z in range(axes.planes)}
        for c in range(axes.channels)
    ]
    names = [next(iter(label)) for label in own if len(label) == 1]
    return list(names) if len(set(names)) == axes.channels else None


def _imagej_colors(metadata: dict[str, Any], channels: int) -> list[str | None] | None:
    tables = metadata.get("LUTs")
    if tables is None or len(tables) != channels:
        return None
    tops = [np.asarray(table)[:, -1] for table in tables]
    return ["".join(f"{int(value):02X}" for value in top) for top in tops]
