"""A Dask cluster of threads inside this process. It is imported on use: Dask takes a second."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Scheduler, SpecCluster, Worker

__all__ = ["threads_cluster"]


class _QuietScheduler(Scheduler):  # type: ignore[misc]
    """A scheduler without the web page that Dask opens to the whole network, dashboard or not."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Start none."""


class _QuietWorker(Worker):  # type: ignore[misc]
    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Start none."""


def threads_cluster(workers: int) -> Any:
    """One worker of so many threads and its scheduler, which only this process can reach."""
    inside = {"protocol": "inproc://", "dashboard": False}
    return SpecCluster(
        scheduler={"cls": _QuietScheduler, "options": {**inside, "port": 0}},
        workers={
            0: {"cls": _QuietWorker, "options": {**inside, "nthreads": workers, "memory_limit": 0}}
        },
        silence_logs=logging.ERROR,
    )
