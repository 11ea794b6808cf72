"""A run keeps to the memory that it announced, and needs no more for a larger image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scimage.image import Channel, NewImage, write_image

PART = (32, 96, 96)
SPACING_UM = {"grafts": (3.0, 1.5, 1.5), "lesion": (10.0, 10.0, 10.0)}
OPTIONS = {
    "grafts": ["--nuclei", "nuclei"],
    "lesion": ["--gfap", "nuclei", "--working-um", "10", "--border-width-um", "50"],
}


class Pixels:
    """Tissue with nuclei, of any size without holding it."""

    def __init__(self, cells: bool) -> None:
        self.cells = cells

    def read(self, channel: int, z: slice, y: slice, x: slice) -> np.ndarray:
        shape = tuple(s.stop - s.start for s in (z, y, x))
        r = np.random.default_rng([z.start, y.start, x.start])
        out = r.normal(200, 12, shape)
        if self.cells:
            place = (np.arange(s.start, s.stop) for s in (z, y, x))
            near = [np.abs(p % n - n // 2) for p, n in zip(place, (20, 40, 40), strict=True)]
            out += 500 * np.all(np.meshgrid(*[a < 3 for a in near], indexing="ij"), axis=0)
        return out.astype(np.uint16)


def make_image(target: Path, parts: int, analysis: str) -> None:
    """An image that is `parts` times as deep and wide as the smallest."""
    z, y, x = PART
    shape = {1: (1, z, y, x), 4: (1, z, 2 * y, 2 * x), 16: (1, 4 * z, 2 * y, 2 * x)}[parts]
    new = NewImage(shape, np.dtype(np.uint16), SPACING_UM[analysis], "made", (Channel("nuclei"),))
    write_image(target, new, Pixels(analysis == "grafts"), {})


PARTS = (1, 4, 16)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image of an analysis, of so many parts."""
    folder = tmp_path_factory.mktemp("images")

    def make(analysis, parts):
        target = folder / f"{analysis}-{parts}.ome.zarr"
        if not target.exists():
            make_image(target, parts, analysis)
        return target

    return make


@pytest.fixture
def analyse(tmp_path):
    """Run an analysis as a user does, in a process of its own."""

    def run(analysis, image, *options):
        output = tmp_path / f"{image.name}.zarr"
        options = [*OPTIONS[analysis], "--workers", "2", *options]
        command = [sys.executable, "-m", "scimage.cli", analysis, str(image), *options]
        done = subprocess.run(
            [*command, "--output", str(output)], capture_output=True, text=True, check=False
        )
        return done, output

    return run


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept flat with glibc")
@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_memory_keeps_to_the_plan_and_does_not_grow_with_the_image(analyse, image, analysis):
    peaks = []
    for parts in PARTS:
        done, output = analyse(
            analysis, image(analysis, parts), "--block", "32,64,64", "--memory", "1GB"
        )
        assert done.returncode == 0, done.stderr
        record = json.loads((output / "provenance" / analysis / "run.json").read_text())
        # Both workers have some to do, also in one part.
        assert record["planned"]["blocks"] >= 4
        assert record["planned"]["workers"] == 2
        peak, planned = record["actual"]["peak_process_bytes"], record["planned"]["memory_bytes"]
        assert peak <= planned <= 10**9
        peaks.append(peak)

    assert max(peaks) <= 1.1 * min(peaks), peaks


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_memory_in_which_no_block_fits_is_refused_with_what_would_do(analyse, image, analysis):
    done, output = analyse(analysis, image(analysis, 1), "--memory", "300MB")

    assert done.returncode == 2
    assert re.search(r"--memory: 300MB for 2 worker.*at least \d+MB", " ".join(done.stderr.split()))
    assert not output.exists()
