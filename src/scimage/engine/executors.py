"""Where tasks run: here, one after the other, or on Dask workers."""

from __future__ import annotations

import contextlib
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from scimage.errors import UsageError

__all__ = ["DaskExecutor", "Executor", "SerialExecutor", "open_executor"]

T = TypeVar("T")
R = TypeVar("R")

# Tasks sent ahead for each worker: enough to hide the scheduler, few enough to stay small.
_AHEAD = 3


class Executor(Protocol):
    """Runs a function over tasks."""

    workers: int

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, R]]:
        """Yield (position of the task, result), in any order; errors are raised as they are."""
        ...


class SerialExecutor:
    """One task after the other in this thread: the reference.

    Function, tasks and results make the journey through pickle that other executors need, so
    that what works here works there. (Only scimage's own objects are pickled, in memory.)
    """

    workers = 1

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, R]]:
        """Yield (position, result) in order."""
        for i, task in enumerate(tasks):
            sent_function, sent_task = pickle.loads(pickle.dumps((function, task)))
            yield i, pickle.loads(pickle.dumps(sent_function(sent_task)))


class DaskExecutor:
    """Tasks on the workers of a Dask client, a bounded number of them at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = max(1, sum(client.nthreads().values()))

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, R]]:
        """Yield (position, result) in order of completion."""
        from distributed import as_completed

        waiting = enumerate(tasks)
        position: dict[str, int] = {}
        running = as_completed()
        try:
            for _ in range(_AHEAD * self.workers):
                self._submit_next(function, waiting, position, running)
            for future in running:
                result = future.result()
                i = position.pop(future.key)
                future.release()
                self._submit_next(function, waiting, position, running)
                yield i, result
        finally:
            self._client.cancel(list(running.futures))

    def _submit_next(
        self,
        function: Callable[[T], R],
        waiting: Iterator[tuple[int, T]],
        position: dict[str, int],
        running: Any,
    ) -> None:
        following = next(waiting, None)
        if following is not None:
            i, task = following
            future = self._client.submit(function, task, pure=False)
            position[future.key] = i
            running.add(future)


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
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        if scheduler is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=1,
                    threads_per_worker=workers,
                    processes=False,
                    dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(Client(cluster))
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=10))
            except (OSError, ValueError) as error:
                raise UsageError(
                    "--scheduler", found=f"no Dask scheduler at {scheduler}",
                    expected="the address of a running one, for example tcp://127.0.0.1:8786",
                    remedy="Start it with 'dask scheduler', or leave the option out.",
                ) from error  # fmt: skip
        yield DaskExecutor(client)
