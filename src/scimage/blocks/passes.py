"""The contract between an analysis and the engine that runs it over blocks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scimage.blocks.grid import Block, BlockGrid, Region, Shape

__all__ = ["Pass", "Readable", "Window", "Writable", "crop", "reach_sum"]

Partial = TypeVar("Partial")
Result = TypeVar("Result")


class Readable(Protocol):
    """A 3-D array on disk that travels as a name."""

    @property
    def shape(self) -> Shape:
        """(z, y, x)."""
        ...

    @property
    def dtype(self) -> str:
        """Name of the data type."""
        ...

    def read(self, region: Region) -> NDArray[Any]:
        """Read (z, y, x)."""
        ...


class Writable(Protocol):
    """A 3-D array on disk; regions written by different blocks share no chunk or shard."""

    @property
    def dtype(self) -> str:
        """Name of the data type."""
        ...

    def write(self, region: Region, data: NDArray[Any]) -> None:
        """Write (z, y, x); when this returns, the disk has it."""
        ...

    def digest(self, region: Region) -> str:
        """Digest of what the disk holds of a region that was written at once."""
        ...


class Window:
    """What a pass sees of its inputs from one block; an input that is not asked for is not read.

    Attributes
    ----------
    block
        The block.
    bytes_read
        Decoded bytes that were asked for so far.
    """

    def __init__(self, block: Block, inputs: Sequence[Readable]) -> None:
        self.block = block
        self.bytes_read = 0
        self._inputs = inputs
        # Of each input, while the block is seen in layers: the end of what was read last.
        self._ends: dict[int, tuple[tuple[range, slice, slice], NDArray[Any]]] | None = None

    def read(self, i: int, halo: Shape = (0, 0, 0)) -> NDArray[Any]:
        """Core and halo of input `i`, as (z, y, x); beyond the volume its edge is repeated."""
        region, clipped = self.block.with_halo(halo)
        z, y, x = region
        parts = self._known(i, region)
        begin = z.start + sum(map(len, parts))
        if begin < z.stop:
            parts.append(self._inputs[i].read((slice(begin, z.stop), y, x)))
            self.bytes_read += parts[-1].nbytes
        data = parts[0]
        if len(parts) > 1 or any(map(any, clipped)):
            data = _padded(parts, clipped)
        if self._ends is not None:
            inside = _inner(data, clipped)
            last = inside[max(0, len(inside) - 2 * halo[0]) :].copy()
            self._ends[i] = (range(z.stop - len(last), z.stop), y, x), last
        return data

    def layers(self, ends: Iterable[int]) -> Iterator[Window]:
        """The block in layers along z, each as the window's block in turn.

        What two layers read of an input with the same halo is read once, and the memory that
        they need does not depend on how many there are. `ends` are where layers end, in the
        volume, ascending; what lies outside the block is left out.
        """
        whole, begin = self.block, self.block.core[0].start
        self._ends = {}
        for end in [*(e for e in ends if begin < e < whole.core[0].stop), whole.core[0].stop]:
            core = slice(begin, end), *whole.core[1:]
            self.block = Block(whole.index, core, whole.volume)
            yield self
            begin = end
        self.block, self._ends = whole, None

    def _known(self, i: int, region: Region) -> list[NDArray[Any]]:
        """The first planes of a region, as far as the layer before had read them."""
        held, end = (self._ends or {}).pop(i, (None, None))
        z, y, x = region
        if held is None or end is None or held[1:] != (y, x) or z.start not in held[0]:
            return []
        return [end[z.start - held[0].start :][: z.stop - z.start]]

    def read_numbers(self, i: int, halo: Shape = (0, 0, 0)) -> NDArray[Any]:
        """The same as :meth:`read`, with 0 for what is no number."""
        data = self.read(i, halo)
        if data.dtype.kind == "f":
            finite = np.isfinite(data)
            if not finite.all():
                return np.where(finite, data, data.dtype.type(0))
        return data


def _padded(parts: Sequence[NDArray[Any]], width: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """Stacks of planes as one, with the edges repeated: ``np.pad`` with a single copy."""
    n = sum(map(len, parts)), *parts[0].shape[1:]
    shape = [a + m + b for m, (a, b) in zip(n, width, strict=True)]
    out = np.empty(shape, dtype=parts[0].dtype)
    np.concatenate(parts, out=_inner(out, width))
    for axis, (low, high) in enumerate(width):
        along = np.moveaxis(out, axis, 0)
        along[:low] = along[low : low + 1]
        along[len(along) - high :] = along[len(along) - high - 1 : len(along) - high]
    return out


def _inner(array: NDArray[Any], width: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """The array (z, y, x) without so many voxels at the low and at the high end of each axis."""
    return array[tuple(slice(a, n - b) for (a, b), n in zip(width, array.shape, strict=True))]


def crop(array: NDArray[Any], margin: Sequence[int]) -> NDArray[Any]:
    """The array (z, y, x) without a margin at either end of each axis."""
    return array[tuple(slice(m, n - m) for m, n in zip(margin, array.shape, strict=True))]


def reach_sum(*reaches: Shape) -> Shape:
    """How far (z, y, x) steps reach that are done one after the other."""
    z, y, x = (sum(r) for r in zip(*reaches, strict=True))
    return z, y, x


class Pass(ABC, Generic[Partial, Result]):
    """One sweep over a volume.

    A pass is a frozen dataclass of names and numbers: it is sent to workers, pixels are not.
    Its result may not depend on the division into blocks. So what a block computes for a voxel
    (or for a cell whose centre it owns) depends only on what lies within a fixed distance, and
    :meth:`merge` sees the partial results in canonical order. A partial is plain data (see
    :func:`scimage.blocks.pack`): it is kept on disk until all blocks are done.
    """

    @property
    @abstractmethod
    def inputs(self) -> tuple[Readable, ...]:
        """Arrays that are read, all of the same shape."""

    @property
    def output(self) -> Writable | None:
        """Array that each block writes its core to, if any."""
        return None

    @property
    @abstractmethod
    def bytes_per_voxel(self) -> int:
        """Working memory for each voxel of core and halo: what the memory plan counts with."""

    @property
    def halo(self) -> Shape:
        """Voxels (z, y, x) read around a core at most."""
        return (0, 0, 0)

    def memory(self, block: Shape) -> int:
        """Working memory in bytes for one block, where those of the run have this shape."""
        return self.bytes_per_voxel * math.prod(
            b + 2 * h for b, h in zip(block, self.halo, strict=True)
        )

    def blocks(self, grid: BlockGrid) -> BlockGrid | list[Block]:
        """What is computed, in canonical order: the blocks of the run, or a sample of its own."""
        return grid

    @abstractmethod
    def compute(self, window: Window) -> tuple[NDArray[Any] | None, Partial]:
        """Compute one block: the core to write (None without an output) and a small partial."""

    @abstractmethod
    def merge(self, partials: Iterable[Partial]) -> Result:
        """Combine the partial results of all blocks, which are read in canonical order, once."""
