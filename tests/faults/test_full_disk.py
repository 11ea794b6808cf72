"""A disk that becomes full: an error that says so, nothing half done, and the same call goes on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scimage import Execution, GraftParameters, LesionParameters, count_grafts, segment_lesion
from scimage.errors import StorageError, TargetExistsError
from scimage.image import Channel, NewImage, ResultStore, leftovers, open_image, write_image
from scimage.study import verify_store

SHAPE, BLOCK = (24, 40, 44), (12, 20, 11)  # 16 blocks
DISK_BYTES, PAGE = 4 * 2**20, 4096
SERIAL = Execution(workers=1, block=BLOCK)
GRAFT = GraftParameters(nuclei="nuclei", diameter_um=(6.0, 10.0))
LESION = LesionParameters(
    gfap="gfap", tissue="glow", gap_um=40, border_width_um=80, min_lesion_mm3=0.0001
)
# Full with an error of the disk, or of the ledger on it.
FULL = r"(no space left on the disk|ledger cannot be (written|opened) \(.*full\)).*run .* again"


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


@contextlib.contextmanager
def small_disk(folder):
    """A disk of its own, small enough to be filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def pages_used(folder):
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize // PAGE


@dataclass
class Use:
    """What a run that has room takes of the disk, in pages.

    `held` after each number of blocks, `most` at any moment until then, and `peak` in the whole
    run. The journal of the ledger, which lives for moments, is only in `journal`: at most so many.
    """

    held: list[int]
    most: list[int]
    peak: int = 0
    journal: int = 0
    digest: str = ""

    def blocks_in(self, pages):
        """So many are finished for sure where so many pages are free."""
        return sum(m + self.journal <= pages for m in self.most[1:])


def watched(analyse, folder):
    """Run an analysis; its use of the disk."""
    use, output = Use([], []), folder / "results.zarr"

    def look():
        use.peak = max(use.peak, pages_used(folder))

    def finished(stage, done, total):
        look()
        if done or not use.held:
            use.held.append(pages_used(folder))
            use.most.append(use.peak)
            # Its header, and a copy of each page of the ledger, each with a number and a sum.
            (ledger,) = folder.glob(".*.partial/ledger.sqlite")
            use.journal = 2 + -(-ledger.stat().st_size * 9 // 8 // PAGE)

    def looking(function):
        def call(*args, **kwargs):
            look()
            out = function(*args, **kwargs)
            look()
            return out

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "rename"):
            patch.setattr(os, name, looking(getattr(os, name)))
        analyse(output=output, report=finished)
    use.digest = digest(output)
    return use


@pytest.fixture(scope="module")
def whole(analyses, tmp_path_factory):
    """What each analysis comes to, and takes, where there is room."""
    uses = {}
    for name, analyse in analyses.items():
        with small_disk(tmp_path_factory.mktemp("whole") / "disk") as folder:
            uses[name] = watched(analyse, folder)
    return uses


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


def fill_and_go_on(analyse, use, disk, caplog, pages):
    """Run with so many pages free, then with room; how many blocks the disk took, and what came.

    "nothing" is seen of the results on the full disk, or all that "exists".
    """
    output, heard, filler = disk / "results.zarr", Heard(), fill(disk, pages * PAGE)

    with pytest.raises(StorageError, match=FULL):
        analyse(output=output, report=heard)

    finished = sum(heard.done.values())
    store = ResultStore(output)
    seen = (*store.label_names(), *store.table_names())
    filler.unlink()
    caplog.clear()
    if seen:
        # It became full when all was committed: there is nothing to continue.
        assert digest(output) == use.digest
        with pytest.raises(TargetExistsError):
            analyse(output=output)
        for leftover in leftovers(output):
            leftover.remove()
    else:
        with caplog.at_level(logging.INFO, "scimage"):
            analyse(output=output)
        said = f"continuing a run that was stopped, after {finished} finished"
        assert (said in caplog.text) == (finished > 0)
        assert ("blocks are reused" in caplog.text) == (finished > 0)
    assert digest(output) == use.digest
    assert all(check.right for check in verify_store(output))
    assert [p.name for p in disk.iterdir()] == ["results.zarr"]
    return finished, "exists" if seen else "nothing"


# Room for no block, for so many of ten parts of all blocks, or for all but the results.
@pytest.mark.parametrize("tenths", range(11))
@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_a_disk_that_becomes_full_stops_a_run_and_the_same_call_continues_when_there_is_room(
    analyses, whole, disk, caplog, analysis, tenths
):
    use = whole[analysis]
    blocks = (len(use.held) - 1) * tenths // 10
    pages = use.held[blocks]

    finished, seen = fill_and_go_on(analyses[analysis], use, disk, caplog, pages)

    assert seen == "nothing"
    assert use.blocks_in(pages) <= finished <= blocks


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_a_disk_that_becomes_full_while_results_are_written_shows_none_or_all(
    analyses, whole, disk, caplog, analysis
):
    use = whole[analysis]
    blocks = len(use.held) - 1
    assert use.blocks_in(use.peak - 2) == blocks
    came = []
    for pages in range(use.held[-1], use.peak):
        finished, seen = fill_and_go_on(analyses[analysis], use, disk, caplog, pages)
        assert use.blocks_in(pages) <= finished <= blocks
        came.append(seen)
        shutil.rmtree(disk / "results.zarr")

    # From some budget on the run gets as far as to commit.
    assert came == sorted(came, reverse=True)
    assert came[0] == "nothing"


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
@pytest.mark.parametrize("pages", [1, 2, 3, 4])
def test_a_disk_that_is_full_from_the_start_says_so(analyses, whole, disk, caplog, analysis, pages):
    finished, seen = fill_and_go_on(analyses[analysis], whole[analysis], disk, caplog, pages)

    assert (finished, seen) == (0, "nothing")
