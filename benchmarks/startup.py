"""From the command to its first result, in a new process; compiled kernels kept or not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from benchmarks.data import lesion, nuclei, scratch
from benchmarks.harness import Check, Contest, Contestant, Size

__all__ = ["CONTESTS"]


@functools.cache
def _kept() -> Path:
    """Where a user's second command finds what the first has compiled."""
    return scratch("cache")


def _command(*arguments: str, cache: Callable[[], Path]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(cache())
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def _analyse(cache: Callable[[], Path], task: SimpleNamespace) -> Path:
    output = scratch("results.zarr")
    _command(
        "-m", "scimage.cli", *task.verb, str(task.path), "--output", str(output), cache=cache
    )  # fmt: skip
    return output


def _import_alone(_task: SimpleNamespace) -> None:
    """The limit: to import the packages that any such program needs."""
    _command("-c", "import numpy, numba, zarr, pyarrow, scipy.spatial, dask", cache=_kept)


def _grafts(_size: Size) -> SimpleNamespace:
    task = nuclei((32, 128, 128))
    task.verb = ("grafts", "--nuclei", "0")
    return task


def _lesion(_size: Size) -> SimpleNamespace:
    task = lesion((64, 96, 96))
    task.verb = ("lesion", "--gfap", "0")
    return task


def _published(task: SimpleNamespace, output: Path) -> Check:
    table = {"grafts": "graft_cells", "lesion": "lesion_measurements"}[task.verb[0]]
    there = (output / "tables" / table).exists()
    return Check("result is there" if there else "no result", there)


def _cold() -> Path:
    return scratch("cache")


CONTESTS = tuple(
    Contest(
        name=f"start-up, {name}",
        given=given,
        check=_published,
        repeat=2,
        contestants=(
            Contestant(
                name="nothing compiled yet", run=functools.partial(_analyse, _cold), cores=2
            ),
            Contestant(name="later commands", run=functools.partial(_analyse, _kept), cores=2),
            Contestant(name="importing packages alone", run=_import_alone, cores=2, limit=True),
        ),
    )
    for name, given in (("grafts", _grafts), ("lesion", _lesion))
)
