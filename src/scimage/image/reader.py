"""An OME-Zarr image, opened: levels, channels, frame, and regions of pixels on demand."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import ChannelError, FormatError, SpacingError, UsageError
from scimage.image.metadata import Channel, ImageMetadata, named_channels, parse_metadata
from scimage.image.remote import as_address, is_address, name_at, remote_state
from scimage.image.safety import reading_failed
from scimage.image.storage import array_at, group_attributes, read_region

__all__ = ["Image", "Level", "Region", "Volume", "open_image"]

Region = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class Volume:
    """One channel of one pyramid level: a stored 3-D array that travels as a name.

    It holds no data and no open file, so that it can be sent to a worker in another process.

    Attributes
    ----------
    store, path
        Where the array is: the Zarr store (a folder or an address), and the path in it.
    axes
        Order of the stored axes, out of t, c, z, y, x.
    channel
        Index along c (0 where there is no c axis).
    shape
        (z, y, x); an axis that is not stored has length 1.
    dtype
        Name of the data type, in the machine's byte order.
    chunk
        (z, y, x) of what is decoded at once.
    """

    store: str
    path: str
    axes: str
    channel: int
    shape: tuple[int, int, int]
    dtype: str
    chunk: tuple[int, int, int]

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region (slices along z, y, x with start and stop inside the volume).

        Returns
        -------
        (z, y, x), in the machine's byte order, contiguous.

        Raises
        ------
        FormatError
            The data cannot be decoded, or another array stands there by now.
        UsageError
            The region is not inside the volume.
        StorageError
            The disk, or the server, failed.
        """
        for s, n in zip(region, self.shape, strict=True):
            if not 0 <= s.start <= s.stop <= n:
                raise UsageError(
                    f"{self.store}/{self.path}", found=f"a region of {s.start}:{s.stop}",
                    expected=f"a part of 0:{n}", remedy="Ask for a region inside the volume.",
                )  # fmt: skip
        stored = array_at(self.store, self.path).shape
        if len(stored) != len(self.axes) or self.shape != _zyx(
            dict(zip(self.axes, stored, strict=True))
        ):
            raise FormatError(
                f"{self.store}/{self.path}",
                found=f"an array of shape {stored}, replaced since the image was opened",
                expected=f"the array (z, y, x) of shape {self.shape}",
                remedy="Open the image again.",
            )
        where = dict(zip("zyx", region, strict=True))
        index = tuple(
            where[axis] if axis in "zyx" else (self.channel if axis == "c" else 0)
            for axis in self.axes
        )
        data = read_region(self.store, self.path, index)
        data = data.reshape(tuple(s.stop - s.start for s in region))
        return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


@dataclass(frozen=True, slots=True)
class Level:
    """One pyramid level and its frame.

    `shape` is (z, y, x); `spacing_um` is None where the file does not tell it;
    `translation_um` is the position of the centre of the first voxel. Where `bins` (z, y, x) are
    above 1, so many stored voxels are one, and shape and frame are of these larger voxels.
    """

    index: int
    path: str
    shape: tuple[int, int, int]
    spacing_um: tuple[float, float, float] | None
    translation_um: tuple[float, float, float]
    bins: tuple[int, int, int] = (1, 1, 1)

    def binned(self, working_um: float) -> Level:
        """The same with the largest voxels, of whole numbers of stored ones, up to `working_um`."""
        if self.spacing_um is None:
            return self
        # A spacing that divides the wanted one up to rounding does divide it.
        bins = [max(1, math.floor(working_um / s * (1 + 1e-9))) for s in self.spacing_um]
        frame = zip(self.shape, self.spacing_um, self.translation_um, bins, strict=True)
        shape, spacing, translation = zip(
            *((-(-n // b), s * b, t + s * (b - 1) / 2) for n, s, t, b in frame), strict=True
        )
        return Level(
            self.index, self.path, _triple(shape), _triple(spacing), _triple(translation),
            _triple(bins),
        )  # fmt: skip


class Image:
    """An OME-Zarr image of version 0.4 or 0.5, read-only.

    Whatever axes are stored, it is seen as (c, z, y, x); time must have length one.
    Use :func:`open_image` to get one.
    """

    def __init__(self, path: str, metadata: ImageMetadata) -> None:
        self.path = path
        self.metadata = metadata
        arrays = [array_at(path, dataset.path) for dataset in metadata.datasets]
        for dataset, array in zip(metadata.datasets, arrays, strict=True):
            if array.ndim != len(metadata.axes):
                raise FormatError(
                    f"{path}/{dataset.path}",
                    found=f"an array of {array.ndim} dimensions",
                    expected=f"{len(metadata.axes)}, one for each axis of {metadata.axes}",
                    remedy="Repair the metadata with the program that wrote them.",
                )
        first = dict(zip(metadata.axes, arrays[0].shape, strict=True))
        for dataset, array in zip(metadata.datasets, arrays, strict=True):
            level = dict(zip(metadata.axes, array.shape, strict=True))
            if any(level[a] > n if a in "zyx" else level[a] != n for a, n in first.items()):
                raise FormatError(
                    f"{path}/{dataset.path}",
                    found=f"a pyramid level of shape {array.shape}",
                    expected=f"one that is coarser than {arrays[0].shape}, the first",
                    remedy="Repair the metadata with the program that wrote them.",
                )
        if first.get("t", 1) != 1:
            raise FormatError(
                path,
                found=f"{first['t']} time points",
                expected="a single one",
                remedy="Export each time point as an image of its own.",
            )
        if 0 in first.values():
            raise FormatError(
                path,
                found=f"an empty image of shape {tuple(first.values())}",
                expected="at least one voxel",
                remedy="Check the export from the microscope.",
            )
        self.dtype: np.dtype[Any] = arrays[0].dtype.newbyteorder("=")
        self.levels: tuple[Level, ...] = tuple(
            Level(
                i,
                dataset.path,
                _zyx(dict(zip(metadata.axes, array.shape, strict=True))),
                dataset.spacing_um,
                dataset.translation_um,
            )
            for i, (dataset, array) in enumerate(zip(metadata.datasets, arrays, strict=True))
        )
        n_channels = first.get("c", 1)
        described = metadata.channels
        self.channels: tuple[Channel, ...] = (
            described
            if len(described) == n_channels
            else named_channels([f"channel_{i}" for i in range(n_channels)])
        )

    @property
    def name(self) -> str:
        """Name of the image: its folder without the suffixes of OME-Zarr."""
        stem = name_at(self.path) if is_address(self.path) else Path(self.path).name
        for suffix in (".zarr", ".ome"):
            stem = stem.removesuffix(suffix)
        return stem

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(c, z, y, x) at full resolution."""
        return (len(self.channels), *self.levels[0].shape)

    @property
    def spacing_origin(self) -> str:
        """Where the voxel size comes from or, when it is unknown, why it is."""
        return self.metadata.spacing_origin

    @cached_property
    def spacing_um(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in micrometres at full resolution.

        Raises
        ------
        SpacingError
            The image does not tell it, or tells something absurd.
        """
        spacing = self.levels[0].spacing_um
        if spacing is None:
            raise SpacingError(
                self.path,
                found=f"no usable voxel size ({self.spacing_origin})",
                expected="the voxel size in micrometres",
                remedy="Give it on conversion: scimage convert SOURCE IMAGE --spacing Z,Y,X.",
            )
        return spacing

    def channel_index(self, channel: str | int) -> int:
        """Index of a channel given by name or by index.

        An integer is an index. Text is a name or, where no channel has it, an index: a channel
        called "1" can be asked for.

        Raises
        ------
        ChannelError
            There is no such channel, or more than one of this name.
        """
        names = [c.name for c in self.channels]
        if not isinstance(channel, str) and 0 <= channel < len(names):
            return int(channel)
        text = str(channel)
        if names.count(text) == 1:
            return names.index(text)
        if text.isdecimal() and int(text) < len(names) and names.count(text) == 0:
            return int(text)
        raise ChannelError(
            self.path,
            found=f"no channel {text!r}" if text not in names else f"several channels {text!r}",
            expected=f"one of {', '.join(f'{n} ({i})' for i, n in enumerate(names))}",
            remedy="Name one of these, or give its index.",
        )

    def volume(self, channel: str | int, level: int = 0) -> Volume:
        """One channel of one pyramid level, to be read by regions.

        Raises
        ------
        ChannelError, UsageError
            No such channel, no such level.
        """
        stored = self._level(level)
        array = array_at(self.path, stored.path)
        return Volume(
            self.path,
            stored.path,
            self.metadata.axes,
            self.channel_index(channel),
            stored.shape,
            str(array.dtype.newbyteorder("=")),
            _zyx(dict(zip(self.metadata.axes, array.chunks, strict=True))),
        )

    def read(
        self, channel: str | int, region: Region | None = None, level: int = 0
    ) -> NDArray[Any]:
        """Read a region, or all, of a channel as (z, y, x).

        Slices may be open (``slice(None)``) and are clipped to the volume; steps are not allowed.
        """
        volume = self.volume(channel, level)
        asked = region or (slice(None), slice(None), slice(None))
        spans = [s.indices(n) for s, n in zip(asked, volume.shape, strict=True)]
        if any(step != 1 for _, _, step in spans):
            raise UsageError(
                self.path, found="a region with a step", expected="slices without a step",
                remedy="Read a coarser pyramid level instead.",
            )  # fmt: skip
        z, y, x = (slice(start, max(start, stop)) for start, stop, _ in spans)
        return volume.read((z, y, x))

    def state(self, level: int) -> list[Any]:
        """Plain data that changes whenever the pixels of a level may have changed.

        Locally: name, size and time of the metadata files, and the number, the bytes and a
        digest of names, sizes and times of all files of the level. At an address see
        :func:`scimage.image.remote.remote_state`.

        Raises
        ------
        UsageError, StorageError
            No such level; the disk, or the server, failed.
        """
        path = self._level(level).path
        return remote_state(self.path, path) if is_address(self.path) else _state(self.path, path)

    def _level(self, level: int) -> Level:
        if not 0 <= level < len(self.levels):
            raise UsageError(
                self.path,
                found=f"no pyramid level {level}",
                expected=f"0 to {len(self.levels) - 1}",
                remedy="Choose one of these levels.",
            )
        return self.levels[level]

    def level_near(self, working_um: float) -> Level:
        """Find the coarsest level whose spacing along y and x is not above `working_um`.

        Full resolution when even that is coarser.
        """
        fine_enough = [
            level
            for level in self.levels
            if level.spacing_um is not None and max(level.spacing_um[1:]) <= working_um
        ]
        return fine_enough[-1] if fine_enough else self.levels[0]


def open_image(path: str | Path) -> Image:
    """Open an OME-Zarr image (0.4 or 0.5) in a local folder or at an address.

    Parameters
    ----------
    path
        A folder, or ``s3://bucket/path``, ``gs://``, ``az://``, ``http://`` or ``https://``.
        Addresses need ``pip install 'scimage[remote]'``; credentials come from the environment
        (see :mod:`scimage.image.remote`).

    Raises
    ------
    FormatError
        It is no OME-Zarr image, its metadata are invalid, or an array is missing or unsafe.
    UsageError
        The address is of another kind, or holds a password.
    StorageError
        The disk, or the server, failed.
    """
    where = as_address(path) if is_address(path) else str(path).rstrip("/") or "/"
    attributes, zarr_format = group_attributes(where)
    return Image(where, parse_metadata(where, attributes, zarr_format))


def _triple(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    z, y, x = values
    return z, y, x


def _zyx(by_axis: dict[str, int]) -> tuple[int, int, int]:
    return by_axis.get("z", 1), by_axis.get("y", 1), by_axis.get("x", 1)


def _state(store: str, path: str) -> list[Any]:
    folder = Path(store)
    try:
        stats = [
            (name, (folder / name).stat())
            for name in ("zarr.json", ".zgroup", ".zattrs")
            if (folder / name).exists()
        ]
        files = sorted(_files(folder / path))
    except OSError as error:
        raise reading_failed(folder, error) from error
    listed = "\n".join(f"{name}\0{size}\0{time}" for name, size, time in files)
    digest = hashlib.sha256(listed.encode(errors="surrogateescape"))
    return [
        *([name, s.st_size, s.st_mtime_ns] for name, s in stats),
        [path, len(files), sum(size for _, size, _ in files), digest.hexdigest()],
    ]


def _files(folder: Path | str, inside: str = "") -> Iterator[tuple[str, int, int]]:
    """Relative path, size and time of every file below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path, f"{inside}{entry.name}/")
            else:
                stat = entry.stat()
                yield f"{inside}{entry.name}", stat.st_size, stat.st_mtime_ns
