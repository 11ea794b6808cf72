"""Cells counted in public microscope images, against human or published positions.

Every set of parameters was tuned on the images that it is evaluated on: these rows say what can
be reached and guard it; they do not say how a new image will fare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tifffile import imread, imwrite

import scimage
from scimage.review import Detection, match_points

from .table import Floor, Row, cells_row

__all__ = ["ROWS"]

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as it lies on disk, and the true centres (n, 3) in micrometres."""

    source: Path
    spacing_um: Spacing
    centres_um: NDArray[np.float64]


def _centres(labels: NDArray[np.integer], spacing_um: Spacing) -> NDArray[np.float64]:
    values = np.unique(labels[labels > 0])
    centres = ndimage.center_of_mass(np.ones(labels.shape), labels, values)
    return np.array(centres).reshape(-1, 3) * np.array(spacing_um)


def _components(mask: NDArray[np.integer], spacing_um: Spacing) -> NDArray[np.float64]:
    labels, _ = ndimage.label(mask > 0, ndimage.generate_binary_structure(3, 3))
    return _centres(labels, spacing_um)


def _detect(
    samples: Sequence[Sample],
    parameters: scimage.GraftParameters,
    tolerance_um: float,
    cache: Path,
) -> list[Detection]:
    out = []
    for sample in samples:
        image = _converted(sample, cache)
        result = scimage.count_grafts(
            image, parameters, output=cache / f"{image.name}-results.zarr", overwrite=True
        )
        out.append(match_points(sample.centres_um, result.positions_um(), tolerance_um))
    return out


def _converted(sample: Sample, cache: Path) -> scimage.Image:
    source = sample.source
    target = cache / f"{source.parent.name}-{source.stem}.ome.zarr"
    if target.exists():
        return scimage.open_image(target)
    return scimage.convert(source, target, spacing_um=sample.spacing_um)


def _evaluate(
    data_set: str,
    samples: Sequence[Sample],
    parameters: scimage.GraftParameters,
    tolerance_um: float,
    floor: Floor | None,
    cache: Path,
    note: str = "",
) -> Row:
    row = cells_row(
        data_set,
        f"centres, one to one at {tolerance_um:g} um",
        _text(parameters),
        _detect(samples, parameters, tolerance_um, cache),
        floor,
    )
    around = []
    for factor in (0.8, 1.2):
        changed = replace(parameters, min_snr=factor * parameters.min_snr)
        shifted = cells_row("", "", "", _detect(samples, changed, tolerance_um, cache), None)
        around.append(f"{shifted.value:.3f}")
    sensitivity = f"F1 at min_snr -20%, +20%: {', '.join(around)}"
    return replace(row, note="; ".join(filter(None, (row.note, sensitivity, note))))


def _text(parameters: scimage.GraftParameters) -> str:
    """The parameters that differ from their defaults."""
    default = scimage.GraftParameters(nuclei=parameters.nuclei)
    names = [n for n in parameters.__dataclass_fields__ if n != "nuclei"]
    changed = {n: getattr(parameters, n) for n in names}
    texts = [
        f"{n}={'-'.join(f'{x:g}' for x in v) if isinstance(v, tuple) else v}"
        for n, v in changed.items()
        if v != getattr(default, n)
    ]
    return " ".join(texts) or "defaults"


def _delivr(folder: Path) -> list[Sample]:
    spacing = (6.0, 1.62, 1.62)
    return [
        Sample(
            raw, spacing, _components(imread(raw.with_name(raw.name.replace("raw", "gt"))), spacing)
        )
        for raw in sorted(folder.glob("raw_*.tif"))
    ]


def cfos(data: Path, cache: Path) -> Row:
    # Nuclei of 9 to 12 um in planes 6 um apart: background is judged within planes. Masks of
    # touching nuclei are one component, so that splitting them costs precision here.
    parameters = scimage.GraftParameters(
        nuclei="0", diameter_um=(9.5, 12.5), min_snr=8.25, background="plane", diameter_slack=3
    )
    samples = _delivr(data / "delivr/cFos_dev")
    return _evaluate("delivr cFos", samples, parameters, 8, Floor(0.69), cache)


def microglia(data: Path, cache: Path) -> Row:
    # Somata with the roots of their processes, 22 to 30 um, an order brighter than all else.
    parameters = scimage.GraftParameters(
        nuclei="0", diameter_um=(22, 30), min_snr=25, diameter_slack=3
    )
    samples = _delivr(data / "delivr/microglia_dev")
    return _evaluate("delivr microglia", samples, parameters, 12, Floor(0.89), cache)


def embryo(data: Path, cache: Path) -> Row:
    spacing, folder = (1.75, 0.8, 0.8), data / "qcanet_examples"
    samples = [
        Sample(raw, spacing, _components(imread(folder / "images_ndn" / raw.name), spacing))
        for raw in sorted((folder / "images_raw").glob("*.tif"))
    ]
    # Nuclei of 9 to 14 um in a dark embryo.
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(9, 14), min_snr=12)
    return _evaluate("qcanet embryos", samples, parameters, 5, Floor(0.96), cache)


def crowded(data: Path, cache: Path) -> Row:
    # The file has no voxel size. Nuclei extend over half as many planes as columns: twice as deep.
    spacing = (2.0, 1.0, 1.0)
    folder = data / "stardist_img3d"
    truth = _centres(imread(folder / "mask3d.tif"), spacing)
    # Crowded: nuclei are most of what looks like noise.
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(8, 14), min_snr=1)
    return _evaluate(
        "stardist img3d", [Sample(folder / "img3d.tif", spacing, truth)], parameters, 5,
        Floor(0.75), cache, "spacing 2/1/1 assumed, lengths are relative",
    )  # fmt: skip


def seedling(data: Path, cache: Path) -> Row:
    import h5py

    samples = []
    for path in sorted((data / "gonuclear").glob("*.h5")):
        with h5py.File(path) as file:
            z, y, x = (float(s) for s in file["raw"].attrs["element_size_um"])
            raw, labels = file["raw"][()], file["label"][()]
        source = cache / "gonuclear" / f"{path.stem}.tif"
        source.parent.mkdir(exist_ok=True)
        imwrite(source, raw)
        samples.append(Sample(source, (z, y, x), _centres(labels, (z, y, x))))
    # Nuclei of 4 to 5 um that fill the volume: they are most of what looks like noise.
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(3.5, 6), min_snr=1.6)
    return _evaluate(
        "gonuclear", samples, parameters, 2, Floor(0.81), cache, "many nuclei are cut by a face"
    )


def cortex(data: Path, cache: Path) -> Row:
    spacing, folder = (5.0, 2.0, 2.0), data / "cellfinder_crop"
    markers = ET.parse(folder / "cell_classification.xml").iter("Marker")
    places = np.array([[int(m.findtext(f"Marker{a}")) for a in "ZYX"] for m in markers])
    places -= np.array([0, 100, 20])
    shape = imread(folder / "signal.tif").shape
    inside = ((places >= 0) & (places < shape)).all(axis=1)
    truth = places[inside] * np.array(spacing)
    # Somata of 10 to 20 um.
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(10, 20), min_snr=10)
    image = _converted(Sample(folder / "signal.tif", spacing, truth), cache)
    result = scimage.count_grafts(
        image, parameters, output=cache / "cellfinder-results.zarr", overwrite=True
    )
    # The other program only looked at planes 10 to 19.
    found = result.positions_um()
    plane = found[:, 0] / spacing[0]
    found = found[(plane >= 9.5) & (plane <= 19.5)]
    return cells_row(
        "cellfinder crop", "centres, one to one at 10 um, planes 10 to 19", _text(parameters),
        [match_points(truth, found, 10)], None,
        f"against another program's output, {inside.sum()} of its {inside.size} cells "
        "lie in the crop: no truth, no floor",
    )  # fmt: skip


def spiked(data: Path, cache: Path) -> list[Row]:
    """Synthetic nuclei of known contrast on the real background of a mesoSPIM image."""
    spacing, diameter = (1.5, 1.5, 1.5), 9.0
    background = imread(data / "cellseg3d/c5image.tif")
    rng = np.random.default_rng(0)
    centres = _spread(rng, background.shape, 60, margin=5, apart=12)
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(7, 12), min_snr=6)
    folder = cache / "cellseg3d"
    folder.mkdir(exist_ok=True)
    spread = float(np.percentile(background, 84) - np.median(background))
    rows, before = [], None
    for contrast in (0, 3, 6, 12):
        image = background.copy()
        if contrast:
            _add_balls(image, centres, diameter / 2 / spacing[0], contrast * spread)
        source = folder / f"spiked_{contrast}.tif"
        imwrite(source, image)
        sample = Sample(source, spacing, centres * np.array(spacing))
        opened = _converted(sample, cache)
        result = scimage.count_grafts(
            opened, parameters, output=cache / f"{opened.name}-results.zarr", overwrite=True
        )
        if before is None:
            before = result.positions_um()
            continue
        found = result.positions_um()
        match = match_points(sample.centres_um, found, 4)
        others = np.delete(found, match.pairs[:, 1], axis=0)
        new = len(others) - match_points(before, others, 4).true_positives
        rows.append(
            Row(
                "cellseg3d spike-in", f"60 balls of 9 um, contrast {contrast} SD of the tissue",
                _text(parameters), "60", str(match.true_positives), "recall", match.recall,
                Floor(0.90) if contrast == 12 else None,
                (match.true_positives, new, 60 - match.true_positives),
                f"FP: not in the unspiked image, which has {len(before)}; voxel 1.5 um assumed",
            )
        )  # fmt: skip
    return rows


def tumor(data: Path, cache: Path) -> Row:
    """A whole tumour, too coarse to show cells: that it runs, and a picture to look at."""
    from matplotlib.image import imsave

    # The file has no voxel size; this one is assumed, so that spots of texture are of cell size.
    sample = Sample(data / "tumor_lightsheet/tumor.tif", (8.0, 2.0, 2.0), np.empty((0, 3)))
    parameters = scimage.GraftParameters(nuclei="0", diameter_um=(8, 14), background="plane")
    image = _converted(sample, cache)
    result = scimage.count_grafts(
        image, parameters, output=cache / "tumor-results.zarr", overwrite=True
    )
    projection = image.read(0).max(axis=0).astype(float)
    scaled = np.clip(projection / np.percentile(projection, 99.5), 0, 1)
    picture = np.repeat(scaled[..., None], 3, axis=2)
    places = (result.positions_um()[:, 1:] / sample.spacing_um[1:]).round().astype(int)
    picture[tuple(np.minimum(places, np.array(projection.shape) - 1).T)] = (1, 0, 1)
    path = cache / "tumor.png"
    imsave(path, picture)
    return Row(
        "tumor light sheet", "smoke: converts, detects, draws", _text(parameters), "unknown",
        str(result.n_kept), "spots", float(result.n_kept),
        note=f"spacing 8/2/2 assumed; cells are not resolved; picture {path.name}",
    )  # fmt: skip


def _spread(
    rng: np.random.Generator, shape: tuple[int, ...], n: int, margin: int, apart: float
) -> NDArray[np.float64]:
    """Centres in voxels, none nearer than `apart` to another."""
    chosen: list[NDArray[np.float64]] = []
    while len(chosen) < n:
        place = rng.uniform(margin, np.array(shape) - margin)
        if all(np.linalg.norm(place - other) >= apart for other in chosen):
            chosen.append(place)
    return np.array(chosen)


def _add_balls(
    image: NDArray[np.float32], centres: NDArray[np.float64], radius: float, height: float
) -> None:
    added = np.zeros(image.shape, dtype=np.float32)
    grid = np.indices(image.shape)
    for centre in centres:
        distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
        # The surface's voxels are filled in part.
        added += height * np.clip(radius + 0.5 - distance, 0, 1)
    image += ndimage.gaussian_filter(added, 0.7)


ROWS = (cfos, microglia, embryo, crowded, seedling, cortex, spiked, tumor)
