"""One run of one analysis: its sweeps, what is known of each block, and what it came to."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import functools
import json
import logging
import math
import platform
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from scimage.blocks import Block, BlockGrid, Pass, Shape, Window, pack, unpack
from scimage.engine.execution import Execution
from scimage.engine.executors import Executor, Lost, open_executor
from scimage.engine.plan import Plan, make_plan, seconds_for
from scimage.errors import BlocksFailedError, StorageError, UsageError
from scimage.image import (
    NewResults,
    ResultStore,
    ScratchVolume,
    Workspace,
    digest_of,
    digest_of_file,
    exclusive,
    free_bytes,
    naming_storage,
    unfinished_beside,
    write_file,
)
from scimage.progress import Report, silent
from scimage.version import code_identity

__all__ = ["Run", "run_pass", "start_run"]

_log = logging.getLogger("scimage")

Result = TypeVar("Result")

# The number of this option in glibc.
_M_MMAP_THRESHOLD = -3
# Arrays from this size on are given back: the layers of chunks, not what one chunk needs.
_RETURNED_BYTES = 2**24
# From so many blocks on, trying two of them to estimate the time costs little.
_MANY_BLOCKS = 50
# How often a block is tried, and how long a worker waits for a disk to come back.
_TRIES = 3
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Task:
    """A block, and the digest of what is on the disk of it, if an earlier run finished it."""

    block: Block
    known: str | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a block on a worker; `failure` says why it has no digest."""

    digest: str = ""
    reused: bool = False
    seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    peak_bytes: int = 0
    failure: str = ""


def _do_block(
    pass_: Pass[Any, Any], partials: str, code: Mapping[str, str], task: _Task
) -> _Outcome:
    """Make sure that one block is on the disk; this is what runs on a worker."""
    if code_identity() != code:
        raise UsageError(
            f"worker on {socket.gethostname()}", found=f"{code_identity()}", expected=f"{code}",
            remedy="Install the same versions everywhere; otherwise results could differ.",
        )  # fmt: skip
    _keep_memory_flat()
    if task.known is not None and _digest(pass_, partials, task.block) == task.known:
        return _Outcome(task.known, reused=True)
    for attempt in range(1, _TRIES + 1):
        try:
            return _compute(pass_, partials, task.block)
        except StorageError:
            # The disk fails all blocks alike; it may come back.
            if attempt == _TRIES:
                raise
            time.sleep(_PAUSE_S)
        except Exception as error:
            if attempt == _TRIES:
                text = " ".join(str(error).split()) or type(error).__name__
                _log.debug("%s", traceback.format_exc())
                return _Outcome(failure=f"{type(error).__name__}: {text}")
    raise AssertionError("unreachable")


def _compute(pass_: Pass[Any, Any], partials: str, block: Block) -> _Outcome:
    begin = time.perf_counter()
    window = Window(block, pass_.inputs)
    core, partial = pass_.compute(window)
    written = 0
    if pass_.output is not None and core is not None:
        pass_.output.write(block.core, core)
        written = core.nbytes
    if partial is not None:
        file = _partial_file(partials, block)
        with naming_storage(file):
            write_file(file, pack(partial))
    digest = _digest(pass_, partials, block)
    seconds = time.perf_counter() - begin
    return _Outcome(digest, False, seconds, window.bytes_read, written, _peak_bytes())


def _digest(pass_: Pass[Any, Any], partials: str, block: Block) -> str:
    """Digest of what the disk holds of a block: its core, and its partial result."""
    core = "" if pass_.output is None else pass_.output.digest(block.core)
    return digest_of(f"{core} {digest_of_file(_partial_file(partials, block))}".encode())


def _partial_file(partials: str, block: Block) -> Path:
    return Path(partials, "-".join(map(str, block.index)))


def _peak_bytes() -> int:
    """Peak resident memory of this process since it began; where only this is told, its present."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells begins with the peak of the process that started this one.
        return 1024 * int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0])
    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


@functools.cache
def _keep_memory_flat() -> None:
    """Let glibc give the memory of arrays back when they are freed.

    Left alone it raises the size from which it does so with each array that is freed, and memory
    grows with the volume. Smaller ones stay with the process and are used again: fresh memory
    costs as much as a pass over it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)


def run_pass(
    stage: str,
    pass_: Pass[Any, Result],
    grid: BlockGrid,
    executor: Executor,
    workspace: Workspace,
    report: Report = silent,
    tell: Callable[[str, dict[str, Any]], None] | None = None,
) -> Result:
    """Compute what the workspace lacks of a pass, and merge all in canonical order.

    The result does not depend on the grid, on the executor or on the order of completion.
    `report` is told of each finished block under the name `stage`; when it raises, no block is
    in work any more by the time that its error arrives here. `tell` gets what the sweep came to.

    Raises
    ------
    BlocksFailedError
        Blocks failed by themselves; all others were done.
    StorageError
        The disk failed, or the scheduler went away.
    """
    partials = workspace.folder / "partials" / stage.replace("/", "_")
    with naming_storage(partials):
        partials.mkdir(parents=True, exist_ok=True)
    known = workspace.finished(stage)
    blocks = list(pass_.blocks(grid))
    tasks = (_Task(b, known.get(_name(b))) for b in blocks)
    names = [_name(b) for b in blocks]
    do = functools.partial(_do_block, pass_, str(partials), code_identity())
    failures: dict[str, str] = {}
    done: set[int] = set()
    reused, busy, read, written, peak = 0, 0.0, 0, 0, 0
    begin = time.perf_counter()
    report(stage, 0, len(blocks))
    with contextlib.closing(executor.map(do, tasks)) as outcomes:
        for i, outcome in outcomes:
            if i in done:
                continue
            done.add(i)
            failure = outcome.reason if isinstance(outcome, Lost) else outcome.failure
            if failure or isinstance(outcome, Lost):
                failures[names[i]] = failure
                _log.error("%s: block %s failed: %s", stage, names[i], failure)
            else:
                if not outcome.reused:
                    if names[i] in known:
                        _log.warning("%s: block %s was damaged; did it again", stage, names[i])
                    workspace.finish(stage, names[i], outcome.digest)
                reused += outcome.reused
                busy += outcome.seconds
                read += outcome.read_bytes
                written += outcome.written_bytes
                peak = max(peak, outcome.peak_bytes)
            report(stage, len(done), len(blocks))
    if failures:
        raise BlocksFailedError(stage, failures, len(blocks))
    if reused:
        _log.info("%s: %d of %d blocks are reused", stage, reused, len(blocks))
    if tell is not None:
        tell(stage, {
            "blocks": len(blocks), "voxels": sum(math.prod(b.shape) for b in blocks),
            "reused": reused, "seconds": time.perf_counter() - begin,
            "busy_seconds": busy, "read_bytes": read, "written_bytes": written,
            "peak_process_bytes": peak,
        })  # fmt: skip
    return pass_.merge(_read_partials(partials, blocks))


def _read_partials(partials: Path, blocks: Iterable[Block]) -> Iterator[Any]:
    """Partial results in canonical order, one at a time."""
    for block in blocks:
        try:
            yield unpack(_partial_file(str(partials), block).read_bytes())
        except FileNotFoundError:
            yield None


def _name(block: Block) -> str:
    return "-".join(map(str, block.index))


class Run:
    """One analysis in work; see :func:`start_run`.

    Attributes
    ----------
    grid
        The blocks of all its sweeps.
    plan
        What it will cost.
    """

    def __init__(
        self, workspace: Workspace, executor: Executor, plan: Plan, report: Report
    ) -> None:
        self.plan = plan
        self.grid = BlockGrid(plan.volume, plan.block)
        self._workspace = workspace
        self._executor = executor
        self._report = report
        self._stages: dict[str, dict[str, Any]] = {}
        self._begun = datetime.datetime.now(datetime.UTC)
        self._clock = time.perf_counter()

    def sweep(self, stage: str, pass_: Pass[Any, Result]) -> Result:
        """Run a pass over all blocks, but for those that are on the disk already."""
        return run_pass(
            stage, pass_, self.grid, self._executor, self._workspace, self._report, self._tell
        )

    def volume(self, name: str, dtype: type) -> ScratchVolume:
        """An array between two sweeps; its chunks are the blocks, so that each has one writer."""
        return self._workspace.volume(name, dtype, self.grid.volume, self.grid.block)

    def folder(self, name: str) -> Path:
        """A folder for small files between two sweeps."""
        folder = self._workspace.folder / name
        with naming_storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def record(self, **about: Any) -> dict[str, Any]:
        """How the result was made, for ``run.json``: planned and actual."""
        ended = datetime.datetime.now(datetime.UTC)
        return {
            **about,
            "command": sys.argv,
            "fingerprint": self._workspace.fingerprint,
            "code": code_identity(),
            "python": platform.python_version(),
            "machine": {
                "host": socket.gethostname(), "system": platform.platform(),
                "processor": platform.machine(), "cores": psutil.cpu_count(),
                "memory_bytes": psutil.virtual_memory().total,
            },
            "backend": "cpu",
            "begun_utc": self._begun.isoformat(timespec="seconds"),
            "ended_utc": ended.isoformat(timespec="seconds"),
            "planned": self.plan.as_dict(),
            "actual": {
                "seconds": time.perf_counter() - self._clock,
                "peak_process_bytes": max(
                    _peak_bytes(), *(s["peak_process_bytes"] for s in self._stages.values())
                ),
                "read_bytes": sum(s["read_bytes"] for s in self._stages.values()),
                "stages": self._stages,
            },
        }  # fmt: skip

    def _tell(self, stage: str, facts: dict[str, Any]) -> None:
        self._stages[stage] = facts
        rate = facts["voxels"] / max(facts["seconds"], 1e-9) / 1e6
        _log.info(
            "%s: %d blocks in %.2f s, %.3g Mvoxel/s", stage, facts["blocks"], facts["seconds"],
            rate, extra={"facts": {"stage": stage, **facts}},
        )  # fmt: skip


@contextlib.contextmanager
def start_run(
    store: ResultStore,
    analysis: str,
    stages: Mapping[str, Pass[Any, Any]],
    chunk: Shape,
    *,
    identity: Mapping[str, Any],
    execution: Execution,
    overwrite: bool,
    report: Report = silent,
) -> Iterator[tuple[Run, NewResults]]:
    """Begin or continue an analysis; what it makes is published by the caller, at the end.

    Parameters
    ----------
    store
        Where the results will be.
    stages
        Its sweeps by name, as they are known before the run: for the plan.
    chunk
        What is decoded at once in the image, (z, y, x).
    identity
        All that decides the result but for the code: parameters, and the state of the input.

    Raises
    ------
    UsageError
        Another run of this analysis writes to the store, or the memory is too small.
    """
    anchor = store.anchor(analysis)
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(anchor))
        all_of_it = {"analysis": analysis, "code": code_identity(), **identity}
        workspace = Workspace(anchor, all_of_it, restart=execution.restart)
        finished: list[str] = []
        stack.callback(lambda: workspace.close(keep=not finished))
        workers = execution.workers
        processes = workers if execution.processes or execution.cluster else 0
        if execution.scheduler is not None:
            executor = stack.enter_context(open_executor(execution, workspace.folder))
            workers, processes = executor.workers, executor.processes
        plan = _plan(workspace, stages, chunk, execution, workers, processes)
        if execution.scheduler is None:
            limited = replace(execution, workers=plan.workers)
            executor = stack.enter_context(open_executor(limited, workspace.folder))
        _announce(analysis, plan, workspace, anchor)
        if plan.blocks >= _MANY_BLOCKS and not (execution.scheduler or execution.cluster):
            about = seconds_for(plan, stages)
            _log.info("%s: about %.3g s", analysis, about, extra={"headline": True})
        with store.new_results(analysis, overwrite=overwrite, workspace=workspace) as results:
            yield Run(workspace, executor, plan, report), results
        finished.append(analysis)


def _plan(
    workspace: Workspace,
    stages: Mapping[str, Pass[Any, Any]],
    chunk: Shape,
    execution: Execution,
    workers: int,
    processes: int,
) -> Plan:
    """The plan, with the blocks of the run that is continued where these fit."""
    file = workspace.folder / "block.json"
    if file.exists():
        z, y, x = json.loads(file.read_text(encoding="utf-8"))
        if execution.block in (None, (z, y, x)):
            with contextlib.suppress(UsageError):
                before = replace(execution, block=(z, y, x))
                return make_plan(stages, chunk, before, workers, processes)
        _log.warning("%s: other blocks than before; what was finished is dropped", workspace.folder)
        workspace.clear()
    plan = make_plan(stages, chunk, execution, workers, processes)
    with naming_storage(file):
        write_file(file, json.dumps(plan.block).encode())
    return plan


def _announce(analysis: str, plan: Plan, workspace: Workspace, anchor: Path) -> None:
    for line in plan.lines():
        facts = {"analysis": analysis, "plan": plan.as_dict()}
        _log.info("%s: %s", analysis, line, extra={"headline": True, "facts": facts})
    if workspace.reused:
        _log.info(
            "%s: continuing a run that was stopped, after %d finished blocks",
            analysis, workspace.reused, extra={"headline": True},
        )  # fmt: skip
    others = [n for folder, n in unfinished_beside(anchor) if folder != workspace.folder]
    if others:
        _log.info(
            "%s: other unfinished runs (other parameters, input or version) keep %d MB beside it; "
            "'scimage clean' removes them",
            analysis, sum(others) // 10**6, extra={"headline": True},
        )  # fmt: skip
    room = free_bytes(workspace.folder)
    if room < plan.scratch_bytes:
        _log.warning(
            "%s: %d MB of disk are free; uncompressed, the arrays between sweeps take %d MB",
            analysis, room // 10**6, plan.scratch_bytes // 10**6,
        )  # fmt: skip
