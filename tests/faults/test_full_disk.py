"""A disk that becomes full: an error that says so, nothing half done, and the same call goes on."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scimage import Execution, GraftParameters, LesionParameters, count_grafts, segment_lesion
from scimage.errors import StorageError
from scimage.image import Channel, NewImage, ResultStore, open_image, write_image
from scimage.study import verify_store

SHAPE, BLOCK = (24, 40, 44), (12, 20, 11)  # 16 blocks
DISK_BYTES, PAGE = 4 * 2**20, 4096
SERIAL = Execution(workers=1, block=BLOCK)
GRAFT = GraftParameters(nuclei="nuclei", diameter_um=(6.0, 10.0))
LESION = LesionParameters(
    gfap="gfap", tissue="glow", gap_um=40, border_width_um=80, min_lesion_mm3=0.0001
)
# Full with an error of the disk, or of the ledger on it.
FULL = r"(no space left on the disk|ledger cannot be written \(.*full\)).*run .* again"


@dataclass(frozen=True)
class Pixels:
    arrays: tuple[Any, ...]

    def read(self, channel, z, y, x):
        return self.arrays[channel][z, y, x]


def stored(target, spacing_um, **arrays):
    new = NewImage(
        (len(arrays), *SHAPE), np.dtype(np.uint16), spacing_um, "test",
        tuple(Channel(channel) for channel in arrays),
    )  # fmt: skip
    write_image(target, new, Pixels(tuple(a.astype(np.uint16) for a in arrays.values())), {})
    return open_image(target)


@pytest.fixture(scope="module")
def analyses(tmp_path_factory):
    """Both analyses of small images, by name: each is called with the output."""
    folder, r = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    z, y, x = np.indices(SHAPE)
    nuclei = r.normal(200, 12, SHAPE)
    for cz, cy, cx in ((6, 9, 9), (12, 20, 22), (11, 19, 8), (18, 30, 36), (3, 33, 5)):
        away = np.sqrt(((z - cz) * 2.5) ** 2 + ((y - cy) * 1.5) ** 2 + ((x - cx) * 1.5) ** 2)
        nuclei += 500 * (away < 4)
    dz, dy, dx = ((np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T) * 20.0
    tissue, ball = np.hypot(dy, dx) < 370, np.sqrt(dz**2 + dy**2 + dx**2)
    gfap = 100 + 100 * tissue + 500 * (tissue & (ball > 130) & (ball < 200)) - 60 * (ball <= 130)
    glow = 150 + 300 * (tissue & (ball > 60))
    noise = r.normal(0, 12, (2, *SHAPE))
    cells = stored(folder / "cells.ome.zarr", (2.5, 1.5, 1.5), nuclei=nuclei)
    cord = stored(folder / "cord.ome.zarr", (20.0,) * 3, gfap=gfap + noise[0], glow=glow + noise[1])
    return {
        "grafts": functools.partial(count_grafts, cells, GRAFT, execution=SERIAL),
        "lesion": functools.partial(segment_lesion, cord, LESION, execution=SERIAL),
    }


@pytest.fixture(scope="module")
def whole(analyses, tmp_path_factory):
    """What each comes to where there is room."""
    folder, digests = tmp_path_factory.mktemp("whole"), {}
    for name, analyse in analyses.items():
        analyse(output=folder / f"{name}.zarr")
        digests[name] = digest(folder / f"{name}.zarr")
    return digests


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, small enough to be filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, free):
    """Leave so many bytes free."""
    state = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(bytes(max(0, state.f_bavail * state.f_bsize - free)))
    return filler


def digest(store):
    """Of all voxels and tables, as bytes on the disk."""
    whole = hashlib.sha256()
    for file in sorted(Path(store).rglob("*")):
        name = file.relative_to(store).as_posix()
        if file.is_file() and ("/c/" in name or name.endswith(".parquet")):
            whole.update(f"{name}\n".encode() + file.read_bytes())
    return whole.hexdigest()


class Heard:
    """A report that remembers which sweeps there were, and the blocks of each that are done."""

    def __init__(self):
        self.done = {}

    def __call__(self, stage, done, total):
        self.done[stage] = done


# Room for so many pages of 4 kB: for no block, for some sweeps, or for all but the results.
@pytest.mark.parametrize(
    ("analysis", "pages", "sweeps"),
    [
        ("grafts", 12, 1), ("grafts", 60, 1), ("grafts", 102, 1), ("grafts", 198, 2),
        ("grafts", 208, 2), ("lesion", 40, 1), ("lesion", 120, 3), ("lesion", 200, 5),
        ("lesion", 265, 7), ("lesion", 280, 7), ("lesion", 320, 9), ("lesion", 400, 10),
    ],
)  # fmt: skip
def test_a_disk_that_becomes_full_stops_a_run_and_the_same_call_continues_when_there_is_room(
    analyses, whole, disk, caplog, analysis, pages, sweeps
):
    output, heard, filler = disk / "results.zarr", Heard(), fill(disk, pages * PAGE)

    with pytest.raises(StorageError, match=FULL):
        analyses[analysis](output=output, report=heard)

    assert len(heard.done) >= sweeps
    store = ResultStore(output)
    assert store.label_names() == store.table_names() == ()
    filler.unlink()
    caplog.clear()
    with caplog.at_level(logging.INFO, "scimage"):
        analyses[analysis](output=output)
    assert digest(output) == whole[analysis]
    assert all(check.right for check in verify_store(output))
    assert [p.name for p in disk.iterdir() if p.name.endswith(".partial")] == []
    if pages > 12:
        finished = sum(heard.done.values())
        assert f"continuing a run that was stopped, after {finished} finished" in caplog.text
        assert "blocks are reused" in caplog.text
