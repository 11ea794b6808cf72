"""Voxel sizes: every unit, every origin, and never a guess."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from scimage.image.sources import open_source

STACK = np.zeros((3, 8, 8), np.uint8)


def spacing_of(path):
    with open_source(path) as source:
        return source.spacing_um, source.spacing_origin


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        (None, 1.0), ("µm", 1.0), ("μm", 1.0), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4),
        ("Å", 1e-4), ("in", 25400.0), ("thou", 25.4), ("pt", 25400 / 72), ("pm", 1e-6), ("m", 1e6),
    ],
)  # fmt: skip
def test_ome_lengths_of_any_unit_become_micrometres(tmp_path, unit, um):
    size = 3.0 / um
    metadata = {"axes": "ZYX"}
    for axis, factor in (("Z", 2), ("Y", 1), ("X", 0.5)):
        metadata[f"PhysicalSize{axis}"] = size * factor
        if unit:
            metadata[f"PhysicalSize{axis}Unit"] = unit
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)
    spacing, origin = spacing_of(tmp_path / "a.ome.tif")
    assert spacing == pytest.approx((6.0, 3.0, 1.5))
    assert origin.startswith("OME-XML PhysicalSizeZ/Y/X (")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PhysicalSizeX": None, "PhysicalSizeY": None, "PhysicalSizeZ": None}, "no voxel size"),
        ({"PhysicalSizeZ": None}, "PhysicalSizeZ is not stated (Y 1 µm, X 1 µm)"),
        ({"PhysicalSizeXUnit": "pixel"}, "unit of PhysicalSizeX is pixel"),
        ({"PhysicalSizeZUnit": "reference frame"}, "unit of PhysicalSizeZ is reference frame"),
        ({"PhysicalSizeY": 0}, "PhysicalSizeY is 0"),
        ({"PhysicalSizeY": -1.5}, "PhysicalSizeY is -1.5"),
        ({"PhysicalSizeZ": "NaN"}, "PhysicalSizeZ is nan"),
        ({"PhysicalSizeZ": "INF"}, "PhysicalSizeZ is inf"),
        ({"PhysicalSizeZ": "1,5"}, "PhysicalSizeZ is nan"),
        ({"PhysicalSizeX": 10001}, "PhysicalSizeX is 10001 µm"),
        ({"PhysicalSizeX": 0.0009}, "PhysicalSizeX is 0.0009 µm"),
    ],
)
def test_absurd_ome_lengths_are_unknown_with_a_reason(tmp_path, changes, reason):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeZ": 1} | changes
    metadata = {key: value for key, value in metadata.items() if value is not None}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)
    spacing, origin = spacing_of(tmp_path / "a.ome.tif")
    assert spacing is None
    assert origin.startswith(reason)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1), ("µm", 1), ("\\u00B5m", 1), ("micron", 1), ("microns", 1), ("nm", 1e-3),
        ("mm", 1e3), ("cm", 1e4), ("inch", 25400),
    ],
)  # fmt: skip
def test_imagej_units_become_micrometres(tmp_path, unit, um):
    metadata = {"axes": "ZYX", "spacing": 5 / um, "unit": unit.replace("µ", "?")}
    resolution = (um / 2, um / 4)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, resolution=resolution, metadata=metadata)
    # tifffile writes ASCII only; ImageJ's own sign is one Latin-1 byte.
    path.write_bytes(path.read_bytes().replace(b"unit=?m", b"unit=\xb5m"))
    spacing, origin = spacing_of(tmp_path / "a.tif")
    assert spacing == pytest.approx((5, 4, 2), rel=1e-5)
    assert origin.startswith("ImageJ spacing + TIFF resolution (")


@pytest.mark.parametrize(
    ("changes", "resolution", "reason"),
    [
        ({"spacing": float("nan")}, (2, 2), "ImageJ spacing is nan (Y 0.5 µm, X 0.5 µm)"),
        ({"spacing": -3}, (2, 2), "ImageJ spacing is -3 (Y 0.5 µm, X 0.5 µm)"),
        ({"spacing": 0}, (2, 2), "ImageJ spacing is 0 (Y 0.5 µm, X 0.5 µm)"),
        ({"spacing": None}, (2, 2), "ImageJ spacing is not stated (Y 0.5 µm, X 0.5 µm)"),
        ({"unit": None}, (2, 2), "no voxel size in the file"),
        ({"unit": "pixel"}, (1, 1), "unit of ImageJ spacing is pixel"),
        ({"unit": "inch"}, (72, 72), "72 dots per inch are no calibration"),
        ({"unit": "um"}, (0, 2), "ImageJ pixel width is inf (Z 1.5 µm, Y 0.5 µm)"),
    ],
)
def test_absurd_imagej_calibrations_are_unknown_with_a_reason(
    tmp_path, changes, resolution, reason
):
    metadata = {"axes": "ZYX", "spacing": 1.5, "unit": "um"} | changes
    metadata = {key: value for key, value in metadata.items() if value is not None}
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, resolution=resolution, metadata=metadata
    )
    assert spacing_of(tmp_path / "a.tif") == (None, reason)


@pytest.mark.parametrize("resolution", [(72, 72), (300, 300), (20000, 20000)])
@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_resolution_tags_alone_are_no_calibration(tmp_path, resolution, unit):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        photometric="minisblack",
        resolution=resolution,
        resolutionunit=unit,
    )
    spacing, origin = spacing_of(tmp_path / "a.tif")
    assert spacing is None
    assert origin.startswith("no voxel size in the file")
