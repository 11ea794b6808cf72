"""Opening OME-Zarr images of either version: axes, frames, channels, levels and regions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scimage.errors import ChannelError, FormatError, SpacingError, UsageError
from scimage.image import open_image

AXES = ("yx", "zyx", "cyx", "czyx", "tyx", "tzyx", "tcyx", "tczyx")


def scale(*values: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def translation(*values: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", AXES)
def test_any_axes_are_seen_as_czyx(
    tmp_path: Path, foreign: Any, ramp: Any, axes: str, version: str
) -> None:
    sizes = {"t": 1, "c": 2, "z": 5, "y": 11, "x": 13}
    array = ramp([sizes[a] for a in axes])
    image = open_image(foreign(tmp_path / "i.zarr", array, axes, version=version))
    shape = tuple(sizes[a] if a in axes else 1 for a in "czyx")
    assert image.metadata.version == version
    assert image.shape == shape
    for channel, expected in enumerate(array.reshape(shape)):
        np.testing.assert_array_equal(image.read(channel), expected)
        region = (slice(0, 1), slice(3, 9), slice(7, 13))
        np.testing.assert_array_equal(image.read(channel, region), expected[region])


def test_several_time_points_are_refused(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    path = foreign(tmp_path / "i.zarr", ramp((3, 4, 5, 6)), "tzyx")
    with pytest.raises(FormatError, match=r"i\.zarr: 3 time points; expected a single one"):
        open_image(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_spacing_composes_dataset_and_common_transforms_in_any_unit(
    tmp_path: Path, foreign: Any, ramp: Any, version: str
) -> None:
    path = foreign(
        tmp_path / "i.zarr",
        [ramp((4, 8, 8)), ramp((4, 4, 4))],
        "zyx",
        version=version,
        units={"z": "millimeter", "y": "nanometer", "x": "micrometer"},
        transforms=[
            [scale(0.5, 2, 3), translation(1, 10, 100)],
            [scale(0.5, 4, 6), translation(1, 11, 101.5)],
        ],
        common=[scale(0.01, 100, 0.1), translation(0, 1000, 1)],
    )
    image = open_image(path)
    assert image.spacing_um == pytest.approx((5, 0.2, 0.3))
    assert image.levels[0].translation_um == pytest.approx((10, 2.0, 11))
    assert image.levels[1].spacing_um == pytest.approx((5, 0.4, 0.6))
    assert image.levels[1].translation_um == pytest.approx((10, 2.1, 11.15))


@pytest.mark.parametrize(
    ("axes", "units", "reason"),
    [
        ("zyx", {"z": "pixel"}, "axis z has no unit of length"),
        ("zyx", {"y": None, "x": None}, "axis y, x has no unit of length"),
        ("yx", {}, "the image has no z axis"),
    ],
)
def test_unknown_spacing_is_an_error_that_says_how_to_give_it(
    tmp_path: Path, foreign: Any, ramp: Any, axes: str, units: dict[str, Any], reason: str
) -> None:
    array = ramp((4, 8, 8)[-len(axes) :])
    image = open_image(foreign(tmp_path / "i.zarr", array, axes, units=units))
    assert image.levels[0].spacing_um is None
    assert image.spacing_origin == reason
    with pytest.raises(SpacingError, match=r"scimage convert SOURCE IMAGE --spacing Z,Y,X"):
        _ = image.spacing_um


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-9, 1e9])
def test_absurd_spacing_is_not_believed(
    tmp_path: Path, foreign: Any, ramp: Any, bad: float
) -> None:
    path = foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx", transforms=[[scale(1.0, bad, 1.0)]])
    image = open_image(path)
    with pytest.raises(SpacingError, match=r"no usable voxel size \(y spacing is"):
        _ = image.spacing_um


def test_a_position_without_unit_is_not_taken_for_micrometres(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    path = foreign(
        tmp_path / "i.zarr",
        ramp((4, 8, 8)),
        "zyx",
        units={"z": None},
        transforms=[[scale(1, 1, 1), translation(7, 7, 7)]],
    )
    assert open_image(path).levels[0].translation_um == (0, 7, 7)


def test_channels_are_found_by_name_or_index(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    array = ramp((3, 4, 8, 8))
    image = open_image(foreign(tmp_path / "i.zarr", array, "czyx", omero=["DAPI", "GFAP", "GFAP"]))
    assert [c.name for c in image.channels] == ["DAPI", "GFAP", "GFAP"]
    for asked, index in (("DAPI", 0), ("0", 0), (1, 1), (np.int64(2), 2), ("2", 2)):
        assert image.channel_index(asked) == index
    with pytest.raises(ChannelError, match=r"several channels 'GFAP'; expected one of DAPI \(0\)"):
        image.read("GFAP")
    for missing in ("gfap", "3", 3, -1):
        with pytest.raises(ChannelError, match=f"no channel '{missing}'"):
            image.read(missing)


def test_a_channel_called_by_a_number_is_found_by_its_name_and_by_its_index(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    array = ramp((2, 4, 8, 8))
    image = open_image(foreign(tmp_path / "i.zarr", array, "czyx", omero=["1", "0"]))
    assert image.channel_index("1") == 0
    np.testing.assert_array_equal(image.read(1), array[1])


def test_names_that_do_not_fit_the_number_of_channels_are_not_used(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    image = open_image(foreign(tmp_path / "i.zarr", ramp((2, 4, 8, 8)), "czyx", omero=["a"]))
    assert [c.name for c in image.channels] == ["channel_0", "channel_1"]


def test_any_level_is_read(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    levels = [ramp((4, 16, 16)), ramp((4, 8, 8)), ramp((4, 4, 4))]
    image = open_image(foreign(tmp_path / "i.zarr", levels, "zyx"))
    for i, level in enumerate(levels):
        np.testing.assert_array_equal(image.read(0, level=i), level)
    for missing in (-1, 3):
        with pytest.raises(UsageError, match=f"no pyramid level {missing}; expected 0 to 2"):
            image.volume(0, missing)


def test_the_level_for_a_working_resolution_is_the_coarsest_that_is_fine_enough(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    levels = [ramp((4, 16, 16)), ramp((4, 8, 8)), ramp((4, 4, 4))]
    image = open_image(foreign(tmp_path / "i.zarr", levels, "zyx"))
    found = [image.level_near(um).index for um in (0.5, 1, 1.9, 2, 4, 100)]
    assert found == [0, 0, 0, 1, 2, 2]


def test_open_and_negative_slices_are_clipped_and_steps_refused(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    array = ramp((4, 8, 8))
    image = open_image(foreign(tmp_path / "i.zarr", array, "zyx"))
    region = (slice(None), slice(-3, None), slice(5, 99))
    np.testing.assert_array_equal(image.read(0, region), array[region])
    assert image.read(0, (slice(3, 2), slice(0, 8), slice(0, 8))).shape == (0, 8, 8)
    with pytest.raises(UsageError, match="a region with a step"):
        image.read(0, (slice(0, 4, 2), slice(None), slice(None)))
    with pytest.raises(UsageError, match=r"i\.zarr/0: a region of 0:9; expected a part of 0:8"):
        image.volume(0).read((slice(0, 4), slice(0, 9), slice(0, 8)))


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", "<u2", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_byte_and_memory_order_is_read_as_native_c(
    tmp_path: Path, foreign: Any, ramp: Any, dtype: str, order: Any
) -> None:
    array = ramp((4, 9, 10), dtype)
    image = open_image(foreign(tmp_path / "i.zarr", array, "zyx", order=order))
    read = image.read(0)
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    assert image.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_missing_chunks_have_the_fill_value(
    tmp_path: Path, foreign: Any, ramp: Any, version: str
) -> None:
    array = ramp((4, 16, 16))
    path = foreign(
        tmp_path / "i.zarr", array, "zyx", version=version, chunks=(4, 8, 8), fill_value=7
    )
    (path / "0" / ("0.0.1" if version == "0.4" else "c/0/0/1")).unlink()
    expected = array.copy()
    expected[:, :8, 8:] = 7
    np.testing.assert_array_equal(open_image(path).read(0), expected)


def test_a_region_reads_only_the_chunks_that_it_meets(
    tmp_path: Path, foreign: Any, ramp: Any, reads: list[tuple[str, Any]]
) -> None:
    path = foreign(tmp_path / "i.zarr", ramp((2, 16, 16, 16)), "czyx", chunks=(1, 8, 8, 8))
    image = open_image(path)
    reads.clear()
    image.read(1, (slice(0, 8), slice(7, 9), slice(8, 16)))
    assert sorted(key for key, _ in reads) == ["1.0.0.1", "1.0.1.1"]


@pytest.mark.usefixtures("tiny_shards")
def test_a_region_of_a_shard_reads_its_index_and_the_chunks_that_it_meets(
    tmp_path: Path, write: Any, ramp: Any, reads: list[tuple[str, Any]]
) -> None:
    image = open_image(write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32))))
    reads.clear()
    image.read(0, (slice(2, 3), slice(16, 20), slice(1, 9)))
    assert {key for key, _ in reads} == {"c/0/0/1/0"}
    # The index and two chunks.
    assert len(reads) == 3


def test_opening_reads_no_pixels(
    tmp_path: Path, write: Any, ramp: Any, reads: list[tuple[str, Any]]
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)))
    reads.clear()
    assert open_image(path).shape == (1, 8, 32, 32)
    assert reads == []


def test_a_volume_travels_as_a_name(tmp_path: Path, write: Any, ramp: Any) -> None:
    array = ramp((2, 8, 32, 32))
    volume = open_image(write(tmp_path / "i.ome.zarr", array)).volume(1)
    sent = pickle.dumps(volume)
    assert len(sent) < 1000
    everything = (slice(0, 8), slice(0, 32), slice(0, 32))
    np.testing.assert_array_equal(pickle.loads(sent).read(everything), array[1])


def test_reading_does_not_open_the_image_for_writing(
    tmp_path: Path, write: Any, ramp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)))
    modes: list[Any] = []
    original: Callable[..., Any] = zarr.open_array

    def spy(*args: Any, **kwargs: Any) -> Any:
        modes.append(kwargs["mode"])
        return original(*args, **kwargs)

    monkeypatch.setattr(zarr, "open_array", spy)
    open_image(path).read(0)
    assert set(modes) == {"r"}


def test_names_with_marks_of_addresses_are_local_paths(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    array = ramp((1, 4, 8, 8))
    path = write(tmp_path / "a::b #1 äö.ome.zarr", array)
    np.testing.assert_array_equal(open_image(f"{path}/").read(0), array[0])


def test_an_image_replaced_by_another_process_is_not_read_with_old_metadata(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    old, new = ramp((4, 8, 8), seed=1), ramp((4, 8, 8), "uint8", seed=2)
    path = foreign(tmp_path / "i.zarr", old, "zyx")
    image = open_image(path)
    np.testing.assert_array_equal(image.read(0), old)
    path.rename(tmp_path / "gone")
    foreign(path, new, "zyx", version="0.5")
    np.testing.assert_array_equal(open_image(path).read(0), new)
    path.rename(tmp_path / "gone too")
    foreign(path, ramp((4, 7, 7)), "zyx")
    with pytest.raises(FormatError, match="replaced since the image was opened"):
        image.volume(0).read((slice(0, 4), slice(0, 8), slice(0, 8)))
