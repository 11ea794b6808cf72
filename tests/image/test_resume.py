"""A stopped run goes on where it was, and two runs do not mix."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scimage.errors import Cancelled, UsageError
from scimage.image import open_image
from scimage.image.staging import exclusive

pytestmark = pytest.mark.usefixtures("tiny_shards")


def unfinished(folder: Path) -> Path:
    """The only workspace in a folder."""
    [found] = folder.glob(".i.ome.zarr.*.partial")
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def stop_after(steps: int) -> Any:
    def report(stage: str, done: int, total: int) -> None:
        if done >= steps:
            raise Cancelled("run", found="a stop", expected="none", remedy="Start it again.")

    return report


@pytest.mark.parametrize("steps", [1, 9, 18, 23, 30])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, write: Any, ramp: Any, pixels_of: Any, steps: int
) -> None:
    array = ramp((2, 8, 33, 33))
    whole = files(write(tmp_path / "whole.ome.zarr", array))
    target = tmp_path / "i.ome.zarr"
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(steps))
    assert not target.exists()
    seen: list[tuple[int, int]] = []
    source = pixels_of(array)
    write(target, array, source=source, report=lambda _, done, total: seen.append((done, total)))
    assert write.reused == steps
    assert seen == [(i, 30) for i in range(steps + 1, 31)]
    assert (source.reads == 0) == (steps >= 18)
    assert files(target) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.ome.zarr", "whole.ome.zarr"]


def test_a_shard_is_on_the_disk_before_the_ledger_says_so(
    tmp_path: Path, write: Any, ramp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, recorded = tmp_path / "i.ome.zarr", {}

    def fsync(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if "image" in path.parts and "c" in path.parts and path.is_file():
            with sqlite3.connect(unfinished(tmp_path) / "ledger.sqlite") as ledger:
                steps = ledger.execute("SELECT count(*) FROM steps").fetchone()[0]
            # It gets its name when the disk has it.
            shard = path.relative_to(unfinished(tmp_path) / "image")
            recorded[str(shard).split(".", maxsplit=1)[0]] = steps

    monkeypatch.setattr(os, "fsync", fsync)
    write(target, ramp((1, 8, 16, 32)), workers=1)
    shards = [str(f.relative_to(target)) for f in target.glob("*/c/0/0/0/*")]
    assert sorted(recorded) == sorted(shards)
    order = ["0/c/0/0/0/0", "0/c/0/0/0/1"]
    assert [recorded[shard] <= i for i, shard in enumerate(order)] == [True, True]


def test_finished_shards_are_not_written_again(tmp_path: Path, write: Any, ramp: Any) -> None:
    array = ramp((1, 8, 33, 33))
    target = tmp_path / "i.ome.zarr"
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(4), workers=1)
    first = next((unfinished(tmp_path) / "image" / "0" / "c").rglob("0/0/0/0"))
    before = first.stat()
    write(target, array)
    after = (target / "0" / "c" / "0" / "0" / "0" / "0").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "another"},
        {"spacing_um": (1.0, 1.0, 1.0)},
        {"dtype": np.dtype("int32")},
    ],
)
def test_a_stopped_run_of_another_identity_is_left_alone(
    tmp_path: Path, write: Any, ramp: Any, change: dict[str, Any]
) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 20, 33, 33), "uint8")
    with pytest.raises(Cancelled):
        write(target, array + np.uint8(1), report=stop_after(5))
    before = files(unfinished(tmp_path))
    write(target, array, **change)
    assert write.reused == 0
    assert {p.name for p in tmp_path.iterdir()} == {"i.ome.zarr", unfinished(tmp_path).name}
    assert files(unfinished(tmp_path)) == before
    whole = files(target)
    shutil.rmtree(target)
    shutil.rmtree(unfinished(tmp_path))
    assert whole == files(write(target, array, **change))


def test_work_that_was_left_alone_is_continued_by_its_own_command(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 20, 33, 33), "uint8")
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(5))
    write(target, array[..., ::-1], identity="another")
    write(target, array, overwrite=True)
    assert write.reused == 5
    np.testing.assert_array_equal(open_image(target).read(0), array[0])
    assert os.listdir(tmp_path) == ["i.ome.zarr"]


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garble(file: Path) -> None:
    file.write_bytes(b"\xff{" * 500)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["identity.json", "ledger.sqlite"])
@pytest.mark.parametrize("damage", [halve, empty, garble, Path.unlink])
def test_damaged_books_mean_starting_anew(
    tmp_path: Path, write: Any, ramp: Any, name: str, damage: Any
) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 8, 33, 33))
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(5))
    damage(unfinished(tmp_path) / name)
    write(target, array)
    assert write.reused == 0
    np.testing.assert_array_equal(open_image(target).read(0), array[0])
    assert os.listdir(tmp_path) == ["i.ome.zarr"]


@pytest.mark.parametrize("place", ["image/0", "image/1", "write scratch/1"])
@pytest.mark.parametrize("damage", [halve, empty, flip, Path.unlink])
def test_a_finished_shard_that_is_damaged_is_found_and_written_again(
    tmp_path: Path, write: Any, ramp: Any, caplog: pytest.LogCaptureFixture, damage: Any, place: str
) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 8, 33, 33))
    whole = files(write(tmp_path / "whole.ome.zarr", array))
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(14), workers=1)
    shards = sorted(f for f in (unfinished(tmp_path) / place / "c").rglob("*") if f.is_file())
    damage(shards[1])
    caplog.clear()
    write(target, array)
    assert files(target) == whole
    assert "1 finished shards were damaged; doing them again" in caplog.text


def test_what_a_killed_write_leaves_is_not_published(tmp_path: Path, write: Any, ramp: Any) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 8, 33, 33))
    with pytest.raises(Cancelled):
        write(target, array, report=stop_after(5))
    image = unfinished(tmp_path) / "image"
    (image / "0" / "c" / "0" / "0" / "0" / "0.5f3c.partial").write_bytes(b"half a shard")
    write(target, array)
    assert [f for f in files(target) if f.endswith(".partial")] == []


def test_a_killed_process_is_continued(tmp_path: Path, ramp: Any, write: Any) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        import numpy as np
        from scimage.image import NewImage, pyramid, write_image
        from scimage.image.metadata import named_channels
        pyramid._CHUNK_SIDE, pyramid._CHUNK_VOXELS = 8, 8**3
        pyramid._SHARD_VOXELS, pyramid._SMALLEST_LEVEL = 8 * 16**2, 8
        array = np.load(sys.argv[1])
        class Pixels:
            def read(self, channel, z, y, x):
                return array[channel, z, y, x]
        def report(stage, done, total):
            if done == 5:
                os.kill(os.getpid(), 9)
        new = NewImage(array.shape, array.dtype, (4.0, 1.0, 1.0), "test", named_channels(["a"]))
        write_image(Path(sys.argv[2]), new, Pixels(), {"test": "one"}, report=report)
        """
    )
    target, array = tmp_path / "i.ome.zarr", ramp((1, 8, 33, 33))
    np.save(tmp_path / "array.npy", array)
    command = [sys.executable, "-c", script, str(tmp_path / "array.npy"), str(target)]
    assert subprocess.run(command, check=False).returncode == -9
    assert not target.exists()
    write(target, array)
    assert write.reused == 5
    np.testing.assert_array_equal(open_image(target).read(0), array[0])


def test_a_second_run_of_the_same_target_is_refused_while_the_first_writes(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    target, array = tmp_path / "i.ome.zarr", ramp((1, 8, 33, 33))
    refused = []

    def report(stage: str, done: int, total: int) -> None:
        if done == 3:
            with pytest.raises(UsageError, match="another run is writing it") as caught:
                write(target, array, identity="another")
            refused.append(caught.value)

    write(target, array, report=report)
    assert len(refused) == 1
    np.testing.assert_array_equal(open_image(target).read(0), array[0])


def test_a_waiting_writer_gets_its_turn(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(tmp_path / "x", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(tmp_path / "x"):
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_a_killed_run_left_does_no_harm(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    (tmp_path / ".i.ome.zarr.lock").touch()
    assert write(tmp_path / "i.ome.zarr", ramp((1, 8, 8, 8))).exists()
    assert os.listdir(tmp_path) == ["i.ome.zarr"]


def test_the_old_image_survives_a_stop_between_the_renames(
    tmp_path: Path, write: Any, ramp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, old, new = tmp_path / "i.ome.zarr", ramp((1, 8, 20, 20)), ramp((1, 8, 9, 9))
    write(target, old)
    rename = Path.rename

    def failing(self: Path, goal: Path) -> Path:
        if self.name == "image":
            raise OSError(5, "Input/output error")
        return rename(self, goal)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="writing failed"):
        write(target, new, overwrite=True)
    np.testing.assert_array_equal(open_image(target).read(0), old[0])
    monkeypatch.undo()
    write(target, new, overwrite=True)
    np.testing.assert_array_equal(open_image(target).read(0), new[0])
