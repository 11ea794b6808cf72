"""Where tasks run: here, one after the other, or on Dask workers."""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from scimage.errors import UsageError

__all__ = ["DaskExecutor", "Executor", "SerialExecutor", "open_executor"]

T = TypeVar("T")
R = TypeVar("R")

# Tasks sent ahead for each worker: enough to hide the scheduler, few enough to stay small.
_AHEAD = 3
_POLL_S = 0.02


class Executor(Protocol):
    """Runs a function over tasks."""

    workers: int

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R], None, None]:
        """Yield (position of the task, result), in any order; errors are raised as they are.

        Tasks are drawn as workers need them. Once the generator is closed or has raised, no task
        runs any more: the caller may remove what tasks read and write.
        """
        ...


class SerialExecutor:
    """One task after the other in this thread: the reference.

    Function, tasks and results make the journey through pickle that other executors need, so
    that what works here works there. (Only scimage's own objects are pickled, in memory.)
    """

    workers = 1

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R], None, None]:
        """Yield (position, result) in order."""
        for i, task in enumerate(tasks):
            sent_function, sent_task = pickle.loads(pickle.dumps((function, task)))
            yield i, pickle.loads(pickle.dumps(sent_function(sent_task)))


class DaskExecutor:
    """Tasks on the workers of a Dask client, a bounded number of them at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = max(1, sum(client.nthreads().values()))

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R], None, None]:
        """Yield (position, result) in order of completion."""
        from distributed import as_completed

        run = uuid.uuid4().hex
        remote = functools.partial(_run_task, run, function)
        waiting = enumerate(tasks)
        position: dict[Any, int] = {}
        # Not the loop of Dask's default client: that may be another one.
        completed = as_completed(loop=self._client.loop)

        def submit_next() -> None:
            following = next(waiting, None)
            if following is not None:
                i, task = following
                future = self._client.submit(remote, task, pure=False)
                position[future] = i
                completed.add(future)

        try:
            for _ in range(_AHEAD * self.workers):
                submit_next()
            for future in completed:
                i = position.pop(future)
                result = future.result()
                future.release()
                submit_next()
                yield i, result
        finally:
            if position:
                self._stop(run, list(position))

    def _stop(self, run: str, futures: list[Any]) -> None:
        """Drop the tasks that wait, and wait for those that run: a thread cannot be stopped."""
        self._client.cancel(futures)
        while self._client.status == "running":
            still_running = self._client.run(_stop_run, run, on_error="ignore")
            if not any(still_running.values()):
                break
            time.sleep(_POLL_S)


# On each worker: which runs were stopped, and how many tasks of each run are in work. Dask cancels
# in its own time, so a task that was under way to a worker could begin after it was cancelled.
_lock = threading.Lock()
_stopped: set[str] = set()
_in_work: Counter[str] = Counter()


def _run_task(run: str, function: Callable[[T], R], task: T) -> R | None:
    with _lock:
        if run in _stopped:
            return None
        _in_work[run] += 1
    try:
        return function(task)
    finally:
        with _lock:
            _in_work[run] -= 1
            if not _in_work[run]:
                del _in_work[run]


def _stop_run(run: str) -> int:
    """Let no further task of a run begin; the number that have begun and not ended."""
    with _lock:
        _stopped.add(run)
        return _in_work[run]


@contextlib.contextmanager
def open_executor(workers: int = 1, scheduler: str | None = None) -> Iterator[Executor]:
    """Open the executor that was asked for, and close it afterwards.

    Parameters
    ----------
    workers
        1: in this thread. More: that many threads of an in-process Dask cluster, which listens
        on no network port.
    scheduler
        Address of a running Dask scheduler; `workers` is then whatever it has.

    Raises
    ------
    UsageError
        `workers` is below 1, or no scheduler answers at the address.
    """
    if workers < 1:
        raise UsageError("--workers", found=str(workers), expected="1 or more",
                         remedy="Give the number of processor cores to use.")  # fmt: skip
    if scheduler is None and workers == 1:
        yield SerialExecutor()
        return
    from distributed import Client

    with contextlib.ExitStack() as stack:
        if scheduler is None:
            from scimage.engine._cluster import threads_cluster

            cluster = stack.enter_context(threads_cluster(workers))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=10, set_as_default=False))
            except (OSError, ValueError) as error:
                raise UsageError(
                    "--scheduler", found=f"no Dask scheduler at {scheduler}",
                    expected="the address of a running one, for example tcp://127.0.0.1:8786",
                    remedy="Start it with 'dask scheduler', or leave the option out.",
                ) from error  # fmt: skip
        yield DaskExecutor(client)
