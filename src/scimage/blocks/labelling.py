"""The sweeps that label a volume: local labels go to disk, their joints to the merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scimage.blocks.components import (
    BlockComponents,
    Components,
    PackedComponents,
    faces_of,
    merge_components,
)
from scimage.blocks.grid import Block, Shape
from scimage.blocks.passes import Pass, Readable, Window, Writable, crop
from scimage.errors import UsageError

__all__ = ["ComponentsPass", "WatershedPass"]


@dataclass(frozen=True, slots=True)
class ComponentsPass(Pass[PackedComponents, Components]):
    """Components of the voxels that lack a bit of a mask; local labels go to `target`.

    The local labels are uint32. ``Components.component`` turns them into those of the volume.
    Without a target nothing is written, which takes several times as long as all the rest: what
    only needs tables, or labels a block anew from the mask where it needs labels, is better off.
    Where there is an `intensity`, of integers up to 32 bits, it is summed in each component.
    """

    mask: Readable
    lacking: int
    target: Writable | None = None
    intensity: Readable | None = None

    def __post_init__(self) -> None:
        dtype = None if self.intensity is None else np.dtype(self.intensity.dtype)
        if dtype is not None and (dtype.kind not in "iub" or dtype.itemsize > 4):
            raise UsageError(
                "intensity", found=f"{dtype.name}",
                expected="integers of at most 32 bits: sums of others depend on their order",
                remedy="Measure the channel as it was stored by the microscope, or round it.",
            )  # fmt: skip

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.mask,) if self.intensity is None else (self.mask, self.intensity)

    @property
    def output(self) -> Writable | None:
        return self.target

    @property
    def bytes_per_voxel(self) -> int:
        return 60 if self.intensity is None else 72

    def compute(self, window: Window) -> tuple[NDArray[np.uint32], PackedComponents]:
        from scimage.kernels import components

        block = window.block
        mask = (window.read(0) & self.lacking) == 0
        intensity = None
        if self.intensity is not None:
            intensity = window.read(1) if mask.any() else np.zeros(0, dtype=np.uint8)
        labels, table = components.label_and_measure(mask, block.volume, block.origin, intensity)
        faces = faces_of(labels, None, _at_border(block))
        return labels, BlockComponents(block.index, table, faces).packed()

    def merge(self, partials: Iterable[PackedComponents]) -> Components:
        return merge_components(
            (BlockComponents(*partial) for partial in partials), self.mask.shape
        )


@dataclass(frozen=True, slots=True)
class WatershedPass(Pass[PackedComponents, Components]):
    """Basins of `values` where `mask` is not 0; local labels go to `target`.

    See :func:`scimage.kernels.watershed.watershed_basins` for what a basin is. A block knows
    where each of its voxels points, and the merge follows those that point into other blocks.
    The local labels are uint32. ``Components.component`` turns them into basins of the volume.
    """

    values: Readable
    mask: Readable
    target: Writable

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.values, self.mask

    @property
    def output(self) -> Writable:
        return self.target

    @property
    def halo(self) -> Shape:
        return (1, 1, 1)

    @property
    def bytes_per_voxel(self) -> int:
        return 60

    def compute(self, window: Window) -> tuple[NDArray[np.uint32], PackedComponents]:
        from scimage.kernels import watershed

        mask = window.read(1, self.halo) != 0
        if not crop(mask, self.halo).any():
            labels = np.zeros(window.block.shape, dtype=np.uint32)
            return labels, _packed(window.block, labels, 0, None)
        # Beyond the volume its edge is repeated, but nothing may point there.
        _, clipped = window.block.with_halo(self.halo)
        inside = tuple(slice(a, n - b) for (a, b), n in zip(clipped, mask.shape, strict=True))
        mask = np.pad(mask[inside], clipped)
        labels, n, leads = watershed.watershed_basins(window.read(0, self.halo), mask)
        return labels, _packed(window.block, labels, n, leads)

    def merge(self, partials: Iterable[PackedComponents]) -> Components:
        return merge_components(
            (BlockComponents(*partial) for partial in partials), self.mask.shape
        )


def _packed(
    block: Block, labels: NDArray[np.uint32], n: int, leads: NDArray[np.uint8] | None
) -> PackedComponents:
    """What a block tells of its local labels."""
    from scimage.kernels import components

    table = components.measure_labels(labels, n, block.volume, block.origin)
    return BlockComponents(block.index, table, faces_of(labels, leads, _at_border(block))).packed()


def _at_border(block: Block) -> list[bool]:
    """Whether each face of the block (z low, z high, y low, ...) is one of the volume's."""
    faces = []
    for core, n in zip(block.core, block.volume, strict=True):
        faces += [core.start == 0, core.stop == n]
    return faces
