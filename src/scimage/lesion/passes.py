"""The sweeps over a volume that lesion segmentation is made of.

Every decision about a voxel uses intensities and masks within a fixed distance, thresholds from
exact histograms of the whole volume, and components merged over the whole volume. So no pass
can depend on how the volume was divided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
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
    Writable,
    crop,
    reach_sum,
)
from scimage.lesion.classes import LabelValue

__all__ = [
    "AssignPass",
    "Brightness",
    "HistogramPass",
    "MaskPass",
    "PlaneLevelsPass",
    "ProfilePass",
    "RegionsPass",
    "SmoothPass",
]

Spacing = tuple[float, float, float]

# From this bin on there are no numbers.
_FINITE = 0xFF80
# Bits of a mask volume: above the threshold, and that with its gaps bridged.
ABOVE, CLOSED = 1, 2
# Bits of the regions volume: what the border encloses and what not; tissue-free parts that lie
# inside the cord, and those that reach a face of the image.
ENCLOSED, EXTERIOR, HOLE, OPEN = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Brightness:
    """How a channel dims along the image's axes: exponentially, above a constant background.

    Attributes
    ----------
    background
        Grey level without any light.
    slope_px
        Change of the logarithm of the signal from one voxel to the next, along z, y, x.
    """

    background: float = 0.0
    slope_px: Spacing = (0.0, 0.0, 0.0)

    def evened(self, bins: NDArray[np.uint16], block: Block, margin: Shape) -> NDArray[np.float32]:
        """Grey levels of bins over core and margin, as at the depth of the volume's centre."""
        values = _grey_levels()[bins]
        if not any(self.slope_px):
            return values
        values -= np.float32(self.background)
        for axis, slope in enumerate(self.slope_px):
            if slope:
                first = block.origin[axis] - margin[axis]
                index = np.arange(first, first + values.shape[axis], dtype=np.float64)
                factor = np.exp(-slope * (index - (block.volume[axis] - 1) / 2))
                shape = [1, 1, 1]
                shape[axis] = -1
                values *= factor.astype(np.float32).reshape(shape)
        values += np.float32(self.background)
        return values

    def reaches(
        self, bins: NDArray[np.uint16], threshold: float, block: Block, margin: Shape
    ) -> NDArray[np.bool_]:
        """Where the levels that :meth:`evened` gives are at least `threshold`."""
        if any(self.slope_px):
            return self.evened(bins, block, margin) >= np.float32(threshold)
        # Grey levels ascend with their bins.
        return bins >= np.searchsorted(_grey_levels()[:_FINITE], np.float32(threshold))


@cache
def _grey_levels() -> NDArray[np.float32]:
    """Grey level that each bin of a histogram stands for; they ascend up to `_FINITE`."""
    levels = Histogram.sum_of([]).centres().astype(np.float32)
    levels[:0x80] = -np.inf
    return levels


def _reach(radius_um: float, spacing_um: Spacing) -> Shape:
    from scimage.kernels import distance

    return distance.reach(radius_um, spacing_um)


@dataclass(frozen=True, slots=True)
class SmoothPass(Pass[PackedHistogram, Histogram]):
    """Smooth a channel once for all sweeps; NaN count as 0.

    Each voxel is kept as the bin that it falls into, 16 bits that are exact to half a percent:
    thresholds come from histograms with these bins. The result is the histogram of all.
    """

    channel: Readable
    target: Writable
    sigma_px: Spacing

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.channel,)

    @property
    def output(self) -> Writable:
        return self.target

    @property
    def _weights(self) -> tuple[NDArray[np.float32], ...]:
        from scimage.kernels import smooth

        return tuple(smooth.gaussian_weights(s) for s in self.sigma_px)

    @property
    def halo(self) -> Shape:
        z, y, x = (w.size - 1 for w in self._weights)
        return z, y, x

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def compute(self, window: Window) -> tuple[NDArray[np.uint16], PackedHistogram]:
        from scimage.kernels import histogram, smooth

        data = window.read_numbers(0, self.halo)
        z, y, x = self._weights
        # Chunks that were never written, or blank margins: smoothing zeros gives zeros.
        shape = window.block.shape
        values = smooth.smooth(data, (z, y, x)) if data.any() else np.zeros(shape, np.float32)
        return histogram.bins_of(values).reshape(shape), Histogram.of(values).packed()

    def merge(self, partials: Iterable[PackedHistogram]) -> Histogram:
        return Histogram.sum_of(partials)


@dataclass(frozen=True, slots=True)
class HistogramPass(Pass[PackedHistogram, Histogram]):
    """Histogram of smoothed levels, evened out, where all of `within` have their bit."""

    levels: Readable
    within: tuple[tuple[Readable, int], ...]
    brightness: Brightness = Brightness()

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.levels, *(volume for volume, _ in self.within)

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def compute(self, window: Window) -> tuple[None, PackedHistogram]:
        inside = np.ones(window.block.shape, dtype=bool)
        for i, (_, bit) in enumerate(self.within, start=1):
            inside &= (window.read(i) & bit) > 0
            if not inside.any():
                return None, Histogram.sum_of([]).packed()
        values = self.brightness.evened(window.read(0), window.block, (0, 0, 0))
        return None, Histogram.of(values[inside]).packed()

    def merge(self, partials: Iterable[PackedHistogram]) -> Histogram:
        return Histogram.sum_of(partials)


@dataclass(frozen=True, slots=True)
class PlaneLevelsPass(Pass[tuple[PackedHistogram, ...], tuple[dict[int, Histogram], ...]]):
    """Histograms of smoothed levels inside a mask, for each plane across each of `axes`."""

    levels: Readable
    mask: Readable
    axes: tuple[int, ...]

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.levels, self.mask

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def compute(self, window: Window) -> tuple[None, tuple[PackedHistogram, ...]]:
        from scimage.kernels import histogram

        inside = (window.read(1) & ABOVE) > 0
        if not inside.any():
            return None, ()
        bins = window.read(0)
        parts = []
        for axis in self.axes:
            plane, level, counts = histogram.count_by_plane(bins, inside, axis)
            keys: NDArray[Any] = plane + window.block.origin[axis] << 16 | level
            parts.append((keys, counts))
        return None, tuple(parts)

    def merge(
        self, partials: Iterable[tuple[PackedHistogram, ...]]
    ) -> tuple[dict[int, Histogram], ...]:
        planes: tuple[dict[int, Histogram], ...] = tuple({} for _ in self.axes)
        for parts in partials:
            for of_axis, (keys, counts) in zip(planes, parts, strict=False):
                _add_by_plane(of_axis, keys, counts)
        return tuple({plane: of_axis[plane] for plane in sorted(of_axis)} for of_axis in planes)


def _add_by_plane(
    planes: dict[int, Histogram], keys: NDArray[Any], counts: NDArray[np.int64]
) -> None:
    # Keys ascend, by plane and then by bin.
    found, begin = np.unique(keys >> 16, return_index=True)
    parts = zip(found.tolist(), np.split(keys, begin[1:]), np.split(counts, begin[1:]), strict=True)
    for plane, mine, n in parts:
        if plane not in planes:
            planes[plane] = Histogram.sum_of([])
        planes[plane].counts[mine & 0xFFFF] += n


@dataclass(frozen=True, slots=True)
class MaskPass(Pass[None, None]):
    """Where smoothed levels, evened out, reach a threshold, also with gaps bridged by a ball."""

    levels: Readable
    target: Writable
    spacing_um: Spacing
    threshold: float
    closing_um: float = 0.0
    brightness: Brightness = Brightness()

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.levels,)

    @property
    def output(self) -> Writable:
        return self.target

    @property
    def halo(self) -> Shape:
        once = _reach(self.closing_um, self.spacing_um)
        return reach_sum(once, once)

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def compute(self, window: Window) -> tuple[NDArray[np.uint8], None]:
        from scimage.kernels import distance

        bins = window.read(0, self.halo)
        above = self.brightness.reaches(bins, self.threshold, window.block, self.halo)
        bits = crop(above, self.halo) * np.uint8(ABOVE)
        closed = distance.closing(above, self.spacing_um, self.closing_um)
        return bits | crop(closed, self.halo) * np.uint8(CLOSED), None

    def merge(self, partials: Iterable[None]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RegionsPass(Pass[None, None]):
    """Region bits of all components of two masks, by tables of one small file a block.

    A block labels its components as :class:`scimage.blocks.ComponentsPass` did, whose labels
    were not kept: to label again is faster than to read.
    """

    border: Readable
    tissue: Readable
    tables: str
    target: Writable

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.border, self.tissue

    @property
    def output(self) -> Writable:
        return self.target

    @property
    def bytes_per_voxel(self) -> int:
        return 12

    def compute(self, window: Window) -> tuple[NDArray[np.uint8], None]:
        from scimage.kernels import components

        bits = np.zeros(window.block.shape, dtype=np.uint8)
        for i, lacking in enumerate((CLOSED, ABOVE)):
            table = np.load(table_path(self.tables, i, window.block.index), allow_pickle=False)
            labels, _ = components.label_components((window.read(i) & lacking) == 0)
            bits |= table[labels]
        return bits, None

    def merge(self, partials: Iterable[None]) -> None:
        return None


def table_path(folder: str, i: int, index: Shape) -> str:
    """File with the region bits of the local labels of one block."""
    return f"{folder}/{i}-" + "-".join(map(str, index)) + ".npy"


@dataclass(frozen=True, slots=True)
class AssignPass(Pass[None, None]):
    """Give each voxel its compartment.

    What the bridged border encloses is lesion but for two corrections of its surface. Bridging
    fills concave corners: tissue that only it took is given back where the lesion is nearer than
    the outside. (Not so voxels without tissue: canal and fissure run through the border, and are
    not cavity.) And the surface lies where GFAP is half way between core and border, which is
    lower than half way between intact tissue and border: lesion voxels beside the border that
    exceed `inner_threshold` go to the border. The border ends `border_width_um` from what it
    encloses.
    """

    gfap: Readable
    tissue: Readable
    border: Readable
    regions: Readable
    target: Writable | None
    spacing_um: Spacing
    gap_um: float
    border_width_um: float
    inner_threshold: float
    edge_um: float
    cavity_known: bool
    canal_um: float
    brightness: Brightness = Brightness()

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return self.gfap, self.tissue, self.border, self.regions

    @property
    def output(self) -> Writable | None:
        return self.target

    @property
    def _near(self) -> Shape:
        """How far the corrections of the surface and the canal's width reach."""
        return _reach(max(self.gap_um, self.edge_um, self.canal_um), self.spacing_um)

    @property
    def halo(self) -> Shape:
        return _reach(
            max(self.border_width_um, self.gap_um, self.edge_um, self.canal_um), self.spacing_um
        )

    @property
    def bytes_per_voxel(self) -> int:
        return 20

    def compute(self, window: Window) -> tuple[NDArray[np.uint8], None]:
        from scimage.kernels import distance

        near, margin = self._near, self.halo
        every_region = window.read(3, margin)
        regions = crop(every_region, np.subtract(margin, near).tolist())
        enclosed = (every_region & ENCLOSED) > 0
        if not enclosed.any():
            tissue = (window.read(1) & ABOVE) > 0
            return self._without_lesion(tissue, crop(regions, near)), None
        all_tissue = (window.read(1, near) & ABOVE) > 0
        tissue = crop(all_tissue, near)
        core = self._without_lesion(tissue, crop(regions, near))
        lesion, border, edge = self._lesion(window, regions, all_tissue)
        beside = crop(distance.dilation(enclosed, self.spacing_um, self.border_width_um), margin)
        core[((border & beside) | edge) & tissue] = LabelValue.ASTROGLIAL_BORDER
        core[lesion] = LabelValue.LESION_CORE
        if self.cavity_known and lesion.any():
            passage = crop(self._passage(regions, all_tissue), near)
            core[lesion & ~tissue] = LabelValue.CAVITY
            core[lesion & ~tissue & passage] = LabelValue.CANAL_OR_FISSURE
        return core, None

    def _without_lesion(
        self, tissue: NDArray[np.bool_], regions: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        core = np.where(tissue, LabelValue.SPARED_TISSUE, LabelValue.BACKGROUND).astype(np.uint8)
        core[(regions & HOLE > 0) & ~tissue] = LabelValue.CANAL_OR_FISSURE
        return core

    def _passage(self, regions: NDArray[np.uint8], tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Canal and fissure where they enter the lesion: open to a face of the image and narrow.

        A cavity that opens into the canal is wide, so a ball fits where it is.
        """
        from scimage.kernels import distance

        wide = distance.opening(~tissue, self.spacing_um, self.canal_um / 2)
        return ((regions & OPEN) > 0) & ~wide

    def _lesion(
        self, window: Window, regions: NDArray[np.uint8], tissue: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], ...]:
        """Lesion, dense GFAP, and what of the lesion turned out to be border; over the core."""
        from scimage.kernels import distance

        near = self._near
        bits = window.read(2, near)
        border, bridged = (bits & ABOVE) > 0, (bits & (ABOVE | CLOSED)) == CLOSED
        lesion, outside = (regions & ENCLOSED) > 0, (regions & EXTERIOR) > 0
        taken = bridged & tissue
        here = _around(taken, _reach(self.gap_um, self.spacing_um))
        inner = distance.distance_within(lesion[here], self.spacing_um, self.gap_um)
        outer = distance.distance_within(outside[here], self.spacing_um, self.gap_um)
        lesion[here] |= taken[here] & (inner < outer)
        lesion = crop(lesion, near)
        edge = crop(distance.dilation(border, self.spacing_um, self.edge_um), near) & lesion
        if edge.any():
            levels = window.read(0)
            block = window.block
            edge &= self.brightness.reaches(levels, self.inner_threshold, block, (0, 0, 0))
        return lesion & ~edge, crop(border, near), edge

    def merge(self, partials: Iterable[None]) -> None:
        return None


def _around(mask: NDArray[np.bool_], reach: Shape) -> tuple[slice, slice, slice]:
    """The smallest box that holds all of a mask and `reach` voxels around it."""
    spans = []
    for axis, r in enumerate(reach):
        others = tuple(a for a in range(3) if a != axis)
        held = np.flatnonzero(mask.any(axis=others))
        first, last = (int(held[0]), int(held[-1])) if held.size else (r, -1 - r)
        spans.append(slice(max(0, first - r), max(0, last + r + 1)))
    return spans[0], spans[1], spans[2]


@dataclass(frozen=True, slots=True)
class ProfilePass(
    Pass[tuple[int, NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[Any], NDArray[Any]]]
):
    """Count the voxels of each label value, section by section, and sum their indices.

    The result is (sections, 256) of int64 counts and (256, 3) of int64 index sums (z, y, x).
    """

    labels: Readable
    axis: int

    @property
    def inputs(self) -> tuple[Readable, ...]:
        return (self.labels,)

    @property
    def bytes_per_voxel(self) -> int:
        return 16

    def compute(
        self, window: Window
    ) -> tuple[None, tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        from scimage.kernels import profile

        origin = window.block.origin
        counts, sums = profile.count_by_section(window.read(0).astype(np.uint8), origin, self.axis)
        return None, (origin[self.axis], counts, sums)

    def merge(
        self, partials: Iterable[tuple[int, NDArray[np.int64], NDArray[np.int64]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        counts = np.zeros((self.labels.shape[self.axis], 256), dtype=np.int64)
        sums = np.zeros((256, 3), dtype=np.int64)
        for first, of_block, index_sums in partials:
            counts[first : first + len(of_block)] += of_block
            sums += index_sums
        return counts, sums
