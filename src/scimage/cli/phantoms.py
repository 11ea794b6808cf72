"""Write a synthetic cord to disk, with its truth beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import UsageError
from scimage.image import (
    Channel,
    LabelClass,
    NewImage,
    PixelSource,
    ResultStore,
    write_image,
)
from scimage.lesion import LABEL_CLASSES
from scimage.phantom import LABELS, PRESETS, Phantom
from scimage.progress import Report, silent
from scimage.version import provenance

__all__ = ["WrittenPhantom", "phantom_image", "presets", "write_phantom", "write_truth"]


@dataclass(frozen=True, slots=True)
class WrittenPhantom:
    """Where a phantom and its truth are."""

    phantom: Phantom
    image_path: Path
    truth_path: Path


def presets() -> list[list[str]]:
    """Name, shape and voxel size of each preset, as text."""
    rows = []
    for name, parameters in PRESETS.items():
        made = Phantom(parameters)
        size = " x ".join(str(n) for n in made.shape)
        rows.append([name, size, " x ".join(f"{s:g}" for s in made.spacing_um)])
    return rows


def write_phantom(
    folder: Path,
    preset: str,
    seed: int,
    *,
    vehicle: bool = False,
    workers: int = 2,
    overwrite: bool = False,
    report: Report = silent,
) -> WrittenPhantom:
    """Write ``phantom.ome.zarr`` and ``truth.zarr`` (labels, cells, volumes) into `folder`.

    Raises
    ------
    UsageError
        There is no such preset.
    TargetExistsError
        They exist and `overwrite` is not set.
    """
    if preset not in PRESETS:
        raise UsageError(
            "--preset", found=repr(preset), expected=f"one of {', '.join(PRESETS)}",
            remedy="Choose one of these.",
        )  # fmt: skip
    parameters = replace(PRESETS[preset], seed=seed, vehicle=vehicle)
    made = Phantom(parameters)
    target, truth = folder / "phantom.ome.zarr", ResultStore(folder / "truth.zarr")
    truth.refuse_existing(("labels/truth", "tables/cells", "tables/volumes"), overwrite=overwrite)
    identity = {"phantom": asdict(parameters)}
    new, pixels = phantom_image(made, preset)
    write_image(target, new, pixels, identity, overwrite=overwrite, workers=workers, report=report)
    write_truth(truth, made, overwrite=overwrite, report=report)
    return WrittenPhantom(made, target, truth.path)


def phantom_image(made: Phantom, name: str) -> tuple[NewImage, PixelSource]:
    """What an image of the phantom will be, and where its pixels come from."""
    new = NewImage(
        (len(made.channels), *made.shape), np.dtype(np.uint16), made.spacing_um,
        f"phantom {name}",
        tuple(Channel(c, made.channel_colours[c]) for c in made.channels),
        name=name,
    )  # fmt: skip
    return new, _Pixels(made)


def write_truth(
    truth: ResultStore, made: Phantom, *, overwrite: bool, report: Report = silent
) -> None:
    """Write the label image ``truth`` and the tables ``cells`` and ``volumes``."""
    import pyarrow as pa

    about = provenance("phantom", asdict(made.parameters), "synthetic")
    named = {c.value: c for c in LABEL_CLASSES}
    classes = [LabelClass(v, name, named[v].rgba) for name, v in LABELS.items() if v in named]
    label = NewImage((1, *made.shape), np.dtype(np.uint8), made.spacing_um, "phantom", ())
    volumes = made.volumes_mm3() | {"epicentre_um": made.epicentre_um}
    table = pa.table({"quantity": list(volumes), "value": list(volumes.values())})
    with truth.new_results("truth", overwrite=overwrite) as new:
        new.write_label("truth", label, _Labels(made), classes, report=report)
        new.write_table("cells", pa.table(made.cells()), index_key="cell_id", provenance=about)
        new.write_table("volumes", table, index_key="quantity", provenance=about)
        new.publish(about)


@dataclass(frozen=True, slots=True)
class _Pixels:
    phantom: Phantom

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return self.phantom.render(self.phantom.channels[channel], (z, y, x))


@dataclass(frozen=True, slots=True)
class _Labels:
    phantom: Phantom

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return self.phantom.labels((z, y, x))
