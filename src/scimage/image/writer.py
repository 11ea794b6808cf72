"""Write an image or a label with its full pyramid, shard by shard, in flat memory.

Every voxel of every level is computed from the full-resolution voxels that it covers (for
intensities exactly, as the rounded mean), while the shard that holds them is in memory. Coarser
levels are first collected in a scratch array and then cut into shards of their own.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scimage.errors import UsageError
from scimage.image.metadata import Channel, Dataset, ImageMetadata, render_metadata
from scimage.image.pyramid import Layout, PyramidLevel, plan_layout, plan_pyramid
from scimage.image.reader import Region
from scimage.image.staging import Ledger, discard, exclusive, refuse_existing, staging_path
from scimage.image.storage import create_array, read_region, update_attributes, write_chunk
from scimage.progress import Report, silent

__all__ = ["NewImage", "PixelSource", "write_image", "write_label_pyramid"]

_BAND_BYTES = 2**28
_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
# Sums of their blocks stay exact in 64 bits.
_PIXEL_TYPES = (*_INTEGERS, "float32", "float64")
_LABEL_TYPES = (*_INTEGERS, "uint64", "int64")
# Of the arrays that a stopped run left; not continued by a version that lays them out otherwise.
_LAYOUT_VERSION = 2


class PixelSource(Protocol):
    """Whatever can give the pixels of a new image, region by region."""

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read (z, y, x) of one channel."""
        ...


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a new image will be; `shape` is (c, z, y, x), frames are zyx in micrometres."""

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    spacing_um: tuple[float, float, float]
    spacing_origin: str
    channels: tuple[Channel, ...]
    translation_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    name: str = ""


def write_image(
    target: Path,
    new: NewImage,
    source: PixelSource,
    identity: Mapping[str, Any],
    *,
    overwrite: bool = False,
    workers: int = 2,
    report: Report = silent,
) -> int:
    """Write an OME-Zarr 0.5 image with its pyramid; it appears at `target` when it is whole.

    Parameters
    ----------
    target
        Final place; the parts are built beside it under a hidden name.
    new
        Shape, type, frame and channels.
    source
        Gives the pixels; it is called from one thread only.
    identity
        Says which pixels these are (files, sizes, times, parameters), as JSON. A stopped run of
        the same identity is continued, any other is discarded.
    workers
        Threads that compress.

    Returns
    -------
    Number of shards that a stopped run had finished and that were used again.

    Raises
    ------
    TargetExistsError
        `target` exists and `overwrite` is not set, or it is no Zarr folder.
    UsageError
        The image is empty or of a type that has no exact mean, or another run writes `target`.
    StorageError
        The disk is full or cannot be written.
    """
    _check(target, new, _PIXEL_TYPES)
    refuse_existing(target, overwrite)
    levels = plan_pyramid(new.shape[1:], new.spacing_um)
    with exclusive(target):
        ledger = Ledger(staging_path(target), _identity(new, levels, identity))
        _Writing(ledger, levels, new.shape[0], new.dtype, "mean").run(source, workers, report)
        metadata = _metadata(new, levels)
        store, coarsest = str(ledger.image), str(len(levels) - 1)
        whole = tuple(slice(0, n) for n in levels[-1].shape)
        channels = tuple(
            replace(channel, window=_window(read_region(store, coarsest, (c, *whole))))
            for c, channel in enumerate(new.channels)
        )
        update_attributes(store, render_metadata(replace(metadata, channels=channels), None))
        ledger.publish(target, overwrite)
    return ledger.reused


def write_label_pyramid(
    target: Path,
    new: NewImage,
    source: PixelSource,
    label: Mapping[str, Any],
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> None:
    """Write one NGFF label image with its pyramid by mode; `new.shape` has one channel.

    `label` is the content of its ``image-label`` metadata. A label that was stopped is started
    anew.
    """
    _check(target, new, _LABEL_TYPES)
    refuse_existing(target, overwrite)
    levels = plan_pyramid(new.shape[1:], new.spacing_um)
    with exclusive(target):
        staged = staging_path(target)
        discard(staged)
        try:
            ledger = Ledger(staged, _identity(new, levels, {}))
            _Writing(ledger, levels, None, new.dtype, "mode").run(source, 1, report)
            metadata = replace(
                _metadata(new, levels), axes="zyx", channels=(), name=new.name or target.name
            )
            update_attributes(str(ledger.image), render_metadata(metadata, label))
            ledger.publish(target, overwrite)
        except BaseException:
            discard(staged)
            raise


def _check(target: Path, new: NewImage, dtypes: Sequence[str]) -> None:
    if min(new.shape) < 1:
        raise UsageError(
            target, found=f"an image of shape {new.shape}", expected="at least one voxel",
            remedy="Check what the image is made from.",
        )  # fmt: skip
    if new.dtype.name not in dtypes:
        raise UsageError(
            target, found=f"voxels of type {new.dtype}", expected=f"one of {', '.join(dtypes)}",
            remedy="Save the source with another type.",
        )  # fmt: skip


def _identity(
    new: NewImage, levels: Sequence[PyramidLevel], source: Mapping[str, Any]
) -> dict[str, Any]:
    """All that decides which bytes the shards hold."""
    return {
        "layout_version": _LAYOUT_VERSION,
        "source": dict(source),
        "channels": new.shape[0],
        "dtype": new.dtype.str,
        "levels": [
            [*level.shape, *level.factors, *plan_layout(level.shape).shard] for level in levels
        ],
    }


def _metadata(new: NewImage, levels: Sequence[PyramidLevel]) -> ImageMetadata:
    """Frames of all levels: the first voxel of a block mean is centred on its block."""

    def dataset(index: int, factors: tuple[int, int, int]) -> Dataset:
        spacing = tuple(s * f for s, f in zip(new.spacing_um, factors, strict=True))
        origin = tuple(
            t + s * (f - 1) / 2
            for t, s, f in zip(new.translation_um, new.spacing_um, factors, strict=True)
        )
        return Dataset(
            str(index), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2])
        )

    return ImageMetadata(
        version="0.5",
        axes="czyx",
        datasets=tuple(dataset(i, level.factors) for i, level in enumerate(levels)),
        channels=new.channels,
        spacing_origin=new.spacing_origin,
        name=new.name,
    )


def _window(sample: NDArray[Any]) -> tuple[float, float, float, float]:
    """Display window of a channel from its coarsest level: 1st to 99.9th percentile."""
    values = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    if values.size == 0:
        return 0.0, 1.0, 0.0, 1.0
    start, end = (float(v) for v in np.percentile(values, [1, 99.9]))
    end = end if end > start else start + 1.0
    if sample.dtype.kind == "f":
        return min(start, float(values.min())), max(end, float(values.max())), start, end
    limits = np.iinfo(sample.dtype)
    return float(limits.min), float(limits.max), start, end


class _Writing:
    """The levels of one new image: (c, z, y, x), or (z, y, x) without channels.

    Parameters
    ----------
    ledger
        Where the image grows, and what of it is finished.
    n_channels
        None for a label image, which has no channel axis.
    """

    def __init__(
        self,
        ledger: Ledger,
        levels: Sequence[PyramidLevel],
        n_channels: int | None,
        dtype: np.dtype[Any],
        reduce: Literal["mean", "mode"],
    ) -> None:
        self._ledger = ledger
        self._levels = levels
        self._channels = range(n_channels or 1)
        self._has_channels = n_channels is not None
        self._dtype = dtype
        self._how = reduce
        self._layouts = [plan_layout(level.shape) for level in levels]
        self._image, self._scratch = str(ledger.image), str(ledger.scratch)
        lead = () if n_channels is None else (n_channels,)
        one = (1,) * len(lead)
        for i, (level, layout) in enumerate(zip(levels, self._layouts, strict=True)):
            shape = (*lead, *level.shape)
            if not (ledger.image / str(i) / "zarr.json").exists():
                create_array(
                    f"{self._image}/{i}",
                    shape=shape,
                    dtype=dtype,
                    chunk=(*one, *layout.chunk),
                    shard=(*one, *layout.shard),
                    axes="czyx" if lead else "zyx",
                )
            if i and not (ledger.scratch / str(i) / "zarr.json").exists():
                piece = [
                    -(-s // f) for s, f in zip(self._layouts[0].shard, level.factors, strict=True)
                ]
                create_array(f"{self._scratch}/{i}", shape=shape, dtype=dtype, chunk=(*one, *piece))

    def run(self, source: PixelSource, workers: int, report: Report) -> None:
        """Write the shards that the ledger lacks."""
        todo = len(self._channels) * sum(
            math.prod(-(-n // s) for n, s in zip(level.shape, layout.shard, strict=True))
            for level, layout in zip(self._levels, self._layouts, strict=True)
        )
        progress = itertools.count(self._ledger.reused + 1)

        def finished(step: str) -> None:
            self._ledger.add(step)
            report("write", next(progress), todo)

        with _Pool(workers, finished) as pool:
            for channel in self._channels:
                for band, shards in _bands(
                    self._levels[0].shape, self._layouts[0], self._dtype.itemsize
                ):
                    missing = [s for s in shards if not self._ledger.has(_step(0, channel, s))]
                    if not missing:
                        continue
                    pixels = source.read(channel, *band)
                    for region in missing:
                        inside = tuple(
                            slice(r.start - b.start, r.stop - b.start)
                            for r, b in zip(region, band, strict=True)
                        )
                        step = _step(0, channel, region)
                        pool.submit(step, self._write_first, channel, region, pixels[inside])
            pool.drain()
            for i, channel in itertools.product(range(1, len(self._levels)), self._channels):
                for region in _tiles(self._levels[i].shape, self._layouts[i].shard):
                    step = _step(i, channel, region)
                    if not self._ledger.has(step):
                        pool.submit(step, self._write_coarse, i, channel, region)
            pool.drain()

    def _write_first(self, channel: int, region: Region, data: NDArray[Any]) -> None:
        write_chunk(self._image, "0", self._index(channel, region), data)
        for i, coarse in _reduce(data, self._levels, self._dtype, self._how):
            into = [
                slice(r.start // f, r.start // f + n)
                for r, f, n in zip(region, self._levels[i].factors, coarse.shape, strict=True)
            ]
            index = self._index(channel, (into[0], into[1], into[2]))
            write_chunk(self._scratch, str(i), index, coarse)

    def _write_coarse(self, level: int, channel: int, region: Region) -> None:
        index = self._index(channel, region)
        data = read_region(self._scratch, str(level), index)
        write_chunk(self._image, str(level), index, data)

    def _index(self, channel: int, region: Region) -> tuple[int | slice, ...]:
        return (channel, *region) if self._has_channels else region


def _reduce(
    data: NDArray[Any],
    levels: Sequence[PyramidLevel],
    dtype: np.dtype[Any],
    reduce: Literal["mean", "mode"],
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Coarser levels of one shard, each from the one before."""
    from scimage.kernels import downsample

    running = data
    for i in range(1, len(levels)):
        by = tuple(f // g for f, g in zip(levels[i].factors, levels[i - 1].factors, strict=True))
        if reduce == "mean":
            running = downsample.block_sum(running, (by[0], by[1], by[2]))
            covered = (data.shape[0], data.shape[1], data.shape[2])
            yield i, downsample.rounded_mean(running, covered, levels[i].factors, dtype)
        else:
            running = downsample.block_mode(running, (by[0], by[1], by[2]))
            yield i, running


def _tiles(shape: Sequence[int], tile: Sequence[int]) -> Iterator[Region]:
    spans = [
        [slice(start, min(start + t, n)) for start in range(0, n, t)]
        for n, t in zip(shape, tile, strict=True)
    ]
    yield from itertools.product(*spans)


def _bands(
    shape: tuple[int, int, int], layout: Layout, itemsize: int
) -> Iterator[tuple[Region, list[Region]]]:
    """Pieces to read at once, whole shards each, as wide as memory allows.

    Microscope files decode whole rows or planes; wide pieces decode each of them once.
    """
    piece = list(layout.shard)
    for axis in (2, 1):
        while piece[axis] < shape[axis]:
            wider = [*piece]
            wider[axis] += layout.shard[axis]
            if np.prod(wider, dtype=np.int64) * itemsize > _BAND_BYTES:
                break
            piece = wider
    for band in _tiles(shape, piece):
        extent = [s.stop - s.start for s in band]
        shards = [
            (
                slice(z.start + band[0].start, z.stop + band[0].start),
                slice(y.start + band[1].start, y.stop + band[1].start),
                slice(x.start + band[2].start, x.stop + band[2].start),
            )
            for z, y, x in _tiles(extent, layout.shard)
        ]
        yield band, shards


def _step(level: int, channel: int, region: Region) -> str:
    return f"{level} {channel} " + " ".join(str(s.start) for s in region)


class _Pool:
    """A few threads with a bounded number of shards in flight; results arrive in this thread."""

    def __init__(self, workers: int, finished: Callable[[str], None]) -> None:
        self._threads = ThreadPoolExecutor(max_workers=max(1, workers))
        self._limit = max(1, workers) + 1
        self._pending: deque[tuple[str, Future[None]]] = deque()
        self._finished = finished

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def submit(self, step: str, work: Callable[..., None], *args: Any) -> None:
        while len(self._pending) >= self._limit:
            self._collect()
        self._pending.append((step, self._threads.submit(work, *args)))

    def drain(self) -> None:
        while self._pending:
            self._collect()

    def _collect(self) -> None:
        step, future = self._pending.popleft()
        future.result()
        self._finished(step)
