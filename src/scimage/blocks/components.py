"""Connected parts of a volume that is seen block by block: components, or basins.

Each block labels its own voxels and measures what it labelled. Two blocks that share a face agree
on which of their local labels go on there; union-find over 64-bit ids (block, local label) turns
them into components, and these are numbered by their first voxel, in the order z, y, x of the
volume. All that is measured are integers in the volume's own indices that are added, or of which
the lowest or highest is kept. So neither numbers nor measures depend on the division or on the
order in which blocks were computed.
"""

from __future__ import annotations

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

# Local ones, whose tables are held in memory at once: about 120 bytes for each, and as many again
# for the components that they make.
_MOST_COMPONENTS = 2**27

PackedComponents: TypeAlias = tuple[Shape, NDArray[np.int64], tuple[bytes, ...]]

# Rank of a block, and where on one of its faces which label begins and whether it leads out.
_Face: TypeAlias = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class BlockComponents:
    """Components inside one block.

    Attributes
    ----------
    index
        The block's place in the grid.
    table
        (n, 11 or 12) of int64 for local component 1, 2, ...: what
        :func:`scimage.kernels.components.measure_labels` measures, and maybe summed intensities.
    faces
        What lies on the block's six faces, from :func:`faces_of`.
    """

    index: Shape
    table: NDArray[np.int64]
    faces: tuple[bytes, ...]

    def packed(self) -> PackedComponents:
        """The same as plain data: what a block sends home."""
        return self.index, self.table, self.faces


@dataclass(frozen=True, slots=True)
class Components:
    """Components of the whole volume, numbered from 1; entry 0 is what lies outside all.

    Attributes
    ----------
    component
        For each block, in the order in which they were merged, the component (int64) of its
        local labels; entry 0 is 0.
    table
        (n + 1, 11 or 12) of int64, one row a component, as in :class:`BlockComponents`.
    volume
        Shape (z, y, x) of the volume.
    """

    component: dict[Shape, NDArray[np.int64]]
    table: NDArray[np.int64]
    volume: Shape

    @property
    def voxels(self) -> NDArray[np.int64]:
        """Size of each component (int64); entry 0 is 0."""
        return self.table[:, 0]

    @property
    def first(self) -> NDArray[np.int64]:
        """Flat index in the volume of each first voxel (int64), ascending; entry 0 is -1."""
        return self.table[:, 1]

    @property
    def centroid(self) -> NDArray[np.float64]:
        """(n + 1, 3): mean index z, y, x of each component's voxels; entry 0 is NaN."""
        with np.errstate(invalid="ignore"):
            mean: NDArray[np.float64] = self.table[:, 2:5] / self.voxels[:, None]
        return mean

    @property
    def bounds(self) -> NDArray[np.int64]:
        """(n + 1, 3, 2): along z, y, x the lowest index, and the highest plus 1."""
        return np.stack([self.table[:, 5:8], self.table[:, 8:11]], axis=2)

    @property
    def touches(self) -> NDArray[np.bool_]:
        """(n + 1, 6): whether it reaches the volume's faces (z low, z high, y low, ...)."""
        reached: NDArray[np.bool_] = self.bounds == np.array([(0, n) for n in self.volume])
        reached[0] = False
        return reached.reshape(-1, 6)

    @property
    def intensity(self) -> NDArray[np.int64]:
        """Exact sum of the intensities in each component; an IndexError if there were none."""
        return self.table[:, 11]


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
    For each face its runs of equal voxels: where they begin, their labels, and whether they lead
    out of the block; empty where nothing can go on.
    """
    packed = []
    for i in range(6):
        axis, end = i // 2, (0, -1)[i % 2]
        face = np.take(labels, end, axis=axis).ravel()
        if at_border[i] or not face.any():
            packed.append(b"")
            continue
        out = np.ones(1, np.bool_) if leads is None else leads.take(end, axis).ravel() == i + 1
        begins = face[1:] != face[:-1]
        if leads is not None:
            begins |= out[1:] != out[:-1]
        at = np.concatenate([[0], np.flatnonzero(begins) + 1])
        out = np.broadcast_to(out, face.shape)
        packed.append(at.astype(np.uint32).tobytes() + face[at].tobytes() + out[at].tobytes())
    return tuple(packed)


def merge_components(blocks: Iterable[BlockComponents], volume: Shape) -> Components:
    """Join the components of blocks across the faces that they share (6-connected).

    Two voxels on either side of a face are joined where both have a label and at least one of
    them leads out of its block there.

    Parameters
    ----------
    blocks
        Some or all blocks of a grid, read once. Their order decides only that of the entries of
        ``Components.component``; in canonical order only the faces of one layer of blocks are
        held at a time.
    volume
        Shape (z, y, x) of the volume.

    Raises
    ------
    UsageError
        The blocks have so many components that the tables might not fit into memory.
    """
    tables: dict[Shape, NDArray[np.int64]] = {}
    pairs = [np.empty((2, 0), dtype=np.int64)]
    waiting: dict[tuple[int, Shape], _Face] = {}
    total = 0
    for rank, block in enumerate(blocks):
        total += len(block.table)
        if total > _MOST_COMPONENTS:
            raise UsageError(
                "components", found=f"more than {_MOST_COMPONENTS} separate parts in blocks",
                expected="fewer, as their tables take at least 120 bytes of memory for each",
                remedy="Smooth more or raise the threshold.",
            )  # fmt: skip
        for i, face in enumerate(block.faces):
            axis, high = divmod(i, 2)
            beyond = list(block.index)
            beyond[axis] += high
            between = axis, (beyond[0], beyond[1], beyond[2])
            if between in waiting:
                pairs.append(_joined((rank, face), waiting.pop(between)))
            else:
                waiting[between] = rank, face
        # What was unpacked is a view, which would keep the faces in memory.
        tables[block.index] = block.table.copy()
    return _numbered(tables, np.concatenate(pairs, axis=1), volume)


def _joined(here: _Face, there: _Face) -> NDArray[np.int64]:
    """Pairs (2, n) of ids (block's rank << 32 | label) that are joined across a shared face."""
    if not here[1] or not there[1]:
        return np.empty((2, 0), dtype=np.int64)
    (one_at, one, leads), (other_at, other, leads_back) = _unpacked(here[1]), _unpacked(there[1])
    at = np.union1d(one_at, other_at)
    i, j = (np.searchsorted(begins, at, side="right") - 1 for begins in (one_at, other_at))
    joined = (one[i] > 0) & (other[j] > 0) & (leads[i] | leads_back[j])
    both = np.unique(one[i][joined].astype(np.uint64) << 32 | other[j][joined])
    pairs = np.stack([both >> 32, both & 0xFFFFFFFF]).astype(np.int64)
    pairs |= np.array([[here[0]], [there[0]]]) << 32
    return pairs


def _unpacked(face: bytes) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
    n = len(face) // 9
    at, labels = np.frombuffer(face, np.uint32, 2 * n).reshape(2, n)
    return at, labels, np.frombuffer(face, np.bool_, n, offset=8 * n)


def _numbered(
    tables: dict[Shape, NDArray[np.int64]], pairs: NDArray[np.int64], volume: Shape
) -> Components:
    """Number the components; `pairs` are (2, n) of ids (block's rank << 32 | label)."""
    from scimage.kernels.components import COLUMNS, fold_tables, join_labels, lowest_of_each

    sizes = np.array([len(table) for table in tables.values()], dtype=np.int64)
    end = np.cumsum(sizes)
    begin = end - sizes
    # Row of each local label in all tables together, and the lowest row that it is joined with.
    # Most local labels meet no other: the forest is one of those that do.
    leader = np.arange(sizes.sum())
    ids, compact = np.unique(pairs, return_inverse=True)
    parent = np.arange(ids.size)
    join_labels(parent, compact[0], compact[1])
    row = begin[ids >> 32] + (ids & 0xFFFFFFFF) - 1
    leader[row] = row[lowest_of_each(parent)]

    leaders = np.flatnonzero(leader == np.arange(leader.size))
    to = np.empty_like(leader)
    to[leaders] = np.arange(leaders.size)
    to = to[leader]
    first = np.concatenate([np.empty(0, dtype=np.int64), *(t[:, 1] for t in tables.values())])
    lowest = first[leaders]
    np.minimum.at(lowest, to, first)
    number = np.empty(leaders.size, dtype=np.int64)
    number[np.argsort(lowest)] = np.arange(1, leaders.size + 1)
    own = np.split(number[to], end[:-1])

    columns = max((t.shape[1] for t in tables.values()), default=COLUMNS)
    table = np.zeros((leaders.size + 1, columns), dtype=np.int64)
    table[0, 1] = -1
    for numbers, part in zip(own, tables.values(), strict=False):
        fold_tables(part, numbers, table)
    component = {
        index: np.concatenate([[0], numbers]) for index, numbers in zip(tables, own, strict=False)
    }
    return Components(component, table, volume)
