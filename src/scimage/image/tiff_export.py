"""Write an OME-TIFF, plane by plane: for other programs, and to have a microscope file to try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.image.staging import refuse_existing
from scimage.image.storage import naming_storage
from scimage.image.writer import NewImage, PixelSource
from scimage.progress import Report, silent

__all__ = ["write_ome_tiff"]

# Planes asked from the source at once.
_SLAB = 32


def write_ome_tiff(
    target: Path,
    new: NewImage,
    source: PixelSource,
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> None:
    """Write an uncompressed OME-TIFF with voxel size and channel names; BigTIFF where needed.

    It appears at `target` when it is whole. Memory holds 32 planes.

    Raises
    ------
    TargetExistsError, StorageError
        The target cannot be written.
    """
    import tifffile

    refuse_existing(target, overwrite, replaces=Path.is_file)
    partial = target.with_name(f".{target.name}.partial")
    z, y, x = new.spacing_um
    metadata: dict[str, Any] = {
        "axes": "CZYX",
        "PhysicalSizeZ": z, "PhysicalSizeZUnit": "µm",
        "PhysicalSizeY": y, "PhysicalSizeYUnit": "µm",
        "PhysicalSizeX": x, "PhysicalSizeXUnit": "µm",
        "Channel": {"Name": [c.name for c in new.channels]},
    }  # fmt: skip
    size = int(np.prod(new.shape)) * new.dtype.itemsize
    with naming_storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tifffile.TiffWriter(partial, ome=True, bigtiff=size > 2**32 - 2**25) as tiff:
                tiff.write(
                    _planes(new, source, report), shape=new.shape, dtype=new.dtype,
                    metadata=metadata, photometric="minisblack",
                )  # fmt: skip
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _planes(new: NewImage, source: PixelSource, report: Report) -> Iterator[NDArray[Any]]:
    channels, depth, height, width = new.shape
    for c in range(channels):
        for start in range(0, depth, _SLAB):
            slab = slice(start, min(start + _SLAB, depth))
            yield from source.read(c, slab, slice(0, height), slice(0, width))
            report("render", c * depth + slab.stop, channels * depth)
