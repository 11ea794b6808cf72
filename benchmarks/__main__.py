"""scimage beside its peers, in one table.

    python -m benchmarks [--quick] [--repeat N] [CASE ...]
    python -m benchmarks --docs

A CASE is the beginning of a contest's name, such as ``reading`` or ``detection``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import (
    conversion,
    detection,
    filters,
    harness,
    labelling,
    lesion,
    memory,
    morphology,
    reading,
    report,
    scaling,
    startup,
)

ROOMS = (
    reading, detection, labelling, morphology, filters, lesion, conversion, startup, memory,
    scaling,
)  # fmt: skip
CONTESTS = {contest.name: contest for room in ROOMS for contest in room.CONTESTS}


def main() -> int:
    """Compete and print the table; 1 where a contestant failed or was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all, if none is named")
    parser.add_argument("--quick", action="store_true", help="small inputs, one repetition")
    parser.add_argument("--repeat", type=int, help="repetitions: 3, or 1 with --quick")
    parser.add_argument("--output", type=Path, default=harness.ROOT / ".bench", help="results")
    parser.add_argument("--docs", action="store_true", help="write docs from the last results")
    parser.add_argument("--list", action="store_true", help="list all contests and contestants")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run or asked.prepare:
        return _in_this_process(asked.run, asked.prepare)
    if asked.list:
        for contest in CONTESTS.values():
            names = (
                f"{c.name} ({c.missing})" if c.missing else c.name for c in contest.contestants
            )
            print(f"{contest.name}: {'; '.join(names)}")
        return 0
    if asked.docs:
        rows, about = report.read(asked.output)
        print(*report.write_docs(rows, about, harness.ROOT / "docs"), sep="\n")
        return 0
    chosen = [
        contest
        for name, contest in CONTESTS.items()
        if not asked.cases or any(name.startswith(case) for case in asked.cases)
    ]
    if not chosen:
        parser.error(f"no such case; there are: {'; '.join(CONTESTS)}")
    begin = time.perf_counter()
    size: harness.Size = "quick" if asked.quick else "full"
    repeat = asked.repeat or (1 if asked.quick else 3)
    rows = []
    for contest in chosen:
        rows += harness.compete(contest, size, repeat, lambda text: print(text, file=sys.stderr))
        # After each contest, so that an interruption costs no results.
        report.write(asked.output, rows, report.machine())
    print(report.render(rows))
    print(f"{time.perf_counter() - begin:.0f} s; kept in {asked.output}", file=sys.stderr)
    return 0 if all(row.good or row.speed is None for row in rows) else 1


def _in_this_process(run: list[str] | None, prepared: list[str] | None) -> int:
    if prepared:
        harness.prepare(CONTESTS[prepared[0]], prepared[1])  # type: ignore[arg-type]
        print("{}")
    if run:
        contest = CONTESTS[run[0]]
        contestant = contest.named(run[1])
        harness.hold_to_cores(contestant.cores)
        print(json.dumps(harness.measure(contest, contestant, run[2])))  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
