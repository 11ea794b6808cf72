"""The door to Zarr: open safely, create sharded arrays, stage beside the target and publish.

No other module of scimage talks to zarr.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scimage.errors import FormatError, ScimageError, StorageError, TargetExistsError

if TYPE_CHECKING:
    import numpy as np
    import zarr

__all__ = [
    "array_at",
    "create_array",
    "create_group",
    "group_attributes",
    "naming_storage",
    "publish",
    "staging_path",
    "update_attributes",
]

# Decoders that only compute. Anything else (pickle, JSON objects, msgpack, plug-ins) is refused
# before a byte is decoded.
_SAFE_CODECS = {
    *(
        "bytes",
        "blosc",
        "zstd",
        "gzip",
        "crc32c",
        "transpose",
        "sharding_indexed",
        "numcodecs.zlib",
    ),
    *("zlib", "lz4", "bz2", "lzma", "shuffle", "delta", "packbits", "numcodecs.lz4"),
}
_NUMERIC_KINDS = "uif"


def group_attributes(path: str) -> tuple[dict[str, Any], int]:
    """Attributes and Zarr format of the group at `path`.

    Raises
    ------
    FormatError
        There is no Zarr group at `path`.
    """
    group = _open_group(path, "r")
    return dict(group.attrs), group.metadata.zarr_format


def update_attributes(path: str, attributes: Mapping[str, Any]) -> None:
    """Replace these attributes of the group at `path`, creating the group if needed."""
    with naming_storage(path):
        if not (Path(path) / "zarr.json").exists():
            create_group(path)
        _open_group(path, "r+").update_attributes(dict(attributes))


def create_group(path: str) -> None:
    """Create an empty Zarr format 3 group."""
    import zarr

    with naming_storage(path):
        zarr.create_group(path, zarr_format=3)


def create_array(
    path: str,
    *,
    shape: Sequence[int],
    dtype: np.dtype[Any] | type,
    chunk: Sequence[int],
    shard: Sequence[int] | None = None,
    axes: str | None = None,
) -> None:
    """Create an empty Zarr format 3 array, compressed with blosc-lz4 and bitshuffle.

    The codec is the fastest to read at its size on microscopy; docs/decisions/0003-storage.md
    has the measurements. Missing chunks read as zero.
    """
    import zarr
    from zarr.codecs import BloscCodec

    with naming_storage(path):
        zarr.create_array(
            path,
            shape=tuple(shape),
            dtype=dtype,
            chunks=tuple(chunk),
            shards=None if shard is None else tuple(shard),
            compressors=BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
            fill_value=0,
            zarr_format=3,
            dimension_names=list(axes) if axes else None,
        )


def array_at(store: str, path: str) -> zarr.Array[Any]:
    """Open the array `path` inside `store`; one handle a process is kept.

    Raises
    ------
    FormatError
        It is missing, damaged, not numeric, or compressed with a codec that is not allowed.
    """
    return _array_at(store, path)


@lru_cache(maxsize=64)
def _array_at(store: str, path: str) -> zarr.Array[Any]:
    import zarr

    where = f"{store}/{path}"
    try:
        array = zarr.open_array(where, mode="r+" if os.access(where, os.W_OK) else "r")
    except ScimageError:
        raise
    except Exception as error:
        raise FormatError(
            where,
            found=f"no readable Zarr array ({_short(error)})",
            expected="the array that the metadata name",
            remedy="Check that the image was copied whole, or convert it again.",
        ) from error
    _refuse_unsafe(where, array)
    return array


def _refuse_unsafe(where: str, array: zarr.Array[Any]) -> None:
    metadata = array.metadata.to_dict()
    unsafe = sorted(_codec_names(metadata) - _SAFE_CODECS)
    if unsafe:
        raise FormatError(
            where,
            found=f"codec {', '.join(unsafe)}",
            expected=f"one of {', '.join(sorted(_SAFE_CODECS))}",
            remedy="Write the image again with one of these codecs.",
        )
    if array.dtype.kind not in _NUMERIC_KINDS or array.dtype.hasobject:
        raise FormatError(
            where,
            found=f"data type {array.dtype}",
            expected="integers or floating point numbers",
            remedy="Write the image again with a numeric data type.",
        )


def _codec_names(node: Any) -> set[str]:
    """Every codec named in array metadata of Zarr format 2 or 3, nested ones included."""
    names: set[str] = set()
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("codecs", "index_codecs", "compressor", "compressors", "filters"):
                for codec in value if isinstance(value, (list, tuple)) else [value]:
                    if isinstance(codec, Mapping):
                        names.add(str(codec.get("name", codec.get("id"))).lower())
                        names |= _codec_names(codec.get("configuration", {}))
                    elif codec is not None:
                        plain = codec.get_config() if hasattr(codec, "get_config") else {}
                        names.add(str(plain.get("id", type(codec).__name__)).lower())
    return names


def _open_group(path: str, mode: Any) -> zarr.Group:
    import zarr

    if not Path(path).is_dir():
        missing = not Path(path).exists()
        raise FormatError(
            path,
            found="no such file or folder" if missing else "a file",
            expected="an OME-Zarr folder",
            remedy="Check the path." if missing else "Convert it: scimage convert SOURCE IMAGE.",
        )
    try:
        return zarr.open_group(path, mode=mode, use_consolidated=False)
    except ScimageError:
        raise
    except Exception as error:
        raise FormatError(
            path,
            found=f"no readable Zarr group ({_short(error)})",
            expected="an OME-Zarr folder",
            remedy="Name the folder that holds the image, or convert the data first.",
        ) from error


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


@contextlib.contextmanager
def naming_storage(path: object) -> Iterator[None]:
    """Turn the operating system's errors on writing into one that names the target."""
    try:
        yield
    except ScimageError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        denied = error.errno in (errno.EACCES, errno.EROFS, errno.EPERM)
        if full:
            found, remedy = "no space left on the disk", "Free some space and run it again."
        elif denied:
            found = "the folder cannot be written"
            remedy = "Choose another place (--output), or ask for the right to write."
        else:
            found, remedy = f"writing failed ({_short(error)})", "Check the disk and run it again."
        raise StorageError(
            path, found=found, expected="a writable place with enough room", remedy=remedy
        ) from error


def staging_path(target: Path) -> Path:
    """Where the parts of `target` are built: beside it, under a hidden name."""
    return target.with_name(f".{target.name}.partial")


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise unless `target` is free or may be replaced."""
    if target.exists() and not overwrite:
        raise TargetExistsError(
            target,
            found="it exists already",
            expected="a name that is free",
            remedy="Choose another name, or replace it with --overwrite.",
        )


def publish(staged: Path, target: Path, overwrite: bool) -> None:
    """Move the finished `staged` folder to `target`; what stood there goes only afterwards."""
    refuse_existing(target, overwrite)
    with naming_storage(target):
        retired = target.with_name(f".{target.name}.replaced")
        _remove(retired)
        if target.exists():
            target.rename(retired)
        staged.rename(target)
        _remove(retired)
    _array_at.cache_clear()


def discard(path: Path) -> None:
    """Remove a staging folder that will not be published."""
    _remove(path)
    _array_at.cache_clear()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder_bytes(path: Path) -> int:
    """Bytes that the files below `path` take."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old text or the new, never half of one."""
    partial = path.with_name(f".{path.name}.partial")
    with naming_storage(path):
        partial.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
        partial.replace(path)
