"""Where and how an analysis runs; its result does not depend on any of this."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scimage.errors import UsageError
from scimage.parameters import check, parameter

__all__ = ["Execution"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How many workers, where, and in how much memory."""

    workers: int = parameter(
        2,
        help="Blocks in work at the same time: processor cores to use.",
        origin="convention: what every laptop has",
        low=1, high=100_000,
    )  # fmt: skip
    memory: str = parameter(
        "4GB",
        help="What all workers together may use, for example 8GB. It decides the size of blocks, "
        "and how many are in work.",
        origin="convention",
    )
    processes: bool = parameter(
        False,
        help="A process for each worker instead of threads in this one.",
        origin="threads share memory and start in a moment",
    )
    scheduler: str | None = parameter(
        None,
        help="Address of a running Dask scheduler, instead of own workers.",
        origin="none",
    )
    cluster: str | None = parameter(
        None,
        help="TOML profile of a batch system (SLURM): workers are started there, and ended.",
        origin="none",
    )
    block: tuple[int, int, int] | None = parameter(
        None,
        help="Block shape Z,Y,X in voxels, instead of the one that fits the memory.",
        origin="automatic",
        low=1,
    )
    restart: bool = parameter(
        False,
        help="Drop what an earlier, stopped run has finished.",
        origin="a stopped run is continued",
    )

    def __post_init__(self) -> None:
        check(self)
        places = [self.processes, self.scheduler is not None, self.cluster is not None]
        if sum(places) > 1:
            raise UsageError(
                "--processes, --scheduler, --cluster", found=f"{sum(places)} of them",
                expected="one at most", remedy="Choose where the workers are.",
            )  # fmt: skip
        _ = self.memory_bytes

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes.

        Raises
        ------
        UsageError
            The text is no size.
        """
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?\s*", self.memory.lower())
        if not match:
            raise UsageError(
                "--memory", found=repr(self.memory), expected="a size such as 8GB or 500MB",
                remedy="Write a number and a unit.",
            )  # fmt: skip
        return int(float(match[1]) * _UNITS[match[2]])
