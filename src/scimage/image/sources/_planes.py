"""Planes (y, x) inside files, and how a region of one is read.

Every format ends here: a TIFF page, a slice of an ImageJ hyperstack and a slice
of a NIfTI volume are planes, either raw (rows at a known offset) or encoded
(strips or tiles).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scimage.image.sources._boundary import refuse, truncated
from scimage.image.sources._codecs import LZW, check_announced_pixels, check_ratio
from scimage.image.sources._lzw import decode_lzw

__all__ = ["EncodedPlane", "Files", "Layout", "Plane", "RawPlane"]

# A process may open 256 (macOS) or 1024 (Linux) files; a folder of planes has more.
_OPEN_FILES = 32

# Reading up to this many times the wanted bytes in one go beats a read for each row.
_ROW_READ_WASTE = 4


class Files:
    """Reads at positions of files, shared between threads, few of them open at once."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes from `offset`.

        Raises
        ------
        FormatError
            The file ends before.
        """
        with self._lock:
            file = self._open.pop(path, None) or path.open("rb")
            self._open[path] = file
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            # A hostile count must not allocate more than the file has.
            end = file.seek(0, 2)
            if offset < 0 or offset + size > end:
                raise truncated(path, offset + size, end)
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise truncated(path, offset + size, offset + len(data))
        return data

    def substitute(self, path: Path, file: IO[bytes]) -> None:
        """Read from an open file instead of the one at `path`, until `close`."""
        with self._lock:
            self._open[path] = file

    def close(self) -> None:
        """Close all files; a later read opens them again."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


class Plane(Protocol):
    """One plane of one channel."""

    def read(self, files: Files, y: slice, x: slice) -> NDArray[Any]:
        """Read a region (y, x); the slices have start and stop inside the plane."""


@dataclass(frozen=True, slots=True)
class RawPlane:
    """Uncompressed rows, one after the other.

    Rows are read, not memory-mapped: a mapped file on a share that goes away
    kills the process, and mapped pages count as this process's memory.
    """

    path: Path
    offset: int
    width: int
    dtype: np.dtype[Any]  # in the byte order of the file
    samples: int = 1  # interleaved samples of a pixel
    sample: int = 0

    def read(self, files: Files, y: slice, x: slice) -> NDArray[Any]:
        """Read a region (y, x)."""
        pixel = self.dtype.itemsize * self.samples
        row = pixel * self.width
        rows, columns = y.stop - y.start, x.stop - x.start
        start = self.offset + y.start * row
        if columns * _ROW_READ_WASTE >= self.width:
            data = files.read(self.path, start, rows * row)
            region = self._values(data, rows, self.width)[:, x]
        else:
            data = b"".join(
                files.read(self.path, start + k * row + x.start * pixel, columns * pixel)
                for k in range(rows)
            )
            region = self._values(data, rows, columns)
        return region

    def _values(self, data: bytes, rows: int, columns: int) -> NDArray[Any]:
        values = np.frombuffer(data, self.dtype).reshape(rows, columns, self.samples)
        return values[:, :, self.sample]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the pages of a TIFF series have in common.

    `decode` is tifffile's decoder of one strip or tile.
    """

    decode: Callable[..., tuple[NDArray[Any] | None, tuple[int, ...], tuple[int, ...]]]
    compression: int
    predictor: int
    tiled: bool
    ratio: int  # most decoded bytes for a stored byte
    height: int
    width: int
    segment_height: int
    segment_width: int
    dtype: np.dtype[Any]  # of the samples, in the byte order of the file
    interleaved: int  # samples of a pixel that are stored together
    separate: int  # samples that are stored as planes of their own

    @property
    def grid(self) -> tuple[int, int]:
        """Number of strips or tiles down and across."""
        return -(-self.height // self.segment_height), -(-self.width // self.segment_width)

    def decoded_bytes(self, rows: int) -> int:
        """Size of so many rows of a strip or tile in memory."""
        return rows * self.segment_width * self.interleaved * self.dtype.itemsize

    @property
    def most_stored(self) -> int:
        """Most bytes that a strip or tile may take: no codec doubles its input."""
        full = self.decoded_bytes(self.segment_height)
        return full if self.compression == 1 else 2 * full + 2**16


@dataclass(frozen=True, slots=True)
class EncodedPlane:
    """A plane of strips or tiles: only those that a region touches are decoded."""

    path: Path
    layout: Layout
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]  # stored bytes, at most `layout.most_stored`
    decode_options: dict[str, Any]
    sample: int  # interleaved sample to take
    first: int = 0  # first strip or tile of this plane, with separate sample planes

    def read(self, files: Files, y: slice, x: slice) -> NDArray[Any]:
        """Read a region (y, x)."""
        layout = self.layout
        down, across = layout.segment_height, layout.segment_width
        parts = [
            [
                self._part(files, row, column, y, x)
                for column in range(x.start // across, -(-x.stop // across))
            ]
            for row in range(y.start // down, -(-y.stop // down))
        ]
        return np.block(parts)

    def _decode(self, data: bytes, index: int, height: int) -> NDArray[Any] | None:
        """Decode a strip or tile to an array of (1, rows, columns, samples)."""
        layout = self.layout
        if layout.compression != LZW:
            return layout.decode(data, index, **self.decode_options)[0]
        rows = layout.segment_height if layout.tiled else height
        shape = (rows, layout.segment_width, layout.interleaved)
        return decode_lzw(data, shape, layout.dtype, layout.predictor)[np.newaxis]

    def _part(self, files: Files, row: int, column: int, y: slice, x: slice) -> NDArray[Any]:
        """Decode one strip or tile and cut out what the region (y, x) has of it."""
        layout = self.layout
        index = self.first + row * layout.grid[1] + column
        top, left = row * layout.segment_height, column * layout.segment_width
        height = min(layout.segment_height, layout.height - top)
        offset, count = int(self.offsets[index]), int(self.counts[index])
        check_ratio(layout.decoded_bytes(height), count, layout.ratio, self.path)
        data = files.read(self.path, offset, count)
        check_announced_pixels(
            layout.compression, data, layout.segment_height, layout.segment_width, self.path
        )
        values = self._decode(data, index, height)
        width = min(layout.segment_width, layout.width - left)
        if values is None or values.shape[1] < height or values.shape[2] < width:
            raise refuse(
                self.path, f"strip or tile {index} with too few pixels", f"{height} x {width}"
            )
        return values[
            0,
            max(y.start - top, 0) : min(y.stop - top, height),
            max(x.start - left, 0) : min(x.stop - left, width),
            self.sample,
        ]
