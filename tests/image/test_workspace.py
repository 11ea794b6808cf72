"""Workspaces: what is unfinished, what of it is finished, and the arrays between two sweeps."""

from __future__ import annotations

import json
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scimage.errors import FormatError, StorageError
from scimage.image import Workspace, unfinished_beside

WHOLE = (slice(0, 2), slice(0, 4), slice(0, 4))
SHAPE = (2, 4, 4)


def test_blocks_are_written_and_any_region_is_read(tmp_path: Path, ramp: Any) -> None:
    array = ramp((5, 9, 9))
    workspace = Workspace(tmp_path / "i.ome.zarr", {})
    made = workspace.volume("a", np.uint16, (5, 9, 9), (5, 4, 4))
    volume = pickle.loads(pickle.dumps(made))
    assert (volume.shape, volume.dtype) == ((5, 9, 9), "uint16")
    region = (slice(1, 5), slice(3, 9), slice(0, 5))
    digests = set()
    for y in range(0, 9, 4):
        for x in range(0, 9, 4):
            block = (slice(0, 5), slice(y, min(y + 4, 9)), slice(x, min(x + 4, 9)))
            assert volume.digest(block) == ""
            volume.write(block, array[block])
            digests.add(volume.digest(block))
    assert len(digests) == 9
    np.testing.assert_array_equal(volume.read(region), array[region])
    assert len(list(tmp_path.iterdir())) == 1
    workspace.close(keep=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FormatError, match="no Zarr array"):
        volume.read(region)


def test_a_block_larger_than_the_volume_is_the_volume(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "i", {})
    volume = workspace.volume("a", np.uint8, SHAPE, (16, 16, 16))
    volume.write(WHOLE, np.ones(SHAPE, np.uint8))
    assert volume.read(WHOLE).all()
    workspace.close(keep=False)


def test_a_chunk_that_was_lost_is_an_error_and_not_background(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "i", {})
    volume = workspace.volume("a", np.uint8, SHAPE, (2, 2, 4))
    for y in (slice(0, 2), slice(2, 4)):
        volume.write((slice(0, 2), y, slice(0, 4)), np.zeros((2, 2, 4), np.uint8))
    assert not volume.read(WHOLE).any()
    (workspace.folder / "a" / "c" / "0" / "1" / "0").unlink()
    assert volume.digest((slice(0, 2), slice(2, 4), slice(0, 4))) == ""
    with pytest.raises(FormatError, match="was lost"):
        volume.read(WHOLE)
    workspace.close(keep=False)


def test_a_digest_tells_content_apart(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "i", {})
    volume = workspace.volume("a", np.uint8, SHAPE, SHAPE)
    seen = []
    for value in (1, 2, 1):
        volume.write(WHOLE, np.full(SHAPE, value, np.uint8))
        seen.append(volume.digest(WHOLE))
    assert seen[0] == seen[2] != seen[1]
    workspace.close(keep=False)


def test_work_of_two_identities_does_not_meet(tmp_path: Path) -> None:
    one, two = Workspace(tmp_path / "i", {"a": 1}), Workspace(tmp_path / "i", {"a": 2})
    one.volume("a", np.uint8, SHAPE, SHAPE).write(WHOLE, np.ones(SHAPE, np.uint8))
    one.finish("stage", "0", "digest")
    assert two.volume("a", np.uint8, SHAPE, SHAPE).digest(WHOLE) == ""
    assert two.finished("stage") == {}
    folders = [folder for folder, _ in unfinished_beside(tmp_path / "i")]
    assert set(folders) == {one.folder, two.folder}
    identities = [json.loads((folder / "identity.json").read_text()) for folder in folders]
    assert sorted(identity["a"] for identity in identities) == [1, 2]
    one.close(keep=False)
    two.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_finished_steps_are_kept_for_the_next_run(tmp_path: Path) -> None:
    first = Workspace(tmp_path / "i", {"b": 2, "a": [1, "x"]})
    first.finish("one", "0-0-0", "abc")
    first.finish("one", "0-0-0", "def")
    first.finish("other", "0-0-0", "ghi")
    first.close(keep=True)
    second = Workspace(tmp_path / "i", {"a": [1, "x"], "b": 2})
    assert second.reused == 2
    assert second.finished("one") == {"0-0-0": "def"}
    assert second.finished("other") == {"0-0-0": "ghi"}
    assert second.finished("third") == {}
    second.clear()
    assert second.finished("one") == {}
    assert second.reused == 0
    second.close(keep=False)


def test_a_restart_drops_what_was_finished(tmp_path: Path) -> None:
    first = Workspace(tmp_path / "i", {})
    first.finish("one", "0-0-0", "abc")
    (first.folder / "file").touch()
    first.close(keep=True)
    second = Workspace(tmp_path / "i", {}, restart=True)
    assert (second.reused, second.finished("one")) == (0, {})
    assert not (second.folder / "file").exists()
    second.close(keep=False)


def test_nothing_is_kept_of_work_of_which_nothing_is_finished(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "i", {})
    workspace.volume("a", np.uint8, SHAPE, SHAPE)
    workspace.close(keep=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database" * 99, None])
def test_a_damaged_ledger_drops_all_that_it_was_about(tmp_path: Path, content: Any) -> None:
    first = Workspace(tmp_path / "i", {})
    first.finish("one", "0-0-0", "abc")
    first.close(keep=True)
    ledger = first.folder / "ledger.sqlite"
    if content is None:
        with sqlite3.connect(ledger) as tables:
            tables.execute("DROP TABLE steps")
        tables.close()
    else:
        ledger.write_bytes(content)
    second = Workspace(tmp_path / "i", {})
    assert second.finished("one") == {}
    second.finish("one", "0-0-0", "abc")
    assert second.finished("one") == {"0-0-0": "abc"}
    second.close(keep=False)


def test_a_ledger_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "i", {})
    workspace._ledger.execute("PRAGMA max_page_count = 3")
    workspace.finish("stage", "0", "digest")
    with pytest.raises(StorageError, match=r"the ledger cannot be written .* it continues"):
        workspace.finish("stage", "1", "digest" * 9999)
    assert workspace.finished("stage") == {"0": "digest"}
    workspace.close(keep=False)


def test_a_place_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    workspace = Workspace(tmp_path / "i.ome.zarr", {})
    volume = workspace.volume("a", np.uint8, SHAPE, SHAPE)
    with monkeypatch.context() as patch:
        patch.setattr("scimage.image.storage.write_pieces", full)
        with pytest.raises(StorageError, match=r"i\.ome\.zarr.*: no space left on the disk"):
            volume.write(WHOLE, np.ones(SHAPE, np.uint8))
    workspace.close(keep=False)
