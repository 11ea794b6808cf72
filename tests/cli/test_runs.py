"""What a run says before, while and after it runs, and what proves its result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scimage.image import NewResults, ResultStore, Workspace

GRAFTS = ("--nuclei", "human_nuclei", "--workers", 1)


@pytest.fixture
def counted(scimage_command, cord: Path) -> Path:
    """An image with counted cells."""
    done = scimage_command("grafts", cord, *GRAFTS)
    assert done.code == 0, done.err
    return cord


def test_a_run_tells_its_cost_before_and_after(scimage_command, cord: Path) -> None:
    done = scimage_command("grafts", cord, *GRAFTS)
    assert "voxels (z y x) in" in done.err
    assert "scratch disk" in done.err
    assert "planned at most" in done.out
    record = ResultStore(cord).run_record("grafts")
    assert record["actual"]["read_bytes"] <= record["planned"]["read_bytes"]
    assert record["actual"]["peak_process_bytes"] > 0
    assert set(record["actual"]["stages"]) == set(record["planned"]["stages"])
    assert record["parameters"]["nuclei"] == "human_nuclei"
    assert record["code"]["scimage"]


@pytest.mark.parametrize(
    "command",
    [("lesion", "--gfap", "GFAP"), ("grafts", "--nuclei", "human_nuclei", "--block", "40,60,60")],
)
def test_a_plan_names_each_sweep_and_the_cost_and_changes_nothing(
    scimage_command, cord: Path, command
) -> None:
    before = sorted(p.name for p in cord.parent.iterdir())
    planned = scimage_command("plan", command[0], cord, *command[1:])
    assert planned.code == 0, planned.err
    assert "detect" in planned.out or "assign" in planned.out
    assert "in all" in planned.out
    assert "about" in planned.out
    assert sorted(p.name for p in cord.parent.iterdir()) == before
    assert ResultStore(cord).table_names() == ()


def test_a_run_of_many_blocks_estimates_its_time_first(scimage_command, cord: Path) -> None:
    done = scimage_command("grafts", cord, *GRAFTS, "--block", "28,40,40")
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if line.startswith("grafts: about ")]
    assert len(told) == 1
    assert float(told[0].split()[2]) > 0


def test_progress_and_messages_are_written_as_json_lines(
    scimage_command, cord: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    assert scimage_command("grafts", cord, *GRAFTS, "--log-json", log).code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    plan = next(line["plan"] for line in lines if "plan" in line)
    ends = [x for x in lines if x["level"] == "progress" and x["done"] == x["total"]]
    assert {x["stage"] for x in ends} == set(plan["stages"])
    assert all("time" in line for line in lines)
    assert any(line.get("stage") == "detect" and "read_bytes" in line for line in lines)


def test_whole_results_are_verified(scimage_command, counted: Path) -> None:
    done = scimage_command("verify", counted)
    assert done.code == 0
    assert "grafts: files and their digests" in " ".join(done.out.split())
    assert "WRONG" not in done.out


def test_a_changed_table_and_a_lost_shard_are_found(scimage_command, counted: Path) -> None:
    table = counted / "tables" / "graft_cells" / "table.parquet"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    next(f for f in (counted / "0" / "c").rglob("*") if f.is_file()).unlink()
    done = scimage_command("verify", counted)
    assert done.code == 1
    told = " ".join(done.out.replace("│", " ").split())
    assert "WRONG: tables/graft_cells/table.parquet" in told
    assert "lost" in told


def test_a_store_without_results_cannot_be_verified(scimage_command, tmp_path: Path) -> None:
    done = scimage_command("verify", tmp_path)
    assert done.code == 1
    assert "there are none with digests" in " ".join(done.out.replace("│", " ").split())


def test_a_lost_shard_ends_the_run_with_code_3_and_publishes_nothing(
    scimage_command, cord: Path
) -> None:
    next(f for f in (cord / "0" / "c").rglob("*") if f.is_file()).unlink()
    done = scimage_command("grafts", cord, *GRAFTS)
    assert done.code == 3
    assert "was lost" in done.err
    assert "nothing was published" in done.err
    assert ResultStore(cord).table_names() == ()


def test_clean_lists_and_removes_what_stopped_runs_left_and_nothing_else(
    scimage_command, counted: Path, tmp_path: Path
) -> None:
    dead = Workspace(counted.with_name(f"{counted.name}.lesion"), {"analysis": "lesion"})
    dead.finish("tissue", "0-0-0", "digest")
    dead.close(keep=True)
    before = sorted(p.name for p in counted.parent.iterdir())
    listed = scimage_command("clean", counted, "--dry-run")
    assert listed.code == 0
    assert "unfinished lesion" in " ".join(listed.out.replace("│", " ").split())
    assert sorted(p.name for p in counted.parent.iterdir()) == before
    unasked = scimage_command("clean", counted)
    assert "nothing was removed" in unasked.out
    assert dead.folder.exists()
    assert scimage_command("clean", counted, "--yes").code == 0
    assert not dead.folder.exists()
    assert ResultStore(counted).table_names() == ("graft_cells",)


def test_a_run_that_memory_held_to_fewer_workers_continues_with_its_blocks(
    scimage_command, cord: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("grafts", cord, "--nuclei", "human_nuclei", "--workers", 2, "--memory", "570MB")
    publish = NewResults.publish

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NewResults, "publish", stop)
    assert scimage_command(*command).code == 130
    monkeypatch.setattr(NewResults, "publish", publish)
    done = scimage_command(*command, "-v")
    assert done.code == 0
    assert "1 at a time" in done.err
    assert "continuing a run that was stopped" in done.err
    assert "dropped" not in done.err


def test_restart_drops_what_a_stopped_run_had_finished(scimage_command, cord: Path) -> None:
    assert scimage_command("grafts", cord, *GRAFTS).code == 0
    copy = cord.with_name("copy.ome.zarr")
    shutil.copytree(cord, copy)
    done = scimage_command("grafts", copy, *GRAFTS, "--overwrite", "--restart")
    assert done.code == 0
    assert "continuing" not in done.err


@pytest.mark.parametrize(
    "options", [("--processes", "--scheduler", "tcp://127.0.0.1:1"), ("--workers", "0")]
)
def test_workers_that_cannot_be_are_refused(scimage_command, cord: Path, options) -> None:
    done = scimage_command("grafts", cord, "--nuclei", "human_nuclei", *options)
    assert done.code == 2
    assert options[0] in done.err
