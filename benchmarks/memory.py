"""Peak resident memory of whole runs beside their plan, on volumes of 1, 4 and 16 parts.

python benchmarks/memory.py [--memory 900MB] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from scimage.image import Channel, NewImage, write_image

PART = (64, 256, 256)
SPACING_UM = {"grafts": (3.0, 1.5, 1.5), "lesion": (10.0, 10.0, 10.0)}
OPTIONS = {
    "grafts": ["--nuclei", "nuclei"],
    "lesion": ["--gfap", "nuclei", "--working-um", "10", "--border-width-um", "100"],
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


def make(target: Path, parts: int, analysis: str) -> None:
    """An image that is `parts` times as deep and wide as the smallest."""
    z, y, x = PART
    shape = {1: (1, z, y, x), 4: (1, z, 2 * y, 2 * x), 16: (1, 4 * z, 2 * y, 2 * x)}[parts]
    new = NewImage(shape, np.dtype(np.uint16), SPACING_UM[analysis], "made", (Channel("nuclei"),))
    write_image(target, new, Pixels(analysis == "grafts"), {})


def measure(image: Path, analysis: str, memory: str, workers: int) -> tuple[float, float]:
    """Peak resident and planned memory of one run, in MB."""
    output = image.with_name(f"{image.name}.{analysis}.zarr")
    command = [
        sys.executable, "-m", "scimage.cli", analysis, str(image), *OPTIONS[analysis],
        "--memory", memory, "--workers", str(workers), "--output", str(output),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    record = json.loads((output / "provenance" / analysis / "run.json").read_text())
    peak = record["actual"]["peak_process_bytes"]
    return peak / 1e6, record["planned"]["memory_bytes"] / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", default="900MB")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"--memory {options.memory}, {options.workers} workers")
    print("analysis  parts  Mvoxel  planned MB  peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for analysis in OPTIONS:
            for parts in (1, 4, 16):
                image = Path(folder, f"{analysis}-{parts}.ome.zarr")
                make(image, parts, analysis)
                peak, planned = measure(image, analysis, options.memory, options.workers)
                voxels = parts * np.prod(PART) / 1e6
                print(f"{analysis:8}  {parts:5}  {voxels:6.1f}  {planned:10.0f}  {peak:7.0f}")


if __name__ == "__main__":
    main()
