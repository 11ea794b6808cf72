"""Write an image or a label with its full pyramid, shard by shard, in flat memory.

Every voxel of every level is computed from the full-resolution voxels that it covers (for
intensities exactly, as the rounded mean), while the shard that holds them is in memory. Coarser
levels are first collected in a scratch array and then cut into shards of their own.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scimage.image.metadata import Channel, Dataset, ImageMetadata, render_metadata
from scimage.image.pyramid import Layout, PyramidLevel, plan_layout, plan_pyramid
from scimage.image.reader import Region
from scimage.image.storage import (
    array_at,
    create_array,
    create_group,
    discard,
    naming_storage,
    publish,
    refuse_existing,
    staging_path,
    update_attributes,
    write_json,
)
from scimage.progress import Report, silent

__all__ = ["NewImage", "PixelSource", "write_image", "write_label_pyramid"]

_BAND_BYTES = 2**28
_SCRATCH = ".scratch"


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
        `target` exists and `overwrite` is not set.
    StorageError
        The disk is full or cannot be written.
    """
    refuse_existing(target, overwrite)
    staged = staging_path(target)
    levels = plan_pyramid(new.shape[1:], new.spacing_um)
    journal = _Journal(
        staged, {**identity, "shape": new.shape, "dtype": str(new.dtype), "written_by": 1}
    )
    _write_levels(staged, levels, new.shape[0], new.dtype, source, "mean", journal, workers, report)
    metadata = _metadata(new, levels)
    coarsest = array_at(str(staged), str(len(levels) - 1))
    channels = tuple(
        replace(channel, window=_window(np.asarray(coarsest[c])))
        for c, channel in enumerate(new.channels)
    )
    update_attributes(str(staged), render_metadata(replace(metadata, channels=channels), None))
    journal.remove()
    publish(staged, target, overwrite)
    return journal.reused


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

    `label` is the content of its ``image-label`` metadata.
    """
    refuse_existing(target, overwrite)
    staged = staging_path(target)
    discard(staged)
    levels = plan_pyramid(new.shape[1:], new.spacing_um)
    journal = _Journal(staged, {"label": target.name})
    _write_levels(staged, levels, None, new.dtype, source, "mode", journal, 1, report)
    metadata = replace(_metadata(new, levels), axes="zyx", channels=())
    update_attributes(str(staged), render_metadata(metadata, label))
    journal.remove()
    publish(staged, target, overwrite)


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


class _Journal:
    """Which shards of a staged image are finished, so that a stopped run can go on."""

    def __init__(self, staged: Path, identity: Mapping[str, Any]) -> None:
        self._folder = staged
        self._identity_file = staged / ".identity.json"
        self._file = staged / ".finished.txt"
        wanted = _plain(identity)
        if self._identity() != wanted:
            discard(staged)
            with naming_storage(staged):
                staged.mkdir(parents=True)
            create_group(str(staged))
            write_json(self._identity_file, wanted)
        self._done = self._finished()
        self.reused = len(self._done)

    def _identity(self) -> Any:
        import json

        try:
            return json.loads(self._identity_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _finished(self) -> set[str]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        except OSError:
            return set()
        # A line without its end was being written when the run stopped.
        return {line.rstrip("\n") for line in lines if line.endswith("\n")}

    def has(self, step: str) -> bool:
        return step in self._done

    def add(self, step: str) -> None:
        with naming_storage(self._folder), self._file.open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        self._done.add(step)

    def remove(self) -> None:
        discard(self._folder / _SCRATCH)
        self._identity_file.unlink()
        self._file.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def _write_levels(
    staged: Path,
    levels: Sequence[PyramidLevel],
    n_channels: int | None,
    dtype: np.dtype[Any],
    source: PixelSource,
    reduce: Literal["mean", "mode"],
    journal: _Journal,
    workers: int,
    report: Report,
) -> None:
    """Write all levels under `staged`; arrays are (c, z, y, x), or (z, y, x) for labels."""
    store, lead = str(staged), (() if n_channels is None else (n_channels,))
    layouts = [plan_layout(level.shape) for level in levels]
    one = (1,) * len(lead)
    for i, (level, layout) in enumerate(zip(levels, layouts, strict=True)):
        if not (staged / str(i) / "zarr.json").exists():
            create_array(
                f"{store}/{i}",
                shape=(*lead, *level.shape),
                dtype=dtype,
                chunk=(*one, *layout.chunk),
                shard=(*one, *layout.shard),
                axes="czyx" if lead else "zyx",
            )
        scratch = staged / _SCRATCH / str(i)
        if i and not (scratch / "zarr.json").exists():
            piece = [-(-s // f) for s, f in zip(layouts[0].shard, level.factors, strict=True)]
            with naming_storage(scratch):
                create_array(
                    str(scratch), shape=(*lead, *level.shape), dtype=dtype, chunk=(*one, *piece)
                )

    channels = range(n_channels or 1)
    steps = [
        len(list(_tiles(level.shape, layout.shard))) * len(channels)
        for level, layout in zip(levels, layouts, strict=True)
    ]
    total, count = sum(steps), 0

    def write_first(channel: int, region: Region, data: NDArray[Any]) -> None:
        index = ((channel,) if lead else ()) + region
        array_at(store, "0")[index] = data
        for i, coarse in _reduce(data, levels, dtype, reduce):
            into = tuple(
                slice(r.start // f, r.start // f + n)
                for r, f, n in zip(region, levels[i].factors, coarse.shape, strict=True)
            )
            array_at(store, f"{_SCRATCH}/{i}")[((channel,) if lead else ()) + into] = coarse

    def write_coarse(level: int, channel: int, region: Region) -> None:
        index = ((channel,) if lead else ()) + region
        array_at(store, str(level))[index] = array_at(store, f"{_SCRATCH}/{level}")[index]

    def finished(step: str) -> None:
        nonlocal count
        journal.add(step)
        count += 1
        report("write", count, total)

    with naming_storage(staged), _Pool(workers, finished) as pool:
        for channel in channels:
            for band, shards in _bands(levels[0].shape, layouts[0], dtype.itemsize):
                todo = [s for s in shards if not journal.has(_step(0, channel, s))]
                count += len(shards) - len(todo)
                if not todo:
                    continue
                pixels = source.read(channel, *band)
                for region in todo:
                    inside = tuple(
                        slice(r.start - b.start, r.stop - b.start)
                        for r, b in zip(region, band, strict=True)
                    )
                    pool.submit(
                        _step(0, channel, region), write_first, channel, region, pixels[inside]
                    )
        pool.drain()
        for i, channel in itertools.product(range(1, len(levels)), channels):
            for region in _tiles(levels[i].shape, layouts[i].shard):
                step = _step(i, channel, region)
                if journal.has(step):
                    count += 1
                else:
                    pool.submit(step, write_coarse, i, channel, region)
        pool.drain()


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
    for z, y, x in itertools.product(*spans):
        yield z, y, x


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
