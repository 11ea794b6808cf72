"""The files of chunks and shards, read and decoded without zarr.

Each thread reads and decodes what it asks for itself, by C decoders that let go of the
interpreter: no event loop, no second thread, and no copy of a chunk that lies in one piece in
what is asked for. Whatever :func:`chunk_format` does not know is left to zarr. Measurements:
docs/decisions/0007-reading.md.
"""

from __future__ import annotations

import importlib
import io
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scimage.image.safety import (
    HEAD,
    Index,
    blosc_cut_off,
    guarantees,
    reading_failed,
    short,
    unreadable,
)

if TYPE_CHECKING:
    import numpy as np
    import zarr
    from numpy.typing import NDArray

__all__ = ["ChunkFormat", "chunk_format", "read_chunks"]

# Decodes bytes into others, never behind their end, and returns how many there were.
_Decode = Callable[["NDArray[np.uint8]", "NDArray[np.uint8]"], int]

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC32C = {"name": "crc32c"}
# What the index of a shard says in place of start and length of a chunk that was not written.
_ABSENT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """How the chunks of an array lie in files.

    Attributes
    ----------
    unit, chunk
        Shape of what a file holds, and of what is decoded at once.
    axes
        Order of the axes in the bytes of a chunk, slowest first.
    stored, dtype
        Type in the file, and the same in the machine's byte order.
    fill
        Value of what was never written.
    decode
        Undoes the compression, if there is any.
    checksums
        How many CRC32C follow a chunk.
    sharded, index_first, index_checksum
        Whether files are shards, whether their index is at their beginning, and whether a
        CRC32C follows it.
    whole
        No file may be missing.
    key
        Names the file at a position in the grid of units.
    """

    unit: tuple[int, ...]
    chunk: tuple[int, ...]
    axes: tuple[int, ...]
    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    fill: Any
    decode: _Decode | None
    checksums: int
    sharded: bool
    index_first: bool
    index_checksum: bool
    whole: bool
    key: Callable[[tuple[int, ...]], str]


def chunk_format(array: zarr.Array[Any]) -> ChunkFormat | None:
    """Tell how the chunks of an array lie in files, or None where only zarr knows."""
    metadata: Mapping[str, Any] = array.metadata.to_dict()
    shard: Mapping[str, Any] | None = None
    if metadata["zarr_format"] == 2:
        codecs = _codecs_of_v2(metadata, array.dtype)
    elif metadata["chunk_grid"]["name"] == "regular":
        codecs = list(metadata["codecs"])
    else:
        return None
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        shard = codecs[0]["configuration"]
        codecs = list(shard["codecs"])
        if list(shard["index_codecs"]) not in ([_LITTLE], [_LITTLE, _CRC32C]):
            return None
    axes = tuple(range(array.ndim))
    if codecs[0]["name"] == "transpose":
        axes = tuple(codecs.pop(0)["configuration"]["order"])
    if not codecs or codecs[0]["name"] != "bytes":
        return None
    native = array.dtype.newbyteorder("=")
    endian = codecs.pop(0).get("configuration", {}).get("endian")
    checksums = sum(1 for _ in itertools.takewhile(_CRC32C.__eq__, reversed(codecs)))
    compression = codecs[: len(codecs) - checksums]
    decode = _decoder(compression[0]) if compression else None
    if len(compression) > 1 or (compression and decode is None):
        return None
    return ChunkFormat(
        unit=array.shards or array.chunks,
        chunk=array.chunks,
        axes=axes,
        stored=native if endian is None else native.newbyteorder(endian),
        dtype=native,
        fill=0 if array.fill_value is None else array.fill_value,
        decode=decode,
        checksums=checksums,
        sharded=shard is not None,
        index_first=shard is not None and shard["index_location"] == "start",
        index_checksum=shard is not None and len(shard["index_codecs"]) > 1,
        whole=guarantees(array)[0],
        key=array.metadata.encode_chunk_key,
    )


def _codecs_of_v2(metadata: Mapping[str, Any], dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """The codecs of an array of Zarr format 2 in the words of format 3."""
    endian = "big" if dtype.str.startswith(">") else "little"
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": endian}}]
    if metadata["order"] == "F":
        order = list(reversed(range(len(metadata["shape"]))))
        codecs.insert(0, {"name": "transpose", "configuration": {"order": order}})
    for codec in (*(metadata["filters"] or ()), metadata["compressor"]):
        if codec is not None:
            settings = {k: v for k, v in codec.items() if k != "id"}
            codecs.append({"name": f"numcodecs.{codec['id']}", "configuration": settings})
    return codecs


def read_chunks(folder: Path, form: ChunkFormat, index: Index) -> NDArray[Any]:
    """Read a part of the array in a folder; each chunk that it meets is read once.

    Returns
    -------
    Contiguous, in the machine's byte order.

    Raises
    ------
    FormatError
        A chunk was lost, or cannot be decoded.
    StorageError
        The disk failed.
    """
    import numpy as np

    spans = [(i, i + 1) if isinstance(i, int) else (i.start, i.stop) for i in index]
    out = np.empty([stop - start for start, stop in spans], form.dtype)
    if out.size:
        reading = _Reading(form, spans, out)
        for at in _met(spans, form.unit):
            key = form.key(at)
            try:
                reading.unit(at, folder / key)
            except OSError as error:
                raise reading_failed(folder / key, error) from error
            except MemoryError:
                raise
            except Exception as error:
                reason = f" {error}" if isinstance(error, _Damage) else f": {short(error)}"
                raise unreadable(folder, index, key + reason) from error
    return out.reshape([i.stop - i.start for i in index if isinstance(i, slice)])


class _Damage(Exception):
    """A chunk that would read as garbage, or as background where there is none."""


def _met(spans: Sequence[tuple[int, int]], cell: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Positions, in a grid of cells, of those that a region meets."""
    ranges = [range(a // n, -(-b // n)) for (a, b), n in zip(spans, cell, strict=True)]
    return itertools.product(*ranges)


class _Reading:
    """One region that is being read, and the room that its chunks take on their way."""

    def __init__(
        self, form: ChunkFormat, spans: Sequence[tuple[int, int]], out: NDArray[Any]
    ) -> None:
        import numpy as np

        self._form, self._spans, self._out = form, spans, out
        self._packed = np.empty(0, np.uint8)
        self._loose = np.empty(0, np.uint8)
        self._chunk_bytes = math.prod(form.chunk) * form.dtype.itemsize
        self._plain = form.stored == form.dtype and form.axes == tuple(range(len(form.axes)))

    def unit(self, at: tuple[int, ...], path: Path) -> None:
        """Read what the region has of one file."""
        form = self._form
        inside = self._clipped(at, form.unit)
        try:
            file = path.open("rb", buffering=0)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            if form.whole:
                raise _Damage("was lost") from None
            self._out[self._within(inside)] = form.fill
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            if not form.sharded:
                self._chunk(file, 0, size, at)
                return
            counts = tuple(u // c for u, c in zip(form.unit, form.chunk, strict=True))
            places = self._index(file, size, counts)
            for chunk in _met(inside, form.chunk):
                place = tuple(i % n for i, n in zip(chunk, counts, strict=True))
                start, length = places[place].tolist()
                if start == length == _ABSENT:
                    self._out[self._within(self._clipped(chunk, form.chunk))] = form.fill
                elif start + length > size:
                    raise _Damage("its index points behind its end")
                else:
                    self._chunk(file, start, length, chunk)

    def _index(self, file: io.FileIO, size: int, counts: tuple[int, ...]) -> NDArray[np.uint64]:
        """Start and length of each chunk in a shard."""
        import numpy as np

        length = 16 * math.prod(counts) + 4 * self._form.index_checksum
        if size < length:
            raise _Damage("is cut off")
        index = np.empty(length, np.uint8)
        _read(file, 0 if self._form.index_first else size - length, index)
        if self._form.index_checksum:
            index = _verified(index)
        return index.view("<u8").reshape(*counts, 2)

    def _chunk(self, file: io.FileIO, start: int, length: int, at: tuple[int, ...]) -> None:
        """Read and decode one chunk, and keep what the region has of it."""
        import numpy as np

        form = self._form
        inside = self._clipped(at, form.chunk)
        target = self._out[self._within(inside)]
        if self._plain and target.shape == form.chunk and target.flags.c_contiguous:
            self._decode(file, start, length, target.reshape(-1).view(np.uint8))
            return
        if not self._loose.size:
            self._loose = np.empty(self._chunk_bytes, np.uint8)
        self._decode(file, start, length, self._loose)
        pixels = self._loose.view(form.stored).reshape([form.chunk[axis] for axis in form.axes])
        part = tuple(
            slice(a - i * n, b - i * n) for (a, b), i, n in zip(inside, at, form.chunk, strict=True)
        )
        target[...] = pixels.transpose(np.argsort(form.axes))[part]

    def _decode(self, file: io.FileIO, start: int, length: int, pixels: NDArray[np.uint8]) -> None:
        import numpy as np

        form, expected = self._form, pixels.size
        if form.decode is None and not form.checksums:
            _refuse_other_size(length, expected)
            _read(file, start, pixels)
            return
        # No codec makes a chunk so much longer; room is not taken on the word of a file.
        if length > 2 * expected + 2**16:
            raise _Damage(f"has {length} bytes for {expected} of pixels")
        if self._packed.size < length:
            self._packed = np.empty(length, np.uint8)
        data = self._packed[:length]
        _read(file, start, data)
        for _ in range(form.checksums):
            data = _verified(data)
        if form.decode is None:
            _refuse_other_size(data.size, expected)
            pixels[:] = data
        else:
            _refuse_other_size(form.decode(data, pixels), expected)

    def _clipped(self, at: tuple[int, ...], cell: tuple[int, ...]) -> list[tuple[int, int]]:
        """What the region has of one cell of a grid."""
        return [
            (max(a, i * n), min(b, i * n + n))
            for (a, b), i, n in zip(self._spans, at, cell, strict=True)
        ]

    def _within(self, part: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
        """Where a part of the region is in the result."""
        return tuple(
            slice(a - origin, b - origin)
            for (a, b), (origin, _) in zip(part, self._spans, strict=True)
        )


def _read(file: io.FileIO, start: int, into: NDArray[np.uint8]) -> None:
    """Fill `into` from a file; every byte of a chunk comes this way."""
    file.seek(start)
    rest = into.data
    while rest:
        n = file.readinto(rest)
        if not n:
            raise _Damage("is cut off")
        rest = rest[n:]


def _verified(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compare data with the CRC32C behind them and return them without it."""
    import google_crc32c

    content, stored = data[:-4], data[-4:].tobytes()
    if data.size < 4 or google_crc32c.value(content) != int.from_bytes(stored, "little"):
        raise _Damage("does not match its checksum")
    return content


def _refuse_other_size(found: int, expected: int) -> None:
    if found != expected:
        raise _Damage(f"has other than {expected} bytes of pixels")


def _decoder(codec: Mapping[str, Any]) -> _Decode | None:
    """What undoes a codec of Zarr format 3, or None where only zarr knows."""
    name, settings = codec["name"].removeprefix("numcodecs."), codec.get("configuration", {})
    if name == "lzma" and (settings.get("format", 1) != 1 or settings.get("filters")):
        return None
    return _DECODERS.get(name)


def _blosc(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    head = data[:HEAD].tobytes()
    if blosc_cut_off(data.size, head):
        raise _Damage("is cut off")
    _refuse_other_size(int.from_bytes(head[4:8], "little"), out.size)
    return _blosc_frame(data, out)


def _imagecodecs(function: str, **settings: Any) -> _Decode:
    def decode(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
        import imagecodecs

        return len(getattr(imagecodecs, function)(data, out=out, **settings))

    return decode


def _gzip(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    size = _gzip_member(data, out)
    # Other programs may have written several.
    return size if size == out.size else _gzip_members(data, out)


def _stream(module: str) -> _Decode:
    """Decode by a module of the standard library, no further than one byte behind the end."""

    def decode(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
        import numpy as np

        with importlib.import_module(module).open(io.BytesIO(data.data)) as file:
            decoded = file.read(out.size + 1)
        if len(decoded) == out.size:
            out[:] = np.frombuffer(decoded, np.uint8)
        return len(decoded)

    return decode


# Each thread that reads decodes alone, also the main one.
_blosc_frame = _imagecodecs("blosc_decode", numthreads=1)
_gzip_member = _imagecodecs("gzip_decode")
_gzip_members = _stream("gzip")
_DECODERS: Mapping[str, _Decode] = {
    "blosc": _blosc,
    "zstd": _imagecodecs("zstd_decode"),
    "gzip": _gzip,
    "zlib": _imagecodecs("deflate_decode"),
    "lz4": _imagecodecs("lz4_decode", header=True),
    "bz2": _stream("bz2"),
    "lzma": _stream("lzma"),
}
