"""What an image is, in plain data: the answer of ``scimage inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scimage.image.reader import Image, open_image
from scimage.image.remote import is_address
from scimage.image.results import ResultStore
from scimage.image.sources import open_source
from scimage.image.storage import folder_bytes, group_attributes, is_zarr

__all__ = ["summarize"]


def summarize(path: str | Path) -> dict[str, Any]:
    """Describe an OME-Zarr image, a store of results, or a microscope file.

    Returns
    -------
    Plain data (strings, numbers, lists): format, axes, shape, dtype, spacing and where it comes
    from, channels, pyramid, labels, tables, bytes.

    Raises
    ------
    FormatError
        It is none of these, or damaged.
    """
    if is_address(path):
        # What lies beside the image there cannot be listed everywhere, nor counted cheaply.
        return _image(open_image(path))
    where = Path(path)
    if not is_zarr(where):
        with open_source(path) as source:
            return {
                "path": str(path),
                "format": source.format,
                "axes": "czyx",
                "shape": list(source.shape),
                "dtype": str(source.dtype),
                "spacing_um": _listed(source.spacing_um),
                "spacing_origin": source.spacing_origin,
                "channels": list(source.channel_names),
            }
    store = ResultStore(path)
    results = {
        "labels": {n: _label(store, n) for n in store.label_names()},
        "tables": {n: store.table_attributes(n).get("type", "") for n in store.table_names()},
    }
    attributes, _ = group_attributes(str(where))
    size = folder_bytes(where)
    if not attributes and (results["labels"] or results["tables"]):
        return {"path": str(path), "format": "results of scimage", **results, "bytes": size}
    return {**_image(open_image(path)), **results, "bytes": size}


def _image(image: Image) -> dict[str, Any]:
    return {
        "path": image.path,
        "format": f"OME-Zarr {image.metadata.version}",
        "axes": image.metadata.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "spacing_um": _listed(image.levels[0].spacing_um),
        "spacing_origin": image.spacing_origin,
        "translation_um": list(image.levels[0].translation_um),
        "channels": [c.name for c in image.channels],
        "pyramid": [
            {"path": v.path, "shape": list(v.shape), "spacing_um": _listed(v.spacing_um)}
            for v in image.levels
        ],
    }


def _label(store: ResultStore, name: str) -> dict[str, Any]:
    label = store.label(name)
    return {
        "shape": list(label.shape[1:]),
        "dtype": str(label.dtype),
        "spacing_um": _listed(label.levels[0].spacing_um),
        "classes": {c.value: c.name for c in store.label_classes(name)},
    }


def _listed(values: tuple[float, float, float] | None) -> list[float] | None:
    return None if values is None else list(values)
