"""Count surviving graft cells: every nucleus once, every rejection with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import Pass, Shape
from scimage.engine import Execution, start_run
from scimage.graft.noise import Noise, signal_to_noise
from scimage.graft.parameters import GraftParameters
from scimage.graft.passes import Candidates, DetectPass, NoisePass, noise_tile
from scimage.graft.scales import Scale, filter_bank
from scimage.image import Image, Level, ResultStore, volume_at
from scimage.progress import Report, silent
from scimage.version import provenance

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["REJECTIONS", "GraftResult", "count_grafts", "graft_stages"]

_TABLE = "graft_cells"
# Tested in this order; the first that applies is the reason that is given.
REJECTIONS = (
    "elongated",
    "no_contrast_in_z",
    "too_small",
    "too_large",
    "autofluorescent",
    "no_dna",
)
# With fewer voxels across it a nucleus is found less well (measured on nuclei of 4 to 30 um).
_VOXELS_WIDE = 3.5
# In plane mode the next nucleus-free planes must be darker by this many times the noise.
_Z_CONTRAST = 1.5


@dataclass(frozen=True, slots=True)
class GraftResult:
    """Counted graft cells, as they stand in the store.

    Attributes
    ----------
    store
        Where the table ``graft_cells`` is.
    cells
        The table: one row a detected cell, kept or rejected.
    noise
        Robust noise of the contrast at the middle scale, in grey levels.
    threshold
        Contrast that a cell needed there, in grey levels.
    level
        Pyramid level that was worked on.
    """

    store: ResultStore
    cells: pa.Table
    noise: float
    threshold: float
    level: Level

    @property
    def n_detected(self) -> int:
        """All blobs above the threshold: kept and rejected."""
        return int(self.cells.num_rows)

    @property
    def n_kept(self) -> int:
        """Graft cells."""
        return self.n_detected - sum(self.rejected.values())

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rejected cells for each reason that occurred."""
        reasons = self.cells["rejected_reason"].to_pylist()
        return {r: reasons.count(r) for r in REJECTIONS if r in reasons}

    def positions_um(self, kept_only: bool = True) -> NDArray[np.float64]:
        """Positions (n, 3) as z, y, x in micrometres, in the image's own frame."""
        columns = [self.cells[f"{a}_um"].to_numpy() for a in "zyx"]
        positions: NDArray[np.float64] = np.stack(columns, axis=1)
        if kept_only:
            positions = positions[np.array(self.cells["class"].to_pylist()) == "kept"]
        return positions


def count_grafts(
    image: Image,
    parameters: GraftParameters,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    execution: Execution | None = None,
    report: Report = silent,
) -> GraftResult:
    """Detect nuclei by their contrast at several scales, measure them, and sort out the false.

    A bank of difference-of-Gaussian filters, in micrometres, answers with the contrast of a ball
    at each scale. Cells are local maxima above a multiple of the noise: the robust spread
    (1.4826 MAD) of the same filter over the whole volume or, where that is more, what photons
    make at the brightness of the cell's surroundings. Each belongs to the block that holds its
    centre; the table does not depend on the blocks. A run that was stopped is continued by the
    same call.

    Parameters
    ----------
    image
        An open image with a known voxel size.
    output
        Store for the table, instead of the image itself.
    overwrite
        Replace an earlier table.
    execution
        Where, on how many workers and in how much memory. The result does not depend on it.
    report
        Told of each finished block; may raise to stop.

    Raises
    ------
    ChannelError, SpacingError, UsageError, TargetExistsError, StorageError, FormatError
        The message says what to do.
    """
    store = ResultStore.beside(image, output)
    store.refuse_existing([f"tables/{_TABLE}"], overwrite=overwrite)
    level = _level(image, parameters)
    stages, chunk = graft_stages(image, parameters)
    with start_run(
        store, "grafts", stages, chunk,
        identity={"parameters": asdict(parameters), "input": image.state(level.index)},
        execution=execution or Execution(), overwrite=overwrite, report=report,
    ) as (run, new):  # fmt: skip
        noise: dict[int, Noise] = {}
        for channel in _measured(image, parameters):
            stage = _noise_stage(image, channel)
            noise[channel] = Noise.of(run.sweep(stage, stages[stage]))
        detect: Any = stages["detect"]
        cut = _cut(parameters, noise[detect.nuclei])
        found = run.sweep("detect", replace(detect, cut=cut))
        cells = _sorted_out(image, parameters, level, detect, noise, found)
        middle = len(cut) // 2
        typical = noise[detect.nuclei].per_scale[middle]
        result = GraftResult(store, cells, typical, cut[middle], level)
        about = _about(image, parameters, detect, noise, result, cut)
        new.write_table(_TABLE, cells, index_key="cell_id", provenance=about)
        new.publish(run.record(**about))
    return result


def graft_stages(
    image: Image, parameters: GraftParameters
) -> tuple[dict[str, Pass[Any, Any]], Shape]:
    """Every sweep of a count, in order, and the chunk (z, y, x) of what they read.

    The threshold, which only the run will find, is left at 0.

    Raises
    ------
    ChannelError, SpacingError
        The message says what to do.
    """
    full = image.spacing_um
    level = _level(image, parameters)
    spacing = level.spacing_um or full
    scales = filter_bank(parameters, spacing, level.bins)
    volumes = tuple(volume_at(image, c, level) for c in range(len(image.channels)))
    tile = noise_tile(scales, level.bins)
    stages: dict[str, Pass[Any, Any]] = {
        _noise_stage(image, channel): NoisePass(volumes[channel], scales, tile)
        for channel in _measured(image, parameters)
    }
    stages["detect"] = DetectPass(
        volumes, image.channel_index(parameters.nuclei), scales, (0.0,) * len(scales), spacing,
        parameters.diameter_um[1] * parameters.diameter_slack, parameters.background == "plane",
        volumes[0].chunk[0],
    )  # fmt: skip
    return stages, volumes[0].chunk


def _level(image: Image, parameters: GraftParameters) -> Level:
    """As coarse as leaves the smallest nucleus some voxels wide; finer ones are averaged."""
    enough = parameters.diameter_um[0] / _VOXELS_WIDE
    return image.level_near(enough).binned(enough)


def _measured(image: Image, parameters: GraftParameters) -> list[int]:
    """Channels whose noise is needed."""
    named = (parameters.nuclei, parameters.autofluorescence, parameters.dna)
    return sorted({image.channel_index(c) for c in named if c is not None})


def _noise_stage(image: Image, channel: int) -> str:
    return f"noise of channel {channel} ({image.channels[channel].name})"


def _sorted_out(
    image: Image,
    parameters: GraftParameters,
    level: Level,
    detect: DetectPass,
    noise: Mapping[int, Noise],
    found: Candidates,
) -> pa.Table:
    """The table of cells: candidates that are strong enough, each nucleus once, with reasons."""
    veto, dna = _index(image, parameters.autofluorescence), _index(image, parameters.dna)
    around = found.background[:, detect.nuclei]
    shape = detect.channels[0].shape
    snr = signal_to_noise(found, around, noise[detect.nuclei], detect.scales, shape)
    if parameters.threshold is None:
        strong = snr >= parameters.min_snr
        found, snr = found[strong], snr[strong]
    reasons = _reasons(found, parameters, noise, detect.nuclei, veto, dna)
    position = (found.voxel + found.offset_px) * np.array(detect.spacing_um)
    kept = _without_duplicates(position, found, reasons, detect.scales, parameters.separation)
    order = np.flatnonzero(kept)
    return _table(
        image, level, found[order], position[order], snr[order], [reasons[i] for i in order]
    )


def _about(
    image: Image,
    parameters: GraftParameters,
    detect: DetectPass,
    noise: Mapping[int, Noise],
    result: GraftResult,
    cut: Sequence[float],
) -> dict[str, Any]:
    """How the table was made."""
    mine = noise[detect.nuclei]
    return provenance("grafts", asdict(parameters), image.path) | {
        "noise_per_scale": list(mine.per_scale),
        "voxel_noise": {"read": mine.read, "gain": mine.gain},
        "threshold_per_scale": list(cut),
        "diameter_per_scale_um": [s.diameter_um for s in detect.scales],
        "level": result.level.index,
        "bins": list(result.level.bins),
        "spacing_um": list(detect.spacing_um),
        "spacing_origin": image.spacing_origin,
        "detected": result.n_detected,
        "kept": result.n_kept,
        "rejected": result.rejected,
    }


def _index(image: Image, channel: str | None) -> int | None:
    return None if channel is None else image.channel_index(channel)


def _cut(parameters: GraftParameters, noise: Noise) -> tuple[float, ...]:
    """Contrast that a cell needs at each scale; nothing passes where there is no noise at all."""
    if parameters.threshold is not None:
        return (parameters.threshold,) * len(noise.per_scale)
    return tuple(parameters.min_snr * n if n > 0 else math.inf for n in noise.per_scale)


def _reasons(
    found: Candidates,
    parameters: GraftParameters,
    noise: Mapping[int, Noise],
    nuclei: int,
    veto: int | None,
    dna: int | None,
) -> list[str | None]:
    """Why each candidate is rejected, or None."""
    low, high = parameters.diameter_um
    slack = parameters.diameter_slack
    above = found.mean - found.background
    noise_at = {c: np.array(n.per_scale)[found.scale] for c, n in noise.items()}
    tests = {
        "elongated": found.roundness < parameters.min_roundness,
        "no_contrast_in_z": found.z_contrast < _Z_CONTRAST * noise_at[nuclei],
        "too_small": found.diameter_um < low / slack,
        "too_large": found.diameter_um >= high * slack,
    }
    if veto is not None:
        glow = above[:, veto]
        tests["autofluorescent"] = (glow > 3 * noise_at[veto]) & (
            glow > parameters.max_autofluorescence * above[:, nuclei]
        )
    if dna is not None:
        tests["no_dna"] = above[:, dna] < parameters.min_dna_snr * noise_at[dna]
    reasons = np.full(len(found), None, dtype=object)
    for reason in reversed(REJECTIONS):
        if reason in tests:
            reasons[tests[reason]] = reason
    return list(reasons)


def _without_duplicates(
    position_um: NDArray[np.float64],
    found: Candidates,
    reasons: Sequence[str | None],
    scales: Sequence[Scale],
    separation: float,
) -> NDArray[np.bool_]:
    """Which candidates stay when each nucleus is counted once.

    Candidates that pass all tests go before those that do not, then the stronger goes first;
    voxel order decides between equals.
    """
    from scipy.spatial import cKDTree

    from scimage.kernels import peaks

    n = len(found)
    if n == 0:
        return np.zeros(0, dtype=bool)
    rejected = np.array([r is not None for r in reasons])
    rank = np.lexsort((np.arange(n), -found.contrast, rejected))
    radius = separation * np.array([s.diameter_um for s in scales])[found.scale]
    place = position_um[rank]
    near = cKDTree(place).query_pairs(float(radius.max()), output_type="ndarray")
    first, second = near.min(axis=1, initial=n), near.max(axis=1, initial=-1)
    apart = np.linalg.norm(place[first] - place[second], axis=1) if len(near) else np.empty(0)
    close = apart < radius[rank][first] if len(near) else np.zeros(0, dtype=bool)
    pairs = np.stack([first[close], second[close]], axis=1).astype(np.int64)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    kept = np.zeros(n, dtype=bool)
    kept[rank] = peaks.suppress(pairs, n)
    return kept


def _table(
    image: Image,
    level: Level,
    found: Candidates,
    position_um: NDArray[np.float64],
    snr: NDArray[np.float64],
    reasons: Sequence[str | None],
) -> pa.Table:
    import pyarrow as pa

    place = position_um + np.array(level.translation_um)
    columns: dict[str, Any] = {
        "cell_id": np.arange(1, len(found) + 1),
        **{f"{axis}_um": place[:, i] for i, axis in enumerate("zyx")},
        "diameter_um": found.diameter_um,
        "score": found.contrast,
        "snr": snr,
        "roundness": found.roundness,
    }
    names = [c.name for c in image.channels]
    for i, name in enumerate(names):
        column = name if names.count(name) == 1 else f"{name}_{i}"
        columns[f"mean_{column}"] = found.mean[:, i]
        columns[f"background_{column}"] = found.background[:, i]
    columns["class"] = pa.array(["kept" if r is None else "rejected" for r in reasons], pa.string())
    columns["rejected_reason"] = pa.array(list(reasons), pa.string())
    return pa.table(columns)
