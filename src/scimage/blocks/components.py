"""Connected components of a volume that is seen block by block.

Each block labels its own voxels. Two blocks that share a face agree on which of their local
labels touch; union-find over (block, local label) pairs turns them into components, and these
are numbered by their first voxel, in the order z, y, x of the volume. So the numbers depend
neither on the division nor on the order in which blocks were computed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks.grid import Shape

__all__ = ["BlockComponents", "Components", "faces_of", "merge_components"]

_FACES = ((0, 0), (0, -1), (1, 0), (1, -1), (2, 0), (2, -1))


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
        Flat index in the volume (z, y, x) of each local component's first voxel.
    touches
        For each local component and each of the volume's six faces (z low, z high, y low, ...)
        whether it reaches that face; (n, 6) of bool.
    faces
        Local labels on the block's six faces, packed by :func:`faces_of`.
    """

    index: Shape
    voxels: NDArray[np.int64]
    first: NDArray[np.int64]
    touches: NDArray[np.bool_]
    faces: tuple[tuple[Shape, bytes], ...]


@dataclass(frozen=True, slots=True)
class Components:
    """Components of the whole volume, numbered from 1.

    Attributes
    ----------
    component
        For each block, in canonical order, the component of its local labels; entry 0 is 0.
    voxels
        Size of each component; entry 0 is unused.
    touches
        (n + 1, 6) of bool: which faces of the volume a component reaches.
    """

    component: dict[Shape, NDArray[np.int64]]
    voxels: NDArray[np.int64]
    touches: NDArray[np.bool_]


def faces_of(labels: NDArray[np.uint32]) -> tuple[tuple[Shape, bytes], ...]:
    """Pack the six faces of a block's labels (z, y, x); they are mostly runs, hence small."""
    packed = []
    for axis, end in _FACES:
        face = np.ascontiguousarray(np.take(labels, end, axis=axis))
        packed.append(((face.shape[0], face.shape[1], 0), zlib.compress(face.tobytes(), 1)))
    return tuple(packed)


def merge_components(blocks: Sequence[BlockComponents]) -> Components:
    """Join the components of all blocks across the faces that they share (6-connected).

    `blocks` are all blocks of a grid. Their order decides only that of the entries of
    ``Components.component``.
    """
    from scimage.kernels.components import join_labels, lowest_of_each

    offsets = np.zeros(len(blocks) + 1, dtype=np.int64)
    np.cumsum([b.voxels.size for b in blocks], out=offsets[1:])
    at = {b.index: i for i, b in enumerate(blocks)}
    parent = np.arange(offsets[-1] + 1, dtype=np.int64)
    for i, block in enumerate(blocks):
        for axis in range(3):
            beyond = list(block.index)
            beyond[axis] += 1
            j = at.get((beyond[0], beyond[1], beyond[2]))
            if j is None:
                continue
            here = _unpack(block.faces[2 * axis + 1])
            there = _unpack(blocks[j].faces[2 * axis])
            both = (here > 0) & (there > 0)
            join_labels(parent, here[both] + offsets[i], there[both] + offsets[j])
    _, group = np.unique(lowest_of_each(parent)[1:], return_inverse=True)
    n = int(group.max(initial=-1)) + 1
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, group, _joined([b.first for b in blocks], np.int64))
    number = np.empty(n, dtype=np.int64)
    number[np.argsort(first)] = np.arange(1, n + 1)
    component = number[group]
    voxels = np.zeros(n + 1, dtype=np.int64)
    np.add.at(voxels, component, _joined([b.voxels for b in blocks], np.int64))
    touches = np.zeros((n + 1, 6), dtype=bool)
    reached = np.concatenate([np.empty((0, 6), dtype=bool), *(b.touches for b in blocks)])
    for face in range(6):
        touches[component[reached[:, face]], face] = True
    table = {
        b.index: np.concatenate([[0], component[offsets[i] : offsets[i + 1]]])
        for i, b in enumerate(blocks)
    }
    return Components(table, voxels, touches)


def _joined(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])


def _unpack(face: tuple[Shape, bytes]) -> NDArray[np.int64]:
    (rows, columns, _), data = face
    flat = np.frombuffer(zlib.decompress(data), dtype=np.uint32)
    return flat.reshape(rows, columns).astype(np.int64)
