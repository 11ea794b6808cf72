"""What a run will cost, before it begins: blocks, bytes, memory, disk, and time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import BlockGrid, Pass, Readable, Region, Shape, Window
from scimage.engine.execution import Execution
from scimage.errors import UsageError

__all__ = ["Plan", "StagePlan", "make_plan", "seconds_for"]

_log = logging.getLogger("scimage")

# Smaller blocks spend more on halo and bookkeeping than on voxels.
_SMALLEST_SIDE = 16
_LARGEST_SIDE = 512
# Below this, fewer workers with larger blocks are faster than many that compute halos.
_USEFUL_SIDE = 64
# A process with all libraries and compiled kernels, and what it holds between two blocks
# (measured; benchmarks/memory.py).
PROCESS_BYTES = 460 * 10**6


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one sweep costs at most: decoded bytes read (halos included) and written, memory."""

    name: str
    read_bytes: int
    written_bytes: int
    block_bytes: int
    halo_share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run costs at most.

    Attributes
    ----------
    volume, block
        Shapes (z, y, x) of the volume and of a block.
    workers
        Blocks in work at the same time, as far as the memory allows.
    processes
        Processes that hold them.
    """

    volume: Shape
    block: Shape
    workers: int
    processes: int
    stages: tuple[StagePlan, ...]

    @property
    def blocks(self) -> int:
        """Number of blocks of each sweep."""
        return len(BlockGrid(self.volume, self.block))

    @property
    def worker_bytes(self) -> int:
        """Peak working memory of one block."""
        return max(s.block_bytes for s in self.stages)

    @property
    def memory_bytes(self) -> int:
        """Peak resident memory of all processes together."""
        return _total_bytes(self.worker_bytes, self.workers, self.processes)

    @property
    def scratch_bytes(self) -> int:
        """Disk for arrays between the sweeps, uncompressed, and gone at the end."""
        return sum(s.written_bytes for s in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "volume": list(self.volume),
            "block": list(self.block),
            "blocks": self.blocks,
            "workers": self.workers,
            "processes": self.processes,
            "memory_per_worker_bytes": self.worker_bytes,
            "memory_bytes": self.memory_bytes,
            "scratch_bytes": self.scratch_bytes,
            "read_bytes": sum(s.read_bytes for s in self.stages),
            "stages": {
                s.name: {
                    "read_bytes": s.read_bytes,
                    "written_bytes": s.written_bytes,
                    "block_bytes": s.block_bytes,
                    "halo_share": round(s.halo_share, 3),
                }
                for s in self.stages
            },
        }

    def lines(self) -> list[str]:
        """The same in a few lines of text."""
        size = " x ".join(map(str, self.volume))
        block = " x ".join(map(str, self.block))
        halo = max(s.halo_share for s in self.stages)
        return [
            f"{size} voxels (z y x) in {self.blocks} blocks of {block}, {self.workers} at a time, "
            f"{len(self.stages)} sweeps",
            f"reads at most {_size(sum(s.read_bytes for s in self.stages))} "
            f"(halos add up to {100 * halo:.0f}%), "
            f"memory {_size(self.worker_bytes)} a block and {_size(self.memory_bytes)} in all, "
            f"scratch disk {_size(self.scratch_bytes)} at most",
        ]


def make_plan(
    stages: Mapping[str, Pass[Any, Any]],
    chunk: Shape,
    execution: Execution,
    workers: int,
    processes: int,
) -> Plan:
    """Choose blocks, and how many of them at a time, so that a run keeps to its memory.

    Parameters
    ----------
    stages
        The sweeps by name; thresholds in them need not be known yet.
    chunk
        What is decoded at once in their inputs, (z, y, x).
    workers, processes
        What the executor has: see :class:`scimage.engine.Executor`.

    Raises
    ------
    UsageError
        Not even one of the smallest blocks, or of those asked for, fits; the message says how
        much would.
    """
    passes = list(stages.values())
    volume = passes[0].inputs[0].shape
    # Workers of other processes are there, and cannot be left idle.
    fewest = workers if processes else 1
    for at_a_time in range(workers, fewest - 1, -1):
        room = execution.memory_bytes - _total_bytes(0, at_a_time, processes)
        shape = execution.block or _block_shape(passes, volume, chunk, at_a_time, room)
        if shape is None or at_a_time * _need(passes, _clipped(shape, volume)) > room:
            continue
        useful = [min(_USEFUL_SIDE, n, c) for n, c in zip(volume, chunk, strict=True)]
        large = all(s >= u for s, u in zip(shape, useful, strict=True))
        if large or execution.block or at_a_time == fewest:
            grid = BlockGrid(volume, shape)
            rows = tuple(_stage(name, pass_, grid) for name, pass_ in stages.items())
            return Plan(volume, shape, at_a_time, processes, rows)
    smallest = _clipped(execution.block or _smallest(volume, chunk), volume)
    least = _total_bytes(_need(passes, smallest), fewest, processes)
    raise UsageError(
        "--memory", found=f"{execution.memory_bytes // 10**6}MB for {workers} worker(s)",
        expected=f"at least {-(-least // 10**6)}MB"
        + (f" for {fewest}" if fewest != workers else ""),
        remedy="Allow more memory" + (" or use fewer workers." if fewest > 1 else "."),
    )  # fmt: skip


def _clipped(block: Sequence[int], volume: Shape) -> list[int]:
    return [min(b, n) for b, n in zip(block, volume, strict=True)]


def _total_bytes(block_bytes: int, workers: int, processes: int) -> int:
    return workers * block_bytes + (processes + 1) * PROCESS_BYTES


def _need(passes: Sequence[Pass[Any, Any]], block: Sequence[int]) -> int:
    z, y, x = block
    return max(p.memory((z, y, x)) for p in passes)


def _smallest(volume: Shape, chunk: Shape) -> list[int]:
    """What :func:`_block_shape` comes down to before it gives up."""
    sides = [min(c, n, _LARGEST_SIDE) for c, n in zip(chunk, volume, strict=True)]
    while max(sides) > _SMALLEST_SIDE:
        sides = [-(-s // 2) if s > _SMALLEST_SIDE else s for s in sides]
    return sides


def _block_shape(
    passes: Sequence[Pass[Any, Any]], volume: Shape, chunk: Shape, workers: int, room: int
) -> Shape | None:
    """The largest block, of whole chunks where it can, of which `workers` fit into `room`.

    It is grown beyond a chunk only as long as all workers have blocks to do. None where not even
    the smallest fits.
    """

    def fits(block: Sequence[int]) -> bool:
        return workers * _need(passes, block) <= room

    def blocks(block: Sequence[int]) -> int:
        return math.prod(-(-n // b) for n, b in zip(volume, block, strict=True))

    sides = [min(c, n, _LARGEST_SIDE) for c, n in zip(chunk, volume, strict=True)]
    while not fits(sides):
        axis = max(range(3), key=lambda a: sides[a])
        if sides[axis] <= _SMALLEST_SIDE:
            return None
        sides[axis] = -(-sides[axis] // 2)
    enough = 2 * workers if workers > 1 else 1
    while True:
        wider = [
            [*sides[:a], 2 * sides[a], *sides[a + 1 :]]
            for a in (2, 1, 0)
            if sides[a] < volume[a] and sides[a] % chunk[a] == 0 and 2 * sides[a] <= _LARGEST_SIDE
        ]
        wider = [w for w in wider if fits(w) and blocks(w) >= enough]
        if not wider:
            return sides[0], sides[1], sides[2]
        # The most cubic one has the least halo; of equals, the one that needs the least memory.
        sides = min(wider, key=lambda w: (max(w), _need(passes, w)))


def _stage(name: str, pass_: Pass[Any, Any], grid: BlockGrid) -> StagePlan:
    blocks = pass_.blocks(grid)
    if isinstance(blocks, BlockGrid):
        read = _voxels_read(blocks, pass_.halo)
    else:
        regions = (b.with_halo(pass_.halo)[0] for b in blocks)
        read = sum(math.prod(s.stop - s.start for s in region) for region in regions)
    core = math.prod(grid.volume)
    block = _clipped(grid.block, grid.volume)
    item = sum(np.dtype(i.dtype).itemsize for i in pass_.inputs)
    out = pass_.output
    written = 0 if out is None else core * np.dtype(out.dtype).itemsize
    return StagePlan(name, read * item, written, _need([pass_], block), max(0.0, read / core - 1))


def _voxels_read(grid: BlockGrid, halo: Shape) -> int:
    """Voxels of all blocks with their halos, without looking at each of many."""
    return math.prod(
        sum(
            min((i + 1) * b, n) + min(h, n - min((i + 1) * b, n)) - i * b + min(h, i * b)
            for i in range(count)
        )
        for n, b, h, count in zip(grid.volume, grid.block, halo, grid.counts, strict=True)
    )


def seconds_for(plan: Plan, stages: Mapping[str, Pass[Any, Any]]) -> float:
    """Estimate how long a run takes: each sweep is tried on a block in the middle, twice.

    The second try is timed, as the first may compile. Arrays that do not exist yet are taken as
    full of ones, which costs most; a sweep that needs more than arrays is left out.
    """
    grid = BlockGrid(plan.volume, plan.block)
    seconds = 0.0
    for name, pass_ in stages.items():
        blocks = list(pass_.blocks(grid))
        block = blocks[len(blocks) // 2]
        window = Window(block, [i if _exists(i) else _Ones(i.shape) for i in pass_.inputs])
        try:
            pass_.compute(window)
            begin = time.perf_counter()
            pass_.compute(window)
            seconds += (time.perf_counter() - begin) * len(blocks)
        except OSError:
            _log.debug("%s cannot be tried yet", name)
    return seconds / plan.workers


def _exists(volume: Readable) -> bool:
    try:
        volume.read((slice(0, 1), slice(0, 1), slice(0, 1)))
    except (OSError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Ones:
    shape: Shape
    dtype: str = "uint8"

    def read(self, region: Region) -> NDArray[Any]:
        return np.ones([s.stop - s.start for s in region], dtype=self.dtype)


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
