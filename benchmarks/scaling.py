"""How the speed of counting cells depends on workers, volume and blocks."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.data import Shape
from benchmarks.detection import count
from benchmarks.harness import Check, Contest, Contestant, Size
from benchmarks.memory import deep
from benchmarks.reading import reading_alone

__all__ = ["CONTESTS"]

_BASE: dict[Size, Shape] = {
    "full": (64, 1024, 1024),
    "quick": (64, 256, 256),
    "tiny": (64, 128, 128),
}
_BLOCKS: tuple[Shape, ...] = (
    (64, 128, 128), (64, 256, 256), (64, 512, 512), (128, 512, 512), (128, 1024, 1024),
)  # fmt: skip


def _given(times: int, size: Size) -> SimpleNamespace:
    return deep(times, _BASE[size])


def _counted(_task: SimpleNamespace, found: Any) -> Check:
    return Check(f"{len(found)} cells", len(found) > 0)


def _count(task: SimpleNamespace, **execution: Any) -> Any:
    return count(task, diameter_um=(7.7, 9.4), **execution)


def _contest(name: str, contestants: tuple[Contestant, ...], times: int = 4) -> Contest:
    return Contest(
        name=f"scaling, {name}", given=partial(_given, times), check=_counted,
        contestants=contestants, repeat=2,
    )  # fmt: skip


CONTESTS = (
    _contest(
        "workers",
        (
            *(
                Contestant(name=f"{n}", run=partial(_count, workers=n), cores=n)
                for n in (1, 2)
            ),
            reading_alone(1),
            reading_alone(2),
        ),
    ),
    _contest(
        "volume",
        tuple(
            Contestant(name=f"{n * 64} planes", run=_count, cores=2, given=partial(_given, n))
            for n in (1, 2, 4, 8, 16)
        ),
    ),
    _contest(
        "block",
        tuple(
            Contestant(
                name=" x ".join(map(str, block)), run=partial(_count, block=block), cores=2
            )
            for block in _BLOCKS
        ),
    ),
)  # fmt: skip
