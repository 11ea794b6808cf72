"""Images at an address: S3 and its likes, and HTTP. Read only.

The client, obstore, is imported when an address is opened. It takes credentials, region and
endpoint from the environment: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, and ``AWS_SKIP_SIGNATURE=true`` for a
public bucket (``GOOGLE_...`` and ``AZURE_...`` likewise). It does not read ``~/.aws``: ``aws
configure export-credentials --format env`` prints what to set.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from scimage.errors import FormatError, ScimageError, StorageError, UsageError
from scimage.image.safety import (
    HEAD,
    Index,
    damage,
    guarantees,
    no_json,
    refuse_unsafe,
    short,
    unreadable,
)

if TYPE_CHECKING:
    import zarr
    from obstore.store import ObjectStore
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype
    from zarr.storage import StorePath

__all__ = [
    "as_address",
    "group_at",
    "is_address",
    "name_at",
    "reading_failed_at",
    "refuse_address",
    "remote_array",
    "remote_state",
]

_SCHEMES = ("s3", "gs", "az", "http", "https")
# A path that went through pathlib has lost one of its slashes.
_ADDRESS = re.compile(rf"([a-z][a-z0-9+.-]+)://|({'|'.join(_SCHEMES)}):/", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]@:?#]*)(:\d+)?", re.IGNORECASE)
# The metadata of all images that we know have less than a megabyte.
_METADATA_BYTES = 16 << 20
# For so long a handle is used before it is seen whether another program has replaced the array.
_FRESH_S = 10
# What in the message of a failed request tells the user why.
_REASON = re.compile(r'status code: (\d{3}[^:\n]*)|(?:message|error): "([^"\n]+)"|kind: (Time\w+)')
# Where the client asks for credentials that no variable gives: only machines in a cloud answer.
_CLOUD = "169.254.169.254"


def is_address(path: str | Path) -> bool:
    """Whether `path` is an address, as ``s3://bucket/i.ome.zarr``, and not a local path."""
    return _ADDRESS.match(str(path)) is not None


def as_address(path: str | Path) -> str:
    """Check an address and write it in one way, without a slash at its end.

    Raises
    ------
    UsageError
        It is of a kind that scimage does not read, or it may hold a secret, which would end in
        the provenance of the results.
    """
    scheme, _, rest = str(path).partition(":")
    scheme, rest = scheme.lower(), rest.strip("/")
    # What is said of it leaves out what may be secret.
    shown = f"{scheme}://{re.split('[?#]', rest)[0]}"
    host = rest.partition("/")[0]
    if scheme not in _SCHEMES:
        found, remedy = f"an address of kind {scheme}", "Download the image, or mount where it is."
    elif not _HOST.fullmatch(host):
        shown = f"{scheme}://..."
        found = "an address with more than a host and a port, such as a password"
        remedy = "Leave it out; give credentials in environment variables."
    elif "?" in rest or "#" in rest:
        found = "an address with a query (? or #)"
        remedy = "Leave it out; give credentials in environment variables."
    elif not host or ".." in unquote(rest).split("/"):
        found, remedy = "an address that names no folder", "Write it without '..'."
    else:
        return shown
    raise UsageError(
        shown, found=found, remedy=remedy,
        expected="one of s3://, gs://, az://, http:// and https://, and a folder",
    )  # fmt: skip


def name_at(address: str) -> str:
    """Last part of an address: the name of the folder there."""
    parts = urlsplit(address)
    return PurePosixPath(unquote(parts.path)).name or parts.netloc


def refuse_address(path: str | Path) -> None:
    """Refuse to write to an address.

    Raises
    ------
    UsageError
        `path` is an address.
    """
    if is_address(path):
        raise UsageError(
            as_address(path),
            found="an address, where scimage only reads",
            expected="a local folder to write into",
            remedy="Name a local folder, for results with --output.",
        )


class _File(NamedTuple):
    """A metadata file: its key, its content, and what the server says of its version."""

    key: str
    content: bytes
    version: str


def group_at(address: str) -> tuple[dict[str, Any], int]:
    """Attributes and Zarr format of the group at an address, as they are there now.

    Raises
    ------
    FormatError
        There is no Zarr group.
    StorageError
        There is no answer, or no access.
    """
    # Who opens an image sees what is there now, and so do the handles that this process has.
    _array_file_lately.cache_clear()
    files = _group_files(address)
    if not files:
        raise FormatError(
            address,
            found="no Zarr group",
            expected="an OME-Zarr image",
            remedy="Check the address: it names the folder that holds zarr.json or .zgroup.",
        )
    zarr_format = 3 if files[0].key == "zarr.json" else 2
    contents = [_decoded(f"{address}/{f.key}", f.content) for f in files]
    attributes: Any = {}
    if zarr_format == 2:
        attributes = contents[1] if len(contents) > 1 else {}
    elif isinstance(contents[0], Mapping) and contents[0].get("node_type") == "group":
        attributes = contents[0].get("attributes", {})
    else:
        attributes = None
    if not isinstance(attributes, Mapping):
        raise FormatError(
            address,
            found="no readable Zarr group",
            expected="an OME-Zarr image",
            remedy="Name the folder that holds the image, or convert the data first.",
        )
    return dict(attributes), zarr_format


def remote_array(address: str, path: str) -> zarr.Array[Any]:
    """Open the array `path` at an address to read it; a process keeps one handle.

    Raises
    ------
    FormatError
        It is missing, damaged, not numeric, or compressed with a codec that is not allowed.
    StorageError
        There is no answer, or no access.
    """
    file = _array_file_lately(address, path, int(time.monotonic() / _FRESH_S))
    if file is None:
        raise FormatError(
            f"{address}/{path}",
            found="no Zarr array",
            expected="the array that the metadata name",
            remedy="Check that the image was copied whole, or convert it again.",
        )
    return _opened(address, path, file.content)


def remote_state(address: str, path: str) -> list[Any]:
    """Plain data that changes whenever the pixels of the array `path` may have changed.

    Digests of the metadata and, where the storage can list, of the key, size and tag of each
    object of the array; over HTTP, which cannot, what the server says of the version of the
    metadata.
    """
    array_file = _array_file(address, path)
    files = [*_group_files(address), *([array_file] if array_file else [])]
    if address.startswith("http"):
        return [[f.key, hashlib.sha256(f.content).hexdigest(), f.version] for f in files]
    import obstore

    found = []
    try:
        for batch in obstore.list(_client(address), prefix=str(PurePosixPath(path))):
            found += [f"{o['path']}\0{o['size']}\0{o['e_tag']}" for o in batch]
    except obstore.exceptions.BaseError as error:
        raise _request_failed(address, error) from None
    listed = hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
    digests: list[Any] = [[f.key, hashlib.sha256(f.content).hexdigest()] for f in files]
    return [*digests, [path, len(found), listed]]


def reading_failed_at(where: str, index: Index, error: BaseException) -> ScimageError:
    """Tell why pixels at an address were not read."""
    from obstore.exceptions import BaseError

    if isinstance(error, BaseError):
        return _request_failed(where, error)
    reason = str(error) if isinstance(error, _DamagedChunk) else short(error)
    return unreadable(where, index, reason)


class _DamagedChunk(Exception):
    """A chunk was lost or cut off."""


@lru_cache(maxsize=16)
def _client(address: str) -> ObjectStore:
    checked = as_address(address)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import HTTPStore, from_url
    except ImportError as error:
        raise UsageError(
            checked,
            found="an address",
            expected="obstore, the client that reads from one",
            remedy="Install it: pip install 'scimage[remote]'.",
        ) from error
    # A host that is gone is given up after 20 s. No limit on the whole of a request: a large
    # chunk over a slow line takes minutes.
    options: dict[str, Any] = {
        "client_options": {
            # Only takes effect where the address, or the endpoint in the environment, says http.
            "allow_http": True,
            "connect_timeout": "5s",
            "read_timeout": "30s",
            "timeout": "1h",
        },
        "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
    }
    try:
        # from_url would take some hosts for S3 and ask for credentials, where plain HTTP does.
        if checked.startswith("http"):
            return HTTPStore.from_url(checked, **options)
        return from_url(checked, **options)
    except (BaseError, ValueError) as error:
        raise UsageError(
            checked,
            found=f"an address that cannot be used ({_reason(error)})",
            expected="a bucket and a path, and settings for it in the environment",
            remedy="Check the address and the environment variables of the storage.",
        ) from None


def _fetch(address: str, *keys: str) -> _File | None:
    """Read the first of these files that is there."""
    client = _client(address)
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError

    denied = None
    for key in keys:
        try:
            found = obstore.get(client, key)
            meta = found.meta
            content = bytes(found.bytes()) if meta["size"] <= _METADATA_BYTES else None
        except FileNotFoundError as error:
            if re.search("<Code>(NoSuchBucket|ContainerNotFound)<", str(error)):
                raise FormatError(
                    address, found="no such bucket", expected="an OME-Zarr image",
                    remedy="Check the address.",
                ) from None  # fmt: skip
        except PermissionDeniedError as error:
            # Who may not list a bucket is told the same of files that are not there.
            denied = error
        except (BaseError, ValueError) as error:
            raise _request_failed(f"{address}/{key}", error) from None
        else:
            if content is None:
                raise FormatError(
                    f"{address}/{key}",
                    found=f"metadata of {meta['size']} bytes",
                    expected=f"at most {_METADATA_BYTES}",
                    remedy="Do not trust this file; ask its author.",
                )
            return _File(key, content, meta["e_tag"] or meta["last_modified"].isoformat())
    if denied is not None:
        raise _request_failed(address, denied)
    return None


def _group_files(address: str) -> list[_File]:
    first = _fetch(address, "zarr.json", ".zgroup")
    attributes = _fetch(address, ".zattrs") if first and first.key == ".zgroup" else None
    return [f for f in (first, attributes) if f]


def _array_file(address: str, path: str) -> _File | None:
    return _fetch(address, *(str(PurePosixPath(path, n)) for n in ("zarr.json", ".zarray")))


@lru_cache(maxsize=256)
def _array_file_lately(address: str, path: str, _moment: int) -> _File | None:
    return _array_file(address, path)


def _decoded(where: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise no_json(where, error) from error


@lru_cache(maxsize=64)
def _opened(address: str, path: str, content: bytes) -> zarr.Array[Any]:
    """Open an array by metadata that were read; zarr gets what was checked, and nothing newer."""
    import zarr
    from zarr.storage import ObjectStore, StorePath

    where = f"{address}/{path}"
    metadata = _decoded(where, content)
    refuse_unsafe(where, metadata)
    folder = "" if (inside := str(PurePosixPath(path))) == "." else inside
    try:
        with warnings.catch_warnings():
            # What zarr-python finds unusual about a foreign file, the user cannot change.
            warnings.simplefilter("ignore")
            plain = StorePath(ObjectStore(_client(address), read_only=True), folder)
            guarded = _guarded(plain, *guarantees(zarr.Array.from_dict(plain, metadata)))
            return zarr.Array.from_dict(guarded, metadata)
    except ScimageError:
        raise
    except Exception as error:
        raise FormatError(
            where,
            found=f"no readable Zarr array ({short(error)})",
            expected="the array that the metadata name",
            remedy="Check that the image was copied whole, or convert it again.",
        ) from error


def _guarded(plain: StorePath, whole: bool, blosc: bool) -> StorePath:
    """Refuse chunks that were lost or cut off when they arrive, which costs no request."""
    from zarr.storage import ObjectStore, StorePath

    class Guarded(ObjectStore[Any]):
        async def get(
            self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
        ) -> Buffer | None:
            chunk = await super().get(key, prototype, byte_range)
            size, head = 0, None
            if chunk is not None:
                size, head = len(chunk), chunk[:HEAD].to_bytes()
            # Parts are read of shards only, whose index has a checksum.
            frames = blosc and byte_range is None
            inside = key.removeprefix(f"{plain.path}/")
            if reason := damage(inside, size, head, whole=whole, blosc=frames):
                raise _DamagedChunk(reason)
            return chunk

    store: Any = plain.store
    return StorePath(Guarded(store.store, read_only=True), plain.path)


def _request_failed(where: str, error: Exception) -> ScimageError:
    from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

    if isinstance(error, ValueError):
        return FormatError(
            where, found="a path that no storage has", expected="a path inside the store",
            remedy="Repair the metadata with the program that wrote them.",
        )  # fmt: skip
    remedy = "Check the address and the network, and run it again."
    credentials = (
        "Check the address, and set the credentials in the environment "
        "(for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true)."
    )
    if _CLOUD in str(error):
        found, remedy = "no credentials", credentials
    elif isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        found, remedy = f"no access ({_reason(error)})", credentials
    elif isinstance(error, NotSupportedError):
        found = "a server that does not send parts of files"
        remedy = "Put the image on another server, or download it."
    else:
        found = f"reading failed ({_reason(error)})"
    return StorageError(where, found=found, expected="an address that answers", remedy=remedy)


def _reason(error: Exception) -> str:
    """What went wrong, without addresses: the client puts signed ones into its messages."""
    text = str(error)
    told = _REASON.search(text)
    code = re.search(r"<Code>(\w+)<", text)
    reason = next(filter(None, told.groups())) if told else text.split("\n", maxsplit=1)[0]
    reason = re.sub(r"\w+://\S+", "...", reason).strip()
    return f"{reason}, {code[1]}" if code else reason[:120]
