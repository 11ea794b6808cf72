"""Where tasks run: here, one after the other, or on Dask workers."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import pickle
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scimage.engine.execution import Execution
from scimage.errors import StorageError, UsageError
from scimage.version import code_identity

__all__ = ["DaskExecutor", "Executor", "Lost", "SerialExecutor", "open_executor"]

T = TypeVar("T")
R = TypeVar("R")

# Tasks sent ahead for each worker: enough to hide the scheduler, few enough to stay small.
_AHEAD = 3
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Lost:
    """In place of the result of a task whose workers died, each time that it was tried."""

    reason: str


class Executor(Protocol):
    """Runs a function over tasks.

    Attributes
    ----------
    workers
        Tasks in work at the same time.
    processes
        Processes beside this one that work; 0 when it works itself.
    """

    workers: int
    processes: int

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """Yield (position of the task, result), in any order; errors are raised as they are.

        A task may be run more than once, where workers die; its result is yielded once. Tasks
        are drawn as workers need them. Once the generator is closed or has raised, no task
        runs any more: the caller may remove what tasks read and write.
        """
        ...


class SerialExecutor:
    """One task after the other in this thread: the reference.

    Function, tasks and results make the journey through pickle that other executors need, so
    that what works here works there. (Only scimage's own objects are pickled, in memory.)
    """

    workers = 1
    processes = 0

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R], None, None]:
        """Yield (position, result) in order."""
        for i, task in enumerate(tasks):
            sent_function, sent_task = pickle.loads(pickle.dumps((function, task)))
            yield i, pickle.loads(pickle.dumps(sent_function(sent_task)))


class DaskExecutor:
    """Tasks on the workers of a Dask client, a bounded number of them at a time.

    `expected` workers get their share of tasks also where they come later, as batch jobs do.
    """

    def __init__(self, client: Any, expected: int = 1) -> None:
        self._client = client
        threads = client.nthreads()
        self.workers = max(expected, sum(threads.values()))
        self.processes = sum(not address.startswith("inproc") for address in threads)

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """Yield (position, result) in order of completion.

        Raises
        ------
        StorageError
            The scheduler went away.
        """
        from distributed import KilledWorker, as_completed

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
                with _naming_scheduler():
                    future = self._client.submit(remote, task, pure=False)
                position[future] = i
                completed.add(future)

        try:
            for _ in range(_AHEAD * self.workers):
                submit_next()
            for future in completed:
                i = position.pop(future)
                result: Any
                try:
                    with _naming_scheduler(future):
                        result = future.result()
                except KilledWorker as error:
                    where = getattr(error.last_worker, "address", error.last_worker)
                    result = Lost(f"its worker died each time it was tried (lastly {where})")
                future.release()
                submit_next()
                yield i, result
        finally:
            if position:
                self._stop(run, list(position))

    def _stop(self, run: str, futures: list[Any]) -> None:
        """Drop the tasks that wait, and wait for those that run: a thread cannot be stopped."""
        with contextlib.suppress(StorageError), _naming_scheduler():
            self._client.cancel(futures)
            while self._client.status == "running":
                still_running = self._client.run(_stop_run, run, on_error="ignore")
                if not any(still_running.values()):
                    break
                time.sleep(_POLL_S)


@contextlib.contextmanager
def _naming_scheduler(future: Any = None) -> Iterator[None]:
    """Turn what Dask raises when it loses its scheduler into an error that says so.

    Where `future` has failed, the error is the task's own, and stays what it is.
    """
    from concurrent.futures import CancelledError

    from distributed.client import ClosedClientError

    try:
        yield
    except (CancelledError, ClosedClientError, OSError) as error:
        if future is not None and future.status == "error":
            raise
        raise StorageError(
            "the Dask scheduler", found="it went away", expected="an answer",
            remedy="Run the same command again: it continues.",
        ) from error  # fmt: skip


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
def open_executor(execution: Execution, shared: Path) -> Iterator[Executor]:
    """Open the executor that was asked for, and close it afterwards.

    Parameters
    ----------
    execution
        One worker works in this thread; more are threads of an in-process Dask cluster, which
        listens on no network port, processes on this machine, or the workers of a scheduler.
    shared
        An existing folder that all workers must see.

    Raises
    ------
    UsageError
        No scheduler answers at the address, it has no workers, or one of them has another
        version of the code or does not see the folder.
    StorageError
        The scheduler went away.
    """
    distributed = execution.processes or execution.scheduler or execution.cluster
    if not distributed and execution.workers == 1:
        yield SerialExecutor()
        return
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    with contextlib.ExitStack() as stack:
        # What goes wrong is told by errors; Dask would print its own attempts in between.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        if execution.scheduler is not None:
            client = stack.enter_context(_client_of(execution.scheduler))
            if not client.nthreads():
                raise UsageError(
                    "--scheduler", found=f"no workers at {execution.scheduler}",
                    expected="at least one", remedy="Start some with 'dask worker'.",
                )  # fmt: skip
        else:
            from scimage.engine import clusters

            if execution.cluster is not None:
                opening = clusters.batch_cluster(execution.cluster, execution.workers)
            elif execution.processes:
                opening = clusters.processes_cluster(execution.workers)
            else:
                opening = clusters.threads_cluster(execution.workers)
            cluster = stack.enter_context(opening)
            client = stack.enter_context(Client(cluster, set_as_default=False))
            if execution.cluster is not None:
                client.wait_for_workers(1)
        if distributed:
            _refuse_unfit(client, shared)
        yield DaskExecutor(client, 1 if execution.scheduler else execution.workers)


def _client_of(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            "--scheduler", found=f"no Dask scheduler at {scheduler}",
            expected="the address of a running one, for example tcp://127.0.0.1:8786",
            remedy="Start it with 'dask scheduler', or leave the option out.",
        ) from error  # fmt: skip


def _refuse_unfit(client: Any, shared: Path) -> None:
    """Refuse workers that would compute something else, or in another place."""
    token = uuid.uuid4().hex
    probe = shared / f"probe-{token}"
    probe.write_text(token, encoding="utf-8")
    try:
        # Functions of the standard library: a worker without scimage could not load ours.
        with _naming_scheduler():
            versions = client.run(importlib.metadata.version, "scimage", on_error="return")
            tokens = client.run(probe.read_text, on_error="return")
    finally:
        probe.unlink()
    mine = code_identity()
    for worker, version in versions.items():
        if version != mine["scimage"]:
            found = f"scimage {version}" if isinstance(version, str) else "no scimage"
            raise _unfit(worker, found, f"scimage {mine['scimage']}")
    with _naming_scheduler():
        identities = client.run(code_identity, on_error="return")
    for worker, identity in identities.items():
        if identity != mine:
            raise _unfit(worker, f"{identity}", f"{mine}")
    for worker, seen in tokens.items():
        if seen != token:
            raise UsageError(
                f"worker {worker}", found=f"it does not see {shared}",
                expected="a folder that all workers share",
                remedy="Put image and results on a file system that is mounted there too.",
            )  # fmt: skip


def _unfit(worker: str, found: str, expected: str) -> UsageError:
    return UsageError(
        f"worker {worker}", found=found, expected=expected,
        remedy="Install the same versions everywhere; otherwise results could differ.",
    )  # fmt: skip
