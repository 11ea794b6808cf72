"""Arrays between two passes: on disk, one chunk a block, gone when the work is done."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scimage.image.reader import Region
from scimage.image.staging import discard
from scimage.image.storage import create_array, naming_storage, read_region, write_region

__all__ = ["Scratch", "ScratchVolume", "scratch_beside"]


@dataclass(frozen=True, slots=True)
class ScratchVolume:
    """A 3-D array that blocks write and later passes read; it travels as a name."""

    store: str
    path: str
    shape: tuple[int, int, int]

    def read(self, region: Region) -> NDArray[Any]:
        """Read (z, y, x)."""
        return read_region(self.store, self.path, region)

    def write(self, region: Region, data: NDArray[Any]) -> None:
        """Write (z, y, x); regions of different writers may not share a chunk."""
        write_region(self.store, self.path, region, data)


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder of scratch arrays for volumes of one shape that is divided in one way."""

    folder: Path
    shape: tuple[int, int, int]
    block: tuple[int, int, int]

    def volume(self, name: str, dtype: type) -> ScratchVolume:
        """Create an array of zeros; its chunks are the blocks, so each has one writer."""
        chunk = tuple(min(b, n) for b, n in zip(self.block, self.shape, strict=True))
        create_array(str(self.folder / name), shape=self.shape, dtype=dtype, chunk=chunk)
        return ScratchVolume(str(self.folder), name, self.shape)


@contextlib.contextmanager
def scratch_beside(
    store: Path, shape: tuple[int, int, int], block: tuple[int, int, int]
) -> Iterator[Scratch]:
    """Make a scratch folder beside `store`, where workers see it too; removed at the end."""
    unique = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder = store.with_name(f".{store.name}.scratch-{unique}")
    with naming_storage(folder):
        folder.mkdir(parents=True)
    try:
        yield Scratch(folder, shape, block)
    finally:
        discard(folder)
