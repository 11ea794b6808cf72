"""What every executor promises, and what `run_pass` makes of it."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from scimage.blocks import BlockGrid, Pass
from scimage.engine import DaskExecutor, SerialExecutor, open_executor, run_pass
from scimage.errors import Cancelled, FormatError

EXECUTORS = ("serial", "adversarial", "dask-1", "dask-2")


class AdversarialExecutor:
    """Runs tasks in an order, and hands them over in an order, that nobody would choose."""

    workers = 3

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


@contextlib.contextmanager
def dask_in_one_thread():
    """`open_executor(1)` would be the serial one."""
    from distributed import Client

    from scimage.engine._cluster import threads_cluster

    with threads_cluster(1) as cluster, Client(cluster, set_as_default=False) as client:
        yield DaskExecutor(client)


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    with contextlib.ExitStack() as stack:
        if request.param == "serial":
            yield SerialExecutor()
        elif request.param == "adversarial":
            yield AdversarialExecutor(seed=0)
        elif request.param == "dask-1":
            yield stack.enter_context(dask_in_one_thread())
        else:
            yield stack.enter_context(open_executor(2))


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

    def read(self, region):
        return np.arange(np.prod(self.shape)).reshape(self.shape)[region]


WRITTEN = {}


@dataclass(frozen=True)
class Target:
    """In-memory, hence only for executors in this process."""

    def write(self, region, data):
        WRITTEN[tuple((s.start, s.stop) for s in region)] = data.copy()


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
        data = window.read(0)
        return data + 1, int(data[0, 0, 0])

    def merge(self, partials):
        return list(partials)


def test_merge_sees_the_blocks_in_canonical_order(executor):
    grid = BlockGrid((5, 7, 9), (2, 3, 4))

    firsts = run_pass("firsts", Firsts(Source((5, 7, 9))), grid, executor)

    assert firsts == sorted(firsts)
    assert len(firsts) == len(grid)


def test_each_block_writes_its_core(executor):
    WRITTEN.clear()
    grid = BlockGrid((5, 7, 9), (2, 3, 4))

    run_pass("write", Firsts(Source((5, 7, 9)), Target()), grid, executor)

    assert len(WRITTEN) == len(grid)
    whole = np.zeros((5, 7, 9), dtype=int)
    for region, data in WRITTEN.items():
        whole[tuple(slice(*r) for r in region)] = data
    np.testing.assert_array_equal(whole.ravel(), np.arange(315) + 1)


def test_progress_is_told_after_each_block_in_the_callers_thread(executor):
    told, threads = [], set()

    def report(*step):
        told.append(step)
        threads.add(threading.current_thread())

    run_pass("firsts", Firsts(Source((4, 4, 4))), BlockGrid((4, 4, 4), (2, 2, 4)), executor, report)

    assert told == [("firsts", done, 4) for done in range(5)]
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize(
    "error", [Cancelled("run", found="f", expected="e", remedy="r."), KeyboardInterrupt()]
)
def test_raising_from_progress_stops_the_run_and_leaves_nothing_at_work(executor, watch, error):
    def report(stage, done, total):
        if done == 2:
            raise error

    pass_ = Firsts(Source((40, 4, 4)), seconds=0.05)
    # The traceback keeps the frames alive, as a debugger or a notebook does.
    with pytest.raises(type(error)) as caught:
        run_pass("firsts", pass_, BlockGrid((40, 4, 4), (1, 2, 2)), executor, report)

    assert caught.value is error
    assert watch.at_work == 0
    at_the_end = watch.begun
    time.sleep(0.2)
    assert watch.begun == at_the_end < 40


@pytest.mark.parametrize("seed", range(5))
def test_no_order_of_completion_changes_a_result(seed):
    grid = BlockGrid((6, 6, 6), (2, 3, 2))
    serial = run_pass("firsts", Firsts(Source((6, 6, 6))), grid, SerialExecutor())

    adverse = run_pass("firsts", Firsts(Source((6, 6, 6))), grid, AdversarialExecutor(seed))

    assert adverse == serial


@pytest.mark.slow
def test_workers_in_processes_of_their_own_keep_the_contract():
    from distributed import LocalCluster

    grid = BlockGrid((5, 7, 9), (2, 3, 4))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as executor,
    ):
        results = sorted(executor.map(square, range(30)))
        firsts = run_pass("firsts", Firsts(Source((5, 7, 9))), grid, executor)
        endless = executor.map(slow, itertools.count())
        next(endless)
        endless.close()
        with pytest.raises(FormatError, match=r"^x.tif: a hole; expected pixels. Fill it.$"):
            list(executor.map(fail_at_seven, range(1000)))

    assert executor.workers == 2
    assert results == [(i, i * i) for i in range(30)]
    assert firsts == run_pass("firsts", Firsts(Source((5, 7, 9))), grid, SerialExecutor())
