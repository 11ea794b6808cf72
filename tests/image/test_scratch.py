"""Scratch arrays: written by blocks, read by any region, gone at the end."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scimage.errors import FormatError, StorageError
from scimage.image import scratch_beside


def test_blocks_are_written_and_any_region_is_read(tmp_path: Path, ramp: Any) -> None:
    array = ramp((5, 9, 9))
    with scratch_beside(tmp_path / "i.ome.zarr", (5, 9, 9), (5, 4, 4)) as scratch:
        volume = pickle.loads(pickle.dumps(scratch.volume("a", np.uint16)))
        region = (slice(1, 5), slice(3, 9), slice(0, 5))
        assert not volume.read(region).any()
        for y in range(0, 9, 4):
            for x in range(0, 9, 4):
                block = (slice(0, 5), slice(y, min(y + 4, 9)), slice(x, min(x + 4, 9)))
                volume.write(block, array[block])
        np.testing.assert_array_equal(volume.read(region), array[region])
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FormatError, match="no Zarr array"):
        volume.read(region)


def test_two_scratch_folders_of_one_image_do_not_meet(tmp_path: Path) -> None:
    store, shape = tmp_path / "i.ome.zarr", (2, 4, 4)
    whole = (slice(0, 2), slice(0, 4), slice(0, 4))
    with scratch_beside(store, shape, shape) as one, scratch_beside(store, shape, shape) as two:
        one.volume("a", np.uint8).write(whole, np.ones(shape, np.uint8))
        assert not two.volume("a", np.uint8).read(whole).any()
    assert list(tmp_path.iterdir()) == []


def test_scratch_goes_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_beside(tmp_path / "i", (2, 4, 4), (2, 4, 4)):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with scratch_beside(tmp_path / "i.ome.zarr", (2, 4, 4), (2, 4, 4)) as scratch:
        volume = scratch.volume("a", np.uint8)
        monkeypatch.setattr("zarr.storage._local._put", full)
        with pytest.raises(StorageError, match=r"i\.ome\.zarr.*: no space left on the disk"):
            volume.write((slice(0, 2), slice(0, 4), slice(0, 4)), np.ones((2, 4, 4), np.uint8))
