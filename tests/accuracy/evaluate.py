"""Run scimage on everything whose answer is known, and print one table.

    python -m tests.accuracy.evaluate [--quick] [--markdown] [--cache FOLDER] [--data FOLDER]

Exits with 1 when a floor is missed. ``--quick`` leaves out whole cords.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from . import cords, known_volumes, real_cells
from .table import Row, render

__all__ = ["full_rows", "main", "quick_rows"]

_DATA = Path(__file__).parents[3] / "shared" / "data"
_MOUSE_DEMO_SEEDS = (1, 2, 3)


def quick_rows(data: Path, cache: Path) -> Iterator[Row]:
    """Real images, and the injured middle of one synthetic cord."""
    yield from _real_rows(data, cache)
    yield from cords.short_demo(cache)


def full_rows(data: Path, cache: Path) -> Iterator[Row]:
    """Real images, and whole synthetic cords: half an hour on two cores."""
    yield from _real_rows(data, cache)
    for seed in _MOUSE_DEMO_SEEDS:
        yield from cords.preset_rows(cache, "mouse-demo", seed, sensitivity=seed == 1)
    yield from cords.crop_rows(cache, "mouse-confocal", (60, 400, 400))
    yield from cords.crop_rows(cache, "rat-light-sheet-lo", (600, 700, 700))
    yield from cords.preset_rows(cache, "mouse-light-sheet-lo", 1, vehicle=False)


def _real_rows(data: Path, cache: Path) -> Iterator[Row]:
    for make in (*real_cells.ROWS, *known_volumes.ROWS):
        made = make(data, cache)
        yield from [made] if isinstance(made, Row) else made


def main() -> int:
    """Print the table; 1 when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no whole cords")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--cache", type=Path, help="keep converted images and phantoms here")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("SCIMAGE_TEST_DATA", _DATA))
    )
    asked = parser.parse_args()
    if not asked.data.is_dir():
        parser.error(f"no test data in {asked.data}: give --data or set SCIMAGE_TEST_DATA")
    evaluate: Callable[[Path, Path], Iterator[Row]] = quick_rows if asked.quick else full_rows
    with tempfile.TemporaryDirectory(prefix="scimage-accuracy-") as temporary:
        cache = asked.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        rows = []
        for row in evaluate(asked.data, cache):
            print(f"{row.data_set}: {row.compared}: {row.value:.4g} {row.verdict}", file=sys.stderr)
            rows.append(row)
    print(render(rows, markdown=asked.markdown))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
