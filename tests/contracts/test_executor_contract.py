"""What every executor promises, and what `run_pass` makes of it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import logging
import pickle
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scimage.blocks import BlockGrid, Pass
from scimage.engine import (
    DaskExecutor,
    Execution,
    Lost,
    SerialExecutor,
    open_executor,
    run_pass,
)
from scimage.errors import BlocksFailedError, Cancelled, FormatError, StorageError
from scimage.image import Workspace

EXECUTORS = ("serial", "adversarial", "dask-1", "dask-2")


class AdversarialExecutor:
    """Runs tasks in an order, and hands them over in an order, that nobody would choose."""

    workers = 3
    processes = 0

    def __init__(self, seed):
        self._random = random.Random(seed)

    def map(self, function, tasks):
        waiting, window = enumerate(tasks), []
        while True:
            window += itertools.islice(waiting, 9 - len(window))
            if not window:
                return
            i, task = window.pop(self._random.randrange(len(window)))
            function, task = pickle.loads(pickle.dumps((function, task)))
            yield i, function(task)


class StutteringExecutor(AdversarialExecutor):
    """Also runs some tasks twice, and yields some results twice, of one run or of two."""

    def map(self, function, tasks):
        for n, (i, do_again) in enumerate(super().map(_Twice(function), tasks)):
            result = do_again()
            yield i, result
            if n % 3 == 1:
                yield i, result
            elif n % 3 == 2:
                yield i, do_again()


@dataclass(frozen=True)
class _Twice:
    function: object

    def __call__(self, task):
        return functools.partial(self.function, task)


@contextlib.contextmanager
def dask_in_one_thread():
    """`open_executor` with one worker would be the serial one."""
    from distributed import Client

    from scimage.engine.clusters import threads_cluster

    with threads_cluster(1) as cluster, Client(cluster, set_as_default=False) as client:
        yield DaskExecutor(client)


@pytest.fixture(scope="module")
def executors(tmp_path_factory):
    """Make an executor by name; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def make(name):
            if name == "serial":
                return SerialExecutor()
            if name == "adversarial":
                return AdversarialExecutor(seed=0)
            if name == "stuttering":
                return StutteringExecutor(seed=0)
            if name == "dask-1":
                return stack.enter_context(dask_in_one_thread())
            two = Execution(workers=2)
            return stack.enter_context(open_executor(two, tmp_path_factory.mktemp("shared")))

        yield make


@pytest.fixture(params=EXECUTORS)
def executor(request, executors):
    """One that keeps the contract."""
    return executors(request.param)


@pytest.fixture(params=(*EXECUTORS, "stuttering"))
def any_executor(request, executors):
    """Also one that gives results twice, which a run must bear."""
    return executors(request.param)


@pytest.fixture
def workspaces(tmp_path):
    """Make workspaces, each of its own identity unless one is named."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def make(name=None):
            identity = {"n": next(numbers)} if name is None else {"name": name}
            made = Workspace(tmp_path / "image.zarr", identity)
            stack.callback(made.close, keep=True)
            return made

        yield make


@pytest.fixture
def workspace(workspaces):
    return workspaces()


class Watch:
    """How many tasks began, and how many are at work."""

    def __init__(self):
        self.lock = threading.Lock()
        self.begun = self.at_work = 0


WATCH = Watch()


@pytest.fixture(autouse=True)
def watch():
    WATCH.begun = WATCH.at_work = 0
    yield WATCH
    assert WATCH.at_work == 0


def square(n):
    return n * n


def slow(n):
    with WATCH.lock:
        WATCH.begun += 1
        WATCH.at_work += 1
    time.sleep(0.05)
    with WATCH.lock:
        WATCH.at_work -= 1
    return n


def fail_at_seven(n):
    if n == 7:
        raise FormatError("x.tif", found="a hole", expected="pixels", remedy="Fill it.")
    return slow(n)


def stop_iteration(n):
    raise KeyError(n)


@pytest.mark.parametrize("n", [0, 1, 2, 25, 300])
def test_each_task_yields_its_result_with_its_position_once(executor, n):
    assert sorted(executor.map(square, range(n))) == [(i, i * i) for i in range(n)]


def test_workers_is_a_positive_number(executor):
    assert executor.workers >= 1


def test_an_endless_supply_of_tasks_is_not_drawn_far_ahead(executor):
    drawn = itertools.count()

    results = executor.map(square, drawn)
    for _ in range(10):
        next(results)
    results.close()

    assert next(drawn) <= 10 + 4 * executor.workers


def test_results_that_nobody_takes_keep_further_tasks_from_being_drawn(executor):
    drawn = itertools.count()

    results = executor.map(square, drawn)
    next(results)
    time.sleep(0.2)
    results.close()

    assert next(drawn) <= 1 + 4 * executor.workers


def test_an_error_in_a_task_arrives_as_it_is_and_nothing_runs_on(executor, watch):
    with pytest.raises(FormatError, match=r"^x.tif: a hole; expected pixels. Fill it.$") as caught:
        list(executor.map(fail_at_seven, range(1000)))

    assert caught.value.remedy == "Fill it."
    at_the_error = watch.begun
    time.sleep(0.2)
    assert watch.begun == at_the_error < 30
    assert watch.at_work == 0


def test_an_error_of_another_library_keeps_its_type(executor):
    with pytest.raises(KeyError, match="3"):
        list(executor.map(stop_iteration, [3]))


def test_an_error_in_the_supply_of_tasks_arrives_and_nothing_runs_on(executor, watch):
    def tasks():
        yield from range(5)
        raise OSError("the list ends here")

    with pytest.raises(OSError, match="the list ends here"):
        list(executor.map(slow, tasks()))

    assert watch.at_work == 0


def test_closing_stops_promptly_and_leaves_no_task_at_work(executor, watch):
    results = executor.map(slow, itertools.count())
    next(results)

    begin = time.perf_counter()
    results.close()

    assert time.perf_counter() - begin < 5
    assert watch.at_work == 0
    at_the_end = watch.begun
    time.sleep(0.2)
    assert watch.begun == at_the_end


def test_an_executor_works_on_after_it_was_stopped(executor):
    stopped = executor.map(slow, itertools.count())
    next(stopped)
    stopped.close()

    assert sorted(executor.map(square, range(9))) == [(i, i * i) for i in range(9)]


def test_two_maps_at_a_time_do_not_mix_their_results(executor):
    one, other = executor.map(square, range(20)), executor.map(square, range(100, 120))

    mixed = list(zip(one, other, strict=True))

    assert sorted(a for a, _ in mixed) == [(i, i**2) for i in range(20)]
    assert sorted(b for _, b in mixed) == [(i, (100 + i) ** 2) for i in range(20)]


@dataclass(frozen=True)
class Source:
    """Pixels that know their place, so that nothing large travels."""

    shape: tuple[int, int, int]
    dtype: str = "int64"

    def read(self, region):
        return np.arange(np.prod(self.shape)).reshape(self.shape)[region]


WRITTEN = {}
COMPUTED = Counter()
BROKEN = {}


@pytest.fixture(autouse=True)
def nothing_done_before():
    WRITTEN.clear()
    COMPUTED.clear()
    BROKEN.clear()


def place(region):
    return tuple((s.start, s.stop) for s in region)


@dataclass(frozen=True)
class Target:
    """In-memory, hence only for executors in this process."""

    dtype: str = "int64"

    def write(self, region, data):
        WRITTEN[place(region)] = data.copy()

    def digest(self, region):
        data = WRITTEN.get(place(region))
        return "" if data is None else hashlib.sha256(data.tobytes()).hexdigest()


@dataclass(frozen=True)
class Firsts(Pass):
    """The first voxel of each block, in the order in which merge sees the blocks."""

    source: Source
    target: Target | None = None
    seconds: float = 0.0

    @property
    def inputs(self):
        return (self.source,)

    @property
    def output(self):
        return self.target

    @property
    def bytes_per_voxel(self):
        return 8

    def compute(self, window):
        slow(0) if self.seconds else None
        name = "-".join(map(str, window.block.index))
        with WATCH.lock:
            COMPUTED[name] += 1
        if name in BROKEN:
            raise BROKEN[name]
        data = window.read(0)
        return data + 1, int(data[0, 0, 0])

    def merge(self, partials):
        return list(partials)


SHAPE, BLOCK = (5, 7, 9), (2, 3, 4)
GRID = BlockGrid(SHAPE, BLOCK)
NAMES = [f"{z}-{y}-{x}" for z in range(3) for y in range(3) for x in range(3)]
FIRSTS = [
    63 * z + 9 * y + x for z in range(0, 5, 2) for y in range(0, 7, 3) for x in range(0, 9, 4)
]


def firsts(executor, workspace, pass_=None, **more):
    """Run the pass over all blocks."""
    return run_pass("firsts", pass_ or Firsts(Source(SHAPE)), GRID, executor, workspace, **more)


def test_merge_sees_the_blocks_in_canonical_order(any_executor, workspace):
    assert firsts(any_executor, workspace) == FIRSTS
    assert sorted(COMPUTED) == NAMES


def test_each_block_writes_its_core(any_executor, workspace):
    firsts(any_executor, workspace, Firsts(Source(SHAPE), Target()))

    assert len(WRITTEN) == len(GRID)
    whole = np.zeros(SHAPE, dtype=int)
    for region, data in WRITTEN.items():
        whole[tuple(slice(*r) for r in region)] = data
    np.testing.assert_array_equal(whole.ravel(), np.arange(315) + 1)


def test_progress_is_told_after_each_block_in_the_callers_thread(any_executor, workspace):
    told, threads = [], set()

    def report(*step):
        told.append(step)
        threads.add(threading.current_thread())

    grid = BlockGrid((4, 4, 4), (2, 2, 4))
    run_pass("firsts", Firsts(Source((4, 4, 4))), grid, any_executor, workspace, report)

    assert told == [("firsts", done, 4) for done in range(5)]
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize(
    "error", [Cancelled("run", found="f", expected="e", remedy="r."), KeyboardInterrupt()]
)
def test_raising_from_progress_stops_the_run_and_leaves_nothing_at_work(
    any_executor, workspace, watch, error
):
    def report(stage, done, total):
        if done == 2:
            raise error

    pass_ = Firsts(Source((40, 4, 4)), seconds=0.05)
    # The traceback keeps the frames alive, as a debugger or a notebook does.
    with pytest.raises(type(error)) as caught:
        run_pass("firsts", pass_, BlockGrid((40, 4, 4), (1, 2, 2)), any_executor, workspace, report)

    assert caught.value is error
    assert watch.at_work == 0
    at_the_end = watch.begun
    time.sleep(0.2)
    assert watch.begun == at_the_end < 40


@pytest.mark.parametrize("seed", range(5))
def test_no_order_of_completion_changes_a_result(seed, workspace):
    assert firsts(StutteringExecutor(seed), workspace) == FIRSTS


def test_the_facts_of_a_sweep_are_told_once(any_executor, workspace):
    told = []

    firsts(any_executor, workspace, Firsts(Source(SHAPE), Target()), tell=lambda *f: told.append(f))

    [(stage, facts)] = told
    assert stage == "firsts"
    assert (facts["blocks"], facts["reused"]) == (len(GRID), 0)
    assert facts["read_bytes"] == facts["written_bytes"] == np.prod(SHAPE) * 8


def test_what_is_finished_is_not_computed_again(any_executor, workspaces, caplog):
    facts = {}
    firsts(any_executor, workspaces("a"), Firsts(Source(SHAPE), Target()))
    COMPUTED.clear()

    with caplog.at_level(logging.INFO, "scimage"):
        again = firsts(
            any_executor, workspaces("a"), Firsts(Source(SHAPE), Target()),
            tell=lambda _, told: facts.update(told),
        )  # fmt: skip

    assert not COMPUTED
    assert again == FIRSTS
    assert (facts["reused"], facts["read_bytes"]) == (len(GRID), 0)
    assert f"{len(GRID)} of {len(GRID)} blocks are reused" in caplog.text
    assert firsts(any_executor, workspaces("another")) == FIRSTS
    assert sorted(COMPUTED) == NAMES


def test_what_a_stopped_run_finished_is_not_computed_again(any_executor, workspaces):
    def report(stage, done, total):
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        firsts(any_executor, workspaces("a"), report=report)
    finished = set(workspaces("a").finished("firsts"))
    COMPUTED.clear()

    assert firsts(any_executor, workspaces("a")) == FIRSTS
    assert len(finished) >= 10
    assert set(COMPUTED) == {*NAMES} - finished


def test_a_stage_of_another_name_shares_nothing(any_executor, workspace):
    firsts(any_executor, workspace)
    COMPUTED.clear()

    assert run_pass("other", Firsts(Source(SHAPE)), GRID, any_executor, workspace) == FIRSTS
    assert sorted(COMPUTED) == NAMES


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_partial_result_is_found_and_done_again(any_executor, workspaces, caplog, damage):
    workspace = workspaces("a")
    firsts(any_executor, workspace)
    damage(workspace.folder / "partials" / "firsts" / "1-0-2")
    COMPUTED.clear()

    assert firsts(any_executor, workspaces("a")) == FIRSTS
    assert set(COMPUTED) == {"1-0-2"}
    assert "firsts: block 1-0-2 was damaged; did it again" in caplog.text


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_chunk_of_the_output_is_found_and_done_again(
    any_executor, workspaces, caplog, damage
):
    workspace = workspaces("a")
    pass_ = Firsts(Source(SHAPE), workspace.volume("out", np.int64, SHAPE, BLOCK))
    firsts(any_executor, workspace, pass_)
    damage(workspace.folder / "out" / "c" / "1" / "0" / "2")
    COMPUTED.clear()

    assert firsts(any_executor, workspaces("a"), pass_) == FIRSTS
    assert set(COMPUTED) == {"1-0-2"}
    assert "firsts: block 1-0-2 was damaged; did it again" in caplog.text
    whole = pass_.target.read(tuple(slice(0, n) for n in SHAPE))
    np.testing.assert_array_equal(whole.ravel(), np.arange(315) + 1)


def test_a_block_that_fails_is_tried_three_times_and_all_others_are_done(
    executor, workspaces, caplog
):
    BROKEN["1-1-1"] = FormatError("x.tif", found="a hole", expected="pixels", remedy="Fill it.")

    with pytest.raises(BlocksFailedError, match=r"1 of 27 blocks failed .*1-1-1.*a hole") as caught:
        firsts(executor, workspaces("a"))

    assert {name: 3 if name == "1-1-1" else 1 for name in NAMES} == COMPUTED
    assert set(caught.value.failures) == {"1-1-1"}
    assert "x.tif: a hole; expected pixels." in caught.value.failures["1-1-1"]
    assert caught.value.exit_code == 3
    assert (caught.value.stage, caught.value.blocks) == ("firsts", 27)
    assert "firsts: block 1-1-1 failed" in caplog.text

    BROKEN.clear()
    COMPUTED.clear()
    assert firsts(executor, workspaces("a")) == FIRSTS
    assert COMPUTED == {"1-1-1": 1}


def test_a_block_that_fails_once_is_done_at_the_second_try(executor, workspace, monkeypatch):
    def once(self, window, compute=Firsts.compute):
        result = compute(self, window)
        if COMPUTED["-".join(map(str, window.block.index))] == 1:
            raise ZeroDivisionError
        return result

    monkeypatch.setattr(Firsts, "compute", once)
    assert firsts(executor, workspace) == FIRSTS
    assert set(COMPUTED.values()) == {2}


def test_all_blocks_that_fail_are_listed_whatever_runs_twice(any_executor, workspace):
    BROKEN.update({"0-0-0": KeyError("k"), "2-1-0": MemoryError(), "2-2-2": RuntimeError("a\nb")})

    with pytest.raises(BlocksFailedError) as caught:
        firsts(any_executor, workspace)

    assert caught.value.failures == {
        "0-0-0": "KeyError: 'k'",
        "2-1-0": "MemoryError: MemoryError",
        "2-2-2": "RuntimeError: a b",
    }
    assert set(workspace.finished("firsts")) == {*NAMES} - {*BROKEN}
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_disk_that_fails_stops_the_run_after_three_tries(executor, workspace, watch, monkeypatch):
    monkeypatch.setattr("scimage.engine.run._PAUSE_S", 0)
    BROKEN["0-0-1"] = StorageError("disk", found="full", expected="room", remedy="Free some.")

    with pytest.raises(StorageError, match=r"^disk: full"):
        firsts(executor, workspace)

    assert COMPUTED["0-0-1"] == 3
    assert watch.at_work == 0
    assert "0-0-1" not in workspace.finished("firsts")
    BROKEN.clear()
    assert firsts(executor, workspace) == FIRSTS


def test_a_partial_result_that_is_no_plain_data_is_a_failure(workspace, monkeypatch):
    monkeypatch.setattr(Firsts, "compute", lambda self, window: (None, {1, 2}))

    with pytest.raises(BlocksFailedError, match="a partial result holds a set"):
        firsts(SerialExecutor(), workspace)


class LosingExecutor(SerialExecutor):
    """The workers of one task die each time."""

    def map(self, function, tasks):
        for i, result in super().map(function, tasks):
            yield i, Lost("its worker died") if i == 5 else result


def test_a_block_whose_workers_die_is_listed_and_the_others_are_done(workspace):
    with pytest.raises(BlocksFailedError) as caught:
        firsts(LosingExecutor(), workspace)

    assert caught.value.failures == {NAMES[5]: "its worker died"}
    assert set(workspace.finished("firsts")) == {*NAMES} - {NAMES[5]}


@pytest.mark.slow
def test_workers_in_processes_of_their_own_keep_the_contract(tmp_path, workspace):
    execution = Execution(workers=2, processes=True)
    with open_executor(execution, tmp_path) as executor:
        results = sorted(executor.map(square, range(30)))
        found = firsts(executor, workspace)
        endless = executor.map(slow, itertools.count())
        next(endless)
        endless.close()
        with pytest.raises(FormatError, match=r"^x.tif: a hole; expected pixels. Fill it.$"):
            list(executor.map(fail_at_seven, range(1000)))

    assert (executor.workers, executor.processes) == (2, 2)
    assert results == [(i, i * i) for i in range(30)]
    assert found == FIRSTS
