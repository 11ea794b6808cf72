"""Bad input: one line that says what was wrong with which file, and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scimage.image import open_image


def one_line(text: str) -> str:
    """The only line of an error message."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("scimage: ")
    assert "Traceback" not in text
    return lines[0]


def test_a_missing_channel_is_answered_with_the_channels_there_are(scimage_command, cord) -> None:
    done = scimage_command("grafts", cord, "--nuclei", "HNA")
    assert done.code == 2
    message = one_line(done.err)
    assert "no channel 'HNA'" in message
    assert "GFAP (0), DNA (1), human_nuclei (2), autofluorescence (3)" in message


def test_an_image_that_is_not_there(scimage_command, tmp_path: Path) -> None:
    done = scimage_command("lesion", tmp_path / "nothing.ome.zarr", "--gfap", "0")
    assert done.code == 1
    assert "no such file or folder" in one_line(done.err)


def test_a_file_instead_of_an_image(scimage_command, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    done = scimage_command("grafts", path, "--nuclei", "0")
    assert done.code == 1
    assert "scimage convert" in one_line(done.err)


@pytest.mark.parametrize("spacing", ["0,1,1", "nan,1,1", "1,1", "a,b,c", "1,-2,1", "1,1,1e9"])
def test_an_absurd_spacing_is_refused(scimage_command, tmp_path: Path, spacing: str) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    done = scimage_command("convert", path, tmp_path / "out.ome.zarr", "--spacing", spacing)
    assert done.code == 2
    assert "--spacing" in one_line(done.err)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_an_unknown_spacing_is_never_guessed(scimage_command, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    done = scimage_command("convert", path, tmp_path / "out.ome.zarr")
    assert done.code == 2
    assert "Give it: --spacing Z,Y,X" in one_line(done.err)
    assert [p.name for p in tmp_path.iterdir()] == ["stack.tif"]


def test_a_truncated_tiff(scimage_command, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 64, 64), np.uint16), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:9000])
    done = scimage_command("convert", path, tmp_path / "out.ome.zarr", "--spacing", "1,1,1")
    assert done.code == 1
    assert "stack.tif" in one_line(done.err)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_an_existing_target_needs_overwrite(scimage_command, cord: Path, tmp_path: Path) -> None:
    before = open_image(cord).read(0)
    done = scimage_command("convert", cord, tmp_path / "copy.ome.zarr")
    assert done.code == 0, done.err
    again = scimage_command("convert", cord, tmp_path / "copy.ome.zarr")
    assert again.code == 2
    assert "--overwrite" in one_line(again.err)
    assert scimage_command("convert", cord, tmp_path / "copy.ome.zarr", "--overwrite").code == 0
    assert (open_image(tmp_path / "copy.ome.zarr").read(0) == before).all()


def test_results_are_not_replaced_unasked(scimage_command, cord: Path) -> None:
    command = ("grafts", cord, "--nuclei", "human_nuclei", "--workers", 1)
    assert scimage_command(*command).code == 0
    done = scimage_command(*command)
    assert done.code == 2
    assert "graft_cells" in one_line(done.err)
    assert scimage_command(*command, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--diameter-um", "12,5", "the smaller diameter first"),
        ("--diameter-um", "5", "2 numbers"),
        ("--min-snr", "-3", "a number from 0.1 to 1000"),
        ("--background", "sky", "one of volume, plane"),
        ("--memory", "lots", "a size such as 8GB"),
        ("--memory", "1MB", "at least"),
        ("--scheduler", "tcp://127.0.0.1:1", "no Dask scheduler"),
    ],
)
@pytest.mark.timeout(120)
def test_a_bad_option_is_named(scimage_command, cord: Path, option, value, said) -> None:
    done = scimage_command("grafts", cord, "--nuclei", "human_nuclei", option, value)
    assert done.code == 2
    message = one_line(done.err)
    assert option in message
    assert said in message


def test_an_unknown_table_and_an_unknown_suffix(scimage_command, cord: Path, tmp_path) -> None:
    done = scimage_command("export", cord, "cells", tmp_path / "cells.csv")
    assert (done.code, "no table 'cells'" in one_line(done.err)) == (2, True)
    done = scimage_command("export", cord, "cells", tmp_path / "cells.xlsx")
    assert (done.code, ".csv or .parquet" in one_line(done.err)) == (2, True)
    assert not list(tmp_path.glob("cells*"))


def test_ctrl_c_leaves_nothing_half_done_and_the_next_run_continues(tmp_path: Path) -> None:
    stack, image = tmp_path / "stack.tif", tmp_path / "out.ome.zarr"
    pixels = np.random.default_rng(0).integers(0, 65535, (300, 512, 512)).astype(np.uint16)
    tifffile.imwrite(stack, pixels, photometric="minisblack")
    command = [
        sys.executable, "-m", "scimage.cli", "convert", str(stack), str(image),
        "--spacing", "2,1,1", "--workers", "1",
    ]  # fmt: skip
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob(".out*/**/0/c/**/*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "stopped by the user" in err
    assert "it continues" in err.splitlines()[-1]
    assert not image.exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (open_image(image).read(0, (slice(0, 300), slice(0, 9), slice(None)))
            == pixels[:, :9]).all()  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ome.zarr", "stack.tif"]
