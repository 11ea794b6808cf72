"""Killed at any moment, the same command continues and ends with the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scimage.image import Channel, NewImage, ResultStore, leftovers, write_image
from scimage.study import verify_store

SHAPE = (24, 40, 44)
# Of each analysis; with the kills at each step after the last block above 200 in all.
RANDOM_KILLS = 60


class Pixels:
    def __init__(self, *arrays):
        self.arrays = arrays

    def read(self, channel, z, y, x):
        return self.arrays[channel][z, y, x]


def stored(target: Path, arrays, spacing_um) -> str:
    first = next(iter(arrays.values()))
    new = NewImage(
        (len(arrays), *first.shape), first.dtype, spacing_um, "test",
        tuple(Channel(channel) for channel in arrays),
    )  # fmt: skip
    write_image(target, new, Pixels(*arrays.values()), {})
    return str(target)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Nuclei in noise; a hollow ball of GFAP in a cylinder of tissue."""
    folder, r = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    z, y, x = np.indices(SHAPE)
    nuclei = np.zeros(SHAPE)
    centres = (6, 9, 9), (12, 20, 22), (11, 19, 8), (18, 30, 36), (15, 23, 31), (3, 33, 5)
    for cz, cy, cx in centres:
        away = np.sqrt(((z - cz) * 2.5) ** 2 + ((y - cy) * 1.5) ** 2 + ((x - cx) * 1.5) ** 2)
        nuclei = np.maximum(nuclei, 500.0 * (away < 4))
    cells = {"nuclei": 200 + nuclei, "glow": np.full(SHAPE, 200.0)}
    dz, dy, dx = ((np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T) * 20.0
    tissue, ball = np.hypot(dy, dx) < 370, np.sqrt(dz**2 + dy**2 + dx**2)
    gfap = 100 + 100 * tissue + 500 * (tissue & (ball > 130) & (ball < 200)) - 60 * (ball <= 130)
    cord = {"gfap": gfap, "glow": 150 + 300 * (tissue & (ball > 60))}

    def noisy(arrays):
        return {k: (a + r.normal(0, 12, SHAPE)).astype(np.uint16) for k, a in arrays.items()}

    return {
        "grafts": stored(folder / "cells.ome.zarr", noisy(cells), (2.5, 1.5, 1.5)),
        "lesion": stored(folder / "cord.ome.zarr", noisy(cord), (20.0, 20.0, 20.0)),
    }


def digest(store: Path) -> str:
    """Of all voxels and tables, as bytes on the disk."""
    whole = hashlib.sha256()
    for file in sorted(store.rglob("*")):
        name = file.relative_to(store).as_posix()
        if file.is_file() and ("/c/" in name or name.endswith(".parquet")):
            whole.update(f"{name}\n".encode() + file.read_bytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def victim(images, tmp_path_factory):
    """Run an analysis in a process that dies at a step; the uninterrupted results."""
    folder = tmp_path_factory.mktemp("whole")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("victim.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def tell(order):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    tell([(name, image, str(folder / f"{name}.zarr")) for name, image in images.items()])

    def run(analysis, output, kill_at=0):
        return tell(
            {"analysis": analysis, "image": images[analysis], "output": str(output),
             "kill_at": kill_at}
        )  # fmt: skip

    run.whole = {name: digest(folder / f"{name}.zarr") for name in images}
    yield run
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_killed_again_and_again_it_ends_with_the_bytes_of_an_uninterrupted_run(
    victim, tmp_path, analysis
):
    whole = victim(analysis, tmp_path / "count.zarr")
    steps, finished = whole["steps"], whole["finished"]
    publishing = steps - finished[-1]
    # What follows the last block is done again from its start: only beyond it a run can end.
    longest = max(steps // 5, 2 * publishing)
    assert longest < steps / 3
    chance, kills, chain = random.Random(analysis), 0, 0
    while kills < RANDOM_KILLS:
        chain += 1
        output = tmp_path / f"{chain}.zarr"
        ended = "killed"
        while ended == "killed":
            # About ten kills on the way to the end, while it opens what is there included.
            ended = victim(analysis, output, chance.randrange(1, longest))["ended"]
            kills += ended == "killed"
        assert ended in ("done", "exists"), ended
        assert digest(output) == victim.whole[analysis]
        assert all(check.right for check in verify_store(output))
    assert chain > 2


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_killed_at_each_step_of_publishing_it_shows_the_old_or_the_new_and_continues(
    victim, tmp_path, analysis
):
    whole = victim(analysis, tmp_path / "count.zarr")
    before = tmp_path / "before"
    assert victim(analysis, before / "r.zarr", whole["finished"][-1])["ended"] == "killed"
    rest = tmp_path / "rest"
    shutil.copytree(before, rest)
    after = victim(analysis, rest / "r.zarr")
    assert after["finished"] == []
    left = after["steps"]
    assert left >= whole["steps"] - whole["finished"][-1] >= 50
    seen = set()
    for kill_at in range(1, left + 1):
        place = tmp_path / f"kill-{kill_at}"
        shutil.copytree(before, place)
        assert victim(analysis, place / "r.zarr", kill_at)["ended"] == "killed"
        # A reader sees nothing, or everything.
        store = ResultStore(place / "r.zarr")
        names = (*store.label_names(), *store.table_names())
        seen.add(len(names))
        if names:
            assert digest(place / "r.zarr") == victim.whole[analysis]
        ended = victim(analysis, place / "r.zarr")["ended"]
        assert ended == ("exists" if names else "done")
        assert digest(place / "r.zarr") == victim.whole[analysis]
        assert all(check.right for check in verify_store(place / "r.zarr"))
        for leftover in leftovers(place / "r.zarr"):
            leftover.remove()
        assert [p.name for p in place.iterdir()] == ["r.zarr"]
        shutil.rmtree(place)
    assert seen == {0, 1 if analysis == "grafts" else 3}


@pytest.mark.parametrize("analysis", ["grafts", "lesion"])
def test_a_stopped_run_computes_no_finished_block_again(victim, tmp_path, analysis):
    whole = victim(analysis, tmp_path / "count.zarr")
    output, kill_at = tmp_path / "r.zarr", whole["steps"] * 3 // 4
    assert victim(analysis, output, kill_at)["ended"] == "killed"

    after = victim(analysis, output)

    assert after["ended"] == "done"
    assert after["steps"] < whole["steps"] / 2
    assert 0 < len(after["finished"]) == sum(step > kill_at for step in whole["finished"])
