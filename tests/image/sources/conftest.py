"""What the tests of the readers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scimage.image.sources import Source, open_source

ReadAll = Callable[[Any], NDArray[Any]]


def whole(source: Source) -> NDArray[Any]:
    """All voxels of a source (c, z, y, x)."""
    everything = slice(None)
    return np.stack(
        [source.read(c, everything, everything, everything) for c in range(source.shape[0])]
    )


@pytest.fixture
def read_all() -> ReadAll:
    """Open a path, check what `Source` promises, return all voxels (c, z, y, x)."""

    def read(path: Any) -> NDArray[Any]:
        with open_source(path) as source:
            voxels = whole(source)
            assert voxels.shape == source.shape
            assert voxels.dtype == source.dtype
            assert voxels.dtype.isnative
            assert len(source.channel_names) == len(set(source.channel_names)) == source.shape[0]
            assert len(source.channel_colors) == source.shape[0]
        return voxels

    return read


@pytest.fixture
def noise() -> Callable[..., NDArray[Any]]:
    """Random voxels of a shape and type, the same in each run."""

    def make(shape: tuple[int, ...], dtype: str = "uint16") -> NDArray[Any]:
        rng = np.random.default_rng(20260101)
        if np.dtype(dtype).kind == "f":
            return rng.normal(size=shape).astype(dtype)
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)

    return make


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int, int]]:
    """Every read of pixels: file, offset, size."""
    from scimage.image.sources._planes import Files

    reads: list[tuple[Path, int, int]] = []
    read = Files.read

    def spy(self: Files, path: Path, offset: int, size: int) -> bytes:
        reads.append((path, offset, size))
        return read(self, path, offset, size)

    monkeypatch.setattr(Files, "read", spy)
    return reads
