"""Unfinished work: what it is, which of its steps are finished, and the arrays that it needs.

A workspace is a hidden folder beside what it will become. Its name holds the fingerprint of its
identity (input, parameters, version of the code), so that work of one kind is never continued as
work of another. A step is recorded in the ledger after its data are safely on the disk, with
their digest; so a killed process, a power cut or a full disk cost only the steps in work.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import StorageError
from scimage.image.durable import digest_of, sync_folder, write_file
from scimage.image.reader import Region
from scimage.image.staging import discard
from scimage.image.storage import (
    chunk_digest,
    create_array,
    folder_bytes,
    naming_storage,
    read_region,
    write_chunk,
)

__all__ = ["ScratchVolume", "Workspace", "free_bytes", "unfinished_beside"]

_log = logging.getLogger("scimage")

# A block is read by its neighbours for their halos: in chunks, so that they decode few voxels more.
_CHUNK_SIDE = 64


@dataclass(frozen=True, slots=True)
class ScratchVolume:
    """A 3-D array that blocks write and later passes read; it travels as a name."""

    store: str
    path: str
    shape: tuple[int, int, int]
    dtype: str

    def read(self, region: Region) -> NDArray[Any]:
        """Read (z, y, x)."""
        return read_region(self.store, self.path, region)

    def write(self, region: Region, data: NDArray[Any]) -> None:
        """Write one block (z, y, x); when this returns, the disk has it."""
        write_chunk(self.store, self.path, region, data)

    def digest(self, region: Region) -> str:
        """Digest of what the disk holds of a block; empty where there is nothing."""
        return chunk_digest(self.store, self.path, region)


class Workspace:
    """A folder of unfinished work.

    Parameters
    ----------
    anchor
        What the work will become, or a name for it; the folder lies beside it.
    identity
        All that decides the result, as plain data. Only work of the same identity is continued.
    restart
        Drop what an earlier run has finished.

    Attributes
    ----------
    folder
        Where everything is. Its users make what they need in it.
    reused
        Number of steps that an earlier run had finished.

    Raises
    ------
    StorageError
        The disk is full or cannot be written.
    """

    def __init__(self, anchor: Path, identity: Mapping[str, Any], *, restart: bool = False) -> None:
        self._identity = json.dumps(identity, sort_keys=True)
        self.fingerprint = digest_of(self._identity.encode())[:12]
        self.folder = anchor.with_name(f".{anchor.name}.{self.fingerprint}.partial")
        if restart or _text_of(self.folder / "identity.json") != self._identity:
            discard(self.folder)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            # Full, locked or out of reach: what is in it may be whole.
            raise StorageError(
                self.folder, found=f"the ledger cannot be opened ({error})",
                expected="a writable place with enough room, in no other program's use",
                remedy="Free some space and run the same command again: it continues.",
            ) from error  # fmt: skip
        except sqlite3.DatabaseError:
            _log.warning("%s: its ledger is damaged; starting anew", self.folder)
            discard(self.folder)
            self._open()

    def _open(self) -> None:
        file = self.folder / "identity.json"
        with naming_storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._ledger = _opened(self.folder / "ledger.sqlite")
            if not file.exists():
                # Written last: a folder without it is dropped.
                write_file(file, self._identity.encode())
                sync_folder(self.folder.parent)
        self.reused = int(self._ledger.execute("SELECT count(*) FROM steps").fetchone()[0])

    def clear(self) -> None:
        """Drop all that is finished."""
        self._ledger.close()
        discard(self.folder)
        self._open()

    def finished(self, stage: str) -> dict[str, str]:
        """Finished steps of a stage, with the digest of their data."""
        rows = self._ledger.execute("SELECT step, digest FROM steps WHERE stage = ?", (stage,))
        return dict(rows.fetchall())

    def finish(self, stage: str, step: str, digest: str) -> None:
        """Record a step whose data are safely on the disk.

        Raises
        ------
        StorageError
            The disk is full or cannot be written.
        """
        try:
            self._ledger.execute(
                "INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", (stage, step, digest)
            )
        except sqlite3.OperationalError as error:
            raise StorageError(
                self.folder, found=f"the ledger cannot be written ({error})",
                expected="a writable place with enough room",
                remedy="Free some space and run the same command again: it continues.",
            ) from error  # fmt: skip

    def volume(
        self, name: str, dtype: type, shape: tuple[int, int, int], block: tuple[int, int, int]
    ) -> ScratchVolume:
        """Find or create an array whose shards are the blocks, so that each has one writer."""
        if not (self.folder / name / "zarr.json").exists():
            shard = [min(b, n) for b, n in zip(block, shape, strict=True)]
            chunk = [_chunk_side(n) for n in shard]
            create_array(
                str(self.folder / name), shape=shape, dtype=dtype, chunk=chunk, shard=shard
            )
        return ScratchVolume(str(self.folder), name, shape, np.dtype(dtype).name)

    def close(self, *, keep: bool) -> None:
        """Let go of the ledger; keep what is finished for the next run, or remove it."""
        empty = not self._ledger.execute("SELECT count(*) FROM steps").fetchone()[0]
        empty &= not (self.folder / "results").exists()
        self._ledger.close()
        if empty or not keep:
            discard(self.folder)


def _chunk_side(side: int) -> int:
    """The largest part of a block's side that is not above `_CHUNK_SIDE`, but not a sliver."""
    parts = [n for n in range(_CHUNK_SIDE // 2, _CHUNK_SIDE + 1) if side % n == 0]
    return max(parts, default=side)


def _opened(file: Path) -> sqlite3.Connection:
    # Each step is a transaction that SQLite flushes to the disk. No write-ahead log: it does not
    # work on network folders.
    ledger = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        ledger.execute("PRAGMA synchronous = FULL")
        ledger.execute(
            "CREATE TABLE IF NOT EXISTS steps "
            "(stage TEXT, step TEXT, digest TEXT NOT NULL, PRIMARY KEY (stage, step))"
        )
        if ledger.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
    except BaseException:
        ledger.close()
        raise
    return ledger


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def unfinished_beside(anchor: Path) -> list[tuple[Path, int]]:
    """Workspaces for what `anchor` names: folder and bytes."""
    folders = sorted(anchor.parent.glob(f".{anchor.name}.*.partial"))
    return [(folder, folder_bytes(folder)) for folder in folders]


def free_bytes(place: Path) -> int:
    """Room on the disk that holds `place`, or will."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
