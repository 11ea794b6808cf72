"""The whole job on a synthetic cord whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scimage import image as images
from scimage.cli.phantoms import phantom_image, write_truth
from scimage.engine import Execution
from scimage.graft import GraftParameters, GraftResult, count_grafts
from scimage.image import Image, ResultStore
from scimage.lesion import LabelValue, LesionParameters, LesionResult, segment_lesion
from scimage.phantom import PRESETS, Phantom
from scimage.progress import Report
from scimage.review import Detection, dice, match_points
from scimage.study import (
    Picture,
    Section,
    cells_figure,
    lesion_figure,
    profile_figure,
    write_report,
)

__all__ = ["DemoOutcome", "run_demo"]

_PRESET = "mouse-demo"
# A found cell is right when it lies within half a nucleus of a true one.
_TOLERANCE_UM = 4.0


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What was found beside what is true, and the page that shows it.

    `rows` are (what, found, truth, agreement), as text.
    """

    rows: list[tuple[str, str, str, str]]
    report_path: Path


def run_demo(folder: Path, *, seed: int, workers: int, report: Report) -> DemoOutcome:
    """Make a cord, convert it, segment, count, compare with the truth, draw.

    Everything is written into `folder`; an earlier demonstration there is replaced.
    """
    phantom = Phantom(replace(PRESETS[_PRESET], seed=seed))
    stack, target = folder / "stack.ome.tif", folder / "cord.ome.zarr"
    new, pixels = phantom_image(phantom, _PRESET)
    images.write_ome_tiff(stack, new, pixels, overwrite=True, report=report)
    image = images.convert(stack, target, overwrite=True, workers=workers, report=report)
    truth = ResultStore(folder / "truth.zarr")
    write_truth(truth, phantom, overwrite=True, report=report)
    lesion = segment_lesion(
        image,
        LesionParameters(gfap="GFAP", tissue="autofluorescence"),
        overwrite=True, execution=Execution(workers=workers), report=report,
    )  # fmt: skip
    grafts = count_grafts(
        image,
        GraftParameters(
            nuclei="human_nuclei", dna="DNA", autofluorescence="autofluorescence"
        ),
        overwrite=True, execution=Execution(workers=workers), report=report,
    )  # fmt: skip
    rows = _compare(phantom, truth, lesion, grafts)
    page = folder / "report.html"
    _write_page(page, image, lesion, grafts, rows, {"synthetic cord": _PRESET, "seed": str(seed)})
    return DemoOutcome(rows, page)


def _compare(
    phantom: Phantom, truth: ResultStore, lesion: LesionResult, grafts: GraftResult
) -> list[tuple[str, str, str, str]]:
    volumes = phantom.volumes_mm3()
    found = lesion.measurements
    labels, true_labels = lesion.labels(), _truth_like(truth, lesion)
    core = (LabelValue.LESION_CORE, LabelValue.CAVITY)
    overlap = dice(np.isin(labels, core), np.isin(true_labels, (*core, LabelValue.GRAFT)))
    cells = truth.table("cells")
    true_cells = np.stack([cells[f"{a}_um"].to_numpy() for a in "zyx"], axis=1)
    match: Detection = match_points(true_cells, grafts.positions_um(), _TOLERANCE_UM)
    total, cord = volumes["lesion_total"], volumes["cord"]
    return [
        (
            "lesion (mm³)", f"{found['lesion_mm3']:.4f}", f"{total:.4f}",
            f"{100 * (found['lesion_mm3'] / total - 1):+.1f}%, Dice {overlap:.3f}",
        ),
        (
            "cord (mm³)", f"{found['cord_mm3']:.4f}", f"{cord:.4f}",
            f"{100 * (found['cord_mm3'] / cord - 1):+.1f}%, "
            f"Dice {dice(labels > 0, true_labels > 0):.3f}",
        ),
        (
            "epicentre (µm)", f"{found['epicentre_um'] or float('nan'):.0f}",
            f"{phantom.epicentre_um:.0f}",
            f"{(found['epicentre_um'] or float('nan')) - phantom.epicentre_um:+.0f} µm",
        ),
        (
            "graft cells", str(grafts.n_kept), str(match.n_reference),
            f"{100 * match.count_bias:+.1f}%, F1 {match.f1:.3f}",
        ),
    ]  # fmt: skip


def _truth_like(truth: ResultStore, lesion: LesionResult) -> NDArray[np.uint8]:
    """The true labels at the resolution that the lesion was segmented at."""
    label = truth.label("truth")
    level = next(v for v in label.levels if v.shape == lesion.level.shape)
    return label.read(0, level=level.index)


def _write_page(
    page: Path,
    image: Image,
    lesion: LesionResult,
    grafts: GraftResult,
    rows: list[tuple[str, str, str, str]],
    made: Mapping[str, str],
) -> None:
    folder, store = page.parent, lesion.store
    pictures = {name: folder / f"{name}.png" for name in ("lesion", "profile", "graft_cells")}
    lesion_figure(image, store, "GFAP", pictures["lesion"])
    profile_figure(store, pictures["profile"])
    cells_figure(image, store, "human_nuclei", pictures["graft_cells"])
    counts = [("detected", str(grafts.n_detected))]
    counts += [(f"rejected: {r}", str(n)) for r, n in grafts.rejected.items()]
    counts += [("kept", str(grafts.n_kept))]
    outcomes = [
        (name, "none" if v is None else f"{v:.5g}" if isinstance(v, float) else str(v))
        for name, v in lesion.measurements.items()
    ]
    sections = [
        Section(
            "Found and true",
            "A synthetic mouse cord with a contusion and a graft, imaged by a simulated light "
            "sheet. The truth is known because the cord was computed.",
            ("", "found", "truth", "agreement"), rows,
        ),
        Section(
            "Lesion", "", ("outcome", "value"), outcomes,
            [
                Picture(pictures["lesion"], "GFAP through the lesion's centroid, with outlines."),
                Picture(pictures["profile"], "Areas and graft cells along the cord."),
            ],
        ),
        Section(
            "Graft cells", "Detected equals kept plus rejected.", ("", "cells"), counts,
            [Picture(pictures["graft_cells"], "Human nuclear marker; a ring is a kept cell.")],
        ),
    ]  # fmt: skip
    facts = {
        **made,
        "image": f"{' x '.join(map(str, image.shape))} (c z y x)",
        "voxel (µm)": " x ".join(f"{s:g}" for s in image.spacing_um),
        "voxel size from": image.spacing_origin,
    }
    write_report(page, "Synthetic mouse cord", sections, facts)
