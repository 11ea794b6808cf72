"""What the tests of the image room share: small images, and stores as other programs write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from scimage.image import NewImage, PixelSource, chunks, pyramid, write_image
from scimage.image.metadata import named_channels

Write = Callable[..., Path]


class ArrayPixels:
    """An array (c, z, y, x) as a source of pixels."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.reads = 0

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        self.reads += 1
        return self.array[channel, z, y, x]


@pytest.fixture
def pixels_of() -> Callable[[NDArray[Any]], PixelSource]:
    """Turn an array (c, z, y, x) into a source of pixels."""
    return ArrayPixels


@pytest.fixture
def describe() -> Callable[..., NewImage]:
    """Describe a new image for an array (c, z, y, x)."""

    def make(array: NDArray[Any], **changes: Any) -> NewImage:
        settings: dict[str, Any] = {
            "shape": array.shape,
            "dtype": array.dtype,
            "spacing_um": (4.0, 1.0, 1.0),
            "spacing_origin": "test",
            "channels": named_channels([f"stain{i}" for i in range(array.shape[0])]),
        }
        return NewImage(**(settings | changes))

    return make


@pytest.fixture
def write(describe: Callable[..., NewImage]) -> Write:
    """Write an array (c, z, y, x) as an OME-Zarr 0.5 image."""

    def make(
        target: Path,
        array: NDArray[Any],
        *,
        identity: Any = "one",
        source: Any = None,
        overwrite: bool = False,
        report: Any = None,
        workers: int = 2,
        **changes: Any,
    ) -> Path:
        make.reused = write_image(  # type: ignore[attr-defined]
            target,
            describe(array, **changes),
            source or ArrayPixels(array),
            {"test": identity},
            overwrite=overwrite,
            workers=workers,
            **({} if report is None else {"report": report}),
        )
        return target

    return make


@pytest.fixture
def ramp() -> Callable[..., NDArray[Any]]:
    """Reproducible random voxels of a shape and type."""

    def make(shape: Sequence[int], dtype: Any = "uint16", seed: int = 1) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        kind = np.dtype(dtype)
        if kind.kind == "f":
            return rng.normal(size=shape).astype(kind)
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind.newbyteorder("="), True).astype(
            kind
        )

    return make


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk after each of thousands of tiny files."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def tiny_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8^3 in shards of 16^2 x 8 voxels, so that small images have many of both."""
    monkeypatch.setattr(pyramid, "_CHUNK_SIDE", 8)
    monkeypatch.setattr(pyramid, "_CHUNK_VOXELS", 8**3)
    monkeypatch.setattr(pyramid, "_SHARD_VOXELS", 8 * 16**2)
    monkeypatch.setattr(pyramid, "_SMALLEST_LEVEL", 8)


@pytest.fixture
def foreign() -> Callable[..., Path]:
    """Write an image as another program would, with zarr alone."""

    def make(
        path: Path,
        levels: NDArray[Any] | Sequence[NDArray[Any]],
        axes: str,
        *,
        version: str = "0.4",
        units: dict[str, str | None] | None = None,
        transforms: Sequence[Sequence[dict[str, Any]]] | None = None,
        common: Sequence[dict[str, Any]] | None = None,
        omero: Sequence[str] | None = None,
        **array_options: Any,
    ) -> Path:
        arrays = [levels] if isinstance(levels, np.ndarray) else list(levels)
        zarr_format = 2 if version == "0.4" else 3
        kinds = {"t": "time", "c": "channel"}
        described = []
        for name in axes:
            axis = {"name": name, "type": kinds.get(name, "space")}
            unit = (units or {}).get(name, "micrometer" if name in "zyx" else None)
            described.append(axis if unit is None else axis | {"unit": unit})
        steps = transforms or [
            [{"type": "scale", "scale": [float(2**i if a in "yx" else 1) for a in axes]}]
            for i in range(len(arrays))
        ]
        image: dict[str, Any] = {
            "axes": described,
            "datasets": [
                {"path": str(i), "coordinateTransformations": list(s)} for i, s in enumerate(steps)
            ],
        }
        if common is not None:
            image["coordinateTransformations"] = list(common)
        block: dict[str, Any] = {"multiscales": [image]}
        if omero is not None:
            window = {"min": 0, "max": 9, "start": 0, "end": 9}
            block["omero"] = {
                "channels": [{"label": n, "color": "FF0000", "window": window} for n in omero]
            }
        if version == "0.4":
            image["version"] = "0.4"
        else:
            block = {"ome": block | {"version": version}}
        group = zarr.create_group(path, zarr_format=zarr_format, attributes=block)
        for i, array in enumerate(arrays):
            stored = group.create_array(
                str(i),
                shape=array.shape,
                dtype=array.dtype,
                **({"chunks": tuple(min(8, n) for n in array.shape)} | array_options),
            )
            stored[...] = array
        return path

    return make


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, int]]]:
    """Every read of pixels from a folder: key in the array, and start and length in the file."""
    seen: list[tuple[str, tuple[int, int]]] = []
    original = chunks._read

    def read(file: Any, start: int, into: NDArray[Any]) -> None:
        path = Path(file.name)
        array = next(
            p for p in path.parents if (p / "zarr.json").exists() or (p / ".zarray").exists()
        )
        seen.append((str(path.relative_to(array)), (start, into.size)))
        original(file, start, into)

    monkeypatch.setattr(chunks, "_read", read)
    return seen
