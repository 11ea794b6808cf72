"""Write an image or a label with its full pyramid, shard by shard, in flat memory.

Every voxel of every level is computed from the full-resolution voxels that it covers (for
intensities exactly, as the rounded mean), while the shard that holds them is in memory. Coarser
levels are first collected in a scratch array and then cut into shards of their own.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scimage.errors import UsageError
from scimage.image.durable import write_file
from scimage.image.metadata import Channel, Dataset, ImageMetadata, render_metadata
from scimage.image.pyramid import Layout, PyramidLevel, plan_layout, plan_pyramid
from scimage.image.reader import Region
from scimage.image.staging import exclusive, publish, refuse_existing
from scimage.image.storage import (
    chunk_digest,
    create_array,
    create_group,
    naming_storage,
    read_region,
    update_attributes,
    write_chunk,
)
from scimage.image.workspace import Workspace
from scimage.progress import Report, silent

__all__ = ["NewImage", "PixelSource", "write_image", "write_label_pyramid"]

_log = logging.getLogger("scimage")

# Microscope files decode whole rows or planes: wide pieces decode each of them once.
_BAND_BYTES = 2**28
_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
# Sums of their blocks stay exact in 64 bits.
_PIXEL_TYPES = (*_INTEGERS, "float32", "float64")
_LABEL_TYPES = (*_INTEGERS, "uint64", "int64")
# Of the arrays that a stopped run left; not continued by a version that lays them out otherwise.
_LAYOUT_VERSION = 3


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
        the same identity is continued, any other is left alone.
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
        workspace = Workspace(target, _identity(new, levels, identity))
        keep = True
        try:
            image = workspace.folder / "image"
            writing = _Writing(workspace, "write", image, levels, new.shape[0], new.dtype, "mean")
            writing.run(source, workers, report, _BAND_BYTES)
            store, coarsest = str(image), str(len(levels) - 1)
            whole = tuple(slice(0, n) for n in levels[-1].shape)
            channels = tuple(
                replace(channel, window=_window(read_region(store, coarsest, (c, *whole))))
                for c, channel in enumerate(new.channels)
            )
            metadata = replace(_metadata(new, levels), channels=channels)
            update_attributes(store, render_metadata(metadata, None))
            writing.write_provenance(identity)
            publish(image, target, overwrite)
            keep = False
        finally:
            workspace.close(keep=keep)
    return workspace.reused


def write_label_pyramid(
    workspace: Workspace,
    folder: Path,
    new: NewImage,
    source: PixelSource,
    label: Mapping[str, Any],
    *,
    report: Report = silent,
) -> None:
    """Write one NGFF label image with its pyramid by mode; `new.shape` has one channel.

    Parameters
    ----------
    workspace
        Knows which shards a stopped run has finished.
    folder
        Where to write it, inside the workspace.
    label
        The content of its ``image-label`` metadata.
    """
    _check(folder, new, _LABEL_TYPES)
    levels = plan_pyramid(new.shape[1:], new.spacing_um)
    stage = f"write {folder.name}"
    _Writing(workspace, stage, folder, levels, None, new.dtype, "mode").run(source, 1, report, 0)
    metadata = replace(
        _metadata(new, levels), axes="zyx", channels=(), name=new.name or folder.name
    )
    update_attributes(str(folder), render_metadata(metadata, label))


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
    workspace, stage
        Know which shards are finished.
    image
        Folder of the group that grows, inside the workspace.
    n_channels
        None for a label image, which has no channel axis.
    """

    def __init__(
        self,
        workspace: Workspace,
        stage: str,
        image: Path,
        levels: Sequence[PyramidLevel],
        n_channels: int | None,
        dtype: np.dtype[Any],
        reduce: Literal["mean", "mode"],
    ) -> None:
        self._workspace = workspace
        self._stage = stage
        self._levels = levels
        self._channels = range(n_channels or 1)
        self._has_channels = n_channels is not None
        self._dtype = dtype
        self._how = reduce
        self._layouts = [plan_layout(level.shape) for level in levels]
        scratch = workspace.folder / f"{stage} scratch"
        self._image, self._scratch = str(image), str(scratch)
        lead = () if n_channels is None else (n_channels,)
        one = (1,) * len(lead)
        if not (image / "zarr.json").exists():
            create_group(self._image)
        for i, (level, layout) in enumerate(zip(levels, self._layouts, strict=True)):
            shape = (*lead, *level.shape)
            if not (image / str(i) / "zarr.json").exists():
                create_array(
                    f"{self._image}/{i}",
                    shape=shape,
                    dtype=dtype,
                    chunk=(*one, *layout.chunk),
                    shard=(*one, *layout.shard),
                    axes="czyx" if lead else "zyx",
                )
            if i and not (scratch / str(i) / "zarr.json").exists():
                piece = [
                    -(-s // f) for s, f in zip(self._layouts[0].shard, level.factors, strict=True)
                ]
                create_array(f"{self._scratch}/{i}", shape=shape, dtype=dtype, chunk=(*one, *piece))

    def run(self, source: PixelSource, workers: int, report: Report, band_bytes: int) -> None:
        """Write the shards that the ledger lacks, or that are not as it says."""
        steps = [
            (i, channel, region)
            for i, (level, layout) in enumerate(zip(self._levels, self._layouts, strict=True))
            for channel in self._channels
            for region in _tiles(level.shape, layout.shard)
        ]
        known = self._workspace.finished(self._stage)
        done = {
            _step(*step)
            for step in steps
            if _step(*step) in known and known[_step(*step)] == self._digest(*step)
        }
        lost = len(known) - len(done)
        if known:
            _log.info("%s: %d of %d shards are reused", self._stage, len(done), len(steps))
        if lost:
            _log.warning("%s: %d finished shards were damaged; doing them again", self._stage, lost)
        progress = itertools.count(len(done) + 1)

        def finished(step: str, digest: str) -> None:
            self._workspace.finish(self._stage, step, digest)
            report(self._stage, next(progress), len(steps))

        with _Pool(workers, finished) as pool:
            for channel in self._channels:
                for band, shards in _bands(
                    self._levels[0].shape, self._layouts[0], self._dtype.itemsize, band_bytes
                ):
                    missing = [s for s in shards if _step(0, channel, s) not in done]
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
            for i, channel, region in steps:
                if i and _step(i, channel, region) not in done:
                    pool.submit(_step(i, channel, region), self._write_coarse, i, channel, region)
            pool.drain()

    def write_provenance(self, source: Mapping[str, Any]) -> None:
        """Keep the digest of each shard in the image, and what it was made from."""
        digests = {}
        for step, digest in sorted(self._workspace.finished(self._stage).items()):
            level, channel, *starts = (int(n) for n in step.split())
            shard = self._layouts[level].shard
            key = [channel, *(i // n for i, n in zip(starts, shard, strict=True))]
            digests[f"{level}/c/" + "/".join(map(str, key))] = digest.split()[0]
        folder = Path(self._image, "provenance", "image")
        for group in (folder.parent, folder):
            if not (group / "zarr.json").exists():
                create_group(str(group))
        with naming_storage(folder):
            for file, content in (("run.json", source), ("digests.json", digests)):
                write_file(folder / file, json.dumps(content, indent=1).encode())

    def _digest(self, level: int, channel: int, region: Region) -> str:
        """Digest of what the disk holds of a step."""
        index = self._index(channel, region)
        files = [chunk_digest(self._image, str(level), index)]
        if level == 0:
            files += [
                chunk_digest(self._scratch, str(i), self._index(channel, self._piece(i, region)))
                for i in range(1, len(self._levels))
            ]
        return " ".join(files)

    def _piece(self, level: int, region: Region) -> Region:
        """What a coarser level keeps of a shard of the first."""
        z, y, x = (
            slice(r.start // f, min(-(-r.stop // f), n))
            for r, f, n in zip(
                region, self._levels[level].factors, self._levels[level].shape, strict=True
            )
        )
        return z, y, x

    def _write_first(self, channel: int, region: Region, data: NDArray[Any]) -> str:
        files = [write_chunk(self._image, "0", self._index(channel, region), data)]
        for i, coarse in _reduce(data, self._levels, self._dtype, self._how):
            index = self._index(channel, self._piece(i, region))
            files.append(write_chunk(self._scratch, str(i), index, coarse))
        return " ".join(files)

    def _write_coarse(self, level: int, channel: int, region: Region) -> str:
        index = self._index(channel, region)
        data = read_region(self._scratch, str(level), index)
        return write_chunk(self._image, str(level), index, data)

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
    shape: tuple[int, int, int], layout: Layout, itemsize: int, limit: int
) -> Iterator[tuple[Region, list[Region]]]:
    """Pieces to read at once, whole shards each, as wide as `limit` bytes allow."""
    piece = list(layout.shard)
    for axis in (2, 1):
        while piece[axis] < shape[axis]:
            wider = [*piece]
            wider[axis] += layout.shard[axis]
            if np.prod(wider, dtype=np.int64) * itemsize > limit:
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

    def __init__(self, workers: int, finished: Callable[[str, str], None]) -> None:
        self._threads = ThreadPoolExecutor(max_workers=max(1, workers))
        self._limit = max(1, workers) + 1
        self._pending: deque[tuple[str, Future[str]]] = deque()
        self._finished = finished

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def submit(self, step: str, work: Callable[..., str], *args: Any) -> None:
        while len(self._pending) >= self._limit:
            self._collect()
        self._pending.append((step, self._threads.submit(work, *args)))

    def drain(self) -> None:
        while self._pending:
            self._collect()

    def _collect(self) -> None:
        step, future = self._pending.popleft()
        self._finished(step, future.result())
