"""Run a pass over all blocks of its volume."""

from __future__ import annotations

import functools
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
    `report` is told of each finished block under the name `stage`.
    """
    partials: list[Any] = [None] * len(grid)
    report(stage, 0, len(grid))
    done = 0
    for i, partial in executor.map(functools.partial(run_block, pass_), grid):
        partials[i] = partial
        done += 1
        report(stage, done, len(grid))
    return pass_.merge(partials)


def block_shape(
    passes: list[Pass[Any, Any]], chunk: Shape, workers: int, memory_bytes: int
) -> Shape:
    """The largest block, of whole chunks where it can, for which all workers fit in memory.

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

    Raises
    ------
    UsageError
        Not even the smallest block fits; the message says how much would.
    """
    def need(block: tuple[int, ...]) -> int:
        return workers * max(
            p.bytes_per_voxel
            * (block[0] + 2 * p.halo[0])
            * (block[1] + 2 * p.halo[1])
            * (block[2] + 2 * p.halo[2])
            for p in passes
        )

    sides = [min(c, _LARGEST_SIDE) for c in chunk]
    while need(tuple(sides)) > memory_bytes:
        axis = max(range(3), key=lambda a: sides[a])
        if sides[axis] <= _SMALLEST_SIDE:
            raise UsageError(
                "--memory", found=f"{memory_bytes / 1e9:.2f} GB for {workers} workers",
                expected=f"at least {need(tuple(sides)) / 1e9:.2f} GB",
                remedy="Allow more memory or use fewer workers.",
            )  # fmt: skip
        sides[axis] = -(-sides[axis] // 2)
    for axis in (2, 1, 0):
        wider = [*sides]
        wider[axis] *= 2
        if sides[axis] == chunk[axis] and max(wider) <= _LARGEST_SIDE:
            if need(tuple(wider)) <= memory_bytes:
                sides = wider
    return sides[0], sides[1], sides[2]
