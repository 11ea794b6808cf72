"""Connected parts of a volume that is seen block by block: components, or basins.

Each block labels its own voxels. Two blocks that share a face agree on which of their local
labels go on there; union-find over 64-bit ids (block, local label) turns them into components,
and these are numbered by their first voxel, in the order z, y, x of the volume. So the numbers
depend neither on the division nor on the order in which blocks were computed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scimage.blocks.grid import Shape
from scimage.errors import UsageError

__all__ = [
    "BlockComponents",
    "Components",
    "PackedComponents",
    "faces_of",
    "merge_components",
]

# Local ones, whose tables are held in memory at once: about 64 bytes for each, and as many again
# for one that goes on in another block.
_MOST_COMPONENTS = 2**28

PackedComponents: TypeAlias = tuple[
    Shape, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], tuple[bytes, ...]
]

# Index, first voxels (and -1 for label 0), sizes and touched faces of a block's components.
_Part: TypeAlias = tuple[Shape, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class BlockComponents:
    """Components inside one block.

    Attributes
    ----------
    index
        The block's place in the grid.
    voxels
        Size of local component 1, 2, ... (int64).
    first
        Flat index in the volume (z, y, x) of each local component's first voxel (int64).
    touches
        For each local component and each of the volume's six faces (z low, z high, y low, ...)
        whether it reaches that face; (n, 6) of bool.
    faces
        What lies on the block's six faces, from :func:`faces_of`.
    """

    index: Shape
    voxels: NDArray[np.int64]
    first: NDArray[np.int64]
    touches: NDArray[np.bool_]
    faces: tuple[bytes, ...]

    def packed(self) -> PackedComponents:
        """The same as plain data: what a block sends home."""
        return self.index, self.voxels, self.first, self.touches, self.faces


@dataclass(frozen=True, slots=True)
class Components:
    """Components of the whole volume, numbered from 1.

    Attributes
    ----------
    component
        For each block, in the order in which they were merged, the component (int64) of its
        local labels; entry 0 is 0.
    voxels
        Size of each component (int64); entry 0 is 0.
    first
        Flat index in the volume (z, y, x) of each component's first voxel (int64), ascending;
        entry 0 is -1.
    touches
        (n + 1, 6) of bool: which faces of the volume a component reaches.
    """

    component: dict[Shape, NDArray[np.int64]]
    voxels: NDArray[np.int64]
    first: NDArray[np.int64]
    touches: NDArray[np.bool_]


def faces_of(
    labels: NDArray[np.uint32],
    leads: NDArray[np.uint8] | None = None,
    at_border: Sequence[bool] = (False,) * 6,
) -> tuple[bytes, ...]:
    """Pack the six faces of a block (z low, z high, y low, y high, x low, x high).

    Parameters
    ----------
    labels
        (z, y, x) of uint32: local labels.
    leads
        (z, y, x) of uint8: 1 + i where a voxel leads out of face i. Without it all voxels lead
        out of all faces that they lie on.
    at_border
        Which faces are the volume's border, where no block follows.

    Returns
    -------
    For each face its labels and whether they lead out of it, compressed, as they are mostly
    runs; empty where nothing can go on.
    """
    packed = []
    for i in range(6):
        axis, end = i // 2, (0, -1)[i % 2]
        face = np.take(labels, end, axis=axis)
        if at_border[i] or not face.any():
            packed.append(b"")
            continue
        out = np.ones(face.shape, np.bool_) if leads is None else leads.take(end, axis) == i + 1
        packed.append(zlib.compress(face.tobytes() + out.tobytes(), 1))
    return tuple(packed)


def merge_components(blocks: Iterable[BlockComponents]) -> Components:
    """Join the components of blocks across the faces that they share (6-connected).

    Two voxels on either side of a face are joined where both have a label and at least one of
    them leads out of its block there.

    Parameters
    ----------
    blocks
        Some or all blocks of a grid, read once. Their order decides only that of the entries of
        ``Components.component``; in canonical order only the faces of one layer of blocks are
        held at a time.

    Raises
    ------
    UsageError
        The blocks have so many components that the tables might not fit into memory.
    """
    parts: list[_Part] = []
    pairs = [np.empty((2, 0), dtype=np.int64)]
    waiting: dict[tuple[int, Shape], tuple[int, bytes]] = {}
    total = 0
    for rank, block in enumerate(blocks):
        total += block.voxels.size
        if total > _MOST_COMPONENTS:
            raise UsageError(
                "components", found=f"more than {_MOST_COMPONENTS} separate parts in blocks",
                expected="fewer, as their tables take at least 64 bytes of memory for each",
                remedy="Smooth more or raise the threshold.",
            )  # fmt: skip
        for i, face in enumerate(block.faces):
            axis, high = divmod(i, 2)
            beyond = list(block.index)
            beyond[axis] += high
            between = axis, (beyond[0], beyond[1], beyond[2])
            if between in waiting:
                pairs.append(_joined(rank, face, *waiting.pop(between)))
            else:
                waiting[between] = rank, face
        # What was unpacked is a view, which would keep the faces in memory.
        first = np.concatenate([[-1], block.first])
        parts.append((block.index, first, block.voxels.copy(), block.touches.copy()))
    return _numbered(parts, np.concatenate(pairs, axis=1))


def _joined(here: int, face: bytes, there: int, opposite: bytes) -> NDArray[np.int64]:
    """Pairs (2, n) of ids (block's rank << 32 | label) that are joined across a shared face."""
    if not face or not opposite:
        return np.empty((2, 0), dtype=np.int64)
    (one, leads), (other, leads_back) = _unpacked(face), _unpacked(opposite)
    joined = (one > 0) & (other > 0) & (leads | leads_back)
    both = np.unique(one[joined].astype(np.uint64) << 32 | other[joined])
    pairs = np.stack([both >> 32, both & 0xFFFFFFFF]).astype(np.int64)
    pairs |= np.array([[here], [there]]) << 32
    return pairs


def _unpacked(face: bytes) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    data = zlib.decompress(face)
    n = len(data) // 5
    return np.frombuffer(data, np.uint32, n), np.frombuffer(data, np.bool_, n, offset=4 * n)


def _numbered(parts: list[_Part], pairs: NDArray[np.int64]) -> Components:
    """Number the components; each block has one entry for each local label, and one for its 0."""
    from scimage.kernels.components import join_labels, lowest_of_each

    first = np.concatenate([np.empty(0, dtype=np.int64), *(part[1] for part in parts)])
    sizes = np.array([part[1].size for part in parts], dtype=np.int64)
    end = np.cumsum(sizes)
    begin = end - sizes

    # Most local labels meet no other: the forest is one of those that do.
    ids, compact = np.unique(pairs, return_inverse=True)
    parent = np.arange(ids.size)
    join_labels(parent, compact[0], compact[1])
    entry = begin[ids >> 32] + (ids & 0xFFFFFFFF)
    leader = entry[lowest_of_each(parent)]
    np.minimum.at(first, leader, first[entry])
    first[entry[entry != leader]] = -1

    leaders = np.flatnonzero(first >= 0)
    leaders = leaders[np.argsort(first[leaders])]
    component = np.zeros(first.size, dtype=np.int64)
    component[leaders] = np.arange(1, leaders.size + 1)
    component[entry] = component[leader]
    first = np.concatenate([[-1], first[leaders]])

    voxels = np.zeros(leaders.size + 1, dtype=np.int64)
    touches = np.zeros((leaders.size + 1, 6), dtype=np.bool_)
    table = {}
    for (index, _, own_voxels, own_touches), own in zip(
        parts, np.split(component, end[:-1]), strict=False
    ):
        table[index] = own
        np.add.at(voxels, own[1:], own_voxels)
        reaching, face = np.nonzero(own_touches)
        touches[own[1:][reaching], face] = True
    return Components(table, voxels, first, touches)
