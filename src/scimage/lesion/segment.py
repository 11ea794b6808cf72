"""Segment the lesion of a cord from its astroglial border."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import Components, ComponentsPass, Histogram, Pass, Shape
from scimage.engine import Execution, Run, start_run
from scimage.image import (
    Image,
    Level,
    NewImage,
    NewResults,
    ResultStore,
    ScratchVolume,
    naming_storage,
    volume_at,
)
from scimage.lesion.classes import LABEL_CLASSES
from scimage.lesion.levels import (
    decay_per_plane,
    half_way,
    half_way_of_three,
    inner_level,
    intact_and_dense,
)
from scimage.lesion.measure import LabelProfile, row_table
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
    HistogramPass,
    MaskPass,
    PlaneLevelsPass,
    ProfilePass,
    RegionsPass,
    SmoothPass,
    table_path,
)
from scimage.progress import Report, silent
from scimage.version import provenance

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LesionResult", "lesion_stages", "segment_lesion"]

Spacing = tuple[float, float, float]

_MEMBERS = ("labels/lesion", "tables/lesion_measurements", "tables/lesion_profile")


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
    execution: Execution | None = None,
    report: Report = silent,
) -> LesionResult:
    """Segment tissue, astroglial border, the core that it encloses, and cavities.

    The idea: GFAP is low in the core but also in normal tissue, so low GFAP alone says nothing.
    The core is what dense GFAP *encloses*. Dense GFAP is found by a threshold half way between
    intact tissue and the border's plateau; gaps are bridged; what is then cut off from
    everything that reaches the image's faces is lesion; without tissue signal it is cavity.

    A run that was stopped is continued by the same call. Label image and tables are published
    together.

    Parameters
    ----------
    image
        An open image with a known voxel size.
    output
        Store for the results, instead of the image itself.
    overwrite
        Replace earlier results.
    execution
        Where, on how many workers and in how much memory. The result does not depend on it.
    report
        Told of each finished block; may raise to stop.

    Raises
    ------
    ChannelError, SpacingError, UsageError, TargetExistsError, StorageError, FormatError
        The message says what to do.
    BlocksFailedError
        Parts of the image could not be computed; it lists them.
    """
    store = ResultStore.beside(image, output)
    store.refuse_existing(_MEMBERS, overwrite=overwrite)
    level = _level(image, parameters)
    frame = level.spacing_um or image.spacing_um, level.translation_um
    stages, chunk = lesion_stages(image, parameters)
    axis = "zyx".index(parameters.rostrocaudal_axis)
    with start_run(
        store, "lesion", stages, chunk,
        identity={"parameters": asdict(parameters), "input": image.state(level.index)},
        execution=execution or Execution(), overwrite=overwrite, report=report,
    ) as (run, new):  # fmt: skip
        steps = _Steps(run, stages, parameters)
        found = steps.segment()
        counts, sums = run.sweep("measure", ProfilePass(found.labels, axis))
        rostral_first = parameters.rostral_end == "first"
        profile = LabelProfile(counts, sums, *frame, axis, rostral_first)
        described = NewImage(
            (1, *found.labels.shape), np.dtype(np.uint8), frame[0], image.spacing_origin, (),
            frame[1], "lesion",
        )  # fmt: skip
        new.write_label(
            "lesion", described, _OneChannel(found.labels), LABEL_CLASSES, report=report
        )
        result = LesionResult(
            store, profile, found.tissue_threshold, found.border_threshold, found.decay_px, level
        )
        about = _write_tables(new, result, image, parameters)
        new.publish(run.record(**about))
    return result


def lesion_stages(
    image: Image, parameters: LesionParameters
) -> tuple[dict[str, Pass[Any, Any]], Shape]:
    """Every sweep of a segmentation, in order, and the chunk (z, y, x) of what they read.

    What only the run will find (thresholds, arrays between two sweeps) is left blank.

    Raises
    ------
    ChannelError, SpacingError
        The message says what to do.
    """
    full = image.spacing_um
    level = _level(image, parameters)
    spacing = level.spacing_um or full
    gfap = volume_at(image, parameters.gfap, level)
    own = parameters.tissue is not None
    sigma = _triple([parameters.smoothing_um / s for s in spacing])
    along = "zyx".index(parameters.rostrocaudal_axis)
    across = tuple(a for a in range(3) if a != along)
    bits, levels = (ScratchVolume("", "", gfap.shape, t) for t in ("uint8", "uint16"))
    inside = ((bits, ABOVE),)
    stages: dict[str, Pass[Any, Any]] = {"GFAP": SmoothPass(gfap, levels, sigma)}
    if parameters.tissue is not None:
        tissue = volume_at(image, parameters.tissue, level)
        stages["all tissue"] = SmoothPass(tissue, levels, sigma)
    stages["tissue"] = MaskPass(levels, bits, spacing, math.inf)
    if parameters.light_loss == "evened":
        stages["GFAP by depth"] = PlaneLevelsPass(levels, bits, across)
    stages["GFAP levels"] = HistogramPass(levels, inside)
    stages["border"] = MaskPass(levels, bits, spacing, math.inf, parameters.gap_um)
    stages["components"] = ComponentsPass(bits, CLOSED)
    stages["holes"] = ComponentsPass(bits, ABOVE)
    stages["regions"] = RegionsPass(bits, bits, "", bits)
    stages["core level"] = HistogramPass(levels, (*inside, *inside))
    stages["assign"] = AssignPass(
        levels, bits, bits, bits, bits, spacing, parameters.gap_um,
        parameters.border_width_um, math.inf, 2 * parameters.smoothing_um, own,
        parameters.canal_um,
    )  # fmt: skip
    stages["measure"] = ProfilePass(bits, along)
    return stages, gfap.chunk


def _level(image: Image, parameters: LesionParameters) -> Level:
    """The coarsest level that is fine enough; voxels finer than that are averaged."""
    return image.level_near(parameters.working_um).binned(parameters.working_um)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the sweeps of a segmentation came to."""

    labels: ScratchVolume
    tissue_threshold: float
    border_threshold: float
    decay_px: Spacing


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps of one segmentation, and all that they share."""

    run: Run
    stages: Mapping[str, Pass[Any, Any]]
    parameters: LesionParameters

    def segment(self) -> _Found:
        """All sweeps up to the label image."""
        gfap, everywhere = self.smoothed("GFAP")
        tissue_threshold, tissue = self.tissue(gfap, everywhere)
        brightness = self.brightness(gfap, tissue, everywhere)
        border_threshold, plateau, border = self.border(gfap, tissue, brightness)
        regions = self.regions(border, tissue)
        inside = ((regions, ENCLOSED), (tissue, ABOVE))
        core = self.sweep("core level", levels=gfap, within=inside, brightness=brightness)
        labels = self.run.volume("labels", np.uint8)
        self.sweep(
            "assign", gfap=gfap, tissue=tissue, border=border, regions=regions, target=labels,
            brightness=brightness, inner_threshold=inner_level(core, plateau, border_threshold),
        )  # fmt: skip
        return _Found(labels, tissue_threshold, border_threshold, brightness.slope_px)

    def sweep(self, stage: str, **known_by_now: Any) -> Any:
        """Run a stage, with what the plan had to leave blank."""
        # Every pass is a dataclass; its base class does not say so.
        pass_: Any = self.stages[stage]
        return self.run.sweep(stage, replace(pass_, **known_by_now))

    def smoothed(self, stage: str) -> tuple[ScratchVolume, Histogram]:
        """Levels of a smoothed channel, and their histogram."""
        levels = self.run.volume(f"levels of {stage}", np.uint16)
        return levels, self.sweep(stage, target=levels)

    def tissue(self, gfap: ScratchVolume, of_gfap: Histogram) -> tuple[float, ScratchVolume]:
        """Threshold and mask of tissue."""
        own = self.parameters.tissue is not None
        levels, histogram = self.smoothed("all tissue") if own else (gfap, of_gfap)
        threshold = self.parameters.tissue_threshold
        if threshold is None:
            threshold = half_way(histogram) if own else half_way_of_three(histogram)
        mask = self.run.volume("tissue", np.uint8)
        self.sweep("tissue", levels=levels, target=mask, threshold=threshold)
        return threshold, mask

    def brightness(
        self, gfap: ScratchVolume, tissue: ScratchVolume, everywhere: Histogram
    ) -> Brightness:
        """How GFAP dims across the cord, from intact tissue plane by plane."""
        if self.parameters.light_loss == "as_is":
            return Brightness()
        planes = self.sweep("GFAP by depth", levels=gfap, mask=tissue)
        inside = Histogram.sum_of(h.packed() for h in planes[0].values())
        outside = Histogram(everywhere.counts - inside.counts)
        # Where the image ends with the tissue, what lies outside it is no background.
        background = min(h.quantile(q) for h, q in ((outside, 0.5), (inside, 0.01)) if h.total)
        slopes = [0.0, 0.0, 0.0]
        along = "zyx".index(self.parameters.rostrocaudal_axis)
        for axis, of_axis in zip([a for a in range(3) if a != along], planes, strict=True):
            slopes[axis] = decay_per_plane(of_axis, background)
        return Brightness(background, _triple(slopes))

    def border(
        self, gfap: ScratchVolume, tissue: ScratchVolume, brightness: Brightness
    ) -> tuple[float, float, ScratchVolume]:
        """Threshold, plateau and mask of dense GFAP."""
        inside = ((tissue, ABOVE),)
        levels = self.sweep("GFAP levels", levels=gfap, within=inside, brightness=brightness)
        intact, plateau = intact_and_dense(levels)
        threshold = self.parameters.border_threshold
        if threshold is None:
            threshold = (intact + plateau) / 2
        mask = self.run.volume("border", np.uint8)
        self.sweep("border", levels=gfap, target=mask, threshold=threshold, brightness=brightness)
        return threshold, plateau, mask

    def regions(self, border: ScratchVolume, tissue: ScratchVolume) -> ScratchVolume:
        """Which voxels the border encloses, which lie outside it, and which are holes in tissue."""
        by_border = self.sweep("components", mask=border)
        by_tissue = self.sweep("holes", mask=tissue)
        voxel_mm3 = math.prod(self.stages["border"].spacing_um) * 1e-9  # type: ignore[attr-defined]
        enclosed = ~by_border.touches.any(axis=1)
        enclosed &= by_border.voxels * voxel_mm3 >= self.parameters.min_lesion_mm3
        # The canal runs out of both ends of the image and still lies inside the cord.
        axis = "zyx".index(self.parameters.rostrocaudal_axis)
        sides = [face for face in range(6) if face // 2 != axis]
        hole = ~by_tissue.touches[:, sides].any(axis=1)
        opening = by_tissue.touches.any(axis=1)
        tables = str(self.run.folder("tables"))
        bits = np.where(enclosed, np.uint8(ENCLOSED), np.uint8(EXTERIOR))
        _save_tables(tables, 0, by_border, bits)
        dark = np.asarray(HOLE * hole + OPEN * opening, dtype=np.uint8)
        _save_tables(tables, 1, by_tissue, dark)
        regions = self.run.volume("regions", np.uint8)
        self.sweep("regions", border=border, tissue=tissue, tables=tables, target=regions)
        return regions


def _triple(values: Sequence[float]) -> Spacing:
    z, y, x = values
    return z, y, x


def _save_tables(folder: str, i: int, components: Components, bit: NDArray[np.uint8]) -> None:
    bit = bit.copy()
    bit[0] = 0
    with naming_storage(folder):
        for index, component in components.component.items():
            # A stopped run may have left a part of a file: none is read before all are written.
            np.save(table_path(folder, i, index), bit[component], allow_pickle=False)


@dataclass(frozen=True, slots=True)
class _OneChannel:
    """A scratch volume as the only channel of a new image."""

    volume: Any

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return np.asarray(self.volume.read((z, y, x)))


def _write_tables(
    new: NewResults, result: LesionResult, image: Image, parameters: LesionParameters
) -> dict[str, Any]:
    """Write both tables; how they were made."""
    about = provenance("lesion", asdict(parameters), image.path) | {
        "tissue_threshold": _finite(result.tissue_threshold),
        "border_threshold": _finite(result.border_threshold),
        "gfap_decay_px": list(result.decay_px),
        "level": result.level.index,
        "bins": list(result.level.bins),
        "spacing_um": list(result.profile.spacing_um),
        "spacing_origin": image.spacing_origin,
    }
    row = {"image": image.name, **result.measurements}
    row |= {"tissue_threshold": _finite(result.tissue_threshold)}
    row |= {"border_threshold": _finite(result.border_threshold), "qc_flag": result.qc_flag}
    if parameters.tissue is None:
        row["cavity_mm3"] = None
    new.write_table("lesion_measurements", row_table(row), index_key="image", provenance=about)
    new.write_table(
        "lesion_profile", result.profile.profile_table(), index_key="section", provenance=about
    )
    return about


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
