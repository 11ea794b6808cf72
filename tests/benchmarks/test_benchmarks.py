"""Every contestant of `make bench` gives the right answer, and the table shows all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.__main__ import CONTESTS
from benchmarks.harness import Check, Contest, Contestant, Row, measure, rows_of

from benchmarks import harness, report

ROOT = Path(__file__).parents[2]
# Commands in processes of their own, and the same runs on larger volumes: only on demand.
TESTED = [n for n in CONTESTS if not n.startswith(("start-up", "scaling", "memory"))]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCIMAGE_BENCH_CACHE", str(tmp_path_factory.mktemp("bench")))
        yield


@pytest.mark.parametrize("name", TESTED)
def test_every_contestant_gives_the_right_answer(name, request):
    contest = CONTESTS[name]
    if "delivr" in name:
        request.getfixturevalue("data_dir")
    present = [c for c in contest.contestants if not c.missing]
    told = {c.name: measure(contest, c, "tiny") for c in present}
    assert {n: t["text"] for n, t in told.items() if not t["good"]} == {}
    assert any(c.ours for c in contest.contestants)


def test_the_table_has_a_row_for_every_contestant_also_where_it_is_not_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--output", tmp_path, "histogram and Otsu"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [c.name for c in CONTESTS["histogram and Otsu"].contestants]
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + len(names)
    assert all(name in line for name, line in zip(names, lines[2:], strict=True))
    kept = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [row["contestant"] for row in kept["rows"]] == names
    assert kept["rows"][0]["peak_mb"] is None or kept["rows"][0]["peak_mb"] > 0
    rows, about = report.read(tmp_path)
    assert (tmp_path / "benchmarks.md").read_text() == report.render(rows, markdown=True) + "\n"
    assert about["cores"] >= 1


def contest_of(*contestants: Contestant) -> Contest:
    given = SimpleNamespace(voxels=10)
    return Contest(
        name="sums", given=lambda size: given, check=lambda task, answer: Check("equal", True),
        contestants=contestants,
    )  # fmt: skip


def test_ratios_are_medians_of_ours_over_the_peer_and_shares_are_of_the_limit():
    contest = contest_of(
        Contestant(name="ours", run=id),
        Contestant(name="peer", run=id, package="numpy"),
        Contestant(name="copy", run=id, limit=True),
        Contestant(name="away", run=id, package="no-such-package"),
    )

    def runs(*seconds: float) -> list[dict]:
        told = {"version": "1", "voxels": 10_000_000, "cpu": 2.0, "text": "equal", "good": True}
        return [{**told, "seconds": s, "peak_mb": 100 * s} for s in seconds]

    told = {"ours": runs(1, 2, 9), "peer": runs(8), "copy": runs(1), "away": []}
    missing = {c.name: c.missing for c in contest.contestants}
    ours, peer, copy, away = rows_of(contest, told, missing)
    assert (ours.speed, ours.spread, ours.peak_mb, ours.share, ours.ratio) == (5, 4, 900, 0.5, None)
    assert (peer.ratio, peer.share, ours.cpu) == (4, 0.125, 200)
    assert (copy.ratio, copy.share, copy.role) == (None, None, "limit")
    assert (away.check, away.speed) == ("not installed", None)


def test_a_contestant_that_fails_stays_in_the_table(monkeypatch):
    def child(python: str, *arguments: str):
        if "bad" in arguments:
            return {}, "failed: reason"
        told = {"version": "1", "voxels": 10, "cpu": 0, "text": "equal", "good": True}
        return {**told, "seconds": 1.0, "peak_mb": 1.0}, ""

    monkeypatch.setattr(harness, "_child", child)
    contest = contest_of(Contestant(name="good", run=id), Contestant(name="bad", run=id))
    said: list[str] = []
    good, bad = harness.compete(contest, "quick", 2, said.append)
    assert (good.check, bad.check, bad.good) == ("equal", "failed: reason", False)
    assert sum("good" in line for line in said) == 2


def test_the_page_of_the_documentation_has_tables_and_the_plot(tmp_path):
    rows = [
        Row(
            case=f"scaling, {case}", contestant=str(n), role="ours", seconds=1, speed=n,
            peak_mb=1, good=True,
        )
        for case in ("workers", "volume", "block")
        for n in (1, 2)
    ]  # fmt: skip
    page, plot = report.write_docs(rows, {"cores": 2}, tmp_path)
    text = page.read_text()
    assert "## Scaling" in text
    assert f"../images/{plot.name}" in text
    assert plot.stat().st_size > 1000
