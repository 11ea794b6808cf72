"""Run a pass over all blocks of its volume."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from scimage.blocks import BlockGrid, Pass, Shape, run_block
from scimage.engine.executors import Executor
from scimage.errors import UsageError
from scimage.progress import Report, silent

__all__ = ["block_shape", "run_pass"]

Result = TypeVar("Result")

# Smaller blocks spend more on halo and bookkeeping than on voxels.
_SMALLEST_SIDE = 16
_LARGEST_SIDE = 256


def run_pass(
    stage: str,
    pass_: Pass[Any, Result],
    grid: BlockGrid,
    executor: Executor,
    report: Report = silent,
) -> Result:
    """Compute all blocks of `grid` on `executor` and merge them in canonical order.

    The result does not depend on the grid, on the executor or on the order of completion.
    `report` is told of each finished block under the name `stage`; when it raises, no block is
    in work any more by the time that its error arrives here.
    """
    partials: list[Any] = [None] * len(grid)
    report(stage, 0, len(grid))
    tasks = executor.map(functools.partial(run_block, pass_), grid)
    with contextlib.closing(tasks) as finished:
        for done, (i, partial) in enumerate(finished, start=1):
            partials[i] = partial
            report(stage, done, len(grid))
    return pass_.merge(partials)


def block_shape(
    passes: Sequence[Pass[Any, Any]], chunk: Shape, workers: int, memory_bytes: int
) -> Shape:
    """Choose the largest block, of whole chunks where it can, for which all workers fit in memory.

    Parameters
    ----------
    passes
        The passes that will run over the grid, one at a time.
    chunk
        What is decoded at once in their inputs.
    workers
        Blocks in work at the same time.
    memory_bytes
        What all workers together may use.

    Returns
    -------
    Shape (z, y, x). It is grown beyond a chunk only as long as all workers have blocks to do.

    Raises
    ------
    UsageError
        Not even the smallest block fits; the message says how much would.
    """
    volume = passes[0].inputs[0].shape

    def need(block: list[int]) -> int:
        return workers * max(
            p.bytes_per_voxel * math.prod(b + 2 * h for b, h in zip(block, p.halo, strict=True))
            for p in passes
        )

    def blocks(block: list[int]) -> int:
        return math.prod(-(-n // b) for n, b in zip(volume, block, strict=True))

    sides = [min(c, n, _LARGEST_SIDE) for c, n in zip(chunk, volume, strict=True)]
    while need(sides) > memory_bytes:
        axis = max(range(3), key=lambda a: sides[a])
        if sides[axis] <= _SMALLEST_SIDE:
            raise UsageError(
                "--memory", found=f"{memory_bytes // 10**6}MB for {workers} worker(s)",
                expected=f"at least {-(-need(sides) // 10**6)}MB",
                remedy="Allow more memory or use fewer workers.",
            )  # fmt: skip
        sides[axis] = -(-sides[axis] // 2)
    enough = 2 * workers if workers > 1 else 1
    while True:
        wider = [
            [*sides[:a], 2 * sides[a], *sides[a + 1 :]]
            for a in (2, 1, 0)
            if sides[a] < volume[a] and sides[a] % chunk[a] == 0 and 2 * sides[a] <= _LARGEST_SIDE
        ]
        wider = [w for w in wider if need(w) <= memory_bytes and blocks(w) >= enough]
        if not wider:
            return sides[0], sides[1], sides[2]
        # The most cubic one has the least halo.
        sides = min(wider, key=max)
