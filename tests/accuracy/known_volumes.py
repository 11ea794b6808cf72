"""Volumes of masks and atlases whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

import scimage

from .table import Floor, Row

__all__ = ["ROWS"]


def _measured(source: Path, cache: Path) -> scimage.lesion.LabelProfile:
    name = source.name.removesuffix(".gz").rsplit(".", 1)[0]
    target = cache / f"{source.parent.name}-{name}.ome.zarr"
    image = scimage.open_image(target) if target.exists() else scimage.convert(source, target)
    return scimage.measure_labels(image)


def _volume_row(
    data_set: str, compared: str, truth: float, found: float, within: float, note: str = ""
) -> Row:
    """`within` is the largest allowed error, as a share of the truth."""
    return Row(
        data_set, compared, "voxel size from the file", f"{truth:.5g} mm3", f"{found:.5g} mm3",
        "|error| %", 100 * abs(found / truth - 1), Floor(100 * within, at_most=True), note=note,
    )  # fmt: skip


def rat_atlas(data: Path, cache: Path) -> list[Row]:
    folder, within = data / "rat_cord_atlas", 0.0005
    rows = []
    for part, file, truth in (
        ("grey matter", "gm", 272.9),
        ("white matter", "wm", 390.6),
        ("cord", "cord", 663.6),
    ):
        profile = _measured(folder / f"RatHistoAtlas_{file}.nii.gz", cache)
        rows.append(_volume_row("rat cord atlas", part, truth, profile.volume_mm3(1), within))
    return rows


def ibsi_phantom(data: Path, cache: Path) -> Row:
    profile = _measured(data / "ibsi_phantom/digital_mask.nii.gz", cache)
    return _volume_row(
        "IBSI phantom", "mask, reference 592 +- 4", 592, profile.volume_mm3(1), 4 / 592
    )


def simulated_lesion(data: Path, cache: Path) -> Row:
    profile = _measured(data / "sct_testing/t2/t2_fake_lesion_lesion_seg.nii.gz", cache)
    return _volume_row(
        "SCT simulated lesion", "mask of 163 voxels", 83.46, profile.volume_mm3(1), 0.0005
    )


def sarcoma(data: Path, cache: Path) -> list[Row]:
    rows = []
    for folder in sorted((data / "ibsi_sarcoma").iterdir()):
        pet, mr = (
            _measured(folder / f"{grid}_mask.nii.gz", cache).volume_mm3(1)
            for grid in ("PET", "MR_T1")
        )
        rows.append(
            _volume_row(f"IBSI sarcoma {folder.name}", "one contour on PET and MR", pet, mr, 0.03)
        )
    return rows


def sphere(data: Path, cache: Path) -> Row:
    """The sphere is blurred; its surface is where it is half as bright as inside."""
    profile = _measured(data / "geometry/neubias/xyz_8bit_sphere_calibrated.tif", cache)
    if not np.allclose(profile.spacing_um, (8, 4, 4)):
        raise AssertionError(f"spacing read as {profile.spacing_um}, the file says 8, 4, 4")
    truth = 4 / 3 * math.pi * 0.064**3
    found = profile.volume_mm3(*range(128, 256))
    return _volume_row(
        "NEUBIAS sphere", "voxels above half, radius 64 um", truth, found, 0.03,
        "spacing 8/4/4 read from the file; the radius is inferred (16 pixels), not stated there",
    )  # fmt: skip


ROWS = (rat_atlas, ibsi_phantom, simulated_lesion, sarcoma, sphere)
