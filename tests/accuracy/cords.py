"""Synthetic cords with known truth, analysed with default parameters.

The targets are those of the column 'standard' of the domain reference, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import scimage
from scimage.cli.phantoms import write_phantom
from scimage.image import Channel, NewImage, open_image, write_image
from scimage.lesion import LabelValue
from scimage.phantom import PRESETS, Phantom
from scimage.review import dice, match_points

from .table import Floor, Row, cells_row

__all__ = ["crop_rows", "preset_rows", "short_demo"]

GRAFTS = scimage.GraftParameters(
    nuclei="human_nuclei", dna="DNA", autofluorescence="autofluorescence"
)
LESION = scimage.LesionParameters(gfap="GFAP", tissue="DNA")
_CELL_UM = 4.0
_PREDICTED = (LabelValue.LESION_CORE, LabelValue.CAVITY)
_TRUE = (*_PREDICTED, LabelValue.GRAFT)
Region = tuple[slice, slice, slice]


def preset_rows(
    cache: Path, preset: str, seed: int, *, sensitivity: bool = False, vehicle: bool = True
) -> list[Row]:
    """A whole cord from ``scimage phantom``, and the same cord without a graft."""
    folder = _written(cache, preset, seed, vehicle=False)
    image = scimage.open_image(folder / "phantom.ome.zarr")
    truth = scimage.ResultStore(folder / "truth.zarr")
    cells = truth.table("cells")
    centres = np.stack([cells[f"{a}_um"].to_numpy() for a in "zyx"], axis=1)
    volumes = _volumes(truth)
    name = f"phantom {preset} seed {seed}"
    output = folder / "results.zarr"
    lesion = scimage.segment_lesion(image, LESION, output=output, overwrite=True)
    labels = truth.label("truth").read(0, level=_level_of(truth, lesion.labels().shape))
    rows = _lesion_rows(name, lesion, labels, volumes)
    rows += _graft_rows(name, image, centres, output, sensitivity)
    if vehicle:
        rows.append(_vehicle_row(name, _written(cache, preset, seed, vehicle=True)))
    return rows


def short_demo(cache: Path, length_um: float = 1_100.0) -> list[Row]:
    """The middle of mouse-demo: its whole lesion and graft, in a third of the time."""
    made = Phantom(replace(PRESETS["mouse-demo"], length_um=length_um))
    name = f"phantom mouse-demo, middle {length_um:g} um"
    everything = tuple(slice(0, n) for n in made.shape)
    image = _stored(cache / f"demo-{length_um:g}.ome.zarr", made, everything)
    output = cache / "demo-results.zarr"
    lesion = scimage.segment_lesion(image, LESION, output=output, overwrite=True)
    steps = np.round(np.divide(lesion.level.spacing_um, made.spacing_um)).astype(int)
    labels = made.labels(everything)
    centre = [slice(int(s) // 2, None, int(s)) for s in steps]
    shape = lesion.labels().shape
    sampled = labels[tuple(centre)][tuple(slice(0, n) for n in shape)]
    padded = np.zeros(shape, dtype=np.uint8)
    padded[tuple(slice(0, n) for n in sampled.shape)] = sampled
    return [
        *_lesion_rows(name, lesion, padded, made.volumes_mm3()),
        *_graft_rows(name, image, _centres(made), output, sensitivity=False),
    ]


def crop_rows(cache: Path, preset: str, size_um: tuple[float, float, float]) -> list[Row]:
    """Cells in a box around the middle of the graft, of a phantom too large to store whole."""
    made = Phantom(PRESETS[preset])
    centres = _centres(made)
    spacing = np.array(made.spacing_um)
    graft = centres[np.asarray(made.cells()["kind"]) == "graft"]
    half = np.array(size_um) / 2 / spacing
    middle = np.median(graft, axis=0) / spacing
    low = np.maximum(0, middle - half).astype(int)
    high = np.minimum(made.shape, (middle + half).astype(int) + 1)
    region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    image = _stored(cache / f"crop-{preset}.ome.zarr", made, region)
    inside = ((centres >= (low - 0.5) * spacing) & (centres < (high - 0.5) * spacing)).all(axis=1)
    shape = "x".join(str(b - a) for a, b in zip(low, high, strict=True))
    return _graft_rows(
        f"phantom {preset}, crop {shape}", image, centres[inside] - low * spacing,
        cache / f"crop-{preset}-results.zarr", sensitivity=False,
    )  # fmt: skip


def _lesion_rows(
    name: str,
    lesion: scimage.LesionResult,
    truth: NDArray[np.uint8],
    volumes: dict[str, float],
) -> list[Row]:
    found = lesion.labels()
    mine, real = np.isin(found, _PREDICTED), np.isin(truth, _TRUE)
    volume, total = lesion.measurements["lesion_mm3"], volumes["lesion_total"]
    cord = lesion.measurements["cord_mm3"]
    row = partial(Row, name, parameters="defaults")
    sizes = {"truth": f"{total:.4g} mm3", "found": f"{volume:.4g} mm3"}
    return [
        row(
            compared="cord", truth=f"{volumes['cord']:.4g} mm3", found=f"{cord:.4g} mm3",
            measure="Dice", value=dice(found > 0, truth > 0), floor=Floor(0.97),
        ),
        row(
            compared="lesion {3,4} with {3,4,6}", **sizes,
            measure="Dice", value=dice(mine, real), floor=Floor(0.90),
        ),
        row(
            compared="lesion volume with the closed form", **sizes,
            measure="|bias| %", value=100 * abs(volume / total - 1),
            floor=Floor(5, at_most=True), note=f"bias {100 * (volume / total - 1):+.1f} %",
        ),
        row(
            compared="lesion surface", **sizes,
            measure="HD95 um", value=_hd95_um(mine, real, lesion.level.spacing_um),
            floor=Floor(50, at_most=True),
        ),
        row(
            compared="cavity {4}", truth=f"{volumes['cavity']:.4g} mm3",
            found=f"{lesion.measurements['cavity_mm3']:.4g} mm3",
            measure="Dice", value=dice(found == LabelValue.CAVITY, truth == LabelValue.CAVITY),
            note=f"share that is truly canal or fissure: {_canal_share(found, truth):.2f}",
        ),
    ]  # fmt: skip


def _canal_share(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    inside = truth[found == LabelValue.CAVITY]
    return float(np.mean(inside == LabelValue.CANAL_OR_FISSURE)) if inside.size else 0.0


def _graft_rows(
    name: str,
    image: scimage.Image,
    centres_um: NDArray[np.float64],
    output: Path,
    sensitivity: bool,
) -> list[Row]:
    def found(parameters: scimage.GraftParameters) -> scimage.GraftResult:
        return scimage.count_grafts(image, parameters, output=output, overwrite=True)

    result = found(GRAFTS)
    detection = match_points(centres_um, result.positions_um(), _CELL_UM)
    note = "rejected: " + ", ".join(f"{n} {reason}" for reason, n in result.rejected.items())
    if sensitivity:
        around = [
            match_points(
                centres_um,
                found(replace(GRAFTS, min_snr=factor * GRAFTS.min_snr)).positions_um(),
                _CELL_UM,
            )
            for factor in (0.8, 1.2)
        ]
        note += "; F1 (bias) at min_snr -20%, +20%: " + ", ".join(
            f"{d.f1:.3f} ({100 * d.count_bias:+.0f}%)" for d in around
        )
    f1 = cells_row(
        name, f"graft cells, one to one at {_CELL_UM:g} um", "defaults", [detection], Floor(0.92),
        note,
    )  # fmt: skip
    bias = 100 * detection.count_bias
    return [
        f1,
        replace(
            f1, compared="graft count", measure="|bias| %", value=abs(bias),
            floor=Floor(5, at_most=True), note=f"bias {bias:+.1f} %",
        ),
    ]  # fmt: skip


def _vehicle_row(name: str, folder: Path) -> Row:
    image = scimage.open_image(folder / "phantom.ome.zarr")
    result = scimage.count_grafts(image, GRAFTS, output=folder / "results.zarr", overwrite=True)
    cord = _volumes(scimage.ResultStore(folder / "truth.zarr"))["cord"]
    snr = np.array(result.cells["snr"])[np.array(result.cells["class"].to_pylist()) == "kept"]
    return Row(
        f"{name}, vehicle", f"cells in {cord:.3g} mm3 of cord without a graft", "defaults",
        "0", str(result.n_kept), "false per mm3", result.n_kept / cord, Floor(2, at_most=True),
        (0, result.n_kept, 0),
        "left with min_snr 8, 10: " + ", ".join(f"{(snr >= s).sum() / cord:.1f}" for s in (8, 10)),
    )  # fmt: skip


def _hd95_um(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing_um: Sequence[float] | None
) -> float:
    """The larger of the two directed 95th percentiles of surface distance."""
    if not (a.any() and b.any()):
        return float("inf")
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    grown = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    edges = [m[grown] & ~ndimage.binary_erosion(m[grown]) for m in (a, b)]
    away = [ndimage.distance_transform_edt(~e, sampling=spacing_um) for e in edges]
    return max(float(np.percentile(away[i][edges[1 - i]], 95)) for i in (0, 1))


def _written(cache: Path, preset: str, seed: int, *, vehicle: bool) -> Path:
    folder = cache / f"{preset}-{seed}{'-vehicle' if vehicle else ''}"
    if not (folder / "truth.zarr/tables/volumes/zarr.json").exists():
        write_phantom(folder, preset, seed, vehicle=vehicle, overwrite=True)
    return folder


def _volumes(truth: scimage.ResultStore) -> dict[str, float]:
    return {row["quantity"]: row["value"] for row in truth.table("volumes").to_pylist()}


def _level_of(truth: scimage.ResultStore, shape: tuple[int, ...]) -> int:
    return next(v.index for v in truth.label("truth").levels if v.shape == shape)


def _centres(made: Phantom) -> NDArray[np.float64]:
    cells = made.cells()
    return np.stack([cells[f"{a}_um"] for a in "zyx"], axis=1)


class _Part:
    """A region of a phantom as the pixels of a new image."""

    def __init__(self, made: Phantom, region: Region) -> None:
        self._made = made
        self._first = [s.start for s in region]

    def read(self, channel: int, *region: slice) -> NDArray[Any]:
        z, y, x = (slice(s.start + f, s.stop + f) for s, f in zip(region, self._first, strict=True))
        return self._made.render(self._made.channels[channel], (z, y, x))


def _stored(target: Path, made: Phantom, region: Region) -> scimage.Image:
    if not target.exists():
        shape = tuple(s.stop - s.start for s in region)
        new = NewImage(
            (len(made.channels), *shape), np.dtype(np.uint16), made.spacing_um, "phantom",
            tuple(Channel(c) for c in made.channels),
        )  # fmt: skip
        write_image(target, new, _Part(made, region), {})
    return open_image(target)
