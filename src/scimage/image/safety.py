"""What is refused before it is decoded: codecs that run code, chunks that are cut off."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scimage.errors import FormatError, StorageError

if TYPE_CHECKING:
    import zarr

__all__ = [
    "HEAD",
    "WHOLE",
    "Index",
    "blosc_cut_off",
    "damage",
    "guarantees",
    "no_json",
    "reading_failed",
    "refuse_damaged",
    "refuse_unsafe",
    "short",
    "unreadable",
]

# Which part of an array: an index or a slice with start and stop for each axis.
Index = tuple[int | slice, ...]

# An attribute of arrays that scimage writes: none of their chunks is missing.
WHOLE = {"scimage": {"whole": True}}

# Bytes at the beginning of a Blosc frame that tell its length.
HEAD = 16

# Decoders that only compute, without the prefix "numcodecs." that Zarr format 3 puts before
# some. Anything else (pickle, JSON objects, msgpack, plug-ins) is refused before it is loaded.
_SAFE_CODECS = {
    *("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose", "sharding_indexed"),
    *("zlib", "lz4", "bz2", "lzma", "shuffle", "delta", "packbits"),
}
# Type names of Zarr format 2 ("<u2") and 3 ("uint16").
_NUMERIC = re.compile(r"[<>|=]?[uif][1248]|u?int(8|16|32|64)|float(16|32|64)")


def refuse_unsafe(where: object, metadata: Any) -> None:
    """Check the metadata of an array before zarr loads its codecs.

    Raises
    ------
    FormatError
        It names a codec that is not allowed, or holds something else than numbers.
    """
    unsafe = sorted(_codec_names(metadata) - _SAFE_CODECS)
    if unsafe:
        raise FormatError(
            where,
            found=f"codec {', '.join(unsafe)}",
            expected=f"one of {', '.join(sorted(_SAFE_CODECS))}",
            remedy="Write the image again with one of these codecs.",
        )
    if not isinstance(metadata, Mapping) or metadata.get("node_type", "array") != "array":
        raise FormatError(
            where,
            found="something else than a Zarr array",
            expected="the array that the metadata name",
            remedy="Check that the image was copied whole, or convert it again.",
        )
    dtype = metadata.get("data_type", metadata.get("dtype"))
    if not isinstance(dtype, str) or not _NUMERIC.fullmatch(dtype):
        raise FormatError(
            where,
            found=f"data type {dtype}",
            expected="integers or floating point numbers",
            remedy="Write the image again with a numeric data type.",
        )


def _codec_names(node: Any) -> set[str]:
    """Every codec named in array metadata of Zarr format 2 or 3, nested ones included."""
    names: set[str] = set()
    if isinstance(node, Mapping):
        for key in ("codecs", "index_codecs", "compressor", "filters"):
            value = node.get(key)
            for codec in value if isinstance(value, list) else [value]:
                if isinstance(codec, Mapping):
                    names.add(str(codec.get("name", codec.get("id"))).removeprefix("numcodecs."))
                    names |= _codec_names(codec.get("configuration"))
                elif codec is not None:
                    names.add(str(codec))
    return names


def refuse_damaged(where: Path, array: zarr.Array[Any], index: Index) -> None:
    """Refuse files of chunks that were lost or cut off before zarr reads them; see :func:`damage`.

    Raises
    ------
    FormatError
        A chunk, or shard, that `index` meets is not there or is shorter than it says.
    """
    whole, blosc = guarantees(array)
    if not whole and not blosc:
        return
    unit = array.shards or array.chunks
    spans = [
        range(i // n, i // n + 1) if isinstance(i, int) else range(i.start // n, -(-i.stop // n))
        for i, n in zip(index, unit, strict=True)
    ]
    for at in itertools.product(*spans):
        key = array.metadata.encode_chunk_key(at)
        size, head = 0, None
        try:
            with (where / key).open("rb") as chunk:
                size, head = os.fstat(chunk.fileno()).st_size, chunk.read(HEAD)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            pass
        except OSError as error:
            raise reading_failed(where / key, error) from error
        if reason := damage(key, size, head, whole=whole, blosc=blosc):
            raise unreadable(where, index, reason)


def damage(key: str, size: int, head: bytes | None, *, whole: bool, blosc: bool) -> str | None:
    """Say why a chunk, or shard, would read as background or as garbage, or None if it does not.

    A missing chunk is the fill value by the rules of Zarr; not so in an array that scimage wrote,
    which lacks none. Blosc frames are compared with the length that they announce, because
    numcodecs reads on behind the end of one that is cut off and returns as voxels what it finds
    there in memory. Shards have checksums instead.

    Parameters
    ----------
    key
        Its key in the array.
    size, head
        Its length and its first bytes, :data:`HEAD` of them; no `head` where it is missing.
    whole, blosc
        What :func:`guarantees` says of the array.
    """
    if head is None:
        return f"{key} was lost" if whole else None
    return f"chunk {key} is cut off" if blosc and blosc_cut_off(size, head) else None


def blosc_cut_off(size: int, head: bytes) -> bool:
    """Whether a Blosc frame is shorter than its first :data:`HEAD` bytes announce."""
    return len(head) < HEAD or size < int.from_bytes(head[12:HEAD], "little")


def guarantees(array: zarr.Array[Any]) -> tuple[bool, bool]:
    """Whether no chunk of an array may be missing, and whether each one is a Blosc frame."""
    metadata = array.metadata.to_dict()
    codecs: Any = metadata.get("codecs") or [metadata.get("compressor")]
    names = [str(c.get("name", c.get("id"))) for c in codecs if isinstance(c, Mapping)]
    # A checksum behind it leaves its head where it is.
    behind = [n.removeprefix("numcodecs.") for n in names if n != "crc32c"]
    return array.attrs.get("scimage") == WHOLE["scimage"], behind[-1:] == ["blosc"]


def no_json(where: object, error: Exception) -> FormatError:
    """Metadata that cannot be decoded."""
    return FormatError(
        where,
        found=f"unreadable metadata ({short(error)})",
        expected="JSON",
        remedy="The file is damaged: copy it again, or convert the source again.",
    )


def unreadable(where: object, index: Index, reason: str) -> FormatError:
    """Pixels that cannot be decoded."""
    return FormatError(
        where,
        found=f"unreadable pixels at {_text(index)} ({reason})",
        expected="chunks that can be decoded",
        remedy="The file is damaged: copy it again, or convert the source again.",
    )


def reading_failed(where: object, error: OSError) -> StorageError:
    """Tell that the disk failed, which is not the fault of the file."""
    return StorageError(
        where,
        found=f"reading failed ({short(error)})",
        expected="a working disk",
        remedy="Check that the disk is connected and that you may read the file.",
    )


def short(error: BaseException) -> str:
    """Kind and message of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def _text(index: Index) -> str:
    return ", ".join(str(i) if isinstance(i, int) else f"{i.start}:{i.stop}" for i in index)
