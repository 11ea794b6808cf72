"""The door to Zarr: open safely, read and write regions, create sharded arrays.

No other module of scimage talks to zarr.
"""

from __future__ import annotations

import contextlib
import errno
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scimage.errors import FormatError, ScimageError, StorageError
from scimage.image.chunks import ChunkFormat, chunk_format, read_chunks
from scimage.image.durable import digest_of_file, make_folder, write_pieces
from scimage.image.packing import compression, packed
from scimage.image.remote import group_at, is_address, reading_failed_at, remote_array
from scimage.image.safety import (
    WHOLE,
    Index,
    no_json,
    reading_failed,
    refuse_damaged,
    refuse_unsafe,
    short,
    unreadable,
)

if TYPE_CHECKING:
    import numpy as np
    import zarr
    from numpy.typing import NDArray

__all__ = [
    "array_at",
    "chunk_digest",
    "create_array",
    "create_group",
    "drop_consolidated",
    "folder_bytes",
    "group_attributes",
    "is_zarr",
    "naming_storage",
    "read_region",
    "update_attributes",
    "write_chunk",
]

_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder that Zarr wrote."""
    return path.is_dir() and any((path / name).exists() for name in _ZARR_FILES)


def folder_bytes(path: Path) -> int:
    """Bytes that the files below `path` take."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def group_attributes(path: str) -> tuple[dict[str, Any], int]:
    """Attributes and Zarr format of the group at `path`.

    Raises
    ------
    FormatError
        There is no Zarr group at `path`.
    """
    if is_address(path):
        return group_at(path)
    group = _open_group(Path(path), "r")
    return dict(group.attrs), group.metadata.zarr_format


def update_attributes(path: str, attributes: Mapping[str, Any]) -> None:
    """Replace these attributes of the group at `path`."""
    with naming_storage(path):
        _open_group(Path(path), "r+").update_attributes(dict(attributes))


def drop_consolidated(path: Path) -> None:
    """Remove a consolidated copy of the metadata of all members, which a new member outdates."""
    content = _json(path / "zarr.json")
    if isinstance(content, Mapping) and content.get("consolidated_metadata"):
        # zarr writes the group anew without the copy that it was told not to use.
        update_attributes(str(path), {})


def create_group(path: str) -> None:
    """Create an empty Zarr format 3 group."""
    import zarr

    with naming_storage(path):
        zarr.create_group(Path(path), zarr_format=3)


def create_array(
    path: str,
    *,
    shape: Sequence[int],
    dtype: np.dtype[Any] | type,
    chunk: Sequence[int],
    shard: Sequence[int] | None = None,
    axes: str | None = None,
) -> None:
    """Create an empty Zarr format 3 array that :func:`write_chunk` writes to.

    It is marked as one that lacks no chunk once it is written, so that a chunk that was lost later
    is an error and not background.
    """
    import zarr

    with naming_storage(path):
        zarr.create_array(
            Path(path),
            shape=tuple(shape),
            dtype=dtype,
            chunks=tuple(chunk),
            shards=None if shard is None else tuple(shard),
            compressors=compression(),
            fill_value=0,
            zarr_format=3,
            dimension_names=list(axes) if axes else None,
            attributes=dict(WHOLE),
        )


def array_at(store: str, path: str) -> zarr.Array[Any]:
    """Open the array `path` inside `store` to read it; a process keeps one handle.

    Raises
    ------
    FormatError
        It is missing, damaged, not numeric, or compressed with a codec that is not allowed.
    """
    if is_address(store):
        return remote_array(store, path)
    return _array(Path(store, path))[0]


def read_region(store: str, path: str, index: Index) -> NDArray[Any]:
    """Read a part of the array `path` inside `store`.

    Raises
    ------
    FormatError
        The array is missing or unsafe, or its chunks cannot be decoded.
    StorageError
        The disk, or the server, failed.
    """
    import numpy as np

    if is_address(store):
        array = remote_array(store, path)
    else:
        where = Path(store, path)
        array, form = _array(where)
        if form is not None:
            return read_chunks(where, form, index)
        refuse_damaged(where, array, index)
    try:
        return np.asarray(array[index])
    except Exception as failure:
        place, error = f"{store}/{path}", failure
        while isinstance(error, ExceptionGroup):
            # Of several reads at once, the first that failed tells enough.
            error = error.exceptions[0]
        if isinstance(error, MemoryError):
            raise error from None
        if is_address(store):
            # The client's own message may hold a signed address.
            raise reading_failed_at(place, index, error) from None
        if isinstance(error, OSError) and error.errno is not None:
            raise reading_failed(place, error) from error
        raise unreadable(place, index, short(error)) from error


def write_chunk(store: str, path: str, index: Index, data: NDArray[Any]) -> str:
    """Write one whole chunk, or shard where there are any, and wait until the disk has it.

    The array is one that :func:`create_array` made.

    Returns
    -------
    Digest of the file, as :func:`chunk_digest` gives it.
    """
    where = Path(store, path)
    with naming_storage(store):
        array, form = _array(where)
        assert form is not None  # of what create_array makes, everything is known
        file = _chunk_file(where, array, index)
        make_folder(file.parent)
        # An axis that an integer picks is there in the file.
        stored = data.reshape([1 if isinstance(i, int) else i.stop - i.start for i in index])
        return write_pieces(file, packed(form, stored))


def chunk_digest(store: str, path: str, index: Index) -> str:
    """Digest of the file that holds a chunk, or shard; empty where there is none.

    Raises
    ------
    StorageError
        The disk failed.
    """
    where = Path(store, path)
    try:
        return digest_of_file(_chunk_file(where, array_at(store, path), index))
    except OSError as error:
        raise reading_failed(where, error) from error


def _chunk_file(where: Path, array: zarr.Array[Any], index: Index) -> Path:
    """The file of the chunk, or shard, that `index` begins."""
    starts = [i if isinstance(i, int) else i.start for i in index]
    unit = array.shards or array.chunks
    key = array.metadata.encode_chunk_key(
        tuple(start // n for start, n in zip(starts, unit, strict=True))
    )
    return where / key


def _array(where: Path) -> tuple[zarr.Array[Any], ChunkFormat | None]:
    for name in ("zarr.json", ".zarray"):
        try:
            state = (where / name).stat()
        except OSError:
            continue
        # Its metadata file tells whether another process has replaced the array.
        stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
        return _open_array(where, name, stamp)
    raise FormatError(
        where,
        found="no Zarr array",
        expected="the array that the metadata name",
        remedy="Check that the image was copied whole, or convert it again.",
    )


@lru_cache(maxsize=64)
def _open_array(
    where: Path, name: str, _stamp: tuple[int, ...]
) -> tuple[zarr.Array[Any], ChunkFormat | None]:
    import zarr

    refuse_unsafe(where, _json(where / name))
    try:
        with warnings.catch_warnings():
            # What zarr-python finds unusual about a foreign file, the user cannot change.
            warnings.simplefilter("ignore")
            array = zarr.open_array(where, mode="r", zarr_format=3 if name == "zarr.json" else 2)
        return array, chunk_format(array)
    except Exception as error:
        raise FormatError(
            where,
            found=f"no readable Zarr array ({short(error)})",
            expected="the array that the metadata name",
            remedy="Check that the image was copied whole, or convert it again.",
        ) from error


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise reading_failed(file, error) from error
    except (ValueError, RecursionError) as error:
        raise no_json(file, error) from error


def _open_group(path: Path, mode: Any) -> zarr.Group:
    import zarr

    if not path.is_dir():
        if path.exists():
            found, remedy = "a file", "Convert it: scimage convert SOURCE IMAGE."
        else:
            found, remedy = "no such file or folder", "Check the path."
        raise FormatError(path, found=found, expected="an OME-Zarr folder", remedy=remedy)
    zarr_format: Any = 3 if (path / "zarr.json").exists() else 2
    try:
        return zarr.open_group(path, mode=mode, zarr_format=zarr_format, use_consolidated=False)
    except OSError as error:
        if mode != "r" and error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
        raise _no_group(path, error) from error
    except Exception as error:
        raise _no_group(path, error) from error


def _no_group(path: Path, error: Exception) -> FormatError:
    return FormatError(
        path,
        found=f"no readable Zarr group ({short(error)})",
        expected="an OME-Zarr folder",
        remedy="Name the folder that holds the image, or convert the data first.",
    )


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
            found, remedy = f"writing failed ({short(error)})", "Check the disk and run it again."
        raise StorageError(
            path, found=found, expected="a writable place with enough room", remedy=remedy
        ) from error
