"""Several files as one image: their order, their channels, and what is not guessed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from scimage.errors import FormatError, UsageError
from scimage.image.sources import open_source


def write(folder, names, shape=(6, 7), dtype=np.uint16, **options):
    """Write files whose voxels all hold their position in the list."""
    folder.mkdir(exist_ok=True)
    for value, name in enumerate(names):
        voxels = np.full(shape, value, dtype)
        tifffile.imwrite(folder / name, voxels, photometric="minisblack", **options)
    return folder


def values(voxels):
    """The value of each plane, by channel."""
    assert (voxels == voxels[:, :, :1, :1]).all()
    return voxels[:, :, 0, 0].tolist()


def test_planes_come_in_natural_order(tmp_path, read_all):
    names = ["plane_10.tif", "plane_9.tif", "plane_11.tif", "plane_8.tif"]
    assert values(read_all(write(tmp_path / "f", names))) == [[3, 1, 0, 2]]


@pytest.mark.parametrize("step", [1, 5])
def test_planes_may_be_numbered_in_steps(tmp_path, read_all, step):
    names = [f"a{step * k}.tif" for k in range(3, 7)]
    assert values(read_all(write(tmp_path / "f", names))) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["x_C00_Z001.tif", "x_C00_Z002.tif", "x_C01_Z001.tif", "x_C01_Z002.tif"], ("C00", "C01")),
        (["z1_ch0.tif", "z2_ch0.tif", "z1_ch1.tif", "z2_ch1.tif"], ("ch0", "ch1")),
        (["b_C1_03.tif", "b_C1_04.tif", "b_C2_03.tif", "b_C2_04.tif"], ("C1", "C2")),
        (
            [f"14-22-21_UltraII_C0{c}_xyz-Table Z000{z}.ome.tif" for c in (0, 1) for z in (0, 1)],
            ("C00", "C01"),
        ),
    ],
)
def test_channel_and_plane_are_read_from_names(tmp_path, read_all, names, labels):
    if "ome" in names[0]:
        names = [name.replace(".ome", "") for name in names]
    folder = write(tmp_path / "f", names)
    assert values(read_all(folder)) == [[0, 1], [2, 3]]
    with open_source(folder) as source:
        assert source.channel_names == labels
        assert source.format == "TIFF planes"


@pytest.mark.parametrize("names", [["C1-a.tif", "C2-a.tif"], ["a_ch0.tif", "a_ch1.tif"]])
def test_one_stack_for_each_channel(tmp_path, read_all, names):
    folder = write(tmp_path / "f", names, shape=(3, 6, 7))
    assert values(read_all(folder)) == [[0, 0, 0], [1, 1, 1]]
    assert values(read_all([folder / names[1], folder / names[0]])) == [[0, 0, 0], [1, 1, 1]]


def test_a_pattern_selects_files(tmp_path, read_all):
    write(tmp_path / "f", ["a_1.tif", "a_2.tif", "b_1.tif"])
    assert values(read_all(str(tmp_path / "f" / "a_*.tif"))) == [[0, 1]]
    assert values(read_all(str(tmp_path / "f" / "b_*.tif"))) == [[2]]


def test_colour_planes_keep_their_channels(tmp_path, noise, read_all):
    voxels = noise((3, 8, 9, 3), "uint8")
    for z, plane in enumerate(voxels):
        tifffile.imwrite(tmp_path / f"p{z}.tif", plane, photometric="rgb", compression="zlib")
    np.testing.assert_array_equal(read_all(tmp_path), np.moveaxis(voxels, 3, 0))


def test_hidden_and_foreign_files_of_a_folder_are_ignored(tmp_path, read_all):
    folder = write(tmp_path / "f", ["p1.tif", "p2.tif"])
    (folder / "._p1.tif").write_bytes(b"mac")
    (folder / "notes.txt").write_text("x")
    assert values(read_all(folder)) == [[0, 1]]


def test_a_folder_of_more_planes_than_may_be_open_is_read(tmp_path, read_all):
    folder = write(tmp_path / "f", [f"p{k}.tif" for k in range(150)])
    assert values(read_all(folder)) == [list(range(150))]


def test_only_the_files_of_the_asked_planes_are_read(tmp_path, bytes_read):
    folder = write(tmp_path / "f", [f"p{k}.tif" for k in range(5)])
    with open_source(folder) as source:
        source.read(0, slice(2, 4), slice(0, 6), slice(0, 7))
        digest = source.digest_inputs()
    assert [path.name for path, _, _ in bytes_read] == ["p2.tif", "p3.tif"]
    assert [name for name, _, _ in digest] == [f"p{k}.tif" for k in range(5)]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((6, 8), np.uint16), ((6, 7), np.uint8), ((2, 6, 7), np.uint16)]
)
def test_the_odd_file_is_named(tmp_path, shape, dtype):
    folder = write(tmp_path / "f", ["p1.tif", "p2.tif", "p3.tif"])
    tifffile.imwrite(folder / "p2.tif", np.zeros(shape, dtype), photometric="minisblack")
    with pytest.raises(FormatError, match=r"p2\.tif: .* as in the other 2 files"):
        open_source(folder)


@pytest.mark.parametrize(
    ("names", "shape", "message"),
    [
        (["p1.tif", "p2.tif", "p4.tif"], (6, 7), "no file for plane 3"),
        (["C0_Z0.tif", "C0_Z1.tif", "C1_Z1.tif"], (6, 7), "no file for plane 0 of C1"),
        (["p1.tif", "p2.tif", "overview.tif"], (6, 7), "overview.tif, a name of another pattern"),
        (["p1.tif", "p01.tif"], (6, 7), "the same plane twice"),
        (["3_1.tif", "4_2.tif", "5_3.tif"], (6, 7), "do not tell channels from planes"),
        (["a1.tif", "a2.tif"], (3, 6, 7), "stacks whose names do not tell"),
        (["a_z1.tif", "a_z2.tif"], (3, 6, 7), "stacks whose names do not tell"),
        (["a_t1.tif", "a_t2.tif"], (6, 7), "several time points"),
        (["a_z1_t1.tif", "a_z2_t2.tif"], (6, 7), "several time points"),
    ],
)
def test_names_that_leave_a_doubt_are_refused(tmp_path, names, shape, message):
    folder = write(tmp_path / "f", names, shape)
    with pytest.raises(FormatError, match=message):
        open_source(folder)


def test_a_common_voxel_size_is_kept_and_a_disputed_one_is_not(tmp_path):
    options = {
        "imagej": True,
        "resolution": (2, 2),
        "metadata": {"axes": "ZYX", "spacing": 3, "unit": "um"},
    }
    folder = write(tmp_path / "f", ["C0.tif", "C1.tif"], (3, 6, 7), **options)
    with open_source(folder) as source:
        assert source.spacing_um == (3.0, 0.5, 0.5)
        assert source.format == "TIFF stacks"
    write(folder, ["C0.tif"], (3, 6, 7), **{**options, "resolution": (4, 4)})
    with open_source(folder) as source:
        assert source.spacing_um is None
        assert source.spacing_origin == "the files state different voxel sizes"


def test_a_file_that_changes_between_open_and_read_is_refused(tmp_path):
    folder = write(tmp_path / "f", [f"p{k}.tif" for k in range(3)])
    with open_source(folder) as source:
        tifffile.imwrite(folder / "p1.tif", np.zeros((9, 9), np.uint16))
        with pytest.raises(FormatError, match="changed while it was read"):
            source.read(0, slice(0, 3), slice(0, 6), slice(0, 7))


def test_nothing_to_open_is_a_usage_error(tmp_path):
    for path in (tmp_path, tmp_path / "none.tif", str(tmp_path / "*.tif"), []):
        with pytest.raises(UsageError, match="Check the path"):
            open_source(path)
