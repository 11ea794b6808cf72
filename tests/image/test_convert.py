"""Conversion into a sharded OME-Zarr 0.5 image, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scimage.errors import (
    Cancelled,
    FormatError,
    ScimageError,
    SpacingError,
    StorageError,
    TargetExistsError,
    UsageError,
)
from scimage.image import convert, storage


def snapshot(*places: Path) -> dict[str, tuple[bytes, int]]:
    found = [f for p in places for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return {str(f): (f.read_bytes(), f.stat().st_mtime_ns) for f in found}


@pytest.fixture
def tiff(tmp_path: Path, ramp: Any) -> Path:
    """An OME-TIFF of 2 channels with names and a voxel size of 2, 0.5, 0.25 um."""
    path = tmp_path / "cord.ome.tif"
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeZ": 2, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25,
        "Channel": {"Name": ["GFAP", "NeuN"]},
    }  # fmt: skip
    tifffile.imwrite(path, ramp((2, 5, 30, 40)), metadata=metadata, photometric="minisblack")
    return path


def test_a_microscope_file_becomes_an_image_of_the_same_voxels(
    tmp_path: Path, tiff: Path, ramp: Any
) -> None:
    image = convert(tiff, tmp_path / "cord.ome.zarr")
    for c in range(2):
        np.testing.assert_array_equal(image.read(c), ramp((2, 5, 30, 40))[c])
    assert image.metadata.version == "0.5"
    assert image.spacing_um == (2, 0.5, 0.25)
    assert "OME" in image.spacing_origin
    assert [c.name for c in image.channels] == ["GFAP", "NeuN"]
    assert image.name == "cord"


def test_given_spacing_and_names_win_over_the_file(tmp_path: Path, tiff: Path) -> None:
    image = convert(
        str(tiff), str(tmp_path / "i.ome.zarr"), spacing_um=(3, 1, 1), channels=["a", "b"]
    )
    assert image.spacing_um == (3, 1, 1)
    assert image.spacing_origin == "given"
    assert [c.name for c in image.channels] == ["a", "b"]


def test_several_files_become_one_image(tmp_path: Path, ramp: Any) -> None:
    stack = ramp((2, 3, 10, 11))
    files = [tmp_path / f"cord_C{c}.tif" for c in range(2)]
    for file, volume in zip(files, stack, strict=True):
        tifffile.imwrite(file, volume, photometric="minisblack")
    for i, source in enumerate(([str(f) for f in files], str(tmp_path / "cord_C*.tif"))):
        image = convert(source, tmp_path / f"{i}.ome.zarr", spacing_um=(1, 1, 1))
        np.testing.assert_array_equal(np.stack([image.read(c) for c in range(2)]), stack)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_another_ome_zarr_is_rechunked_with_its_frame_and_names(
    tmp_path: Path, foreign: Any, ramp: Any, version: str
) -> None:
    array = ramp((1, 2, 3, 20, 21), ">u2")
    steps = [[
        {"type": "scale", "scale": [1, 1, 2, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 0, 5, 6, 7]},
    ]]  # fmt: skip
    source = foreign(
        tmp_path / "old.zarr", array, "tczyx", version=version, transforms=steps, omero=["1", "0"]
    )
    before = snapshot(source)
    image = convert(source, tmp_path / "new.ome.zarr")
    assert image.metadata.version == "0.5"
    assert image.metadata.axes == "czyx"
    assert image.spacing_um == (2, 0.5, 0.5)
    assert image.levels[0].translation_um == (5, 6, 7)
    assert [(c.name, c.color) for c in image.channels] == [("1", "FF0000"), ("0", "FF0000")]
    for c in range(2):
        np.testing.assert_array_equal(image.read(c), array[0, c])
    assert snapshot(source) == before


def test_a_stopped_conversion_goes_on(tmp_path: Path, tiff: Path, tiny_shards: None) -> None:
    whole = snapshot(Path(convert(tiff, tmp_path / "whole.ome.zarr").path))
    target, seen = tmp_path / "i.ome.zarr", []

    def report(stage: str, done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 7:
            raise Cancelled("x", found="stop", expected="-", remedy="-")

    with pytest.raises(Cancelled):
        convert(tiff, target, report=report)
    assert not target.exists()
    convert(tiff, target, report=report)
    assert seen[6:8] == [7, 8]
    made = {k.replace("/i.ome", "/whole.ome"): v for k, v in snapshot(target).items()}
    root = str(tmp_path / "whole.ome.zarr" / "zarr.json")  # holds the name of the image
    assert made.keys() == whole.keys()
    assert all(made[name][0] == whole[name][0] for name in made if name != root)


@pytest.mark.usefixtures("tiny_shards")
def test_a_changed_source_or_spacing_starts_anew(tmp_path: Path, tiff: Path, ramp: Any) -> None:
    target = tmp_path / "i.ome.zarr"

    def stop(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise Cancelled("x", found="stop", expected="-", remedy="-")

    with pytest.raises(Cancelled):
        convert(tiff, target, report=stop)
    new = ramp((2, 5, 30, 40), seed=9)
    tifffile.imwrite(tiff, new, metadata={"axes": "CZYX"}, photometric="minisblack")
    with pytest.raises(Cancelled):
        convert(tiff, target, spacing_um=(1, 1, 1), report=stop)
    seen: list[int] = []
    image = convert(
        tiff, target, spacing_um=(1, 9, 9), report=lambda _, done, __: seen.append(done)
    )
    assert seen[0] == 1
    np.testing.assert_array_equal(image.read(1), new[1])


@pytest.mark.parametrize(
    "spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf")), (1, 1),
                (1, 1, 1, 1), (1e6, 1, 1), (1, 1e-7, 1)],
)  # fmt: skip
def test_absurd_spacing_is_refused_before_anything_is_read(tmp_path: Path, spacing: Any) -> None:
    with pytest.raises(SpacingError, match=r"--spacing: .*; expected three lengths of 0\.001 to"):
        convert(tmp_path / "missing.tif", tmp_path / "i.ome.zarr", spacing_um=spacing)


@pytest.mark.parametrize("unit", ["pixel", None])
def test_a_source_without_a_usable_voxel_size_is_refused(
    tmp_path: Path, foreign: Any, ramp: Any, unit: str | None
) -> None:
    source = foreign(tmp_path / "o.zarr", ramp((4, 8, 8)), "zyx", units=dict.fromkeys("zyx", unit))
    with pytest.raises(SpacingError, match=r"o\.zarr: no usable voxel size .* --spacing Z,Y,X"):
        convert(source, tmp_path / "i.ome.zarr")
    assert convert(source, tmp_path / "i.ome.zarr", spacing_um=(2, 1, 1)).spacing_um == (2, 1, 1)


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a"], ["a", ""], []])
def test_names_that_do_not_fit_the_channels_are_refused(
    tmp_path: Path, tiff: Path, names: list[str]
) -> None:
    with pytest.raises(UsageError, match=r"--channels: \d names .*; expected 2 different names"):
        convert(tiff, tmp_path / "i.ome.zarr", channels=names)
    assert os.listdir(tmp_path) == ["cord.ome.tif"]


def test_an_existing_target_is_replaced_only_when_asked(tmp_path: Path, tiff: Path) -> None:
    target = tmp_path / "i.ome.zarr"
    convert(tiff, target)
    before = snapshot(target)
    with pytest.raises(TargetExistsError, match=r"i\.ome\.zarr: it exists already"):
        convert(tiff, target)
    assert snapshot(target) == before
    image = convert(tiff, target, spacing_um=(9, 9, 9), overwrite=True)
    assert image.spacing_um == (9, 9, 9)


def test_a_target_that_would_cost_the_source_is_refused(
    tmp_path: Path, tiff: Path, foreign: Any, ramp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign(tmp_path / "study" / "o.zarr", ramp((4, 8, 8)), "zyx")
    inner = foreign(source / "labels" / "x", ramp((4, 8, 8)), "zyx")
    (tmp_path / "link").symlink_to(source)
    before = snapshot(tmp_path)
    cases = [
        (source, source, "the source itself as the target"),
        (source, tmp_path / "link", "the source itself as the target"),
        (source, f"{source}/../o.zarr", "the source itself as the target"),
        (tiff, tiff, "the source itself as the target"),
        ([tiff], tiff, "the source itself as the target"),
        (inner, source, "a target that holds the source"),
        (source, source / "labels" / "y", "a target inside the source"),
    ]
    for given, target, found in cases:
        with pytest.raises(UsageError, match=f"{found}; expected another place"):
            convert(given, target, overwrite=True)
    monkeypatch.chdir(tmp_path)
    for target in (".", "..", "study"):
        with pytest.raises(ScimageError):
            convert(tiff, target, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("number", "found"),
    [(28, "no space left on the disk"), (30, "the folder cannot be written"),
     (13, "the folder cannot be written"), (5, "writing failed")],
)  # fmt: skip
@pytest.mark.parametrize(
    "door",
    [
        "scimage.image.storage.write_pieces",
        "zarr.storage._local._put",
        "pathlib.Path.mkdir",
        "os.open",
    ],
)
def test_a_target_that_cannot_be_written_is_named(
    tmp_path: Path, tiff: Path, monkeypatch: pytest.MonkeyPatch, number: int, found: str, door: str
) -> None:
    target = tmp_path / "folder" / "i.ome.zarr"
    before = snapshot(tiff)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(door, fail)
        with pytest.raises(StorageError, match=found) as caught:
            convert(tiff, target)
    assert "i.ome.zarr" in caught.value.subject
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert snapshot(tiff) == before
    assert convert(tiff, target).shape == (2, 5, 30, 40)


@pytest.mark.usefixtures("tiny_shards")
def test_a_disk_that_fills_up_half_way_leaves_what_can_be_continued(
    tmp_path: Path, tiff: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, write, written = tmp_path / "i.ome.zarr", storage.write_pieces, []

    def fail(path: Path, pieces: Any) -> str:
        written.append(path)
        if len(written) > 40:
            raise OSError(28, "No space left on device")
        return write(path, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_pieces", fail)
        with pytest.raises(StorageError, match="no space left on the disk"):
            convert(tiff, target)
    assert not target.exists()
    seen: list[int] = []
    convert(tiff, target, report=lambda _, done, __: seen.append(done))
    assert seen[0] > 1
    assert sorted(os.listdir(tmp_path)) == ["cord.ome.tif", "i.ome.zarr"]


def test_a_corrupt_source_leaves_nothing_under_the_name(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    source = foreign(tmp_path / "o.zarr", ramp((8, 16, 16)), "zyx")
    (source / "0" / "0.1.1").write_bytes(b"damaged")
    with pytest.raises(FormatError, match=r"o\.zarr/0: unreadable pixels"):
        convert(source, tmp_path / "i.ome.zarr")
    assert not (tmp_path / "i.ome.zarr").exists()


@pytest.mark.parametrize("dtype", ["uint64", "float16"])
def test_voxels_that_have_no_exact_mean_are_refused(
    tmp_path: Path, foreign: Any, dtype: str
) -> None:
    source = foreign(tmp_path / "o.zarr", np.zeros((4, 8, 8), dtype), "zyx")
    with pytest.raises(ScimageError, match=f"voxels of type {dtype}; expected one of uint8"):
        convert(source, tmp_path / "i.ome.zarr")
