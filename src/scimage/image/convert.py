"""Bring a microscope file into a sharded OME-Zarr 0.5 image with a known voxel size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import SpacingError, UsageError
from scimage.image.metadata import Channel, named_channels
from scimage.image.reader import Image, open_image
from scimage.image.remote import is_address, refuse_address
from scimage.image.sources import open_source
from scimage.image.storage import is_zarr
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
        pattern of planes or of one stack a channel; a list of such files; or the address of an
        OME-Zarr.
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
    if spacing_um is not None:
        _refuse_absurd(spacing_um)
    refuse_address(target)
    single = isinstance(source, (str, Path))
    given = [source] if isinstance(source, (str, Path)) else source
    remote = single and is_address(given[0])
    files = [] if remote else [Path(f) for f in given]
    # Absolute, so that "." and ".." have names that the parts can be built beside.
    where = Path(os.path.abspath(target))
    _refuse_entangled(files, where)
    name = where.name.removesuffix(".zarr").removesuffix(".ome")
    if remote or (single and is_zarr(files[0])):
        image = open_image(given[0])
        new = NewImage(
            image.shape,
            image.dtype,
            *_spacing(image.path, image.levels[0].spacing_um, image.spacing_origin, spacing_um),
            _renamed(image.path, image.channels, channels),
            image.levels[0].translation_um,
            name,
        )
        origin = image.path if remote else os.path.abspath(image.path)
        identity = {"source": origin, "state": image.state(0)}
        pixels: PixelSource = _ZarrPixels(image)
        write_image(
            where, new, pixels, identity, overwrite=overwrite, workers=workers, report=report
        )
    else:
        with open_source(files[0] if single else files) as stack:
            described = named_channels(stack.channel_names, stack.channel_colors)
            new = NewImage(
                stack.shape,
                stack.dtype,
                *_spacing(stack.path, stack.spacing_um, stack.spacing_origin, spacing_um),
                _renamed(stack.path, described, channels),
                name=name,
            )
            identity = {"source": os.path.abspath(stack.path), "state": stack.digest_inputs()}
            write_image(
                where, new, stack, identity, overwrite=overwrite, workers=workers, report=report
            )
    return open_image(where)


def _refuse_absurd(spacing_um: Sequence[float]) -> None:
    problem = absurd_spacing(spacing_um) if len(spacing_um) == 3 else f"{len(spacing_um)} numbers"
    if problem:
        raise SpacingError(
            "--spacing", found=problem, expected="three lengths of 0.001 to 10000 micrometres",
            remedy="Give the distance between voxel centres along z, y and x.",
        )  # fmt: skip


def _refuse_entangled(files: Sequence[Path], target: Path) -> None:
    """Writing inside the source would change it, and replacing a folder around it remove it."""
    for file in files:
        place, goal = file.resolve(), target.resolve()
        if place == goal:
            found = "the source itself as the target"
        elif place.is_relative_to(goal) and goal.exists():
            found = "a target that holds the source"
        elif goal.is_relative_to(place) and is_zarr(place):
            found = "a target inside the source"
        else:
            continue
        raise UsageError(
            target, found=found, expected="another place",
            remedy="Choose another name for the converted image.",
        )  # fmt: skip


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
