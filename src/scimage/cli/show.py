"""What the command line prints: progress, tables, descriptions."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
def progress(what: str) -> Iterator[Report]:
    """Show progress on the terminal, or a line a stage in a log; Ctrl-C becomes Cancelled."""
    try:
        with _bars() if sys.stderr.isatty() else _lines() as report:
            yield report
    except KeyboardInterrupt:
        raise Cancelled(
            what, found="stopped by the user", expected="nothing was published",
            remedy="Run the same command again to do it.",
        ) from None  # fmt: skip


@contextlib.contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)
            if done == total:
                # A later sweep of the same name gets a bar of its own.
                del tasks[stage]

        yield report


@contextlib.contextmanager
def _lines() -> Iterator[Report]:
    started: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        begun = started.setdefault(stage, time.monotonic())
        if done == total:
            seconds = time.monotonic() - begun
            print(f"{stage}: {total} steps in {seconds:.1f} s", file=sys.stderr, flush=True)
            del started[stage]

    yield report
