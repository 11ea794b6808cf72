"""Shapes of a stored pyramid: which levels, which chunks, which shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Layout", "PyramidLevel", "plan_layout", "plan_pyramid"]

# 128^3 chunks read fastest on microscopy, 64^3 cost twice as much (measured, decisions/0003).
_CHUNK_SIDE = 128
_CHUNK_VOXELS = 2**21
_SHARD_VOXELS = 2**25
_SMALLEST_LEVEL = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunk and shard shape (z, y, x) of one stored array; a shard is a whole number of chunks."""

    chunk: tuple[int, int, int]
    shard: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PyramidLevel:
    """One level: its shape, and how many full-resolution voxels each of its voxels covers."""

    shape: tuple[int, int, int]
    factors: tuple[int, int, int]


def plan_layout(shape: Sequence[int]) -> Layout:
    """Chunks near 128^3 voxels, flat ones for thin stacks; shards of about 32 Mvoxel."""
    depth = min(_CHUNK_SIDE, shape[0])
    side = _CHUNK_SIDE
    while depth * (2 * side) ** 2 <= _CHUNK_VOXELS:
        side *= 2
    shard_side = side
    while depth * (2 * shard_side) ** 2 <= _SHARD_VOXELS:
        shard_side *= 2
    chunk = (depth, min(side, shape[1]), min(side, shape[2]))
    shard = (
        depth,
        *(min(shard_side, -(-n // c) * c) for n, c in zip(shape[1:], chunk[1:], strict=True)),
    )
    return Layout(chunk, (shard[0], shard[1], shard[2]))


def plan_pyramid(
    shape: tuple[int, int, int], spacing_um: tuple[float, float, float]
) -> tuple[PyramidLevel, ...]:
    """Levels that halve the finer axes until voxels are nearly cubes, and then all axes.

    The first level is the image itself. Blocks of every level lie inside one shard of the
    first, so that a level can be computed shard by shard.
    """
    shard = plan_layout(shape).shard
    levels = [PyramidLevel(shape, (1, 1, 1))]
    while max(levels[-1].shape) > _SMALLEST_LEVEL:
        factors = list(levels[-1].factors)
        spacing = [s * f for s, f in zip(spacing_um, factors, strict=True)]
        finest = min(s for s, n in zip(spacing, levels[-1].shape, strict=True) if n > 1)
        for axis in range(3):
            one_shard = shape[axis] <= shard[axis]
            splits = one_shard or shard[axis] % (2 * factors[axis]) == 0
            if levels[-1].shape[axis] > 1 and spacing[axis] < 1.5 * finest and splits:
                factors[axis] *= 2
        if tuple(factors) == levels[-1].factors:
            break
        level = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
        levels.append(
            PyramidLevel((level[0], level[1], level[2]), (factors[0], factors[1], factors[2]))
        )
    return tuple(levels)
