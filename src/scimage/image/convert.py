"""Bring a microscope file into a sharded OME-Zarr 0.5 image with a known voxel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import SpacingError, UsageError
from scimage.image.metadata import Channel, named_channels
from scimage.image.reader import Image, open_image
from scimage.image.sources import open_source
from scimage.image.units import absurd_spacing
from scimage.image.writer import NewImage, PixelSource, write_image
from scimage.progress import Report, silent

__all__ = ["convert"]


def convert(
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    *,
    spacing_um: tuple[float, float, float] | None = None,
    channels: Sequence[str] | None = None,
    overwrite: bool = False,
    workers: int = 2,
    report: Report = silent,
) -> Image:
    """Convert a microscope file to OME-Zarr 0.5.

    Memory does not depend on the size of the source. A stopped conversion is continued by the
    same call; nothing appears at `target` before it is whole.

    Parameters
    ----------
    source
        A TIFF, OME-TIFF, ImageJ hyperstack, NIfTI or OME-Zarr (0.4, 0.5); a folder or glob
        pattern of planes or of one stack a channel; or a list of such files.
    target
        The image to write, by convention ``NAME.ome.zarr``.
    spacing_um
        Voxel size (z, y, x) in micrometres. Wins over what the file says; required where the
        file says nothing usable.
    channels
        Names for the channels, in their order.
    overwrite
        Replace `target` if it exists.
    workers
        Threads that compress.
    report
        Told of each finished shard; may raise to stop.

    Raises
    ------
    SpacingError
        The voxel size is unknown or absurd and was not given.
    FormatError
        The source is damaged or of a kind that scimage does not read.
    TargetExistsError, StorageError
        The target cannot be written.
    """
    if spacing_um is not None and (problem := absurd_spacing(spacing_um)):
        raise SpacingError(
            "--spacing", found=problem, expected="micrometres between 0.001 and 10000",
            remedy="Give the distance between voxel centres along z, y and x.",
        )  # fmt: skip
    where = Path(target)
    if isinstance(source, (str, Path)) and _is_zarr(Path(source)):
        if Path(source).resolve() == where.resolve():
            raise UsageError(
                target, found="the source itself as the target", expected="another place",
                remedy="Choose another name for the converted image.",
            )  # fmt: skip
        image = open_image(source)
        new = NewImage(
            image.shape,
            image.dtype,
            *_spacing(image.path, image.levels[0].spacing_um, image.spacing_origin, spacing_um),
            _renamed(image.path, image.channels, channels),
            image.levels[0].translation_um,
            where.name.removesuffix(".zarr").removesuffix(".ome"),
        )
        identity = {"source": image.path, "state": _zarr_state(Path(image.path))}
        _write(where, new, _ZarrPixels(image), identity, overwrite, workers, report)
    else:
        with open_source(source) as stack:
            described = named_channels(stack.channel_names, stack.channel_colors)
            new = NewImage(
                stack.shape,
                stack.dtype,
                *_spacing(stack.path, stack.spacing_um, stack.spacing_origin, spacing_um),
                _renamed(stack.path, described, channels),
                name=where.name.removesuffix(".zarr").removesuffix(".ome"),
            )
            identity = {"source": stack.path, "state": stack.digest_inputs()}
            _write(where, new, stack, identity, overwrite, workers, report)
    return open_image(where)


def _write(
    target: Path,
    new: NewImage,
    pixels: PixelSource,
    identity: dict[str, Any],
    overwrite: bool,
    workers: int,
    report: Report,
) -> None:
    write_image(target, new, pixels, identity, overwrite=overwrite, workers=workers, report=report)


def _spacing(
    path: str,
    stated: tuple[float, float, float] | None,
    origin: str,
    given: tuple[float, float, float] | None,
) -> tuple[tuple[float, float, float], str]:
    if given is not None:
        return given, "given"
    if stated is None:
        raise SpacingError(
            path,
            found=f"no usable voxel size ({origin})",
            expected="the voxel size in micrometres",
            remedy="Give it: --spacing Z,Y,X.",
        )
    return stated, origin


def _renamed(
    path: str, channels: Sequence[Channel], names: Sequence[str] | None
) -> tuple[Channel, ...]:
    if names is None:
        return tuple(channels)
    if len(names) != len(channels) or len(set(names)) != len(names) or not all(names):
        raise UsageError(
            "--channels",
            found=f"{len(names)} names ({', '.join(names)})",
            expected=f"{len(channels)} different names, one for each channel of {path}",
            remedy="Give a name for each channel, in their order.",
        )
    return tuple(replace(c, name=name) for c, name in zip(channels, names, strict=True))


class _ZarrPixels:
    """Full-resolution pixels of an OME-Zarr image."""

    def __init__(self, image: Image) -> None:
        self._volumes = [image.volume(c) for c in range(len(image.channels))]

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return np.asarray(self._volumes[channel].read((z, y, x)))


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / n).exists() for n in ("zarr.json", ".zgroup", ".zattrs"))


def _zarr_state(path: Path) -> list[list[Any]]:
    """Sizes and times of the metadata files: they change whenever an image is written again."""
    files = sorted(f for n in ("zarr.json", ".zattrs", "*/.zarray", "*/zarr.json")
                   for f in path.glob(n))  # fmt: skip
    return [[str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
