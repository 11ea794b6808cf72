"""What the command line prints: progress, tables, descriptions."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import psutil

from scimage.errors import Cancelled
from scimage.progress import Report

__all__ = ["describe", "print_line", "print_rows", "progress"]


def print_line(text: str) -> None:
    """Print one line to standard output."""
    print(text, flush=True)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def describe(content: Mapping[str, Any], indent: str = "") -> None:
    """Print nested plain data, a line each."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            print(f"{indent}{key}:")
            describe(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            print(f"{indent}{key}:")
            for item in value:
                print(f"{indent}  " + "  ".join(f"{k} {_plain(v)}" for k, v in item.items()))
        else:
            print(f"{indent}{key}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (
            " x ".join(_plain(v) for v in value) if _numeric(value) else ", ".join(map(str, value))
        )
    if value is None or value == {}:
        return "none" if value == {} else "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numeric(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(v, (int, float)) for v in values)


@contextlib.contextmanager
def progress(what: str, *, verbose: bool = False, log_json: Path | None = None) -> Iterator[Report]:
    """Show progress and messages on the terminal, or in lines in a log; Ctrl-C becomes Cancelled.

    Parameters
    ----------
    what
        What is worked on, for the message of a stop.
    verbose
        Show all messages, not only warnings and what a run will cost.
    log_json
        Also write each step and each message to this file, a JSON object a line.
    """
    log = logging.getLogger("scimage")
    shown = _Bars() if sys.stderr.isatty() else _Lines()
    handlers: list[_Handler] = [_Handler(shown.say, verbose)]
    with contextlib.ExitStack() as stack:
        reports = [shown.report]
        if log_json is not None:
            lines = _JsonLines(stack.enter_context(log_json.open("a", encoding="utf-8")))
            handlers.append(_Handler(lines.say, verbose=True))
            reports.append(lines.report)
        stack.enter_context(_listening(log, handlers, logging.DEBUG if verbose else logging.INFO))
        stack.enter_context(shown)

        def report(stage: str, done: int, total: int) -> None:
            for tell in reports:
                tell(stage, done, total)

        try:
            yield report
        except KeyboardInterrupt:
            raise Cancelled(
                what, found="stopped by the user", expected="nothing was published",
                remedy="Run the same command again: it continues.",
            ) from None  # fmt: skip


@contextlib.contextmanager
def _listening(
    log: logging.Logger, handlers: Sequence[logging.Handler], level: int
) -> Iterator[None]:
    before, level_before = log.handlers, log.level
    log.handlers = [*before, *handlers]
    log.setLevel(level)
    try:
        yield
    finally:
        log.handlers = before
        log.setLevel(level_before)


class _Handler(logging.Handler):
    """Hands log records on: warnings and headlines, or all."""

    def __init__(self, say: Callable[[logging.LogRecord], None], verbose: bool) -> None:
        super().__init__()
        self._say = say
        self._verbose = verbose

    def emit(self, record: logging.LogRecord) -> None:
        headline = getattr(record, "headline", False)
        if self._verbose or headline or record.levelno >= logging.WARNING:
            self._say(record)


def _memory_bytes() -> int:
    """Resident memory of this process and its workers."""
    me = psutil.Process()
    total = int(me.memory_info().rss)
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += int(child.memory_info().rss)
    return total


class _Bars(contextlib.AbstractContextManager["_Bars"]):
    """A bar for each sweep: blocks, Mvoxel/s, time to go, memory."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>14}"), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[memory]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._tasks: dict[str, tuple[Any, float]] = {}
        self._voxels = 0

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, record: logging.LogRecord) -> None:
        plan = getattr(record, "facts", {}).get("plan")
        if plan:
            self._voxels = math.prod(plan["volume"])
        self._bars.console.print(record.getMessage(), markup=False, highlight=False)

    def report(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage not in self._tasks:
            task = self._bars.add_task(stage, total=total, rate="", memory="")
            self._tasks[stage] = task, now
        task, begun = self._tasks[stage]
        rate = self._voxels * done / max(total, 1) / max(now - begun, 1e-3) / 1e6
        self._bars.update(
            task, completed=done, total=total, memory=f"{_memory_bytes() / 1e9:.2f} GB",
            rate=f"{rate:.3g} Mvoxel/s" if rate else "",
        )  # fmt: skip
        if done == total:
            # A later sweep of the same name gets a bar of its own.
            del self._tasks[stage]


class _Lines(contextlib.AbstractContextManager["_Lines"]):
    """A line for each finished sweep, for logs."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def say(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr, flush=True)

    def report(self, stage: str, done: int, total: int) -> None:
        begun = self._begun.setdefault(stage, time.monotonic())
        if done == total:
            seconds = time.monotonic() - begun
            print(f"{stage}: {total} steps in {seconds:.1f} s", file=sys.stderr, flush=True)
            del self._begun[stage]


class _JsonLines:
    """Steps and messages as JSON, a line each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def say(self, record: logging.LogRecord) -> None:
        facts = getattr(record, "facts", {})
        self._write(level=record.levelname.lower(), message=record.getMessage(), **facts)

    def report(self, stage: str, done: int, total: int) -> None:
        self._write(level="progress", stage=stage, done=done, total=total)

    def _write(self, **content: Any) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        print(json.dumps({"time": now, **content}, default=str), file=self._file, flush=True)
