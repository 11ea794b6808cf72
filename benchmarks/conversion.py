"""A TIFF to OME-Zarr with a pyramid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import NUCLEI_UM, Shape, cached, nuclei, open_zarr, scratch
from benchmarks.harness import Check, Contest, Contestant, Size
from benchmarks.reading import blocks

__all__ = ["CONTESTS"]

SHAPES: dict[Size, Shape] = {
    "full": (128, 1024, 1024),
    "crop": (128, 512, 512),
    "quick": (64, 256, 256),
    "tiny": (32, 160, 160),
}
_CHUNK: Shape = (128, 128, 128)


def _given(size: Size) -> SimpleNamespace:
    from tifffile import imwrite

    task = nuclei(SHAPES[size], "blosc-lz4")

    def make(path: Path) -> None:
        described = {
            "axes": "ZYX",
            **{f"PhysicalSize{a}": s for a, s in zip("ZYX", NUCLEI_UM, strict=True)},
        }
        imwrite(path, open_zarr(task.path)[:], ome=True, metadata=described)

    task.tiff = cached(f"{task.name}.ome.tif", make)
    return task


def _scimage(task: SimpleNamespace) -> Path:
    import scimage

    return Path(scimage.convert(task.tiff, scratch("image.ome.zarr"), workers=2).path)


def _ngff_zarr(task: SimpleNamespace) -> Path:
    import dask
    import ngff_zarr
    from tifffile import imread

    target = scratch("image.ome.zarr")
    image = ngff_zarr.to_ngff_image(
        imread(task.tiff), dims=["z", "y", "x"],
        scale=dict(zip("zyx", NUCLEI_UM, strict=True)), translation=dict.fromkeys("zyx", 0.0),
    )  # fmt: skip
    with dask.config.set(scheduler="threads", num_workers=2):
        pyramid = ngff_zarr.to_multiscales(
            image, _factors(task), chunks=_CHUNK[0], method=ngff_zarr.Methods.DASK_IMAGE_GAUSSIAN
        )
        ngff_zarr.to_ngff_zarr(str(target), pyramid, version="0.5")
    return target


def _ome_zarr(task: SimpleNamespace) -> Path:
    import dask
    import dask.array
    import ome_zarr.scale
    import ome_zarr.writer
    import zarr
    from tifffile import imread

    target = scratch("image.ome.zarr")
    data = dask.array.from_array(imread(task.tiff), chunks=_CHUNK)
    with dask.config.set(scheduler="threads", num_workers=2):
        ome_zarr.writer.write_image(
            data, zarr.open_group(str(target), mode="w"), axes="zyx",
            storage_options={"chunks": _CHUNK},
        )  # fmt: skip
    return target


def _factors(task: SimpleNamespace) -> list[int]:
    """Halve until the longest side is below that of a chunk."""
    longest, factors = max(open_zarr(task.path).shape), [2]
    while longest > _CHUNK[0] * factors[-1] and len(factors) < 4:
        factors.append(2 * factors[-1])
    return factors


def _codec(task: SimpleNamespace) -> None:
    """The limit: to compress all chunks, from memory and into it, on two threads."""
    import imagecodecs

    def compress(data: NDArray[Any]) -> int:
        packed = imagecodecs.blosc_encode(
            np.ascontiguousarray(data), level=5, compressor="lz4", shuffle="bitshuffle", typesize=2,
            numthreads=1,
        )  # fmt: skip
        return len(packed)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compress, task.chunks))


def _in_memory(size: Size) -> SimpleNamespace:
    task = _given(size)
    data = open_zarr(task.path)[:]
    task.chunks = [np.ascontiguousarray(data[region]) for region in blocks(data.shape, _CHUNK)]
    return task


def _equal(task: SimpleNamespace, target: Path) -> Check:
    import zarr

    group = zarr.open_group(target, mode="r")
    multiscales = (group.attrs.get("ome") or group.attrs)["multiscales"]  # type: ignore[index,call-overload]
    levels = [d["path"] for d in multiscales[0]["datasets"]]
    same = np.array_equal(np.asarray(group[levels[0]]).squeeze(), open_zarr(task.path)[:])
    return Check(
        f"{'equal' if same else 'differs'}, {len(levels)} levels", same and len(levels) > 1
    )


CONTESTS = (
    Contest(
        name="convert TIFF to OME-Zarr",
        given=_given,
        check=_equal,
        contestants=(
            Contestant(name="scimage, 2 workers", run=_scimage, cores=2),
            Contestant(
                name="compressing alone, 2 threads", run=_codec, package="imagecodecs",
                cores=2, limit=True, given=_in_memory,
            ),
            Contestant(name="ngff-zarr, 2 threads", run=_ngff_zarr, package="ngff-zarr", cores=2),
            Contestant(name="ome-zarr, 2 threads", run=_ome_zarr, package="ome-zarr", cores=2),
        ),
    ),
)  # fmt: skip
