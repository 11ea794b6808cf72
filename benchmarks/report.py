"""The table as text and as Markdown, and the plots."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import Row

__all__ = ["machine", "read", "render", "write", "write_docs"]

_HEAD = (
    "case", "contestant", "version", "seconds", "Mvoxel/s", "spread", "CPU s/Gvoxel", "peak MB",
    "check", "ratio", "of limit",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    models = [
        line.split(":", 1)[1].strip()
        for line in _text(Path("/proc/cpuinfo")).splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": models[0] if models else platform.processor(),
        "cores": cores,
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
    }


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def render(rows: Sequence[Row], markdown: bool = False) -> str:
    """The table, aligned, as plain text or Markdown."""
    lines = [_HEAD, *(_cells(row, markdown) for row in rows)]
    width = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    left, between, right = ("| ", " | ", " |") if markdown else ("", "  ", "")
    text = [
        left + between.join(c.ljust(w) for c, w in zip(line, width, strict=True)) + right
        for line in lines
    ]
    rule = "-|-" if markdown else "  "
    text.insert(1, left + rule.join("-" * w for w in width) + right)
    return "\n".join(line.rstrip() for line in text)


def _cells(row: Row, markdown: bool) -> tuple[str, ...]:
    bold = "**" if markdown and row.role == "ours" else ""
    wrong = "" if row.good or row.speed is None else " (wrong)"
    return (
        row.case, f"{bold}{row.contestant}{bold}", row.version, _number(row.seconds),
        _number(row.speed), "" if row.spread is None else f"{100 * row.spread:.0f}%",
        _number(row.cpu), "" if row.peak_mb is None else f"{row.peak_mb:.0f}",
        row.check + wrong, _number(row.ratio),
        "limit" if row.role == "limit" else "" if row.share is None else f"{row.share:.2g}",
    )  # fmt: skip


def _number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(folder: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Keep all results in a folder, as JSON and as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "rows": [asdict(row) for row in rows]}
    (folder / "benchmarks.json").write_text(json.dumps(content, indent=1))
    (folder / "benchmarks.md").write_text(render(rows, markdown=True) + "\n")


def read(folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """What :func:`write` has kept."""
    content = json.loads((folder / "benchmarks.json").read_text())
    return [Row(**row) for row in content["rows"]], content["machine"]


def write_docs(rows: Sequence[Row], about: dict[str, Any], docs: Path) -> list[Path]:
    """Write the page of the documentation and its plots."""
    page = docs / "explanation" / "benchmarks.md"
    plot = docs / "images" / "benchmark_scaling.png"
    page.parent.mkdir(parents=True, exist_ok=True)
    told = "; ".join(f"{name} {value}" for name, value in about.items())
    parts = [_PAGE.format(about=told)]
    if _plot(rows, plot):
        parts.append("![Speed against workers, volume and block](../images/benchmark_scaling.png)")
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.case.split(",")[0].split(" ")[0], []).append(row)
    for group, members in groups.items():
        parts.append(f"## {group.capitalize()}\n\n{render(members, markdown=True)}")
    page.write_text("\n\n".join(parts) + "\n")
    return [page, plot]


_PAGE = """# Benchmarks

Made by `make bench` and `make bench-docs`: {about}.

Every run is a process of its own, warmed up on a small input, and held to the cores that its name
tells (one, where it tells none); repetitions are interleaved. *Mvoxel/s* is the median, *spread*
the distance from the fastest to the slowest run, *peak* resident memory of the whole process.
*Ratio* is the first line of scimage over this peer; peers that are too slow for the whole input
run on a part, and are compared by voxels per second. *Of limit* compares with the speed of the
line marked `limit`, which only reads, copies or decodes. Thresholds of all detectors were tuned
on the truth of a phantom, or for delivr on the images themselves. Absolute figures are those of
this machine; ratios matter."""


def _plot(rows: Sequence[Row], target: Path) -> bool:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cases = ("workers", "volume", "block")
    by_case = {c: [r for r in rows if r.case == f"scaling, {c}" and r.speed] for c in cases}
    if not all(by_case.values()):
        return False
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained", sharey=True)
    for axis, case in zip(axes, cases, strict=True):
        ours = [r for r in by_case[case] if r.role == "ours"]
        limits = [r for r in by_case[case] if r.role == "limit"]
        places = list(range(len(ours)))
        axis.plot(places, [r.speed for r in ours], "o-", color="#0072B2", label="counting cells")
        if limits:
            axis.plot(
                places, [r.speed for r in limits], "s--", color="#999999", label="reading alone"
            )
            axis.legend(frameon=False)
        for place, row in zip(places, ours, strict=True):
            axis.annotate(
                f"{row.peak_mb:.0f} MB", (place, row.speed), xytext=(0, 7),
                textcoords="offset points", ha="center", fontsize=7,
            )  # fmt: skip
        names = [r.contestant.replace(" x ", "\nx ").replace(" p", "\np") for r in ours]
        axis.set_xticks(places, names, fontsize=8)
        axis.set_xlabel(case)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("Mvoxel/s")
    axes[0].set_ylim(bottom=0)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    plt.close(figure)
    return True
