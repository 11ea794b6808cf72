"""Chunks and shards that scimage writes are those that zarr would have written."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scimage.image.storage import chunk_digest, create_array, read_region, write_chunk

SHAPE, CHUNK, SHARD = (2, 9, 13, 14), (1, 4, 6, 5), (1, 8, 12, 10)


def pieces(unit: tuple[int, ...]) -> list[tuple[slice, ...]]:
    spans = [
        [slice(i, min(i + u, n)) for i in range(0, n, u)] for u, n in zip(unit, SHAPE, strict=True)
    ]
    return list(itertools.product(*spans))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float64"])
@pytest.mark.parametrize("shard", [None, SHARD])
def test_what_is_written_is_what_zarr_reads(
    tmp_path: Path, ramp: Any, dtype: str, shard: Any
) -> None:
    array, store = ramp(SHAPE, dtype), str(tmp_path)
    array[:, :4] = 0  # is written like everything else
    create_array(f"{store}/a", shape=SHAPE, dtype=array.dtype, chunk=CHUNK, shard=shard)
    for index in pieces(shard or CHUNK):
        digest = write_chunk(store, "a", index, array[index])
        assert digest == chunk_digest(store, "a", index)
        assert digest in {hashlib.sha256(f.read_bytes()).hexdigest() for f in files(tmp_path)}
    assert len(files(tmp_path)) == len(pieces(shard or CHUNK))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], array)
    np.testing.assert_array_equal(read_region(store, "a", tuple(slice(0, n) for n in SHAPE)), array)


def files(folder: Path) -> list[Path]:
    return [f for f in (folder / "a" / "c").rglob("*") if f.is_file()]


def test_a_shard_has_all_its_chunks_and_the_length_that_zarr_gives_it(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 99, (8, 12, 10)).astype("u2")
    for name in ("ours", "theirs"):
        create_array(
            str(tmp_path / name), shape=array.shape, dtype=array.dtype, chunk=CHUNK[1:],
            shard=SHARD[1:],
        )  # fmt: skip
    write_chunk(str(tmp_path), "ours", tuple(slice(0, n) for n in array.shape), array)
    zarr.open_array(tmp_path / "theirs", mode="r+")[...] = array
    ours, theirs = ((tmp_path / n / "c/0/0/0").read_bytes() for n in ("ours", "theirs"))
    assert len(ours) == len(theirs)

    def chunks(shard: bytes) -> list[bytes]:
        index = np.frombuffer(shard[-4 - 8 * 16 : -4], "<u8").reshape(-1, 2).tolist()
        return [shard[start : start + length] for start, length in index]

    assert chunks(ours) == chunks(theirs)


def test_a_chunk_replaces_what_stands_there(tmp_path: Path) -> None:
    create_array(str(tmp_path / "a"), shape=(4, 4), dtype=np.uint16, chunk=(4, 4))
    index = (slice(0, 4), slice(0, 4))
    write_chunk(str(tmp_path), "a", index, np.ones((4, 4), np.uint16))
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(b"damaged")
    write_chunk(str(tmp_path), "a", index, np.full((4, 4), 2, np.uint16))
    assert (read_region(str(tmp_path), "a", index) == 2).all()
    assert [f.name for f in files(tmp_path)] == ["0"]
