"""Segment the lesion of a cord from its astroglial border."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import BlockGrid, Components, Histogram, Pass, Shape
from scimage.engine import Executor, block_shape, open_executor, run_pass
from scimage.image import Image, Level, NewImage, ResultStore, Scratch, Volume, scratch_beside
from scimage.lesion.classes import LABEL_CLASSES
from scimage.lesion.measure import LabelProfile, profile_of, row_table
from scimage.lesion.parameters import LesionParameters
from scimage.lesion.passes import (
    BORDER,
    CLOSED_BORDER,
    ENCLOSED,
    EXTERIOR,
    HOLE,
    TISSUE,
    AssignPass,
    ComponentsPass,
    EvidencePass,
    HistogramPass,
    RegionsPass,
    table_path,
)
from scimage.progress import Report, silent
from scimage.version import provenance

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LesionResult", "segment_lesion"]

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
    sigma_px = tuple(parameters.smoothing_um / s for s in spacing)
    sigma = (sigma_px[0], sigma_px[1], sigma_px[2])
    with open_executor(workers, scheduler) as executor:
        trial = _evidence(gfap, tissue, None, sigma, spacing, math.nan, math.nan, parameters)
        shape = block or block_shape([trial], gfap.chunk, executor.workers, memory_bytes)
        grid = BlockGrid(gfap.shape, shape)
        with scratch_beside(store.path, gfap.shape, shape) as scratch:
            run = _Run(grid, executor, scratch, report)
            thresholds = _thresholds(run, gfap, tissue, sigma, parameters)
            evidence = scratch.volume("evidence", np.uint8)
            run(
                "evidence",
                _evidence(gfap, tissue, evidence, sigma, spacing, *thresholds, parameters),
            )
            regions = _regions(run, evidence, spacing, parameters)
            labels = scratch.volume("labels", np.uint8)
            run(
                "assign",
                AssignPass(
                    evidence, regions, labels, spacing, parameters.gap_um,
                    parameters.border_width_um, parameters.tissue is not None,
                ),
            )  # fmt: skip
            profile = profile_of(
                labels, grid, executor, (spacing, level.translation_um),
                "zyx".index(parameters.rostrocaudal_axis),
                parameters.rostral_end == "first", report,
            )  # fmt: skip
            new = NewImage(
                (1, *gfap.shape), np.dtype(np.uint8), spacing, image.spacing_origin, (),
                level.translation_um, "lesion",
            )  # fmt: skip
            store.write_label(
                "lesion", new, _OneChannel(labels), LABEL_CLASSES,
                overwrite=overwrite, report=report,
            )  # fmt: skip
    result = LesionResult(store, profile, *thresholds, level)
    _write_tables(result, image, parameters, overwrite)
    return result


@dataclass(frozen=True, slots=True)
class _Run:
    """How this segmentation runs its passes."""

    grid: BlockGrid
    executor: Executor
    scratch: Scratch
    report: Report

    def __call__(self, stage: str, pass_: Pass[Any, Any]) -> Any:
        return run_pass(stage, pass_, self.grid, self.executor, self.report)


def _evidence(
    gfap: Volume,
    tissue: Volume,
    target: Any,
    sigma: tuple[float, float, float],
    spacing: tuple[float, float, float],
    tissue_threshold: float,
    border_threshold: float,
    parameters: LesionParameters,
) -> EvidencePass:
    return EvidencePass(
        gfap, tissue, target, sigma, spacing, tissue_threshold, border_threshold,
        parameters.gap_um,
    )  # fmt: skip


def _thresholds(
    run: _Run,
    gfap: Volume,
    tissue: Volume,
    sigma: tuple[float, float, float],
    parameters: LesionParameters,
) -> tuple[float, float]:
    """Tissue and border thresholds: given, or from the histograms of the whole volume."""
    tissue_threshold = parameters.tissue_threshold
    if tissue_threshold is None:
        tissue_threshold = half_way(run("tissue levels", HistogramPass(tissue, sigma)))
    border_threshold = parameters.border_threshold
    if border_threshold is None:
        inside = run("GFAP levels", HistogramPass(gfap, sigma, tissue, tissue_threshold))
        border_threshold = above_intact(inside)
    return tissue_threshold, border_threshold


def half_way(histogram: Histogram) -> float:
    """Half way between the medians of the two classes that Otsu's threshold parts.

    Half way is where a blurred edge really is; Otsu's own threshold moves with the sizes of the
    classes. Infinite (nothing is above it) where all values are alike or there are none.
    """
    otsu = histogram.otsu()
    low = histogram.between(-math.inf, otsu).quantile(0.5)
    high = histogram.between(otsu, math.inf).quantile(0.5)
    return (low + high) / 2 if low < high else math.inf


def above_intact(histogram: Histogram) -> float:
    """Half way between intact tissue and the plateau of the border.

    Intact is the median of all tissue; its spread is measured below the median, where neither
    border nor distractors reach. The plateau is the 90th percentile of what exceeds intact
    tissue by five spreads, so that the slow decay outside the border does not lower it.
    Infinite where nothing does.
    """
    intact = histogram.quantile(0.5)
    spread = (intact - histogram.quantile(0.1587)) if histogram.total else math.nan
    dense = histogram.between(intact + 5 * max(spread, 1e-6 * abs(intact)), math.inf)
    if not histogram.total or not dense.total:
        return math.inf
    return (intact + dense.quantile(0.9)) / 2


def _regions(
    run: _Run,
    evidence: Any,
    spacing: tuple[float, float, float],
    parameters: LesionParameters,
) -> Any:
    """Which voxels the border encloses, which lie outside it, and which are holes in tissue."""
    between = run.scratch.volume("between", np.uint32)
    without = run.scratch.volume("without", np.uint32)
    by_border = run("components", ComponentsPass(evidence, CLOSED_BORDER, between))
    by_tissue = run("holes", ComponentsPass(evidence, TISSUE, without))
    axis = "zyx".index(parameters.rostrocaudal_axis)
    voxel_mm3 = float(np.prod(spacing)) * 1e-9
    enclosed = ~by_border.touches.any(axis=1)
    enclosed &= by_border.voxels * voxel_mm3 >= parameters.min_lesion_mm3
    # The canal runs out of both ends of the image and still lies inside the cord.
    sides = [face for face in range(6) if face // 2 != axis]
    hole = ~by_tissue.touches[:, sides].any(axis=1)
    bits = (
        np.where(enclosed, np.uint8(ENCLOSED), np.uint8(EXTERIOR)),
        np.where(hole, np.uint8(HOLE), np.uint8(0)),
    )
    tables = run.scratch.folder / "tables"
    tables.mkdir()
    for i, (components, bit) in enumerate(zip((by_border, by_tissue), bits, strict=True)):
        _save_tables(str(tables), i, components, bit)
    regions = run.scratch.volume("regions", np.uint8)
    run("regions", RegionsPass(between, without, str(tables), regions))
    return regions


def _save_tables(
    folder: str, i: int, components: Components, bit: NDArray[np.uint8]
) -> None:
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
