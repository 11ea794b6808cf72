"""The two sweeps over a volume that counting graft cells is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import (
    Block,
    BlockGrid,
    Histogram,
    PackedHistogram,
    Pass,
    Readable,
    Shape,
    Window,
    reach_sum,
)
from scimage.graft.scales import Scale, Spacing, bank_of, half_kernels

__all__ = [
    "BRIGHTNESS_SHIFT",
    "Candidates",
    "DetectPass",
    "NoisePass",
    "NoiseSample",
    "noise_tile",
]

# The background of a cell: a ring that begins 1 um outside it and is 3 um thick.
_RING_UM = (1.0, 3.0)
# Contrast is held of so many planes at a time.
_PLANES = 32
# What a maximum is compared with.
_NEIGHBOURS = (1, 1, 1)
# Bins of brightness are joined by 2 to the power of this: eight classes in an octave.
BRIGHTNESS_SHIFT = 4
# Noise is measured on tiles of at least this many stored voxels a side: chunks are read whole.
_TILE = 128
# So many of them are looked at, or this share of all, whichever is more.
_FEWEST_TILES = 32
_TILE_SHARE = 64
# Turns of the circle, in 2**-32, from one tile to the next along z, y, x: the irrational numbers
# that spread points most evenly in three dimensions (Roberts 2018, "R3"), whatever their number.
_TURNS = (3518319155, 2882110345, 2360945575)


def _largest(shapes: Sequence[Shape]) -> Shape:
    z, y, x = (max(s[a] for s in shapes) for a in range(3))
    return z, y, x


@dataclass(frozen=True, slots=True)
class NoiseSample:
    """What a channel's noise is told from.

    Attributes
    ----------
    contrast
        Histogram of the contrast at each scale.
    differences
        Histograms of in-plane second differences, by the brightness of the three voxels: key is
        the mean's bin, shifted by `BRIGHTNESS_SHIFT`.
    """

    contrast: tuple[Histogram, ...]
    differences: dict[int, Histogram]


def noise_tile(scales: tuple[Scale, ...], bins: Shape) -> Shape:
    """Shape (z, y, x) of a tile of which half a side, at least, is not changed by its faces.

    `bins` is how many stored voxels are one.
    """
    sides = [max(1, _TILE // b) for b in bins]
    z, y, x = (-(-4 * r // s) * s or s for r, s in zip(bank_of(scales).reach, sides, strict=True))
    return z, y, x


@dataclass(frozen=True, slots=True)
class NoisePass(Pass[tuple[PackedHistogram, ...], NoiseSample]):
    """Sample the noise of a channel.

    A large volume is sampled on a lattice of tiles that is fixed in the volume, so that the
    sample does not depend on the blocks of the run. Nothing is read around a tile: its own rim
    is left out instead.
    """

    channel: Readable
    scales: tuple[Scale, ...]
    tile: Shape

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.channel,)

    @property
    def bytes_per_voxel(self) -> int:
        return 24 + 4 * len(self.scales)

    def memory(self, block: Shape) -> int:
        sides = zip(self.tile, self.channel.shape, bank_of(self.scales).reach, strict=True)
        return self.bytes_per_voxel * math.prod(min(t, n) + 2 * r for t, n, r in sides)

    def blocks(self, grid: BlockGrid) -> list[Block]:
        tiles = BlockGrid(grid.volume, self.tile)
        every = max(1, len(tiles) // max(_FEWEST_TILES, len(tiles) // _TILE_SHARE))
        return [t for t in tiles if _turn(t.index) * every < 2**32]

    def compute(self, window: Window) -> tuple[None, tuple[PackedHistogram, ...]]:
        from scimage.kernels import smooth

        bank = bank_of(self.scales)
        tile = window.read_numbers(0).astype(np.float32, copy=False)
        _, clipped = window.block.with_halo(bank.reach)
        # Only where the volume ends its edge is repeated.
        data = np.pad(tile, clipped, mode="edge")
        inner = tuple(n - 2 * r for n, r in zip(data.shape, bank.reach, strict=True))
        contrast = np.empty((len(self.scales), *(max(0, n) for n in inner)), dtype=np.float32)
        if contrast.size:
            smooth.contrasts(
                data, np.array(bank.reach), bank.weights, bank.radii, bank.fine, bank.coarse,
                bank.factor, contrast,
            )  # fmt: skip
        return None, (*(Histogram.of(c).packed() for c in contrast), _differences(tile))

    def merge(self, partials: Iterable[tuple[PackedHistogram, ...]]) -> NoiseSample:
        contrast = tuple(Histogram.sum_of([]) for _ in self.scales)
        differences = _added([])
        for parts in partials:
            if parts:
                for histogram, (bins, n) in zip(contrast, parts, strict=False):
                    histogram.counts[bins] += n
                differences = _added([differences, parts[-1]])
        keys, counts = differences
        classes = {}
        for brightness in np.unique(keys >> 16).tolist():
            mine = keys >> 16 == brightness
            classes[brightness] = Histogram.sum_of([(keys[mine] & 0xFFFF, counts[mine])])
        return NoiseSample(contrast, classes)


def _differences(x: NDArray[np.float32]) -> PackedHistogram:
    """Second differences along x, counted by the brightness of the three voxels.

    The difference and the mean of three voxels of white noise are uncorrelated.
    """
    from scimage.kernels import histogram

    left, centre, right = x[:, :, :-2], x[:, :, 1:-1], x[:, :, 2:]
    mean = histogram.bins_of((left + centre + right) / np.float32(3)).astype(np.uint32)
    difference = histogram.bins_of(left - 2 * centre + right)
    keys, counts = np.unique(mean >> BRIGHTNESS_SHIFT << 16 | difference, return_counts=True)
    return keys.astype(np.int64), counts.astype(np.int64)


def _added(parts: Sequence[PackedHistogram]) -> PackedHistogram:
    """Add up counts by key."""
    none = np.zeros(0, dtype=np.int64)
    keys, place = np.unique(np.concatenate([none, *(k for k, _ in parts)]), return_inverse=True)
    counts = np.zeros(keys.size, dtype=np.int64)
    np.add.at(counts, place, np.concatenate([none, *(n for _, n in parts)]))
    return keys, counts


def _turn(tile: Shape) -> int:
    """Where on the circle a tile stands, in 2**-32 turns."""
    return sum(i * turn for i, turn in zip(tile, _TURNS, strict=True)) % 2**32


@dataclass(frozen=True, slots=True)
class Candidates:
    """Blobs above the threshold, before duplicates are removed; one row each.

    Attributes
    ----------
    voxel
        (n, 3) of int64: index z, y, x in the volume.
    offset_px
        (n, 3) of float64: sub-voxel offset.
    scale
        (n,) of int64: which filter answered most.
    contrast, roundness, z_contrast, diameter_um
        (n,) of float64.
    mean, background
        (n, channels) of float64: mean in the cell, median in the ring around it.
    """

    voxel: NDArray[np.int64]
    offset_px: NDArray[np.float64]
    scale: NDArray[np.int64]
    contrast: NDArray[np.float64]
    roundness: NDArray[np.float64]
    z_contrast: NDArray[np.float64]
    diameter_um: NDArray[np.float64]
    mean: NDArray[np.float64]
    background: NDArray[np.float64]

    @classmethod
    def join(cls, parts: Iterable[tuple[NDArray[Any], ...]]) -> Candidates:
        """All candidates of parts as :meth:`columns` gives them, in the order z, y, x of voxels."""
        joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        order = np.lexsort(joined[0].T[::-1])
        return cls(*(column[order] for column in joined))

    def columns(self) -> tuple[NDArray[Any], ...]:
        """All attributes, in their order."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def __getitem__(self, chosen: NDArray[Any]) -> Candidates:
        return Candidates(*(column[chosen] for column in self.columns()))

    def __len__(self) -> int:
        return len(self.voxel)


@dataclass(frozen=True)
class DetectPass(Pass[tuple[NDArray[Any], ...], Candidates]):
    """Find blobs in one channel and measure them in all.

    Attributes
    ----------
    channels
        All channels of the image.
    nuclei
        Index of the one that is searched.
    depth
        Planes that are decoded at once: a block is seen in layers that end with them.
    """

    channels: tuple[Readable, ...]
    nuclei: int
    scales: tuple[Scale, ...]
    cut: tuple[float, ...]
    spacing_um: Spacing
    max_diameter_um: float
    plane: bool
    depth: int

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.channels

    @cached_property
    def halo(self) -> Shape:
        """Reach of filters and tests, or of the ring around the largest cell."""
        # One voxel for neighbours, or the distance at which the shape of a blob is told.
        steps = [self._steps(s) for s in self.scales]
        filters = reach_sum(_largest([*steps, _NEIGHBOURS]), bank_of(self.scales).reach)
        ring = self.max_diameter_um / 2 + sum(_RING_UM)
        reach = max(ring, 1.1 * max(s.diameter_um for s in self.scales))
        # Half a voxel of sub-voxel shift and the reach of light smoothing come on top.
        light = (0, *(w.size for w in self._light))
        around = [math.ceil(reach / s) + 2 + n for s, n in zip(self.spacing_um, light, strict=True)]
        return _largest([filters, (around[0], around[1], around[2])])

    @property
    def _light(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Light in-plane smoothing for measuring diameters: a twelfth of a typical nucleus."""
        typical = math.sqrt(self.scales[0].diameter_um * self.scales[-1].diameter_um)
        _, sy, sx = self.spacing_um
        _, y, x = half_kernels((0.0, typical / 12 / sy, typical / 12 / sx))
        return y, x

    def _steps(self, scale: Scale) -> Shape:
        """Voxels (z, y, x) from a nucleus's centre to where its shape is told.

        In plane a quarter of a diameter, at least one voxel; in plane mode, along z, so many
        planes that the nucleus has ended there.
        """
        y, x = (max(1, round(scale.diameter_um / 4 / s)) for s in self.spacing_um[1:])
        blurred = math.hypot(scale.diameter_um, 1.2 * self.spacing_um[0])
        return max(1, math.ceil(blurred / self.spacing_um[0])) if self.plane else 0, y, x

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def memory(self, block: Shape) -> int:
        layer = min(self.depth, block[0]), *block[1:]
        shape = [b + 2 * h for b, h in zip(layer, self.halo, strict=True)]
        peaks = 5 * (_PLANES + 2) * math.prod(block[1:])
        return self.bytes_per_voxel * math.prod(shape) + peaks

    def blocks(self, grid: BlockGrid) -> BlockGrid:
        # What a block needs beyond its core ends where its neighbour's chunks begin.
        lead = [h if h < b else 0 for h, b in zip(self.halo, grid.block, strict=True)]
        return BlockGrid(grid.volume, grid.block, (lead[0], lead[1], lead[2]))

    def compute(self, window: Window) -> tuple[None, tuple[NDArray[Any], ...]]:
        # A layer ends where what it reads beyond itself ends with a chunk, or with the volume.
        beyond = self.halo[0]
        ends = range(self.depth - beyond % self.depth, window.block.volume[0] - beyond, self.depth)
        layers = [self._of_layer(layer).columns() for layer in window.layers(ends)]
        return None, tuple(np.concatenate(columns) for columns in zip(*layers, strict=True))

    def _of_layer(self, window: Window) -> Candidates:
        from scimage.kernels import peaks

        halo = self.halo
        data = window.read_numbers(self.nuclei, halo).astype(np.float32, copy=False)
        points, scale_of, contrast_at, offset = self._peaks(window.block, data)
        round_at, z_contrast = self._shape(data, points, scale_of)
        voxel = points - np.array(halo) + np.array(window.block.origin)
        n, c = len(points), len(self.channels)
        means, backgrounds = np.zeros((n, c)), np.zeros((n, c))
        diameter = np.zeros(n)
        if n:
            expected = np.array([s.diameter_um for s in self.scales])[scale_of]
            diameter = peaks.half_maximum_diameter(
                data, self._light, points, offset, expected, self.spacing_um
            )
            diameter = np.minimum(diameter, self.max_diameter_um)
            exists = _existing(window.block, halo)
            for i in range(c):
                pixels = data if i == self.nuclei else window.read_numbers(i, halo)
                means[:, i], backgrounds[:, i] = peaks.ball_and_ring(
                    pixels, points, offset, diameter / 2, _RING_UM, self.spacing_um, exists
                )
        return Candidates(
            voxel, offset, scale_of, contrast_at, round_at, z_contrast, diameter,
            means, backgrounds,
        )  # fmt: skip

    def _peaks(self, block: Block, data: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        """Local maxima of the contrast: index in `data`, scale, contrast, sub-voxel offset."""
        from scimage.kernels import peaks, smooth

        bank, halo, cut = bank_of(self.scales), np.array(self.halo), np.array(self.cut)
        none = np.empty((0, 3), dtype=np.int64), np.empty(0, dtype=np.int64)
        found: list[tuple[NDArray[Any], ...]] = [(*none, np.empty(0), np.empty((0, 3)))]
        z, y, x = block.core
        # Chunks that were never written, or blank margins, answer 0 to every filter.
        blank = not data.any() and cut.min() > 0
        for begin in range(z.start, z.start if blank else z.stop, _PLANES):
            core = slice(begin, min(begin + _PLANES, z.stop)), y, x
            planes = Block(block.index, core, block.volume)
            size = tuple(n + 2 for n in planes.shape)
            best, which = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.uint8)
            smooth.highest_contrast(
                data[begin - z.start :], halo - 1, bank.weights, bank.radii, bank.fine,
                bank.coarse, bank.factor, best, which,
            )  # fmt: skip
            _blank_outside(best, planes, _NEIGHBOURS)
            points = peaks.find_maxima(best, which, cut, _NEIGHBOURS)
            here = tuple(points.T)
            offset = peaks.subvoxel_offset(best, points)
            place = points + halo - 1 + np.array([begin - z.start, 0, 0])
            found.append((place, which[here].astype(np.int64), best[here].astype(float), offset))
        return tuple(np.concatenate(columns) for columns in zip(*found, strict=True))

    def _shape(
        self, data: NDArray[np.float32], points: NDArray[np.int64], scale_of: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Roundness in plane, and the fall of the signal to where the nucleus has ended in z."""
        from scimage.kernels import peaks, smooth

        bank = bank_of(self.scales)
        steps = np.array([self._steps(s) for s in self.scales])[scale_of]
        around = smooth.smoothed_around(
            data, points, bank.fine[scale_of], steps, bank.weights, bank.radii
        )
        round_at = peaks.roundness(around, steps * np.array(self.spacing_um))
        if not self.plane:
            return round_at, np.full(len(points), np.inf)
        return round_at, around[:, 1, 1, 1] - np.maximum(around[:, 0, 1, 1], around[:, 2, 1, 1])

    def merge(self, partials: Iterable[tuple[NDArray[Any], ...]]) -> Candidates:
        return Candidates.join(partials)


def _blank_outside(response: NDArray[np.float32], block: Block, margin: Shape) -> None:
    """Set -inf where there is no volume: a maximum lies in it, if only on its border."""
    low, high = _existing(block, margin)
    for axis in range(3):
        view = np.moveaxis(response, axis, 0)
        view[: low[axis]] = -np.inf
        view[high[axis] :] = -np.inf


def _existing(block: Block, halo: Shape) -> tuple[Shape, Shape]:
    """First and last-plus-one index, in core and halo, of voxels inside the volume."""
    _, clipped = block.with_halo(halo)
    low = [c[0] for c in clipped]
    high = [n + 2 * h - c[1] for n, h, c in zip(block.shape, halo, clipped, strict=True)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
