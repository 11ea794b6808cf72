"""NGFF metadata (OME-Zarr 0.4 and 0.5) to and from what scimage works with.

The models of `yaozarrs` decide what is valid; this module only translates.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scimage.errors import FormatError, SpacingError
from scimage.image.storage import group_attributes
from scimage.image.units import absurd_spacing, micrometres_per

__all__ = [
    "Channel",
    "Dataset",
    "ImageMetadata",
    "leaves_store",
    "named_channels",
    "parse_image_label",
    "parse_metadata",
    "render_metadata",
]

_AXES = "tczyx"
_MEAN = "rounded mean of the full-resolution voxels that a voxel covers"
_MODE = "most frequent value in the level before, the smallest of several"
# Images that a message names when it refuses a plate.
_NAMED = 3
_DEFAULT_COLORS = ("00FF00", "0000FF", "FF00FF", "FFFF00", "00FFFF", "FF0000", "FFFFFF")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: its name, display colour (RRGGBB) and display window.

    `window` is (min, max, start, end): the range of the values and the part of it that is shown.
    """

    name: str
    color: str = "FFFFFF"
    window: tuple[float, float, float, float] = (0, 65535, 0, 65535)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One pyramid level: array path in the group, and its frame in micrometres (z, y, x).

    `spacing_um` is None where the file does not say it in a unit of length.
    """

    path: str
    spacing_um: tuple[float, float, float] | None
    translation_um: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What the metadata of one OME-Zarr image says.

    `axes` is the order of the stored arrays, for example ``"czyx"``.
    `spacing_origin` says where the spacing comes from or, when it is unknown, why.
    """

    version: str
    axes: str
    datasets: tuple[Dataset, ...]
    channels: tuple[Channel, ...]
    spacing_origin: str
    name: str = ""


def named_channels(names: Sequence[str], colors: Sequence[str | None] = ()) -> tuple[Channel, ...]:
    """Channels with these names; colours that are not given come from a fixed palette."""
    given = [*colors, *[None] * len(names)]
    return tuple(
        Channel(name, given[i] or _DEFAULT_COLORS[i % len(_DEFAULT_COLORS)])
        for i, name in enumerate(names)
    )


def parse_metadata(path: str, attributes: Mapping[str, Any], zarr_format: int) -> ImageMetadata:
    """Translate the attributes of a Zarr group into :class:`ImageMetadata`.

    Raises
    ------
    FormatError
        The group is no OME-Zarr image of version 0.4 or 0.5, its metadata break the
        specification, or it has axes other than t, c, z, y, x.
    """
    version, ome = _ome_block(path, attributes, zarr_format, "multiscales")
    image = _validate(path, version, "Image", ome)
    multiscale = image.multiscales[0]
    axes = "".join(axis.name for axis in multiscale.axes)
    if len(axes) != len(multiscale.axes) or axes != "".join(a for a in _AXES if a in axes):
        raise FormatError(
            path,
            found=f"axes {[axis.name for axis in multiscale.axes]}",
            expected="axes out of t, c, z, y, x, in this order",
            remedy="Rename or reorder the axes with the program that wrote the image.",
        )
    factors = [
        micrometres_per(getattr(axis, "unit", None)) if axis.name in "zyx" else None
        for axis in multiscale.axes
    ]
    common = [t.model_dump() for t in multiscale.coordinateTransformations or []]
    datasets, problem = [], None
    for dataset in multiscale.datasets:
        steps = [t.model_dump() for t in dataset.coordinateTransformations]
        spacing, translation, trouble = _frame(axes, factors, [*steps, *common])
        if not all(math.isfinite(t) for t in translation):
            raise FormatError(
                path, found=f"translation {translation} of level {dataset.path}",
                expected="finite numbers",
                remedy="Repair the metadata with the program that wrote them.",
            )  # fmt: skip
        problem = problem or trouble
        datasets.append(Dataset(_safe_path(path, dataset.path), spacing, translation))
    recorded = attributes.get("scimage", {})
    origin = recorded.get("spacing_origin") if isinstance(recorded, Mapping) else None
    return ImageMetadata(
        version=version,
        axes=axes,
        datasets=tuple(datasets),
        channels=_channels(image),
        spacing_origin=problem or str(origin or f"NGFF {version} coordinateTransformations"),
        name=multiscale.name or "",
    )


def parse_image_label(path: str, attributes: Mapping[str, Any], zarr_format: int) -> dict[str, Any]:
    """Return the ``image-label`` block of a label image, validated.

    Raises
    ------
    FormatError
        The block is missing or breaks the specification.
    """
    version, ome = _ome_block(path, attributes, zarr_format, "image-label")
    _validate(path, version, "ImageLabel", ome["image-label"])
    return dict(ome["image-label"])


def render_metadata(metadata: ImageMetadata, label: Mapping[str, Any] | None) -> dict[str, Any]:
    """Group attributes of an NGFF 0.5 image, or of a label image when `label` is given.

    `metadata.datasets` must all have a spacing; the result is validated before it is returned.
    """
    from yaozarrs import v05

    axes: list[dict[str, str]] = []
    for name in metadata.axes:
        if name in "zyx":
            axes.append({"name": name, "type": "space", "unit": "micrometer"})
        else:
            axes.append({"name": name, "type": "channel" if name == "c" else "time"})

    def per_axis(values: tuple[float, float, float], fill: float) -> list[float]:
        placed = dict(zip("zyx", values, strict=True))
        return [placed.get(name, fill) for name in metadata.axes]

    datasets = []
    for dataset in metadata.datasets:
        if dataset.spacing_um is None:
            raise SpacingError(
                metadata.name or "the image", found=f"level {dataset.path} without a voxel size",
                expected="micrometres along z, y and x", remedy="Give the voxel size.",
            )  # fmt: skip
        datasets.append(
            {
                "path": dataset.path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": per_axis(dataset.spacing_um, 1.0)},
                    {
                        "type": "translation",
                        "translation": per_axis(dataset.translation_um, 0.0),
                    },
                ],
            }
        )
    image = {
        "name": metadata.name,
        "type": "mean" if label is None else "mode",
        "metadata": {"description": _MEAN if label is None else _MODE, "method": "scimage"},
        "axes": axes,
        "datasets": datasets,
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image]}
    if label is None:
        ome["omero"] = {"channels": [_omero_channel(c) for c in metadata.channels]}
        v05.Image.model_validate(ome)
    else:
        ome["image-label"] = dict(label)
        v05.LabelImage.model_validate(ome)
    return {"ome": ome, "scimage": {"spacing_origin": metadata.spacing_origin}}


def _omero_channel(channel: Channel) -> dict[str, Any]:
    return {
        "label": channel.name,
        "color": channel.color,
        "active": True,
        "coefficient": 1,
        "family": "linear",
        "inverted": False,
        "window": dict(zip(("min", "max", "start", "end"), channel.window, strict=True)),
    }


def _ome_block(
    path: str, attributes: Mapping[str, Any], zarr_format: int, wanted: str
) -> tuple[str, Mapping[str, Any]]:
    """Version and the block that holds `wanted`: the root in 0.4, ``ome`` in 0.5."""
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise FormatError(
            path,
            found="'ome' metadata that cannot be read",
            expected="OME-Zarr of version 0.4 or 0.5",
            remedy="Repair the metadata with the program that wrote them.",
        )
    version = _stated_version(ome) or ("none stated" if "ome" in attributes else "0.4")
    expected_format = {"0.4": 2, "0.5": 3}.get(version)
    if expected_format is None:
        raise FormatError(
            path,
            found=f"NGFF version {version}",
            expected="OME-Zarr of version 0.4 or 0.5",
            remedy="Convert the image to OME-Zarr 0.5 with the program that wrote it.",
        )
    if wanted not in ome:
        raise _something_else(path, ome, wanted)
    if expected_format != zarr_format:
        raise FormatError(
            path,
            found=f"NGFF {version} metadata in a Zarr format {zarr_format} group",
            expected=f"Zarr format {expected_format}",
            remedy="Convert the image again with the program that wrote it.",
        )
    return version, ome


def _stated_version(ome: Mapping[str, Any]) -> str | None:
    """Where 0.5 states it, and then where 0.4 does."""
    images = ome.get("multiscales")
    places = [
        ome,
        *(images if isinstance(images, list) else []),
        *(ome.get(key) for key in ("image-label", "plate", "well")),
    ]
    stated = [p.get("version") for p in places if isinstance(p, Mapping)]
    return next((str(version) for version in stated if version is not None), None)


def _something_else(path: str, ome: Mapping[str, Any], wanted: str) -> FormatError:
    if wanted == "image-label":
        return FormatError(
            path,
            found="no 'image-label' metadata",
            expected="an NGFF label image",
            remedy="Check that the path names one label inside the labels/ group.",
        )
    for key, what in (("plate", "a plate"), ("well", "a well"), ("bioformats2raw.layout", "a set")):
        if key in ome:
            images = ", ".join(_images_inside(path, ome)[:_NAMED]) or "PATH/0"
            return FormatError(
                path,
                found=f"{what} of several OME-Zarr images",
                expected="one image",
                remedy=f"Name one image inside it, for example {images}.",
            )
    return FormatError(
        path,
        found="a Zarr group without 'multiscales' metadata",
        expected="an OME-Zarr image",
        remedy="Name the folder that holds the image, or convert the data first.",
    )


def _images_inside(path: str, ome: Mapping[str, Any]) -> list[str]:
    """Paths of the images of a plate, a well or a bioformats2raw set, as far as they are there."""
    plate, well = ome.get("plate"), ome.get("well")
    if isinstance(plate, Mapping):
        wells = [f"{path}/{p}" for p in _paths(plate.get("wells"))]
        return [i for w in wells[:_NAMED] for i in _images_inside(w, _block_at(w))]
    if isinstance(well, Mapping):
        return [f"{path}/{p}" for p in _paths(well.get("images"))]
    series = _block_at(f"{path}/OME").get("series")
    named = [s for s in series if isinstance(s, str)] if isinstance(series, list) else []
    return [f"{path}/{s}" for s in named]


def _paths(members: Any) -> list[str]:
    listed = members if isinstance(members, list) else []
    paths = [m.get("path") for m in listed if isinstance(m, Mapping)]
    return [p for p in paths if isinstance(p, str) and leaves_store(p) is None]


def _block_at(path: str) -> Mapping[str, Any]:
    try:
        attributes, _ = group_attributes(path)
    except FormatError:
        return {}
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def _validate(path: str, version: str, model: str, data: Any) -> Any:
    import pydantic
    from yaozarrs import v04, v05

    try:
        with warnings.catch_warnings():
            # The models warn about what the specification only recommends.
            warnings.simplefilter("ignore")
            return getattr(v04 if version == "0.4" else v05, model).model_validate(
                data, strict=True
            )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or model
        reason = " ".join(str(first["msg"]).split())
        raise FormatError(
            path,
            found=f"invalid NGFF {version} metadata at {where}: {reason}",
            expected=f"what the NGFF {version} specification allows",
            remedy="Repair the metadata with the program that wrote them.",
        ) from error


def _channels(image: Any) -> tuple[Channel, ...]:
    described = image.omero.channels if image.omero else []
    return tuple(
        Channel(
            c.label or f"channel_{i}",
            c.color or "FFFFFF",
            (c.window.min, c.window.max, c.window.start, c.window.end),
        )
        for i, c in enumerate(described)
    )


def _frame(
    axes: str, factors: Sequence[float | None], transforms: Sequence[Mapping[str, Any]]
) -> tuple[tuple[float, float, float] | None, tuple[float, float, float], str | None]:
    """Compose scales and translations into a zyx frame in micrometres."""
    scale = dict.fromkeys(axes, 1.0)
    offset = dict.fromkeys(axes, 0.0)
    for transform in transforms:
        for axis, s in zip(axes, transform.get("scale", [1.0] * len(axes)), strict=True):
            scale[axis] *= s
            offset[axis] *= s
        for axis, t in zip(axes, transform.get("translation", [0.0] * len(axes)), strict=True):
            offset[axis] += t
    by_axis = dict(zip(axes, factors, strict=True))
    missing = [axis for axis in "zyx" if by_axis.get(axis) is None]
    # A position without a unit of length says nothing.
    translation = tuple(offset.get(a, 0.0) * (by_axis.get(a) or 0.0) for a in "zyx")
    if missing:
        absent = [a for a in missing if a not in axes]
        reason = (
            f"the image has no {', '.join(absent)} axis"
            if absent
            else f"axis {', '.join(missing)} has no unit of length"
        )
        return None, _triple(translation), reason
    spacing = tuple(scale[a] * (by_axis[a] or 1.0) for a in "zyx")
    problem = absurd_spacing(spacing)
    return (None if problem else _triple(spacing)), _triple(translation), problem


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    z, y, x = values
    return float(z), float(y), float(x)


def leaves_store(path: str) -> str | None:
    """Say why `path` may not be followed inside a store, or None if it may."""
    if not path or "\0" in path:
        return "which names nothing"
    if path.startswith("/") or "\\" in path or path[1:2] == ":" or ".." in path.split("/"):
        return "which leaves the store"
    return None


def _safe_path(store: str, path: str) -> str:
    if reason := leaves_store(path):
        raise FormatError(
            store,
            found=f"array path {path!r}, {reason}",
            expected="a path inside the store",
            remedy="Do not trust this file; ask its author.",
        )
    return path
