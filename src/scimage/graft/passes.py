"""The two sweeps over a volume that counting graft cells is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import (
    Block,
    Histogram,
    PackedHistogram,
    Pass,
    Readable,
    Shape,
    Window,
    crop,
    reach_sum,
)
from scimage.graft.scales import Scale, Spacing, half_kernels

__all__ = ["BRIGHTNESS_SHIFT", "Candidates", "DetectPass", "NoisePass", "NoiseSample"]

# The background of a cell: a ring that begins 1 um outside it and is 3 um thick.
_RING_UM = (1.0, 3.0)
# Bins of brightness are joined by 2 to the power of this: eight classes in an octave.
BRIGHTNESS_SHIFT = 4
# Noise is measured on tiles of this many voxels a side ...
_TILE = 64
# ... that hold about this many voxels together.
_SAMPLE_VOXELS = 2**24
# Turns of the circle, in 2**-32, from one tile to the next along z, y, x: the irrational numbers
# that spread points most evenly in three dimensions (Roberts 2018, "R3"), whatever their number.
_TURNS = (3518319155, 2882110345, 2360945575)


def _filter_reach(scale: Scale) -> Shape:
    both = zip(half_kernels(scale.inner_px), half_kernels(scale.outer_px), strict=True)
    z, y, x = (a.size + b.size - 2 for a, b in both)
    return z, y, x


def _largest(shapes: Sequence[Shape]) -> Shape:
    z, y, x = (max(s[a] for s in shapes) for a in range(3))
    return z, y, x


def _two_gaussians(
    data: NDArray[np.float32], scale: Scale, surplus: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The image smoothed to the core of a scale and to its background, where both are known.

    `surplus` voxels of `data` are more than the filters of this scale need.
    """
    from scimage.kernels import smooth

    inner, outer = half_kernels(scale.inner_px), half_kernels(scale.outer_px)
    fine = smooth.smooth(crop(data, surplus), (inner[0], inner[1], inner[2]))
    coarse = smooth.smooth(fine, (outer[0], outer[1], outer[2]))
    return crop(fine, [w.size - 1 for w in outer]), coarse


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


@dataclass(frozen=True, slots=True)
class NoisePass(Pass[tuple[PackedHistogram, ...], NoiseSample]):
    """Sample the noise of a channel.

    A large volume is sampled on a lattice of tiles that is fixed in the volume, so that the
    sample does not depend on the blocks.
    """

    channel: Readable
    scales: tuple[Scale, ...]

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.channel,)

    @property
    def halo(self) -> Shape:
        return reach_sum(_largest([_filter_reach(s) for s in self.scales]), (0, 0, 1))

    @property
    def bytes_per_voxel(self) -> int:
        return 32

    def compute(self, window: Window) -> tuple[None, tuple[PackedHistogram, ...]]:
        tiles = list(_sampled_tiles(window.block))
        if not tiles:
            return None, ()
        halo = self.halo
        data = window.read_numbers(0, halo).astype(np.float32)
        parts = [self._of_tile(_grown(data, tile, halo)) for tile in tiles]
        contrasts = tuple(
            Histogram.sum_of(p[i] for p in parts).packed() for i in range(len(self.scales))
        )
        return None, (*contrasts, _added([p[-1] for p in parts]))

    def _of_tile(self, data: NDArray[np.float32]) -> list[PackedHistogram]:
        halo, out = self.halo, []
        for scale in self.scales:
            surplus = np.subtract(halo, _filter_reach(scale)).tolist()
            fine, coarse = _two_gaussians(data, scale, surplus)
            out.append(Histogram.of((fine - coarse) * np.float32(1 / scale.gain)).packed())
        out.append(_differences(crop(data, (halo[0], halo[1], halo[2] - 1))))
        return out

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
    mean = histogram.bins_of((left + centre + right) / np.float32(3)).astype(np.int64)
    difference = histogram.bins_of(left - 2 * centre + right).astype(np.int64)
    keys, counts = np.unique(mean >> BRIGHTNESS_SHIFT << 16 | difference, return_counts=True)
    return keys, counts.astype(np.int64)


def _added(parts: Sequence[PackedHistogram]) -> PackedHistogram:
    """Add up counts by key."""
    none = np.zeros(0, dtype=np.int64)
    keys, place = np.unique(np.concatenate([none, *(k for k, _ in parts)]), return_inverse=True)
    counts = np.zeros(keys.size, dtype=np.int64)
    np.add.at(counts, place, np.concatenate([none, *(n for _, n in parts)]))
    return keys, counts


def _sampled_tiles(block: Block) -> Iterator[tuple[slice, slice, slice]]:
    """The parts of a block's core that the lattice of sampled tiles covers."""
    every = max(1, math.prod(block.volume) // _SAMPLE_VOXELS)
    spans = [range(s.start // _TILE, (s.stop - 1) // _TILE + 1) for s in block.core]
    for i in spans[0]:
        for j in spans[1]:
            for k in spans[2]:
                turn = (i * _TURNS[0] + j * _TURNS[1] + k * _TURNS[2]) % 2**32
                if turn * every < 2**32:
                    z, y, x = (
                        slice(
                            max(t * _TILE, s.start) - s.start,
                            min((t + 1) * _TILE, s.stop) - s.start,
                        )
                        for t, s in zip((i, j, k), block.core, strict=True)
                    )
                    yield z, y, x


def _grown(
    data: NDArray[np.float32], tile: tuple[slice, slice, slice], halo: Shape
) -> NDArray[np.float32]:
    """A tile of the core with its halo, cut out of core and halo."""
    return data[tuple(slice(s.start, s.stop + 2 * h) for s, h in zip(tile, halo, strict=True))]


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

    `channels` are all channels of the image; `nuclei` is the index of the one that is searched.
    """

    channels: tuple[Readable, ...]
    nuclei: int
    scales: tuple[Scale, ...]
    cut: tuple[float, ...]
    spacing_um: Spacing
    max_diameter_um: float
    plane: bool

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.channels

    @cached_property
    def margin(self) -> Shape:
        """Voxels around the core in which contrast is needed: for neighbours and curvature."""
        steps = [_curvature_step(s, self.spacing_um) for s in self.scales]
        z = max(self._z_step(s) for s in self.scales) if self.plane else 1
        return _largest([*steps, (z, 1, 1)])

    @cached_property
    def halo(self) -> Shape:
        """Reach of filters and tests, or of the ring around the largest cell."""
        filters = reach_sum(self.margin, _largest([_filter_reach(s) for s in self.scales]))
        ring = self.max_diameter_um / 2 + sum(_RING_UM)
        reach = max(ring, 1.1 * max(s.diameter_um for s in self.scales))
        # Half a voxel of sub-voxel shift and the reach of light smoothing come on top.
        around = [math.ceil(reach / s) + 2 + self._light[i].size for i, s in self._axes]
        return _largest([filters, (around[0], around[1], around[2])])

    @property
    def _axes(self) -> tuple[tuple[int, float], ...]:
        return tuple(enumerate(self.spacing_um))

    @property
    def _light(self) -> tuple[NDArray[np.float32], ...]:
        """Light in-plane smoothing for measuring diameters: a twelfth of a typical nucleus."""
        typical = math.sqrt(self.scales[0].diameter_um * self.scales[-1].diameter_um)
        _, y, x = self.spacing_um
        return half_kernels((0.0, typical / 12 / y, typical / 12 / x))

    def _z_step(self, scale: Scale) -> int:
        """Planes after which a nucleus has ended."""
        blurred = math.hypot(scale.diameter_um, 1.2 * self.spacing_um[0])
        return max(1, math.ceil(blurred / self.spacing_um[0]))

    @property
    def bytes_per_voxel(self) -> int:
        return 28 + 4 * len(self.scales) + 4 * len(self.channels)

    def compute(self, window: Window) -> tuple[None, tuple[NDArray[Any], ...]]:
        from scimage.kernels import peaks

        halo, margin = self.halo, self.margin
        data = window.read_numbers(self.nuclei, halo).astype(np.float32, copy=False)
        smoothed: list[NDArray[np.float32]] = []
        size = tuple(n + 2 * m for n, m in zip(window.block.shape, margin, strict=True))
        best = np.full(size, -np.inf, dtype=np.float32)
        which = np.zeros(size, dtype=np.uint8)
        # Chunks that were never written, or blank margins, answer 0 to every filter.
        blank = not data.any() and min(self.cut) > 0
        for i, scale in enumerate(() if blank else self.scales):
            surplus = np.subtract(halo, reach_sum(margin, _filter_reach(scale))).tolist()
            fine, coarse = _two_gaussians(data, scale, surplus)
            smoothed.append(fine)
            factor = np.float32(1 / scale.gain)
            peaks.keep_highest(fine, coarse, factor, np.uint8(i), best, which)
        _blank_outside(best, window.block, margin)
        points = peaks.find_maxima(best, which, np.array(self.cut), margin)
        scale_of = which[tuple(points.T)].astype(np.int64)
        contrast_at = best[tuple(points.T)].astype(np.float64)
        offset = peaks.subvoxel_offset(best, points)
        round_at, z_contrast = self._shape(smoothed, points, scale_of)
        voxel = points - np.array(margin) + np.array(window.block.origin)
        in_halo = points - np.array(margin) + np.array(halo)
        expected = np.array([s.diameter_um for s in self.scales])[scale_of]
        n, c = len(points), len(self.channels)
        means, backgrounds = np.zeros((n, c)), np.zeros((n, c))
        diameter = np.zeros(n)
        if n:
            diameter = self._diameters(data, in_halo, offset, expected)
            exists = _existing(window.block, halo)
            for i in range(c):
                pixels = data if i == self.nuclei else window.read_numbers(i, halo)
                means[:, i], backgrounds[:, i] = peaks.ball_and_ring(
                    pixels, in_halo, offset, diameter / 2, _RING_UM, self.spacing_um, exists
                )
        return None, Candidates(
            voxel, offset, scale_of, contrast_at, round_at, z_contrast, diameter,
            means, backgrounds,
        ).columns()  # fmt: skip

    def _shape(
        self,
        smoothed: Sequence[NDArray[np.float32]],
        points: NDArray[np.int64],
        scale_of: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Roundness in plane, and the fall of the signal to where the nucleus has ended in z."""
        from scimage.kernels import peaks

        round_at, z_contrast = np.zeros(len(points)), np.full(len(points), np.inf)
        for i, scale in enumerate(self.scales):
            mine = scale_of == i
            if not mine.any():
                continue
            p = points[mine]
            step = _curvature_step(scale, self.spacing_um)
            round_at[mine] = peaks.roundness(smoothed[i], p, step, self.spacing_um)
            if self.plane:
                dz = self._z_step(scale)
                here, fine = tuple(p.T), smoothed[i]
                below = fine[(here[0] - dz, *here[1:])]
                above = fine[(here[0] + dz, *here[1:])]
                z_contrast[mine] = fine[here] - np.maximum(below, above)
        return round_at, z_contrast

    def _diameters(
        self,
        data: NDArray[Any],
        points: NDArray[np.int64],
        offset: NDArray[np.float64],
        expected: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        from scimage.kernels import peaks, smooth

        light = self._light
        image = smooth.smooth(data, (light[0], light[1], light[2]))
        shifted = points - np.array([w.size - 1 for w in light])
        found = peaks.half_maximum_diameter(image, shifted, offset, expected, self.spacing_um)
        return np.minimum(found, self.max_diameter_um)

    def merge(self, partials: Iterable[tuple[NDArray[Any], ...]]) -> Candidates:
        return Candidates.join(partials)


def _curvature_step(scale: Scale, spacing_um: Spacing) -> Shape:
    """A quarter of a diameter, at least one voxel; not along z."""
    y, x = (max(1, round(scale.diameter_um / 4 / s)) for s in spacing_um[1:])
    return 1, y, x


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
