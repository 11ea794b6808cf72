"""Damaged, foreign and hostile stores end in one line that names file, finding and remedy."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from scimage.errors import FormatError, ScimageError, StorageError
from scimage.image import chunks, convert, open_image, storage

Change = Callable[[dict[str, Any]], Any]


def edit(file: Path, change: Change) -> None:
    content = json.loads(file.read_text())
    changed = change(content)
    file.write_text(json.dumps(content if changed is None else changed))


@pytest.fixture(params=["0.4", "0.5"])
def store(request: pytest.FixtureRequest, tmp_path: Path, foreign: Any, ramp: Any) -> Path:
    """A sound image of two levels."""
    levels = [ramp((4, 16, 16)), ramp((4, 8, 8))]
    path: Path = foreign(tmp_path / "i.zarr", levels, "zyx", version=request.param)
    return path


def array_file(store: Path) -> Path:
    return next(f for f in (store / "0" / ".zarray", store / "0" / "zarr.json") if f.exists())


def group_file(store: Path) -> Path:
    return next(f for f in (store / ".zattrs", store / "zarr.json") if f.exists())


def refuse(store: Path, match: str, kind: type[ScimageError] = FormatError) -> ScimageError:
    """Check that opening and reading, and converting, say the same on one line."""
    with pytest.raises(kind, match=match) as caught:
        open_image(store).read(0)
    target = store.with_name("converted.ome.zarr")
    with pytest.raises(kind, match=match):
        convert(store, target)
    assert not target.exists()
    error = caught.value
    assert "\n" not in str(error)
    assert str(store) in error.subject
    assert all((error.found, error.expected, error.remedy))
    return error


def multiscale(content: dict[str, Any]) -> dict[str, Any]:
    attributes = content.get("attributes", content)
    image: dict[str, Any] = attributes.get("ome", attributes)["multiscales"][0]
    return image


def test_a_missing_array_is_named(store: Path) -> None:
    (store / "1").rename(store / "elsewhere")
    refuse(store, r"i\.zarr/1: no Zarr array; expected the array that the metadata name")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", "[" * 100_000])
def test_broken_array_metadata_are_named(store: Path, text: str) -> None:
    array_file(store).write_text(text, encoding="latin-1")
    refuse(store, r"i\.zarr/0")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_broken_group_metadata_are_named(store: Path, text: str) -> None:
    group_file(store).write_text(text)
    refuse(store, r"i\.zarr: (no readable Zarr group|a Zarr group without)")


@pytest.mark.parametrize("codec", ["blosc", "zstd", "gzip", None])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_truncated_chunk_is_named(
    tmp_path: Path, foreign: Any, ramp: Any, version: str, codec: str | None
) -> None:
    from zarr import codecs

    old = {"blosc": numcodecs.Blosc("lz4"), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip()}
    new = {"blosc": codecs.BloscCodec(), "zstd": codecs.ZstdCodec(), "gzip": codecs.GzipCodec()}
    compressor = codec and (old if version == "0.4" else new)[codec]
    store = foreign(
        tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", version=version, compressors=compressor
    )
    chunk = store / "0" / ("0.0.0" if version == "0.4" else "c/0/0/0")
    whole = chunk.read_bytes()
    for keep in (0, 1, 15, 16, 20, -40, -1):
        chunk.write_bytes(whole[:keep])
        refuse(store, r"i\.zarr/0: unreadable pixels at 0:4, 0:8, 0:8 \(")
    chunk.write_bytes(whole)
    np.testing.assert_array_equal(open_image(store).read(0), ramp((4, 8, 8)))


@pytest.mark.usefixtures("tiny_shards")
@pytest.mark.parametrize("where", ["index", "chunk", "tail"])
def test_a_corrupt_shard_is_named(tmp_path: Path, write: Any, ramp: Any, where: str) -> None:
    path = write(tmp_path / "i.zarr", ramp((1, 8, 32, 32)))
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    if where == "tail":
        content = content[:-50]
    else:
        at = len(content) - 30 if where == "index" else 0
        content[at : at + 16] = b"\xff" * 16
    shard.write_bytes(bytes(content))
    refuse(path, r"i\.zarr/0: unreadable pixels at 0, 0:8, 0:(32|16), 0:32")


def test_a_pickle_is_never_loaded(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    store = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", compressors=None)

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    edit(store / "0" / ".zarray", lambda c: c.update(filters=[{"id": "pickle"}], dtype="|O"))
    (store / "0" / "0.0.0").write_bytes(pickle.dumps(Bomb()))
    refuse(store, r"i\.zarr/0: codec pickle; expected one of blosc, bytes")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2", "categorize", "made_up"])
def test_an_unsafe_codec_is_refused_before_it_is_loaded(
    store: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = array_file(store)
    if file.name == ".zarray":
        edit(file, lambda c: c.update(compressor={"id": codec}))
    else:
        shard = {"chunk_shape": [4, 8, 8], "codecs": [{"name": f"numcodecs.{codec}"}]}
        edit(
            file,
            lambda c: c.update(codecs=[{"name": "sharding_indexed", "configuration": shard}]),
        )
    monkeypatch.setattr("zarr.open_array", lambda *_, **__: pytest.fail("opened by zarr"))
    refuse(store, rf"i\.zarr/0: codec {codec}; expected one of blosc")


@pytest.mark.parametrize(
    "dtype", ["|O", "<U8", "|S5", "|b1", "<M8[s]", "<c8", [["a", "<u2"]], None, {"name": "struct"}]
)
def test_voxels_that_are_no_numbers_are_refused(store: Path, dtype: Any) -> None:
    key = "dtype" if array_file(store).name == ".zarray" else "data_type"
    edit(array_file(store), lambda c: c.update({key: dtype}))
    refuse(store, rf"i\.zarr/0: data type {re.escape(str(dtype))}; expected integers")


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../x", "..", "a\\b", "", "a\0b", "C:/x"])
def test_an_array_path_that_leaves_the_store_is_refused(store: Path, path: str) -> None:
    edit(group_file(store), lambda c: multiscale(c)["datasets"][0].update(path=path))
    error = refuse(store, r"array path .*(leaves the store|names nothing)|invalid NGFF .*path")
    assert repr(path) in error.found or "invalid NGFF" in error.found


def test_axes_of_other_names_or_order_are_refused(store: Path) -> None:
    edit(group_file(store), lambda c: multiscale(c)["axes"].reverse())
    refuse(store, r"axes \['x', 'y', 'z'\]; expected axes out of t, c, z, y, x, in this order")


def test_a_number_of_dimensions_that_is_not_that_of_the_axes_is_refused(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    store = foreign(tmp_path / "i.zarr", [ramp((4, 8, 8))], "zyx")
    other = foreign(tmp_path / "j.zarr", [ramp((8, 8))], "yx")
    (store / "0").rename(tmp_path / "old")
    (other / "0").rename(store / "0")
    refuse(store, r"i\.zarr/0: an array of 2 dimensions; expected 3, one for each axis of zyx")


def test_levels_in_the_wrong_order_are_refused(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    store = foreign(tmp_path / "i.zarr", [ramp((4, 8, 8)), ramp((4, 16, 16))], "zyx")
    refuse(
        store, r"i\.zarr/1: a pyramid level of shape \(4, 16, 16\); expected one that is coarser"
    )


def test_levels_with_fewer_channels_are_refused(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    levels = [ramp((2, 4, 8, 8)), ramp((1, 4, 4, 4))]
    refuse(foreign(tmp_path / "i.zarr", levels, "czyx"), r"i\.zarr/1: a pyramid level of shape")


def test_an_empty_image_is_refused(tmp_path: Path, foreign: Any) -> None:
    store = foreign(tmp_path / "i.zarr", np.zeros((0, 8, 8), "u1"), "zyx", chunks=(1, 8, 8))
    refuse(store, r"an empty image of shape \(0, 8, 8\)")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_positions_that_are_not_finite_are_refused(store: Path, value: float) -> None:
    step = {"type": "translation", "translation": [0, value, 0]}
    edit(
        group_file(store),
        lambda c: multiscale(c)["datasets"][0]["coordinateTransformations"].append(step),
    )
    refuse(store, "translation|no readable Zarr group")


@pytest.mark.parametrize("block", [5, "x", [], {}, [5], [{"version": ["0.4"]}], None])
def test_nonsense_in_place_of_multiscales_is_refused(store: Path, block: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        attributes = content.get("attributes", content)
        attributes.get("ome", attributes)["multiscales"] = block

    edit(group_file(store), change)
    refuse(store, r"i\.zarr: (invalid NGFF|NGFF version)")


@pytest.mark.parametrize("block", [5, "x", [], None])
def test_nonsense_in_place_of_ome_is_refused(
    tmp_path: Path, foreign: Any, ramp: Any, block: Any
) -> None:
    store = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", version="0.5")
    edit(store / "zarr.json", lambda c: c["attributes"].update(ome=block))
    refuse(store, r"i\.zarr: 'ome' metadata that cannot be read")


def test_metadata_in_the_wrong_zarr_format_are_refused(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    store = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", version="0.5")
    edit(store / "zarr.json", lambda c: c["attributes"]["ome"].update(version="0.4"))
    refuse(store, r"NGFF 0\.4 metadata in a Zarr format 3 group; expected Zarr format 2")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, r"no such file or folder; expected an OME-Zarr folder\. Check the path"),
        (lambda p: p.write_bytes(b"x"), r"a file; expected an OME-Zarr folder\. Convert it"),
        (lambda p: p.mkdir(), r"no readable Zarr group"),
    ],
)
def test_what_is_no_zarr_folder_is_refused(tmp_path: Path, make: Any, match: str) -> None:
    path = tmp_path / "i.zarr"
    make(path)
    with pytest.raises(FormatError, match=match):
        open_image(path)


def test_an_array_in_place_of_an_image_is_refused(store: Path) -> None:
    with pytest.raises(FormatError, match=r"i\.zarr/0: no readable Zarr group"):
        open_image(store / "0")


def test_a_failing_disk_is_not_called_a_damaged_file(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(store)

    def fail(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(chunks, "_read", fail)
    with pytest.raises(
        StorageError, match=r"i\.zarr/0/.*: reading failed \(OSError: .*Input/output"
    ):
        image.read(0)


def test_lack_of_memory_is_not_called_a_damaged_file(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(store)

    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(chunks, "_read", fail)
    with pytest.raises(MemoryError):
        image.read(0)


def test_metadata_that_may_not_be_read_are_not_called_damaged(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, **_: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage.Path, "read_text", fail)
    with pytest.raises(StorageError, match=r"reading failed \(PermissionError: .*Permission"):
        open_image(store)
