"""Peak memory of whole runs on ever larger images: it should not grow, and keep to the plan."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.data import Spacing, cached, link_repeated, nuclei, scratch
from benchmarks.harness import Check, Contest, Contestant, Size

__all__ = ["CONTESTS", "deep"]

_MEMORY = "900MB"


def deep(times: int, shape: tuple[int, int, int], spacing_um: Spacing | None = None) -> Any:
    """A phantom that is repeated along z by links to its chunks."""
    task = nuclei(shape)
    text = "" if spacing_um is None else f"-{spacing_um[0]:g}um"
    target = partial(link_repeated, task.path, times=times, spacing_um=spacing_um)
    return SimpleNamespace(
        path=cached(f"{task.name}-{times}-times{text}", target), voxels=times * task.voxels
    )


def _given(times: int, spacing_um: Spacing | None, size: Size) -> SimpleNamespace:
    shapes = {"full": (128, 1024, 1024), "quick": (64, 256, 256)}
    return deep(
        times if size == "full" else min(times, 3), shapes.get(size, (64, 128, 128)), spacing_um
    )


def _grafts(task: SimpleNamespace) -> Path:
    import scimage

    output = scratch("results.zarr")
    scimage.count_grafts(
        scimage.open_image(task.path), scimage.GraftParameters(nuclei="0"),
        output=output, execution=scimage.Execution(workers=2, memory=_MEMORY),
    )  # fmt: skip
    return output / "provenance" / "grafts" / "run.json"


def _lesion(task: SimpleNamespace) -> Path:
    import scimage

    output = scratch("results.zarr")
    scimage.segment_lesion(
        scimage.open_image(task.path),
        scimage.LesionParameters(gfap="0", working_um=10, border_width_um=100),
        output=output, execution=scimage.Execution(workers=2, memory=_MEMORY),
    )  # fmt: skip
    return output / "provenance" / "lesion" / "run.json"


def _within_plan(_task: SimpleNamespace, record: Path) -> Check:
    told = json.loads(record.read_text())
    peak, planned = told["actual"]["peak_process_bytes"], told["planned"]["memory_bytes"]
    return Check(f"{peak / planned:.2f} of plan", peak <= planned)


def _contest(name: str, run: Any, spacing_um: Spacing | None, times: tuple[int, ...]) -> Contest:
    return Contest(
        name=f"memory, {name}",
        given=partial(_given, 1, spacing_um),
        check=_within_plan,
        repeat=1,
        contestants=tuple(
            Contestant(
                name=f"{n} times the volume", run=run, cores=2, given=partial(_given, n, spacing_um)
            )
            for n in times
        ),
    )


CONTESTS = (
    # 0.13 to 4 Gvoxel.
    _contest("grafts", _grafts, None, (1, 4, 30)),
    _contest("lesion", _lesion, (10.0, 10.0, 10.0), (1, 8)),
)
