"""Each verb, as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scimage.image import ResultStore, open_image


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """An OME-TIFF of two channels with a voxel size."""
    path = tmp_path / "stack.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 9, 40, 50)).astype(np.uint16)
    tifffile.imwrite(
        path, pixels, ome=True, photometric="minisblack",
        metadata={
            "axes": "CZYX", "Channel": {"Name": ["GFAP", "HNA"]},
            "PhysicalSizeZ": 4.0, "PhysicalSizeY": 1.5, "PhysicalSizeX": 1.5,
        },
    )  # fmt: skip
    return path


def test_convert_then_inspect(scimage_command, stack: Path, tmp_path: Path) -> None:
    image = tmp_path / "m01.ome.zarr"
    made = scimage_command("convert", stack, image)
    assert made.code == 0, made.err
    assert "4 x 1.5 x 1.5 um" in made.out
    assert "OME" in made.out
    summary = json.loads(scimage_command("inspect", image, "--json").out)
    assert summary["shape"] == [2, 9, 40, 50]
    assert summary["spacing_um"] == [4.0, 1.5, 1.5]
    assert summary["channels"] == ["GFAP", "HNA"]
    assert (open_image(image).read("HNA") == tifffile.imread(stack)[1]).all()


def test_inspect_describes_a_microscope_file(scimage_command, stack: Path) -> None:
    told = scimage_command("inspect", stack)
    assert told.code == 0
    assert "2 x 9 x 40 x 50" in told.out
    assert "OME-XML" in told.out


def test_convert_renames_channels_and_takes_the_given_spacing(
    scimage_command, stack: Path, tmp_path: Path
) -> None:
    image = tmp_path / "m01.ome.zarr"
    command = ("convert", stack, image, "--spacing", "5,2,2", "--channels", "a,b")
    assert scimage_command(*command).code == 0
    opened = open_image(image)
    assert opened.spacing_um == (5.0, 2.0, 2.0)
    assert opened.spacing_origin == "given"
    assert [c.name for c in opened.channels] == ["a", "b"]


def test_grafts_writes_a_table_whose_counts_reconcile(
    scimage_command, cord: Path, tmp_path: Path
) -> None:
    done = scimage_command(
        "grafts", cord, "--nuclei", "human_nuclei", "--dna", "DNA",
        "--autofluorescence", "autofluorescence", "--workers", 1,
    )  # fmt: skip
    assert done.code == 0, done.err
    store = ResultStore(cord)
    table = store.table("graft_cells")
    about = store.table_attributes("graft_cells")["scimage"]
    assert about["detected"] == table.num_rows
    assert about["kept"] + sum(about["rejected"].values()) == about["detected"]
    assert table["class"].to_pylist().count("kept") == about["kept"] > 0
    assert str(about["kept"]) in done.out
    assert "noise" in done.out
    out = tmp_path / "cells.csv"
    assert scimage_command("export", cord, "graft_cells", out).code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == table.num_rows
    assert float(rows[0]["z_um"]) == pytest.approx(table["z_um"][0].as_py())


def test_lesion_writes_labels_and_tables_into_a_separate_store(
    scimage_command, cord: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.zarr"
    done = scimage_command(
        "lesion", cord, "--gfap", "GFAP", "--tissue", "autofluorescence", "--working-um", 2,
        "--smoothing-um", 3, "--gap-um", 15, "--border-width-um", 30, "--min-lesion-mm3", 0.0001,
        "--workers", 1, "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    store = ResultStore(output)
    assert store.label_names() == ("lesion",)
    assert set(store.table_names()) == {"lesion_measurements", "lesion_profile"}
    assert ResultStore(cord).label_names() == ()
    assert store.table("lesion_measurements")["lesion_mm3"][0].as_py() > 0
    told = scimage_command("inspect", output)
    assert told.code == 0
    assert "lesion_core" in told.out


def test_measure_reports_the_volume_of_each_label(scimage_command, tmp_path: Path) -> None:
    mask = np.zeros((6, 10, 10), dtype=np.uint8)
    mask[2:4, 2:7, 2:7] = 3
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack")
    image = tmp_path / "mask.ome.zarr"
    command = ("convert", tmp_path / "mask.tif", image, "--spacing", "100,10,10")
    assert scimage_command(*command).code == 0
    done = scimage_command("measure", image, "--json")
    assert json.loads(done.out) == {"volumes_mm3": {"3": pytest.approx(50 * 1e4 * 1e-9)}}


def test_phantom_lists_its_presets(scimage_command, tmp_path: Path) -> None:
    done = scimage_command("phantom", tmp_path, "--list")
    assert done.code == 0
    assert "mouse-light-sheet-lo" in done.out
    assert not list(tmp_path.iterdir())


def test_phantom_writes_an_image_and_its_truth(scimage_command, tmp_path: Path) -> None:
    done = scimage_command("phantom", tmp_path / "p", "--preset", "tiny", "--vehicle")
    assert done.code == 0, done.err
    assert open_image(tmp_path / "p" / "phantom.ome.zarr").shape[0] == 4
    truth = ResultStore(tmp_path / "p" / "truth.zarr")
    assert truth.table("cells").num_rows == 0
    assert set(np.unique(truth.label("truth").read(0))) <= {0, 1, 2, 3, 4, 5, 8}
