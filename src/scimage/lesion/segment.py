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
from scimage.lesion.levels import (
    decay_per_plane,
    half_way,
    half_way_of_three,
    inner_level,
    intact_and_dense,
)
from scimage.lesion.measure import LabelProfile, profile_of, row_table
from scimage.lesion.parameters import LesionParameters
from scimage.lesion.passes import (
    ABOVE,
    CLOSED,
    ENCLOSED,
    EXTERIOR,
    HOLE,
    OPEN,
    AssignPass,
    Brightness,
    ComponentsPass,
    HistogramPass,
    MaskPass,
    PlaneLevelsPass,
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
    decay_px
        Change of the logarithm of GFAP from voxel to voxel along z, y, x that was evened out.
    level
        Pyramid level that was worked on, and its voxel size.
    """

    store: ResultStore
    profile: LabelProfile
    tissue_threshold: float
    border_threshold: float
    decay_px: tuple[float, float, float]
    level: Level

    @property
    def measurements(self) -> dict[str, Any]:
        """Volumes, extent, epicentre and centroid; see :meth:`LabelProfile.measurements`."""
        return self.profile.measurements()

    @property
    def qc_flag(self) -> str:
        """Why there is no lesion, if there is none; else empty."""
        if math.isinf(self.tissue_threshold):
            return "no_tissue"
        if math.isinf(self.border_threshold):
            return "no_dense_gfap"
        return "" if self.measurements["lesion_mm3"] else "nothing_enclosed"

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
            parameters.border_width_um, math.inf, _edge_um(parameters),
            parameters.tissue is not None, parameters.canal_um,
        )  # fmt: skip
        shape = block or block_shape([largest], gfap.chunk, executor.workers, memory_bytes)
        grid = BlockGrid(gfap.shape, shape)
        with scratch_beside(store.path, gfap.shape, shape) as scratch:
            steps = _Steps(grid, executor, scratch, report, parameters, gfap, sigma, spacing)
            tissue_threshold, tissue_mask = steps.tissue(tissue)
            brightness = steps.brightness(tissue_mask)
            border_threshold, plateau, border_mask = steps.border(tissue_mask, brightness)
            regions = steps.regions(border_mask, tissue_mask)
            inside = ((regions, ENCLOSED), (tissue_mask, ABOVE))
            core = steps.run("core level", HistogramPass(gfap, sigma, inside, brightness))
            labels = scratch.volume("labels", np.uint8)
            steps.run(
                "assign",
                replace(
                    largest, tissue=tissue_mask, border=border_mask, regions=regions,
                    target=labels, brightness=brightness,
                    inner_threshold=inner_level(core, plateau, border_threshold),
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
    result = LesionResult(
        store, profile, tissue_threshold, border_threshold, brightness.slope_px, level
    )
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
            own = self.parameters.tissue is not None
            threshold = half_way(levels) if own else half_way_of_three(levels)
        mask = self.scratch.volume("tissue", np.uint8)
        self.run("tissue", MaskPass(channel, mask, self.sigma_px, self.spacing_um, threshold))
        return threshold, mask

    def brightness(self, tissue: ScratchVolume) -> Brightness:
        """How GFAP dims across the cord, from intact tissue plane by plane."""
        if self.parameters.light_loss == "as_is":
            return Brightness()
        everywhere = self.run("GFAP background", HistogramPass(self.gfap, self.sigma_px))
        along = "zyx".index(self.parameters.rostrocaudal_axis)
        across = tuple(a for a in range(3) if a != along)
        planes = self.run(
            "GFAP by depth", PlaneLevelsPass(self.gfap, self.sigma_px, tissue, across)
        )
        inside = Histogram.sum_of(h.packed() for h in planes[0].values())
        outside = Histogram(everywhere.counts - inside.counts)
        # Where the image ends with the tissue, what lies outside it is no background.
        background = min(h.quantile(q) for h, q in ((outside, 0.5), (inside, 0.01)) if h.total)
        slopes = [0.0, 0.0, 0.0]
        for axis, of_axis in zip(across, planes, strict=True):
            slopes[axis] = decay_per_plane(of_axis, background)
        return Brightness(background, _triple(slopes))

    def border(
        self, tissue: ScratchVolume, brightness: Brightness
    ) -> tuple[float, float, ScratchVolume]:
        """Threshold, plateau and mask of dense GFAP."""
        inside = ((tissue, ABOVE),)
        levels = self.run(
            "GFAP levels", HistogramPass(self.gfap, self.sigma_px, inside, brightness)
        )
        intact, plateau = intact_and_dense(levels)
        threshold = self.parameters.border_threshold
        if threshold is None:
            threshold = (intact + plateau) / 2
        mask = self.scratch.volume("border", np.uint8)
        self.run(
            "border",
            MaskPass(
                self.gfap,
                mask,
                self.sigma_px,
                self.spacing_um,
                threshold,
                self.parameters.gap_um,
                brightness,
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
        opening = by_tissue.touches.any(axis=1)
        tables = self.scratch.folder / "tables"
        tables.mkdir()
        bits = np.where(enclosed, np.uint8(ENCLOSED), np.uint8(EXTERIOR))
        _save_tables(str(tables), 0, by_border, bits)
        dark = np.asarray(HOLE * hole + OPEN * opening, dtype=np.uint8)
        _save_tables(str(tables), 1, by_tissue, dark)
        regions = self.scratch.volume("regions", np.uint8)
        self.run("regions", RegionsPass(between, without, str(tables), regions))
        return regions


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
        "gfap_decay_px": list(result.decay_px),
        "level": result.level.index,
        "spacing_um": list(result.profile.spacing_um),
        "spacing_origin": image.spacing_origin,
    }
    row = {"image": image.name, **result.measurements}
    row |= {"tissue_threshold": _finite(result.tissue_threshold)}
    row |= {"border_threshold": _finite(result.border_threshold), "qc_flag": result.qc_flag}
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
