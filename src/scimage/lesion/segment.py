"""Segment the lesion of a cord from its astroglial border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import BlockGrid, Components, Histogram, Pass, Shape
from scimage.engine import Executor, block_shape, open_executor, run_pass
from scimage.image import (
    Image,
    Level,
    NewImage,
    ResultStore,
    Scratch,
    ScratchVolume,
    Volume,
    scratch_beside,
)
from scimage.lesion.classes import LABEL_CLASSES
from scimage.lesion.measure import LabelProfile, profile_of, row_table
from scimage.lesion.parameters import LesionParameters
from scimage.lesion.passes import (
    ABOVE,
    CLOSED,
    ENCLOSED,
    EXTERIOR,
    HOLE,
    AssignPass,
    ComponentsPass,
    HistogramPass,
    MaskPass,
    RegionsPass,
    table_path,
)
from scimage.progress import Report, silent
from scimage.version import provenance

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LesionResult", "segment_lesion"]

Spacing = tuple[float, float, float]
Result = TypeVar("Result")

_TABLES = ("lesion_measurements", "lesion_profile")


@dataclass(frozen=True, slots=True)
class LesionResult:
    """A segmented lesion, as it stands in the store.

    Attributes
    ----------
    store
        Where the label image ``lesion`` and both tables are.
    profile
        Areas along the cord, from which all outcomes follow.
    tissue_threshold, border_threshold
        Intensities that were used; NaN where the image has no contrast to find one.
    level
        Pyramid level that was worked on, and its voxel size.
    """

    store: ResultStore
    profile: LabelProfile
    tissue_threshold: float
    border_threshold: float
    level: Level

    @property
    def measurements(self) -> dict[str, Any]:
        """Volumes, extent, epicentre and centroid; see :meth:`LabelProfile.measurements`."""
        return self.profile.measurements()

    def labels(self) -> NDArray[np.uint8]:
        """The label image at the working resolution, (z, y, x) of uint8."""
        return self.store.label("lesion").read(0)

    def profile_table(self) -> pa.Table:
        """One row a section, from rostral to caudal."""
        return self.store.table("lesion_profile")


def segment_lesion(
    image: Image,
    parameters: LesionParameters,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    memory_bytes: int = 4 * 10**9,
    block: Shape | None = None,
    report: Report = silent,
) -> LesionResult:
    """Segment tissue, astroglial border, the core that it encloses, and cavities.

    The idea: GFAP is low in the core but also in normal tissue, so low GFAP alone says nothing.
    The core is what dense GFAP *encloses*. Dense GFAP is found by a threshold half way between
    intact tissue and the border's plateau; gaps are bridged; what is then cut off from
    everything that reaches the image's faces is lesion; without tissue signal it is cavity.

    Parameters
    ----------
    image
        An open image with a known voxel size.
    output
        Store for the results, instead of the image itself.
    overwrite
        Replace earlier results.
    workers, scheduler
        See :func:`scimage.engine.open_executor`.
    memory_bytes
        What all workers together may use; decides the block size.
    block
        Block shape (z, y, x), instead of the one that `memory_bytes` allows. The result does
        not depend on it.
    report
        Told of each finished block; may raise to stop.

    Raises
    ------
    ChannelError, SpacingError, UsageError, TargetExistsError, StorageError, FormatError
        The message says what to do.
    """
    store = ResultStore.beside(image, output)
    store.refuse_existing(labels=("lesion",), tables=_TABLES, overwrite=overwrite)
    spacing = image.spacing_um
    level = image.level_near(parameters.working_um)
    spacing = level.spacing_um or spacing
    gfap = image.volume(parameters.gfap, level.index)
    tissue = image.volume(
        parameters.gfap if parameters.tissue is None else parameters.tissue, level.index
    )
    sigma = _triple([parameters.smoothing_um / s for s in spacing])
    frame = spacing, level.translation_um
    axis = "zyx".index(parameters.rostrocaudal_axis)
    with open_executor(workers, scheduler) as executor:
        largest = AssignPass(
            gfap, tissue, tissue, tissue, None, sigma, spacing, parameters.gap_um,
            parameters.border_width_um, math.inf, _edge_um(parameters), True,
        )  # fmt: skip
        shape = block or block_shape([largest], gfap.chunk, executor.workers, memory_bytes)
        grid = BlockGrid(gfap.shape, shape)
        with scratch_beside(store.path, gfap.shape, shape) as scratch:
            steps = _Steps(grid, executor, scratch, report, parameters, gfap, sigma, spacing)
            tissue_threshold, tissue_mask = steps.tissue(tissue)
            border_threshold, plateau, border_mask = steps.border(tissue_mask)
            regions = steps.regions(border_mask, tissue_mask)
            inside = ((regions, ENCLOSED), (tissue_mask, ABOVE))
            core = steps.run("core level", HistogramPass(gfap, sigma, inside))
            labels = scratch.volume("labels", np.uint8)
            steps.run(
                "assign",
                replace(
                    largest, tissue=tissue_mask, border=border_mask, regions=regions,
                    target=labels, inner_threshold=_inner(core, plateau, border_threshold),
                    cavity_known=parameters.tissue is not None,
                ),
            )  # fmt: skip
            rostral_first = parameters.rostral_end == "first"
            profile = profile_of(labels, grid, executor, frame, axis, rostral_first, report)
            new = NewImage(
                (1, *gfap.shape), np.dtype(np.uint8), spacing, image.spacing_origin, (),
                level.translation_um, "lesion",
            )  # fmt: skip
            store.write_label(
                "lesion", new, _OneChannel(labels), LABEL_CLASSES,
                overwrite=overwrite, report=report,
            )  # fmt: skip
    result = LesionResult(store, profile, tissue_threshold, border_threshold, level)
    _write_tables(result, image, parameters, overwrite)
    return result


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps of one segmentation, and all that they share."""

    grid: BlockGrid
    executor: Executor
    scratch: Scratch
    report: Report
    parameters: LesionParameters
    gfap: Volume
    sigma_px: Spacing
    spacing_um: Spacing

    def run(self, stage: str, pass_: Pass[Any, Result]) -> Result:
        return run_pass(stage, pass_, self.grid, self.executor, self.report)

    def tissue(self, channel: Volume) -> tuple[float, ScratchVolume]:
        """Threshold and mask of tissue."""
        threshold = self.parameters.tissue_threshold
        if threshold is None:
            levels = self.run("tissue levels", HistogramPass(channel, self.sigma_px))
            threshold = half_way(levels)
        mask = self.scratch.volume("tissue", np.uint8)
        self.run("tissue", MaskPass(channel, mask, self.sigma_px, self.spacing_um, threshold))
        return threshold, mask

    def border(self, tissue: ScratchVolume) -> tuple[float, float, ScratchVolume]:
        """Threshold, plateau and mask of dense GFAP."""
        inside = ((tissue, ABOVE),)
        levels = self.run("GFAP levels", HistogramPass(self.gfap, self.sigma_px, inside))
        intact, plateau = intact_and_dense(levels)
        threshold = self.parameters.border_threshold
        if threshold is None:
            threshold = (intact + plateau) / 2
        mask = self.scratch.volume("border", np.uint8)
        self.run(
            "border",
            MaskPass(
                self.gfap, mask, self.sigma_px, self.spacing_um, threshold, self.parameters.gap_um
            ),
        )
        return threshold, plateau, mask

    def regions(self, border: ScratchVolume, tissue: ScratchVolume) -> ScratchVolume:
        """Which voxels the border encloses, which lie outside it, and which are holes in tissue."""
        between = self.scratch.volume("between", np.uint32)
        without = self.scratch.volume("without", np.uint32)
        by_border = self.run("components", ComponentsPass(border, CLOSED, between))
        by_tissue = self.run("holes", ComponentsPass(tissue, ABOVE, without))
        voxel_mm3 = math.prod(self.spacing_um) * 1e-9
        enclosed = ~by_border.touches.any(axis=1)
        enclosed &= by_border.voxels * voxel_mm3 >= self.parameters.min_lesion_mm3
        # The canal runs out of both ends of the image and still lies inside the cord.
        axis = "zyx".index(self.parameters.rostrocaudal_axis)
        sides = [face for face in range(6) if face // 2 != axis]
        hole = ~by_tissue.touches[:, sides].any(axis=1)
        tables = self.scratch.folder / "tables"
        tables.mkdir()
        bits = np.where(enclosed, np.uint8(ENCLOSED), np.uint8(EXTERIOR))
        _save_tables(str(tables), 0, by_border, bits)
        _save_tables(str(tables), 1, by_tissue, np.where(hole, np.uint8(HOLE), np.uint8(0)))
        regions = self.scratch.volume("regions", np.uint8)
        self.run("regions", RegionsPass(between, without, str(tables), regions))
        return regions


def half_way(histogram: Histogram) -> float:
    """Half way between the medians of the two classes that Otsu's threshold parts.

    Half way is where a blurred edge really is; Otsu's own threshold moves with the sizes of the
    classes. The brightest thousandth is left out first: a few saturated specks would otherwise
    make a class of their own. Infinite (nothing is above it) where all values are alike or there
    are none.
    """
    usual = histogram.without_top(0.001)
    otsu = usual.otsu()
    low = usual.between(-math.inf, otsu).quantile(0.5)
    high = usual.between(otsu, math.inf).quantile(0.5)
    return (low + high) / 2 if low < high else math.inf


def intact_and_dense(histogram: Histogram) -> tuple[float, float]:
    """Grey level of intact tissue, and of the plateau of dense GFAP around a lesion.

    Intact is the median of all tissue; its spread is measured below the median, where neither
    border nor distractors reach. The plateau is the 90th percentile of what exceeds intact
    tissue by five spreads, so that the slow decay outside the border does not lower it; it is
    infinite where nothing does.
    """
    if not histogram.total:
        return math.inf, math.inf
    intact = histogram.quantile(0.5)
    spread = intact - histogram.quantile(0.1587)
    dense = histogram.between(intact + 5 * max(spread, 1e-6 * abs(intact)), math.inf)
    return intact, dense.quantile(0.9) if dense.total else math.inf


def _inner(core: Histogram, plateau: float, border_threshold: float) -> float:
    """Half way between core and border; a threshold that the user gave is not second-guessed."""
    if not core.total or not math.isfinite(plateau):
        return math.inf
    return min((core.quantile(0.5) + plateau) / 2, border_threshold)


def _edge_um(parameters: LesionParameters) -> float:
    """How far smoothing and blur carry the border's signal into the core."""
    return 2 * parameters.smoothing_um


def _triple(values: Sequence[float]) -> Spacing:
    z, y, x = values
    return z, y, x


def _save_tables(folder: str, i: int, components: Components, bit: NDArray[np.uint8]) -> None:
    bit = bit.copy()
    bit[0] = 0
    for index, component in components.component.items():
        np.save(table_path(folder, i, index), bit[component], allow_pickle=False)


@dataclass(frozen=True, slots=True)
class _OneChannel:
    """A scratch volume as the only channel of a new image."""

    volume: Any

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return np.asarray(self.volume.read((z, y, x)))


def _write_tables(
    result: LesionResult, image: Image, parameters: LesionParameters, overwrite: bool
) -> None:
    about = provenance("lesion", asdict(parameters), image.path) | {
        "tissue_threshold": _finite(result.tissue_threshold),
        "border_threshold": _finite(result.border_threshold),
        "level": result.level.index,
        "spacing_um": list(result.profile.spacing_um),
        "spacing_origin": image.spacing_origin,
    }
    row = {"image": image.name, **result.measurements}
    row |= {"tissue_threshold": _finite(result.tissue_threshold)}
    row |= {"border_threshold": _finite(result.border_threshold)}
    if parameters.tissue is None:
        row["cavity_mm3"] = None
    result.store.write_table(
        _TABLES[0], row_table(row), index_key="image", provenance=about, overwrite=overwrite
    )
    result.store.write_table(
        _TABLES[1], result.profile.profile_table(), index_key="section", provenance=about,
        overwrite=overwrite,
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
