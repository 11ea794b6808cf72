"""Dask clusters that scimage starts and ends itself. Imported on use: Dask takes a second."""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import dask
import psutil
from dask.utils import parse_bytes
from distributed import Nanny, Scheduler, SpecCluster, Status, Worker

from scimage.errors import UsageError

__all__ = ["batch_cluster", "processes_cluster", "threads_cluster"]

_LOOPBACK = "127.0.0.1"
# Kernels run one a thread; the executor decides how many threads there are.
_ENVIRONMENT = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_DEATHS = {
    # A worker gets a task when it is free, not before: where it dies, no other task is suspected.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker that is started again is no lost one, however often: Dask would look after 15 s and
    # end it for good if it happened to be starting just then.
    "distributed.deploy.lost-worker-timeout": "30 days",
}


class _QuietScheduler(Scheduler):  # type: ignore[misc]
    """A scheduler without the web page that Dask opens to the whole network, dashboard or not."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Start none."""


class _QuietWorker(Worker):  # type: ignore[misc]
    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Start none."""


class _ProcessWorker(_QuietWorker):
    """A worker in a process of its own, which the terminal's Ctrl-C reaches too: it is not for it.

    The process that started it stops its tasks in good order.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().__init__(*args, **kwargs)


def threads_cluster(workers: int) -> Any:
    """One worker of so many threads and its scheduler, which only this process can reach."""
    inside = {"protocol": "inproc://", "dashboard": False}
    return SpecCluster(
        scheduler={"cls": _QuietScheduler, "options": {**inside, "port": 0}},
        workers={
            0: {"cls": _QuietWorker, "options": {**inside, "nthreads": workers, "memory_limit": 0}}
        },
        silence_logs=logging.CRITICAL,
    )


@contextlib.contextmanager
def processes_cluster(workers: int) -> Iterator[Any]:
    """So many processes of one thread on this machine, which only this machine can reach."""
    here = {"host": _LOOPBACK, "dashboard": False}
    worker = {
        **here, "worker_class": _ProcessWorker, "nthreads": 1, "memory_limit": 0,
        "env": _ENVIRONMENT, "silence_logs": logging.CRITICAL,
    }  # fmt: skip
    with (
        dask.config.set(_DEATHS),
        SpecCluster(
            scheduler={"cls": _QuietScheduler, "options": {**here, "port": 0}},
            workers={i: {"cls": Nanny, "options": worker} for i in range(workers)},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


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


@contextlib.contextmanager
def batch_cluster(profile: str, workers: int) -> Iterator[Any]:
    """Jobs of one worker each on a SLURM cluster, by dask-jobqueue; traffic is encrypted.

    All jobs are submitted when it opens, and begin when SLURM lets them; all are ended when it
    closes.

    Raises
    ------
    UsageError
        The profile cannot be read or says something unknown, SLURM refuses the jobs, or
        dask-jobqueue is missing.
    """
    about = _read_profile(profile)
    try:
        import cryptography  # noqa: F401  # Dask imports it when it makes keys
        from dask_jobqueue import SLURMCluster
        from distributed.security import Security
    except ImportError as error:
        raise UsageError(
            "--cluster", found=f"no package {error.name}", expected="the extra 'cluster'",
            remedy="Install it: pip install 'scimage[cluster]'.",
        ) from error  # fmt: skip

    class Job(SLURMCluster.job_cls):  # type: ignore[misc]
        async def close(self) -> None:
            """End the job, and say so: the cluster insists on it when it closes."""
            await super().close()
            self.status = Status.closed

    with contextlib.ExitStack() as stack:
        try:
            keys = stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix=".scimage-keys-", dir=about.shared_folder, ignore_cleanup_errors=True
                )
            )
            stack.enter_context(dask.config.set(_DEATHS))
            cluster = SLURMCluster(
                job_cls=Job, cores=1, processes=1, memory=about.memory, walltime=about.walltime,
                queue=about.queue, account=about.account, interface=about.interface,
                job_name="scimage", python=shlex.quote(sys.executable),
                worker_extra_args=[
                    "--no-dashboard", "--worker-class", f"{__name__}.{_QuietWorker.__name__}"
                ],
                job_script_prologue=[
                    *(f"export {k}={v}" for k, v in _ENVIRONMENT.items()), *about.prologue
                ],
                job_extra_directives=list(about.directives), log_directory=about.shared_folder,
                protocol="tls://", security=_on_disk(Security.temporary(), Path(keys)),
                scheduler_cls=_QuietScheduler, scheduler_options={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )  # fmt: skip
            stack.enter_context(cluster)
            cluster.sync(_submit, cluster, workers)
        except (OSError, RuntimeError, ValueError) as error:
            said = str(error).rpartition("stderr:")[2]
            raise UsageError(
                profile, found=" ".join(said.split()), expected="jobs that SLURM takes",
                remedy="Mend the profile; 'sbatch' must work here by hand, too.",
            ) from error  # fmt: skip
        yield cluster


async def _submit(cluster: Any, workers: int) -> None:
    """Do what `scale` does in the background, where nobody would learn that it fails."""
    for _ in range(workers):
        cluster.worker_spec.update(cluster.new_worker_spec())
    await cluster


def _on_disk(security: Any, folder: Path) -> Any:
    """Write the keys that workers need into a folder that only this user can read."""
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        file = folder / name
        file.write_text(getattr(security, name), encoding="ascii")
        setattr(security, name, str(file))
    return security


def _read_profile(profile: str) -> _Profile:
    try:
        content = tomllib.loads(Path(profile).read_text(encoding="utf-8"))
        about = _Profile(**_checked(content))
    except (OSError, ValueError) as error:
        raise UsageError(
            profile, found=f"no usable profile ({error})",
            expected="a TOML file with system, memory, interface, walltime and shared_folder",
            remedy="docs/explanation/engine.md has an example.",
        ) from error  # fmt: skip
    if about.system != "slurm":
        raise UsageError(
            profile, found=f"system {about.system!r}", expected="'slurm'",
            remedy="Start a scheduler on the other system and name it with --scheduler.",
        )  # fmt: skip
    folder = about.shared_folder
    # Job scripts name it without quotes.
    if not Path(folder).is_dir() or shlex.quote(folder) != folder:
        raise UsageError(
            profile, found=f"shared_folder {folder!r}",
            expected="an existing folder without spaces in its name",
            remedy="Name one that this machine and all workers see.",
        )  # fmt: skip
    return about


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    """The entries of a profile, lists as tuples, if it has all that it must and nothing else."""
    known = {f.name: f for f in fields(_Profile)}
    unknown = [repr(name) for name in content if name not in known]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    missing = [n for n, f in known.items() if f.default is MISSING and n not in content]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    for name, value in content.items():
        several = isinstance(known[name].default, tuple)
        texts = value if several and isinstance(value, list) else [value]
        if several is not isinstance(value, list) or not all(isinstance(t, str) for t in texts):
            raise ValueError(f"{name} must be {'a list of texts' if several else 'a text'}")
    parse_bytes(content["memory"])
    here = [*psutil.net_if_addrs()]
    if content["interface"] not in here:
        raise ValueError(f"interface {content['interface']!r} is none of {', '.join(here)}")
    return {n: tuple(v) if isinstance(v, list) else v for n, v in content.items()}
