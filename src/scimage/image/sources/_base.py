"""The part that all readers share: a source made of planes."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scimage.errors import UsageError
from scimage.image.sources._boundary import decoding, refuse
from scimage.image.sources._planes import Files, Plane
from scimage.image.sources._spacing import Spacing

__all__ = ["Description", "PlaneSource", "checked_dtype", "unique_names"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything about a source but its pixels; see `Source` for the meaning."""

    path: str
    format: str
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    spacing: Spacing
    channel_names: tuple[str, ...]
    channel_colors: tuple[str | None, ...]
    preferred_chunk: tuple[int, int, int]


class PlaneSource(ABC):
    """A `Source` that reads plane by plane.

    Parameters
    ----------
    description
        What the source is.
    inputs
        The files that it is made of.
    """

    def __init__(self, description: Description, inputs: Sequence[Path]) -> None:
        self.description = description
        self.path = description.path
        self.format = description.format
        self.shape = description.shape
        self.dtype = description.dtype
        self.spacing_um = description.spacing.um
        self.spacing_origin = description.spacing.origin
        self.channel_names = description.channel_names
        self.channel_colors = description.channel_colors
        self.preferred_chunk = description.preferred_chunk
        self.files = Files()
        self.inputs = tuple(inputs)

    @abstractmethod
    def plane(self, channel: int, z: int) -> Plane:
        """Find a plane; both indices are inside the image."""

    def convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Turn stored values into voxels of `dtype`."""
        return stored.astype(self.dtype, copy=False)

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read one region (z, y, x) of a channel; see `Source.read`."""
        count, *sizes = self.shape
        if not 0 <= operator.index(channel) < count:
            raise _outside(self.path, f"channel {channel}", f"0 to {count - 1}")
        planes, rows, columns = (
            self._bounded(axis, wanted, size)
            for axis, wanted, size in zip("zyx", (z, y, x), sizes, strict=True)
        )
        region = np.empty([s.stop - s.start for s in (planes, rows, columns)], self.dtype)
        if region.size:
            with decoding(self.path):
                for k in range(planes.start, planes.stop):
                    stored = self.plane(channel, k).read(self.files, rows, columns)
                    region[k - planes.start] = self.convert(stored)
        return region

    def _bounded(self, axis: str, wanted: slice, size: int) -> slice:
        start = 0 if wanted.start is None else operator.index(wanted.start)
        stop = size if wanted.stop is None else operator.index(wanted.stop)
        if wanted.step not in (None, 1) or not 0 <= start <= stop <= size:
            raise _outside(self.path, f"{axis} = {wanted}", f"a range inside 0 to {size}, step 1")
        return slice(start, stop)

    def digest_inputs(self) -> list[tuple[str, int, int]]:
        """Identity of the source: name, size in bytes and mtime in ns of each file."""
        with decoding(self.path):
            stats = [(path.name, path.stat()) for path in self.inputs]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def close(self) -> None:
        """Let go of all files."""
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def checked_dtype(dtype: np.dtype[Any] | None, path: object) -> np.dtype[Any]:
    """Return the native type of the voxels.

    Bits become uint8, 0 and 1.

    Raises
    ------
    FormatError
        The type loses values in float32 or is not a number.
    """
    if dtype is not None and dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype is None or dtype.newbyteorder("=").name not in _DTYPES:
        raise refuse(path, f"voxels of type {dtype or 'unknown'}", f"one of {', '.join(_DTYPES)}")
    return dtype.newbyteorder("=")


def unique_names(names: Sequence[str | None]) -> tuple[str, ...]:
    """Complete channel names: 'channel_<index>' where missing, a suffix where repeated."""
    # A dictionary keeps the order, and a hostile file can announce 65535 samples.
    unique: dict[str, None] = {}
    copies: dict[str, int] = {}
    for index, stated in enumerate(names):
        name = " ".join((stated or "").split()) or f"channel_{index}"
        candidate = name
        while candidate in unique:
            copies[name] = copies.get(name, 1) + 1
            candidate = f"{name}_{copies[name]}"
        unique[candidate] = None
    return tuple(unique)


def _outside(path: str, found: str, expected: str) -> UsageError:
    return UsageError(path, found=found, expected=expected, remedy="Ask for a region of the image.")
