"""Reading every voxel once, slab by slab, on two threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import CODECS, Shape, nuclei, open_zarr
from benchmarks.harness import Check, Contest, Contestant, Size

__all__ = ["CONTESTS", "blocks", "read_blocks", "reading_alone"]

SHAPES: dict[Size, Shape] = {
    "full": (256, 512, 512),
    "quick": (128, 256, 256),
    "tiny": (128, 256, 256),
}
_SLAB = 128
# Of what was read only this grid of voxels is looked at: it costs nothing.
_SAMPLE = (slice(None, None, 16), slice(None, None, 64), slice(None, None, 64))


def blocks(shape: Shape, block: Shape) -> Iterator[tuple[slice, slice, slice]]:
    """Regions of at most `block` voxels that tile a volume."""
    starts = [range(0, n, b) for n, b in zip(shape, block, strict=True)]
    for z, y, x in product(*starts):
        yield tuple(  # type: ignore[misc]
            slice(i, min(i + b, n)) for i, b, n in zip((z, y, x), block, shape, strict=True)
        )


def _sample(data: NDArray[Any]) -> int:
    return int(data[_SAMPLE].sum(dtype=np.int64))


def read_blocks(path: Path, workers: int, block: Shape = (_SLAB, 256, 256)) -> int:
    """Read an image with scimage, each thread its own blocks."""
    import scimage

    volume = scimage.open_image(path).volume(0)
    regions = list(blocks(volume.shape, block))
    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(lambda region: _sample(volume.read(region)), regions))


def reading_alone(workers: int) -> Contestant:
    """The limit of every pass over an image: to read it, and do nothing."""
    return Contestant(
        name=f"reading alone, {workers} thread{'s' * (workers > 1)}",
        run=lambda task: read_blocks(task.path, workers),
        limit=True,
        cores=workers,
    )


def _scimage(task: SimpleNamespace) -> int:
    return read_blocks(task.path, 2)


def _zarr(pipeline: str, task: SimpleNamespace) -> int:
    import zarr

    settings: dict[str, Any] = {"threading.max_workers": 2}
    if pipeline:
        settings["codec_pipeline.path"] = pipeline
    if pipeline.endswith("FusedCodecPipeline"):
        settings["codec_pipeline.max_workers"] = 2
    with zarr.config.set(settings):
        array = open_zarr(task.path)
        return sum(_sample(array[z : z + _SLAB]) for z in range(0, array.shape[0], _SLAB))


def _zarrs(task: SimpleNamespace) -> int:
    os.environ["RAYON_NUM_THREADS"] = "2"
    return _zarr("zarrs.ZarrsCodecPipeline", task)


def _tensorstore(task: SimpleNamespace) -> int:
    import tensorstore

    two = {"limit": 2}
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(task.path / "0")},
        "context": {"data_copy_concurrency": two, "file_io_concurrency": two},
    }
    array = tensorstore.open(spec, open=True).result()
    return sum(
        _sample(array[z : z + _SLAB].read().result()) for z in range(0, array.shape[0], _SLAB)
    )


def _decode_alone(task: SimpleNamespace) -> None:
    import imagecodecs

    name = task.codec.split("-")[0]
    decode = bytes if name == "none" else getattr(imagecodecs, f"{name}_decode")
    files = [f for f in (task.plain / "0" / "c").rglob("*") if f.is_file()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda file: len(decode(file.read_bytes())), files))


def _given(codec: str, sharded: bool, size: Size) -> SimpleNamespace:
    shape = SHAPES[size]
    task = nuclei(shape, codec, sharded)
    task.codec, task.plain = codec, nuclei(shape, codec).path
    task.sample = _sample(open_zarr(task.plain)[:])
    return task


def _same(task: SimpleNamespace, sample: int) -> Check:
    same = sample == task.sample
    return Check("equal" if same else f"{sample} for {task.sample}", same)


_READERS = (
    Contestant(name="scimage", run=_scimage, cores=2),
    Contestant(name="zarr default", run=partial(_zarr, ""), package="zarr", cores=2),
    Contestant(
        name="zarr fused", package="zarr", cores=2,
        run=partial(_zarr, "zarr.core.codec_pipeline.FusedCodecPipeline"),
        requires="zarr.core.codec_pipeline:FusedCodecPipeline",
    ),
    Contestant(name="zarrs", run=_zarrs, package="zarrs", cores=2),
    Contestant(name="tensorstore", run=_tensorstore, package="tensorstore", cores=2),
    Contestant(
        name="decoding alone", run=_decode_alone, package="imagecodecs", cores=2, limit=True
    ),
)  # fmt: skip

CONTESTS = tuple(
    Contest(
        name=f"reading {codec}{', sharded' * sharded}",
        given=partial(_given, codec, sharded),
        check=_same,
        contestants=_READERS,
    )
    for sharded, codec in product((False, True), CODECS)
)
