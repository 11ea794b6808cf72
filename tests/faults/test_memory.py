"""A run keeps to the memory that it announced, and needs no more for a larger image."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
PARTS = (1, 4, 16)


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark of memory, with smaller images."""
    spec = importlib.util.spec_from_file_location("memory_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PART = (32, 96, 96)
    return module


@pytest.fixture(scope="module")
def image(benchmark, tmp_path_factory):
    """The image of an analysis, of so many parts."""
    folder = tmp_path_factory.mktemp("images")

    def make(analysis, parts):
        target = folder / f"{analysis}-{parts}.ome.zarr"
        if not target.exists():
            benchmark.make(target, parts, analysis)
        return target

    return make


@pytest.fixture
def analyse(benchmark, tmp_path):
    """Run an analysis as a user does, in a process of its own."""

    def run(analysis, image, *options):
        output = tmp_path / f"{image.name}.zarr"
        options = [*benchmark.OPTIONS[analysis], "--workers", "2", *options]
        if analysis == "lesion":
            options += ["--border-width-um", "50"]
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
