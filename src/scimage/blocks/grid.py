"""A volume divided into blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from scimage.errors import UsageError

__all__ = ["Block", "BlockGrid", "Region", "Shape"]

Shape = tuple[int, int, int]
Region = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its place in the grid, its core, and the volume that it is part of.

    A voxel belongs to the one block whose core holds it; a cell to the block whose core holds
    its centre.
    """

    index: Shape
    core: Region
    volume: Shape

    @property
    def origin(self) -> Shape:
        """Index (z, y, x) of the first core voxel."""
        z, y, x = self.core
        return z.start, y.start, x.start

    @property
    def shape(self) -> Shape:
        """Shape (z, y, x) of the core."""
        z, y, x = (s.stop - s.start for s in self.core)
        return z, y, x

    def with_halo(self, halo: Shape) -> tuple[Region, tuple[tuple[int, int], ...]]:
        """Core and halo, clipped to the volume, and how much was clipped at either end."""
        inside, clipped = [], []
        for core, h, n in zip(self.core, halo, self.volume, strict=True):
            low, high = core.start - h, core.stop + h
            inside.append(slice(max(low, 0), min(high, n)))
            clipped.append((max(-low, 0), max(high - n, 0)))
        return (inside[0], inside[1], inside[2]), tuple(clipped)


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """All blocks of a volume, in canonical order (by z, y, x).

    Parameters
    ----------
    volume
        Shape (z, y, x) of the volume.
    block
        Shape (z, y, x) of a block; those at the far end are smaller (with a lead, the last are
        longer by at most that).
    lead
        By so many voxels (z, y, x) blocks begin and end sooner than at whole multiples of
        `block`, where the volume does not. What a block reads on its far side then ends there.
    """

    volume: Shape
    block: Shape
    lead: Shape = (0, 0, 0)

    def __post_init__(self) -> None:
        if min(self.volume) < 1 or min(self.block) < 1:
            raise UsageError(
                "block", found=f"blocks of {self.block} in a volume of {self.volume}",
                expected="at least one voxel along each axis", remedy="Choose larger blocks.",
            )  # fmt: skip

    @property
    def counts(self) -> Shape:
        """Number of blocks along z, y, x."""
        z, y, x = (-(-n // b) for n, b in zip(self.volume, self.block, strict=True))
        return z, y, x

    def __len__(self) -> int:
        z, y, x = self.counts
        return z * y * x

    def __iter__(self) -> Iterator[Block]:
        for index in itertools.product(*(range(n) for n in self.counts)):
            z, y, x = (
                slice(max(0, i * b - lead), n if i == last - 1 else (i + 1) * b - lead)
                for i, last, b, n, lead in zip(
                    index, self.counts, self.block, self.volume, self.lead, strict=True
                )
            )
            yield Block((index[0], index[1], index[2]), (z, y, x), self.volume)
