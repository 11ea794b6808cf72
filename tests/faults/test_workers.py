"""Workers that die, that differ, that do not see the disk; and a scheduler that goes away."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Client

from scimage import GraftParameters, LesionParameters, __version__, count_grafts, segment_lesion
from scimage.blocks import BlockGrid, Pass
from scimage.engine import Execution, open_executor, run_pass
from scimage.errors import BlocksFailedError, StorageError, UsageError
from scimage.image import Channel, NewImage, Workspace, open_image, write_image

WAIT_S = 25
SHAPE, BLOCK = (24, 40, 44), (12, 20, 11)  # 16 blocks
GRAFT = GraftParameters(nuclei="nuclei", autofluorescence="glow", diameter_um=(6.0, 10.0))
LESION = LesionParameters(
    gfap="gfap", tissue="glow", gap_um=40, border_width_um=80, min_lesion_mm3=0.0001
)
ALONE = Execution(workers=1, block=BLOCK)


def wait_until(happened, what):
    end = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < end, f"still waiting for {what}"
        time.sleep(0.05)


class Started:
    """Processes of a Dask cluster, as somebody would start them by hand."""

    def __init__(self, folder):
        self.folder, self.address = folder, ""
        self._processes = []

    def _start(self, command, *arguments, env=None):
        self.folder.mkdir(exist_ok=True)
        log = self.folder / f"{command}-{len(self._processes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{command}", *arguments],
                stdout=file, stderr=file, env={**os.environ, **(env or {})}, cwd=self.folder,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def scheduler(self):
        file = self.folder / "scheduler.json"
        process = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(file),
        )  # fmt: skip
        wait_until(lambda: process.poll() is not None or file.exists(), "the scheduler")
        assert process.poll() is None, (self.folder / "scheduler-0.log").read_text()
        wait_until(lambda: file.read_text().endswith("}"), "its address")
        self.address = json.loads(file.read_text())["address"]
        return process

    def worker(self, name, *path):
        """Start a worker with folders that come first on its path."""
        before = os.environ.get("PYTHONPATH")
        folders = [*map(str, path), str(Path(__file__).parent), *([before] if before else [])]
        return self._start(
            "worker", self.address, "--name", name, "--host", "127.0.0.1", "--nthreads", "1",
            "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "20",
            "--local-directory", str(self.folder),
            env={"PYTHONPATH": os.pathsep.join(folders)},
        )  # fmt: skip

    def workers(self, *names):
        processes = [self.worker(name) for name in names]
        self.wait_for(len(names))
        return processes

    def wait_for(self, n):
        with Client(self.address, set_as_default=False) as client:
            wait_until(lambda: len(client.nthreads()) == n, f"{n} workers")

    def end(self, processes=None):
        processes = list(processes or reversed(self._processes))
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            self._processes.remove(process)


@contextlib.contextmanager
def started(folder):
    dask = Started(folder)
    try:
        yield dask
    finally:
        dask.end()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """One scheduler for all tests that leave it alive; each has its own workers."""
    with started(tmp_path_factory.mktemp("dask")) as dask:
        scheduler = dask.scheduler()
        yield dask
        assert scheduler.poll() is None


@pytest.fixture
def dask(lasting):
    before = list(lasting._processes)
    yield lasting
    mine = [p for p in lasting._processes if p not in before]
    if mine:
        lasting.end(mine)
    lasting.wait_for(0)


def paint_nuclei():
    r = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, (2.5, 1.5, 1.5), strict=True)),
                          indexing="ij")  # fmt: skip
    signal, glow = np.zeros(SHAPE), np.zeros(SHAPE)
    for i, (cz, cy, cx) in enumerate(
        [(12, 20, 22), (11, 19, 8), (6, 20, 36), (17, 30, 22), (5, 5, 5), (0, 20, 30), (18, 33, 36)]
    ):
        away = np.sqrt((z - cz * 2.5) ** 2 + (y - cy * 1.5) ** 2 + (x - cx * 1.5) ** 2)
        ball = np.clip((4 - away) / 1.5 + 0.5, 0, 1)
        signal = np.maximum(signal, ball * (400 + 30 * i))
        if i % 4 == 3:
            glow = np.maximum(glow, ball * 500)
    return {
        "nuclei": (200 + signal + r.normal(0, 12, SHAPE)).astype(np.uint16),
        "glow": (200 + glow + r.normal(0, 12, SHAPE)).astype(np.uint16),
    }


def paint_lesion():
    r = np.random.default_rng(1)
    z, y, x = (np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T * 20.0
    ball = np.sqrt(z**2 + y**2 + x**2)
    tissue = (np.hypot(y, x) < 370) & ~(ball < 60)
    shell = tissue & (ball > 130) & (ball < 200) & ~((np.abs(y) < 15) & (x > 0))
    gfap = 100 + 100 * tissue - 60 * (ball <= 130) + 500 * shell
    noisy = [a + r.normal(0, 15, SHAPE) for a in (gfap, 150 + 300 * tissue)]
    return {n: a.astype(np.uint16) for n, a in zip(("gfap", "glow"), noisy, strict=True)}


class Arrays:
    def __init__(self, arrays):
        self._arrays = arrays

    def read(self, channel, z, y, x):
        return self._arrays[channel][z, y, x]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder, opened = tmp_path_factory.mktemp("images"), {}
    for name, arrays, spacing in (
        ("nuclei", paint_nuclei(), (2.5, 1.5, 1.5)),
        ("lesion", paint_lesion(), (20.0, 20.0, 20.0)),
    ):
        new = NewImage(
            (2, *SHAPE), np.dtype(np.uint16), spacing, "test", tuple(map(Channel, arrays))
        )
        target = folder / f"{name}.ome.zarr"
        write_image(target, new, Arrays(list(arrays.values())), {})
        opened[name] = open_image(target)
    return opened


def bits(table):
    """All values of a table, NaN and the sign of zero included."""
    return {
        name: [v.hex() if isinstance(v, float) else v for v in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def silent(stage, done, total):
    pass


@pytest.fixture(scope="module")
def counted(images):
    def run(output, execution, report=silent):
        result = count_grafts(
            images["nuclei"], GRAFT, output=output, execution=execution, report=report
        )
        return bits(result.cells), result.noise.hex(), result.threshold.hex()

    return run


@pytest.fixture(scope="module")
def segmented(images):
    def run(output, execution, report=silent):
        result = segment_lesion(
            images["lesion"], LESION, output=output, execution=execution, report=report
        )
        return (
            result.labels().tobytes(),
            bits(result.store.table("lesion_measurements")),
            bits(result.store.table("lesion_profile")),
        )

    return run


@pytest.fixture(scope="module")
def cells(counted, tmp_path_factory):
    """What one worker counts in this process."""
    found = counted(tmp_path_factory.mktemp("alone") / "cells.ome.zarr", ALONE)
    assert len(found[0]["class"]) >= 7
    return found


@pytest.fixture(scope="module")
def lesion(segmented, tmp_path_factory):
    """What one worker segments in this process."""
    found = segmented(tmp_path_factory.mktemp("alone") / "lesion.ome.zarr", ALONE)
    assert len(set(found[0])) >= 4
    return found


class Once:
    """A report that does something once, in the middle of the sweep of so many."""

    def __init__(self, sweep, act):
        self._sweep, self._act = sweep, act
        self._stages, self.acted = [], False

    def __call__(self, stage, done, total):
        if stage not in self._stages:
            self._stages.append(stage)
        if len(self._stages) == self._sweep and done == total // 4 and not self.acted:
            self.acted = True
            self._act()


def kill(process):
    process.kill()
    process.wait(10)


def test_workers_started_by_hand_find_the_same_to_the_last_bit(
    dask, counted, segmented, cells, lesion, tmp_path
):
    dask.workers("a", "b")
    there = Execution(scheduler=dask.address, block=BLOCK)

    assert counted(tmp_path / "cells.ome.zarr", there) == cells
    assert segmented(tmp_path / "lesion.ome.zarr", there) == lesion


@pytest.mark.parametrize("sweep", [1, 2])
def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    dask, segmented, lesion, tmp_path, sweep
):
    doomed, other = dask.workers("doomed", "other")
    report = Once(sweep, lambda: kill(doomed))
    there = Execution(scheduler=dask.address, block=BLOCK)

    found = segmented(tmp_path / "lesion.ome.zarr", there, report)

    assert report.acted
    assert other.poll() is None
    assert found == lesion


def worker_processes():
    """Workers of this process: the deepest of its children that have a connection."""
    children = psutil.Process().children(recursive=True)
    return [c for c in children if "spawn_main" in " ".join(c.cmdline())]


def test_a_process_of_our_own_that_is_killed_in_the_middle_costs_nothing(counted, cells, tmp_path):
    killed = []

    def act():
        process = worker_processes()[0]
        os.kill(process.pid, signal.SIGKILL)
        killed.append(process.pid)

    mine = Execution(processes=True, workers=2, block=BLOCK)

    found = counted(tmp_path / "cells.ome.zarr", mine, Once(1, act))

    assert killed
    assert found == cells


@dataclass(frozen=True)
class Nothing:
    shape: tuple[int, int, int] = (2, 2, 2)
    dtype: str = "uint8"


@dataclass(frozen=True)
class Deadly(Pass):
    """One block ends the process that computes it, whenever it is tried."""

    @property
    def inputs(self):
        return (Nothing(),)

    @property
    def output(self):
        return None

    @property
    def bytes_per_voxel(self):
        return 1

    def compute(self, window):
        if window.block.index == (0, 1, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return None, 1

    def merge(self, partials):
        return sum(partials)


def test_a_block_that_kills_its_workers_is_given_up_and_named_and_all_others_are_done(tmp_path):
    grid = BlockGrid((2, 2, 2), (1, 1, 1))
    workspace = Workspace(tmp_path / "anchor", {"analysis": "deadly"}, restart=False)
    mine = Execution(processes=True, workers=2)

    with (
        open_executor(mine, tmp_path) as executor,
        pytest.raises(BlocksFailedError, match=r"block 0-1-0: its worker died each time") as caught,
    ):
        run_pass("deadly", Deadly(), grid, executor, workspace)

    assert [*caught.value.failures] == ["0-1-0"]
    assert len(workspace.finished("deadly")) == 7


# What makes a worker another one than those of this process.
OLDER = """
import scimage.version
real = scimage.version.code_identity()
scimage.version.code_identity = lambda: {**real, "numba": "0.0.7"}
"""
ANOTHER = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "0.0.8" if name == "scimage" else real(name)
"""
BARE = """
import importlib.metadata, sys
real = importlib.metadata.version
def version(name):
    if name == "scimage":
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.version = version
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scimage":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
"""
BLIND = """
import pathlib
real = pathlib.Path.read_text
def read_text(self, *args, **kwargs):
    if self.name.startswith("probe-"):
        raise FileNotFoundError(2, "No such file or directory", str(self))
    return real(self, *args, **kwargs)
pathlib.Path.read_text = read_text
"""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OLDER, r"^worker tcp://127\.0\.0\.1:\d+: .*'numba': '0\.0\.7'.*; expected .*'numba': '0"),
        (ANOTHER, rf"^worker tcp://127\.0\.0\.1:\d+: scimage 0\.0\.8; expected scimage "
                  rf"{__version__}\. Install the same versions everywhere"),
        (BARE, r"^worker tcp://127\.0\.0\.1:\d+: no scimage; expected scimage "),
        (BLIND, r"^worker tcp://127\.0\.0\.1:\d+: it does not see .*; expected a folder that all "
                r"workers share\. Put image and results on a file system"),
    ],
    ids=["other-numba", "other-scimage", "no-scimage", "other-disk"],
)  # fmt: skip
def test_one_worker_that_would_not_do_the_same_is_refused_by_name(dask, tmp_path, kind, message):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "sitecustomize.py").write_text(kind)
    dask.worker("good")
    dask.worker("odd", tmp_path / "odd")
    dask.wait_for(2)
    shared = tmp_path / "shared"
    shared.mkdir()

    begin = time.monotonic()
    with (
        pytest.raises(UsageError, match=message),
        open_executor(Execution(scheduler=dask.address), shared),
    ):
        pytest.fail("opened")

    assert time.monotonic() - begin < 5
    assert not [*shared.iterdir()]


def test_a_scheduler_without_workers_is_refused(dask, tmp_path):
    with (
        pytest.raises(UsageError, match=rf"^--scheduler: no workers at {dask.address}; expected"),
        open_executor(Execution(scheduler=dask.address), tmp_path),
    ):
        pytest.fail("opened")


def test_when_the_scheduler_goes_away_the_run_stops_and_the_same_command_continues(
    counted, cells, tmp_path, caplog
):
    output = tmp_path / "cells.ome.zarr"
    with started(tmp_path / "dask") as dask:
        scheduler = dask.scheduler()
        dask.workers("a", "b")
        there = Execution(scheduler=dask.address, block=BLOCK)
        begin = []

        def act():
            begin.append(time.monotonic())
            kill(scheduler)

        with pytest.raises(StorageError, match=r"^the Dask scheduler: it went away;.* continues"):
            counted(output, there, Once(2, act))

        assert time.monotonic() - begin[0] < 15
    assert not output.exists()

    with caplog.at_level(logging.INFO, "scimage"):
        found = counted(output, Execution(workers=2, block=BLOCK))

    assert "continuing a run that was stopped, after" in caplog.text
    assert found == cells
