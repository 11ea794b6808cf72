"""Dask clusters that scimage starts and ends itself. Imported on use: Dask takes a second."""

from __future__ import annotations

import logging
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Nanny, Scheduler, SpecCluster, Worker

from scimage.errors import UsageError

__all__ = ["batch_cluster", "processes_cluster", "threads_cluster"]

_LOOPBACK = "127.0.0.1"
# Kernels run one a thread; the executor decides how many threads there are.
_ENVIRONMENT = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


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


def processes_cluster(workers: int) -> Any:
    """So many processes of one thread on this machine, which only this machine can reach."""
    here = {"host": _LOOPBACK, "dashboard": False}
    worker = {
        **here, "worker_class": _QuietWorker, "nthreads": 1, "memory_limit": 0,
        "env": _ENVIRONMENT,
    }  # fmt: skip
    return SpecCluster(
        scheduler={"cls": _QuietScheduler, "options": {**here, "port": 0}},
        workers={i: {"cls": Nanny, "options": worker} for i in range(workers)},
        silence_logs=logging.ERROR,
    )


@dataclass(frozen=True, slots=True)
class _Profile:
    """What a profile of a batch system may say; docs/explanation/engine.md has an example."""

    system: str
    memory: str
    interface: str
    walltime: str
    shared_folder: str
    queue: str | None = None
    account: str | None = None
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()


def batch_cluster(profile: str, workers: int) -> Any:
    """Jobs of one worker each on a SLURM cluster, by dask-jobqueue; traffic is encrypted.

    Raises
    ------
    UsageError
        The profile cannot be read or says something unknown, or dask-jobqueue is missing.
    """
    about = _read_profile(profile)
    try:
        from dask_jobqueue import SLURMCluster
        from distributed.security import Security

        security = Security.temporary()
    except ImportError as error:
        raise UsageError(
            "--cluster", found=f"no package {error.name}", expected="the extra 'cluster'",
            remedy="Install it: pip install 'scimage[cluster]'.",
        ) from error  # fmt: skip
    cluster = SLURMCluster(
        cores=1, processes=1, memory=about.memory, walltime=about.walltime, queue=about.queue,
        account=about.account, interface=about.interface, python=sys.executable,
        job_script_prologue=[*(f"export {k}={v}" for k, v in _ENVIRONMENT.items()),
                             *about.prologue],
        job_extra_directives=list(about.directives), protocol="tls://", security=security,
        shared_temp_directory=about.shared_folder, log_directory=about.shared_folder,
        scheduler_cls=_QuietScheduler, scheduler_options={"dashboard": False},
        silence_logs=logging.ERROR,
    )  # fmt: skip
    cluster.scale(jobs=workers)
    return cluster


def _read_profile(profile: str) -> _Profile:
    expected = "a TOML file with system, memory, interface, walltime and shared_folder"
    try:
        content = tomllib.loads(Path(profile).read_text(encoding="utf-8"))
        lists: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        about = _Profile(**lists)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            profile, found=f"no usable profile ({error})", expected=expected,
            remedy="docs/explanation/engine.md has an example.",
        ) from error  # fmt: skip
    if about.system != "slurm":
        raise UsageError(
            profile, found=f"system {about.system!r}", expected="'slurm'",
            remedy="Start a scheduler on the other system and name it with --scheduler.",
        )  # fmt: skip
    return about
