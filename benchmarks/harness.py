"""Contests: who runs, on what, and how it is measured.

Every run is a process of its own: it imports, runs once on a tiny input (which compiles), and is
then timed on the real one. Repetitions are interleaved, so that a slow minute of the machine
meets all contestants alike.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Check", "Contest", "Contestant", "Row", "compete", "measure", "prepare", "rows_of"]

ROOT = Path(__file__).parents[1]
Size = Literal["full", "crop", "quick", "tiny"]
# Longer than any run takes: a contestant that hangs loses, and the others go on.
_PATIENCE_S = 900


@dataclass(frozen=True, slots=True)
class Check:
    """How near an answer is to the right one, in words, and whether that is near enough."""

    text: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to do the task.

    Attributes
    ----------
    run
        Takes what the contest gives, returns the answer; this is what is timed.
    package
        Distribution whose version is shown; without it the contestant is not installed.
    requires
        ``module`` or ``module:name`` that it needs beside.
    cores
        It is held to so many.
    crop
        It is too slow for the whole input, and runs on a part.
    limit
        No rival, but the speed that nobody can exceed.
    once
        It is so slow that it is timed once, however many repetitions were asked for, after a
        rehearsal on the same input: what it compiles depends on that.
    environment
        Folder of a virtual environment of its own.
    given
        Its own input, in place of the contest's.
    """

    name: str
    run: Callable[[Any], Any]
    package: str = "scimage"
    requires: str = ""
    cores: int = 1
    crop: bool = False
    limit: bool = False
    once: bool = False
    environment: str = ""
    given: Callable[[Size], Any] | None = None

    @property
    def ours(self) -> bool:
        return self.package == "scimage" and not self.limit

    @property
    def python(self) -> str:
        if not self.environment:
            return sys.executable
        return str(ROOT / self.environment / "bin" / "python")

    @property
    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        if self.environment:
            return "" if Path(self.python).exists() else "not installed"
        try:
            importlib.metadata.version(self.package)
            module, _, name = self.requires.partition(":")
            if module and not hasattr(importlib.import_module(module), name or "__name__"):
                return "not installed"
        except ImportError:
            return "not installed"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One task for all contestants; the first of ours is the one that peers are compared with.

    Attributes
    ----------
    given
        The input at a size: an object with `voxels`, made once and then kept on the disk.
    check
        Compares (input, answer) with the truth or with an independent answer.
    repeat
        At most so many repetitions.
    """

    name: str
    given: Callable[[Size], Any]
    check: Callable[[Any, Any], Check]
    contestants: Sequence[Contestant]
    repeat: int | None = None

    def task(self, contestant: Contestant, size: Size) -> Any:
        asked: Size = "crop" if contestant.crop and size == "full" else size
        return (contestant.given or self.given)(asked)

    def named(self, name: str) -> Contestant:
        return next(c for c in self.contestants if c.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; numbers are None where a contestant did not run."""

    case: str
    contestant: str
    version: str = ""
    role: str = "peer"
    seconds: float | None = None
    mvoxel: float | None = None
    speed: float | None = None
    spread: float | None = None
    cpu: float | None = None
    peak_mb: float | None = None
    check: str = ""
    good: bool = False
    ratio: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class _Clock:
    wall: float
    cpu: float

    @classmethod
    def now(cls) -> _Clock:
        children = os.times()[2:4]
        return cls(time.perf_counter(), time.process_time() + sum(children))


def prepare(contest: Contest, size: Size) -> None:
    """Make all inputs of a contest, so that no measured process does, and read them once."""
    for contestant in contest.contestants:
        if not contestant.missing:
            contest.task(contestant, "tiny")
            path = getattr(contest.task(contestant, size), "path", None)
            for file in path.rglob("*") if path else ():
                if file.is_file():
                    file.read_bytes()


def measure(contest: Contest, contestant: Contestant, size: Size) -> dict[str, Any]:
    """Run one contestant in this process and tell what it took."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        if size != "tiny":
            contestant.run(contest.task(contestant, size if contestant.once else "tiny"))
        task = contest.task(contestant, size)
        begin = _Clock.now()
        answer = contestant.run(task)
        end = _Clock.now()
        peak = peak_mb()
        check = Check("", True) if contestant.limit else contest.check(task, answer)
    return {
        "version": importlib.metadata.version(contestant.package),
        "voxels": task.voxels,
        "seconds": end.wall - begin.wall,
        "cpu": end.cpu - begin.cpu,
        "peak_mb": peak,
        "text": check.text,
        "good": bool(check.good),
    }


def hold_to_cores(n: int) -> None:
    """Let this process and its children use the last `n` processor cores only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-n:])


def peak_mb() -> float | None:
    """Peak resident memory of this process; None where the system does not tell it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def compete(
    contest: Contest, size: Size, repeat: int, tell: Callable[[str], None]
) -> Iterator[Row]:
    """Run all contestants of a contest, in processes of their own, in turn."""
    runs: dict[str, list[dict[str, Any]]] = {c.name: [] for c in contest.contestants}
    failures = {c.name: c.missing for c in contest.contestants}
    begin = time.perf_counter()
    _, error = _child(sys.executable, "--prepare", contest.name, size)
    if error:
        failures = dict.fromkeys(failures, error)
    tell(f"{contest.name}: inputs in {time.perf_counter() - begin:.1f} s")
    for turn in range(min(repeat, contest.repeat or repeat)):
        for contestant in contest.contestants:
            if failures[contestant.name] or (contestant.once and turn):
                continue
            begin = time.perf_counter()
            told, error = _child(contestant.python, "--run", contest.name, contestant.name, size)
            if error:
                failures[contestant.name] = error
            else:
                runs[contestant.name].append(told)
            took = time.perf_counter() - begin
            outcome = error or f"{told['seconds']:.3f} s"
            tell(f"  {contestant.name}: {outcome} ({took:.1f} s in all)")
    yield from rows_of(contest, runs, failures)


def _child(python: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """What a process of this program told in its last line, or why it told nothing."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"BLOSC_NTHREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [python, "-m", "benchmarks", *arguments], capture_output=True, text=True, check=False,
            timeout=_PATIENCE_S, cwd=ROOT, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, f"stopped after {_PATIENCE_S} s"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {}, f"failed: {lines[-1][:120] if lines else done.returncode}"
    return json.loads(done.stdout.splitlines()[-1]), ""


def rows_of(
    contest: Contest, runs: dict[str, list[dict[str, Any]]], failures: dict[str, str]
) -> Iterable[Row]:
    """Medians, spreads, and the ratios between contestants."""
    speed = {
        name: statistics.median(r["voxels"] / r["seconds"] / 1e6 for r in told)
        for name, told in runs.items()
        if told
    }
    ours = next((speed[c.name] for c in contest.contestants if c.ours and c.name in speed), None)
    limit = max(
        (speed[c.name] for c in contest.contestants if c.limit and c.name in speed), default=None
    )
    for c in contest.contestants:
        role = "limit" if c.limit else "ours" if c.ours else "peer"
        told = runs[c.name]
        if not told:
            yield Row(case=contest.name, contestant=c.name, role=role, check=failures[c.name])
            continue
        seconds = [r["seconds"] for r in told]
        mvoxel = told[0]["voxels"] / 1e6
        yield Row(
            case=contest.name, contestant=c.name, version=told[0]["version"], role=role,
            seconds=statistics.median(seconds), mvoxel=mvoxel, speed=speed[c.name],
            spread=(max(seconds) - min(seconds)) / statistics.median(seconds),
            cpu=statistics.median(r["cpu"] for r in told) / mvoxel * 1e3,
            peak_mb=max((r["peak_mb"] for r in told if r["peak_mb"]), default=None),
            check=failures[c.name] or told[-1]["text"],
            good=all(r["good"] for r in told) and not failures[c.name],
            ratio=ours / speed[c.name] if ours and role == "peer" else None,
            share=speed[c.name] / limit if limit and role != "limit" else None,
        )  # fmt: skip
