"""Chunks and shards are read as zarr reads them, each once, and damaged ones are refused."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr import codecs

from scimage.errors import FormatError
from scimage.image.chunks import chunk_format
from scimage.image.storage import array_at, create_array, read_region, write_chunk

SHAPE, CHUNK, SHARD = (1, 3, 9, 13, 14), (1, 2, 4, 6, 5), (1, 2, 8, 6, 10)
# Inside one chunk, exactly one, across chunks and shards, at the far edge, one voxel, all, none.
REGIONS: tuple[tuple[int | slice, ...], ...] = (
    (0, 1, slice(5, 7), slice(1, 5), slice(6, 9)),
    (0, 0, slice(4, 8), slice(6, 12), slice(5, 10)),
    (slice(0, 1), slice(0, 2), slice(0, 4), slice(0, 6), slice(0, 5)),
    (0, slice(1, 3), slice(3, 9), slice(5, 13), slice(4, 11)),
    (0, 2, slice(8, 9), slice(12, 13), slice(10, 14)),
    (0, 2, slice(8, 9), slice(4, 5), slice(9, 10)),
    (0, 1, 3, 2, 1),
    tuple(slice(0, n) for n in SHAPE),
    (0, 1, slice(5, 5), slice(1, 5), slice(6, 9)),
)
CODECS: dict[str, Any] = {
    "none": None,
    "blosc-lz4-bitshuffle": codecs.BloscCodec(cname="lz4", shuffle="bitshuffle"),
    "blosc-zstd-shuffle": codecs.BloscCodec(cname="zstd", shuffle="shuffle"),
    "blosc-blosclz": codecs.BloscCodec(cname="blosclz", shuffle="noshuffle"),
    "blosc-crc32c": [codecs.BloscCodec(cname="lz4"), codecs.Crc32cCodec()],
    "zstd": codecs.ZstdCodec(level=1),
    "zstd-checksum": codecs.ZstdCodec(level=3, checksum=True),
    "gzip": codecs.GzipCodec(level=2),
    "crc32c": codecs.Crc32cCodec(),
}
NUMCODECS: dict[str, Any] = {
    "none": None,
    "blosc-lz4": numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE),
    "blosc-zstd": numcodecs.Blosc("zstd", 1, numcodecs.Blosc.SHUFFLE),
    "zstd": numcodecs.Zstd(1),
    "zstd-checksum": numcodecs.Zstd(3, checksum=True),
    "gzip": numcodecs.GZip(1),
    "zlib": numcodecs.Zlib(1),
    "lz4": numcodecs.LZ4(),
    "bz2": numcodecs.BZ2(1),
    "lzma": numcodecs.LZMA(preset=0),
}


def voxels(dtype: str, fill: Any) -> NDArray[Any]:
    """Voxels of which some chunks were never written."""
    rng = np.random.default_rng(3)
    array = rng.integers(0, 200, SHAPE).astype(dtype)
    array[:, :2, 4:8, :6, :5] = array[:, :2, :4, 6:12, 5:10] = fill
    array[:, :2, :8, :6, :10] = fill
    return array


def make(path: Path, array: NDArray[Any], **settings: Any) -> None:
    with warnings.catch_warnings():
        # Of codecs that the specification of format 3 has not got, zarr warns.
        warnings.simplefilter("ignore")
        stored = zarr.create_array(
            path, shape=SHAPE, dtype=array.dtype, chunks=CHUNK, **settings,
        )  # fmt: skip
        stored[...] = array


def same_as_zarr(path: Path, monkeypatch: pytest.MonkeyPatch, *, direct: bool = True) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = zarr.open_array(path, mode="r")
        expected = [np.asarray(oracle[region]) for region in REGIONS]
    array = array_at(str(path.parent), path.name)
    assert (chunk_format(array) is not None) == direct
    with monkeypatch.context() as patch:
        if direct:
            patch.setattr(zarr.Array, "__getitem__", lambda *_: pytest.fail("read by zarr"))
        for region, right in zip(REGIONS, expected, strict=True):
            found = read_region(str(path.parent), path.name, region)
            assert found.dtype == right.dtype.newbyteorder("=") or not direct
            assert found.flags.c_contiguous or not direct
            np.testing.assert_array_equal(found, right, strict=right.dtype.isnative)


@pytest.mark.parametrize(("endian", "dtype"), [("little", "uint16"), ("big", "float32")])
@pytest.mark.parametrize("order", [None, (4, 0, 3, 1, 2)])
@pytest.mark.parametrize("shards", [None, "start", "end"])
@pytest.mark.parametrize("codec", CODECS)
def test_an_array_of_format_3_is_read_as_by_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, shards: str | None,
    order: Any, endian: Any, dtype: str,
) -> None:  # fmt: skip
    fill = np.nan if dtype == "float32" else 7
    make(
        tmp_path / "a", voxels(dtype, fill), fill_value=fill, compressors=CODECS[codec],
        filters=() if order is None else [codecs.TransposeCodec(order=order)],
        serializer=codecs.BytesCodec(endian=endian),
        shards=shards and {"shape": SHARD, "index_location": shards},
    )  # fmt: skip
    assert len(list((tmp_path / "a" / "c").rglob("*"))) > 0
    same_as_zarr(tmp_path / "a", monkeypatch)


@pytest.mark.parametrize(
    ("dtype", "order"), [("<u2", "C"), (">u2", "C"), ("<u2", "F"), ("|u1", "F"), (">f4", "F")]
)
@pytest.mark.parametrize("codec", NUMCODECS)
def test_an_array_of_format_2_is_read_as_by_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, order: Any, dtype: str
) -> None:
    separator, fill = ("/", np.nan) if dtype == ">f4" else (".", None if dtype == "|u1" else 7)
    make(
        tmp_path / "a", voxels(dtype, 0 if fill is None else fill), fill_value=fill,
        zarr_format=2, compressors=NUMCODECS[codec], order=order,
        chunk_key_encoding={"name": "v2", "separator": separator},
        config={"write_empty_chunks": False},
    )  # fmt: skip
    assert (tmp_path / "a" / separator.join("00211")).exists()
    assert not (tmp_path / "a" / separator.join("00000")).exists()
    same_as_zarr(tmp_path / "a", monkeypatch)


@pytest.mark.parametrize("codec", ["zlib", "lz4", "blosc", "zstd", "gzip", "bz2", "lzma"])
def test_a_codec_of_numcodecs_in_format_3_is_read_as_by_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    compressor = {"name": f"numcodecs.{codec}", "configuration": {}}
    make(tmp_path / "a", voxels("uint16", 7), fill_value=7, compressors=compressor, shards=SHARD)
    same_as_zarr(tmp_path / "a", monkeypatch)


@pytest.mark.parametrize(
    "settings",
    [
        {"zarr_format": 2, "filters": [numcodecs.Delta("<u2")], "compressors": numcodecs.Zstd()},
        {"zarr_format": 2, "compressors": numcodecs.Shuffle(2)},
        {"zarr_format": 2,
         "compressors": numcodecs.LZMA(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])},
        {"compressors": [codecs.ZstdCodec(), codecs.GzipCodec()]},
        {"compressors": [codecs.Crc32cCodec(), codecs.ZstdCodec()]},
        {"compressors": [{"name": "numcodecs.shuffle", "configuration": {"elementsize": 2}}]},
        {"filters": [codecs.TransposeCodec(order=(1, 0, 2, 3, 4))] * 2},
        {"serializer": codecs.ShardingCodec(
            chunk_shape=(1, 1, 2, 3, 5), codecs=[codecs.BytesCodec()]), "compressors": None,
         "shards": SHARD},
        {"serializer": codecs.ShardingCodec(
            chunk_shape=(1, 1, 2, 3, 5), codecs=[codecs.BytesCodec()]),
         "compressors": codecs.GzipCodec()},
    ],
    ids=["delta", "shuffle", "raw-lzma", "two", "crc-inside", "shuffle-3", "transposed-twice",
         "shards-in-shards", "shard-compressed"],
)  # fmt: skip
def test_what_only_zarr_knows_is_left_to_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    make(tmp_path / "a", voxels("uint16", 7), fill_value=7, **settings)
    same_as_zarr(tmp_path / "a", monkeypatch, direct=False)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("region", REGIONS)
def test_each_chunk_that_a_region_meets_is_read_once_and_no_other(
    tmp_path: Path, reads: list[tuple[str, Any]], region: Any, sharded: bool
) -> None:
    rng = np.random.default_rng(4)
    make(
        tmp_path / "a", rng.integers(1, 9, SHAPE).astype("u2"),
        shards=SHARD if sharded else None,
    )  # fmt: skip
    spans = [(i, i + 1) if isinstance(i, int) else (i.start, i.stop) for i in region]
    empty = any(a == b for a, b in spans)

    def met(cell: tuple[int, ...]) -> list[str]:
        ranges = [range(a // n, (b - 1) // n + 1) for (a, b), n in zip(spans, cell, strict=True)]
        return [] if empty else ["c/" + "/".join(map(str, at)) for at in itertools.product(*ranges)]

    reads.clear()
    read_region(str(tmp_path), "a", region)
    assert len(set(reads)) == len(reads)
    if sharded:
        # An index for each shard, and the chunks.
        assert len(reads) == len(met(SHARD)) + len(met(CHUNK))
        assert {key for key, _ in reads} == set(met(SHARD))
    else:
        assert sorted(key for key, _ in reads) == met(CHUNK)


def test_what_was_never_written_costs_no_read(tmp_path: Path, reads: list[tuple[str, Any]]) -> None:
    zarr.create_array(tmp_path / "a", shape=(8, 8), dtype="f4", chunks=(4, 4), fill_value=2.5)
    np.testing.assert_array_equal(
        read_region(str(tmp_path), "a", (slice(1, 7), 3)), np.full(6, 2.5, "f4")
    )
    assert reads == []


def compressed(codec: str, content: bytes) -> bytes:
    functions: dict[str, Any] = {
        "zstd": numcodecs.Zstd().encode,
        "blosc": numcodecs.Blosc("lz4").encode,
        "lz4": numcodecs.LZ4().encode,
        "gzip": gzip.compress,
        "zlib": zlib.compress,
        "bz2": bz2.compress,
        "lzma": lambda content: lzma.compress(content, preset=0),
    }
    return bytes(functions[codec](content))


ONE: dict[str, Any] = {
    "zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc("lz4"), "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib(), "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
}  # fmt: skip


@pytest.mark.parametrize("codec", ONE)
@pytest.mark.parametrize("factor", [0.5, 1.01, 200])
def test_a_chunk_of_another_length_is_refused_without_taking_room_for_it(
    tmp_path: Path, codec: str, factor: float
) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=(64, 64), dtype="u2", chunks=(64, 64), zarr_format=2,
        compressors=ONE[codec],
    )  # fmt: skip
    array[...] = 5
    region = (slice(0, 64), slice(0, 64))
    read_region(str(tmp_path), "a", region)
    (tmp_path / "a" / "0.0").write_bytes(compressed(codec, bytes(int(64 * 64 * 2 * factor))))
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"/a: unreadable pixels at 0:64, 0:64 \(0\.0[ :]"):
        read_region(str(tmp_path), "a", region)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_several_members_of_gzip_are_one_chunk(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=(100,), dtype="u1", chunks=(100,), zarr_format=2,
        compressors=numcodecs.GZip(),
    )  # fmt: skip
    array[...] = 1
    content = bytes(range(100))
    (tmp_path / "a" / "0").write_bytes(gzip.compress(content[:60]) + gzip.compress(content[60:]))
    assert read_region(str(tmp_path), "a", (slice(0, 100),)).tobytes() == content


@pytest.mark.parametrize("codec", ["none", "blosc-lz4-bitshuffle", "crc32c", "zstd", "gzip"])
@pytest.mark.parametrize("shards", [None, SHARD])
def test_no_damage_reads_as_voxels(tmp_path: Path, codec: str, shards: Any) -> None:
    array = np.random.default_rng(5).integers(0, 9, SHAPE).astype("u2")
    make(tmp_path / "a", array, compressors=CODECS[codec], shards=shards)
    file = tmp_path / "a" / "c" / "0" / "0" / "0" / "0" / "0"
    whole = file.read_bytes()
    everything = tuple(slice(0, n) for n in SHAPE)
    for keep in (0, 1, 3, 15, 40, len(whole) // 2, -17, -1):
        file.write_bytes(whole[:keep])
        with pytest.raises(FormatError, match=r"unreadable pixels at .*c/0/0/0/0/0"):
            read_region(str(tmp_path), "a", everything)
    if shards:
        # An index that points elsewhere, with a checksum that is right.
        import google_crc32c

        index = np.frombuffer(whole[-4 - 16 * 4 : -4], "<u8").copy()
        index[0] = len(whole)
        tail = index.tobytes()
        tail += google_crc32c.value(tail).to_bytes(4, "little")
        file.write_bytes(whole[: -len(tail)] + tail)
        with pytest.raises(FormatError, match="points behind its end"):
            read_region(str(tmp_path), "a", everything)
    file.write_bytes(whole)
    np.testing.assert_array_equal(read_region(str(tmp_path), "a", everything), array)


def test_the_main_thread_decodes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numcodecs.blosc.decompress", lambda *_: pytest.fail("by numcodecs"))
    create_array(str(tmp_path / "a"), shape=(8, 8), dtype=np.uint16, chunk=(4, 4))
    write_chunk(str(tmp_path), "a", (slice(0, 4), slice(0, 4)), np.ones((4, 4), np.uint16))
    assert read_region(str(tmp_path), "a", (slice(0, 4), 2)).tolist() == [1] * 4


def test_a_lost_chunk_of_a_whole_array_is_an_error(tmp_path: Path) -> None:
    create_array(str(tmp_path / "a"), shape=(8, 8), dtype=np.uint16, chunk=(4, 4))
    with pytest.raises(FormatError, match=r"/a: unreadable pixels at 0:4, 0:4 \(c/0/0 was lost"):
        read_region(str(tmp_path), "a", (slice(0, 4), slice(0, 4)))
