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

__all__ = ["ComponentsPass", "WatershedPass"]


@dataclass(frozen=True, slots=True)
class ComponentsPass(Pass[PackedComponents, Components]):
    """Components of the voxels that lack a bit of a mask; local labels go to `target`.

    The local labels are uint32. ``Components.component`` turns them into those of the volume.
    """

    mask: Readable
    lacking: int
    target: Writable

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.mask,)

    @property
    def output(self) -> Writable:
        return self.target

    @property
    def bytes_per_voxel(self) -> int:
        return 36

    def compute(self, window: Window) -> tuple[NDArray[np.uint32], PackedComponents]:
        from scimage.kernels import components

        labels, n = components.label_components((window.read(0) & self.lacking) == 0)
        return labels, _packed(window.block, labels, n)

    def merge(self, partials: Iterable[PackedComponents]) -> Components:
        return merge_components(BlockComponents(*partial) for partial in partials)


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
        return 36

    def compute(self, window: Window) -> tuple[NDArray[np.uint32], PackedComponents]:
        from scimage.kernels import watershed

        mask = window.read(1, self.halo) != 0
        if not crop(mask, self.halo).any():
            labels = np.zeros(window.block.shape, dtype=np.uint32)
            return labels, _packed(window.block, labels, 0)
        # Beyond the volume its edge is repeated, but nothing may point there.
        _, clipped = window.block.with_halo(self.halo)
        inside = tuple(slice(a, n - b) for (a, b), n in zip(clipped, mask.shape, strict=True))
        mask = np.pad(mask[inside], clipped)
        labels, n, leads = watershed.watershed_basins(window.read(0, self.halo), mask)
        return labels, _packed(window.block, labels, n, leads)

    def merge(self, partials: Iterable[PackedComponents]) -> Components:
        return merge_components(BlockComponents(*partial) for partial in partials)


def _packed(
    block: Block, labels: NDArray[np.uint32], n: int, leads: NDArray[np.uint8] | None = None
) -> PackedComponents:
    """What a block tells of its local labels."""
    from scimage.kernels import components

    at_border = _at_border(block)
    voxels, first = components.measure_components(labels, n)
    reached = components.reached_faces(labels, n) & np.array(at_border)
    faces = faces_of(labels, leads, at_border)
    return BlockComponents(block.index, voxels, _in_volume(first, block), reached, faces).packed()


def _in_volume(inside: NDArray[np.int64], block: Block) -> NDArray[np.int64]:
    """Flat indices in the volume of voxels whose flat indices in the block are given."""
    # Axis by axis, as a block of noise has almost as many parts as voxels.
    flat = np.zeros_like(inside)
    step = 1
    for axis in (2, 1, 0):
        inside, index = np.divmod(inside, block.shape[axis])
        index += block.origin[axis]
        index *= step
        flat += index
        step *= block.volume[axis]
    return flat


def _at_border(block: Block) -> list[bool]:
    """Whether each face of the block (z low, z high, y low, ...) is one of the volume's."""
    faces = []
    for core, n in zip(block.core, block.volume, strict=True):
        faces += [core.start == 0, core.stop == n]
    return faces
