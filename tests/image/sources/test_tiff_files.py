"""Single TIFF files: which voxels come out, and how much is read for them."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from scimage.errors import FormatError, UsageError
from scimage.image.sources import open_source

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"]

WRITE_OPTIONS = {
    "raw": {},
    "raw big-endian": {"byteorder": ">"},
    "raw strips": {"rowsperstrip": 7},
    "raw tiles": {"tile": (16, 32)},
    "bigtiff": {"bigtiff": True},
    "deflate strips": {"compression": "zlib", "rowsperstrip": 5},
    "deflate tiles": {"compression": "zlib", "tile": (16, 32)},
    "deflate big-endian": {"compression": "zlib", "rowsperstrip": 5, "byteorder": ">"},
    "deflate predictor": {"compression": "zlib", "predictor": True, "rowsperstrip": 9},
    "lzw": {"compression": "lzw", "rowsperstrip": 11},
    "zstd tiles": {"compression": "zstd", "tile": (32, 16)},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
}


def test_importing_the_readers_loads_no_format_library():
    code = (
        "import sys, scimage.image.sources;"
        "print([m for m in ('tifffile', 'nibabel', 'zarr', 'imagecodecs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_voxel_type_is_read_as_stored(tmp_path, noise, read_all, dtype):
    voxels = noise((3, 20, 30), dtype)
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric="minisblack")
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif")[0], voxels)


@pytest.mark.parametrize("options", WRITE_OPTIONS.values(), ids=WRITE_OPTIONS.keys())
def test_any_region_equals_that_of_the_whole_image(tmp_path, noise, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((4, 45, 67)), photometric="minisblack", **options)
    expected = tifffile.imread(path)
    with open_source(path) as source:
        assert source.shape == (1, 4, 45, 67)
        for region in [
            np.s_[0:4, 0:45, 0:67],
            np.s_[1:3, 10:20, 5:60],
            np.s_[3:4, 44:45, 66:67],
            np.s_[0:1, 15:17, 31:33],
            np.s_[2:2, 0:5, 0:5],
        ]:
            found = source.read(0, *region)
            np.testing.assert_array_equal(found, expected[region])
            assert found.dtype == np.uint16
            assert found.dtype.isnative


@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("layout", [{"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [("u1", 2), ("<u2", 1), (">u2", 2), ("<u4", 2), (">f4", 1), ("<f4", 3), ("i2", 2)],
)
def test_lzw_of_any_type_and_predictor_is_decoded(
    tmp_path, noise, read_all, samples, layout, dtype, predictor
):
    path = tmp_path / "a.tif"
    voxels = noise((45, 67, samples), np.dtype(dtype).name)
    tifffile.imwrite(
        path,
        voxels if samples > 1 else voxels[..., 0],
        photometric="rgb" if samples > 1 else "minisblack",
        compression="lzw",
        predictor=predictor,
        byteorder=">" if dtype[0] == ">" else "<",
        **layout,
    )
    np.testing.assert_array_equal(read_all(path)[:, 0], np.moveaxis(voxels, 2, 0))


@pytest.mark.parametrize(
    ("planar", "compression"),
    [
        ("contig", None), ("contig", "zlib"), ("contig", "jpeg"),
        ("separate", None), ("separate", "zlib"),
    ],
)  # fmt: skip
def test_samples_of_rgb_become_channels(tmp_path, noise, read_all, planar, compression):
    path = tmp_path / "rgb.tif"
    shape = (2, 32, 48, 3) if planar == "contig" else (2, 3, 32, 48)
    tifffile.imwrite(
        path,
        noise(shape, "uint8"),
        photometric="rgb",
        planarconfig=planar,
        compression=compression,
        tile=(16, 16),
    )
    expected = tifffile.imread(path)
    expected = np.moveaxis(expected, 3 if planar == "contig" else 1, 0)
    np.testing.assert_array_equal(read_all(path), expected)
    with open_source(path) as source:
        assert source.channel_names == ("red", "green", "blue")
        assert source.channel_colors == ("FF0000", "00FF00", "0000FF")


@pytest.mark.parametrize("order", ["TZCYX", "ZCYX", "CYX", "ZYX", "YX"])
def test_imagej_hyperstacks_are_put_in_the_order_czyx(tmp_path, noise, read_all, order):
    sizes = {"T": 1, "Z": 5, "C": 2, "Y": 12, "X": 14}
    voxels = noise(tuple(sizes[axis] for axis in order))
    tifffile.imwrite(tmp_path / "ij.tif", voxels, imagej=True, metadata={"axes": order})
    full = voxels.reshape([sizes[a] if a in order else 1 for a in "TZCYX"])
    np.testing.assert_array_equal(read_all(tmp_path / "ij.tif"), full[0].swapaxes(0, 1))


def test_imagej_labels_and_lookup_tables_name_and_colour_channels(tmp_path, noise):
    ramp = np.arange(256, dtype=np.uint8)
    tables = [np.stack([ramp, 0 * ramp, 0 * ramp]), np.stack([0 * ramp, ramp, ramp])]
    metadata = {"axes": "ZCYX", "mode": "composite", "LUTs": tables, "Labels": ["DAPI", "GFP"] * 3}
    tifffile.imwrite(tmp_path / "ij.tif", noise((3, 2, 8, 8)), imagej=True, metadata=metadata)
    with open_source(tmp_path / "ij.tif") as source:
        assert source.channel_names == ("DAPI", "GFP")
        assert source.channel_colors == ("FF0000", "00FFFF")


def test_imagej_stack_of_more_than_4_gb_is_read_to_its_last_plane(tmp_path):
    path = tmp_path / "large.tif"
    shape = (5, 2**14, 2**15)
    with pytest.warns(UserWarning, match="truncating ImageJ file"):
        large = tifffile.memmap(
            path, shape=shape, dtype=np.uint16, imagej=True, metadata={"axes": "ZYX"}
        )
    large[4, 16000, 32000:32003] = 7, 8, 9
    del large
    with open_source(path) as source:
        assert source.shape == (1, *shape)
        found = source.read(0, slice(4, 5), slice(16000, 16001), slice(31999, 32004))
    path.unlink()  # sparse, but not on every disk
    assert found.tolist() == [[[0, 7, 8, 9, 0]]]


def test_bits_become_zero_and_one(tmp_path, read_all):
    bits = np.eye(40, 50, dtype=bool)
    tifffile.imwrite(tmp_path / "bits.tif", bits)
    found = read_all(tmp_path / "bits.tif")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, 0], bits)


@pytest.mark.parametrize("dtype", ["float64", "float16", "complex64", "uint64", "int64"])
def test_types_that_would_lose_values_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), dtype))
    with pytest.raises(FormatError, match=f"voxels of type {dtype}.*float32"):
        open_source(tmp_path / "a.tif")


def test_a_time_series_is_refused_with_a_way_out(tmp_path, noise):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, noise((3, 8, 8)), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(FormatError, match=r"time axis of 3 points.*Re-order Hyperstack"):
        open_source(path)


def test_axes_without_a_meaning_are_refused(tmp_path, noise):
    tifffile.imwrite(tmp_path / "a.tif", noise((2, 3, 8, 8)), photometric="minisblack")
    with pytest.raises(FormatError, match="unknown axis"):
        open_source(tmp_path / "a.tif")


def test_images_of_different_size_in_one_file_are_refused(tmp_path, noise):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(noise((8, 8)), metadata=None)
        tif.write(noise((9, 9)), metadata=None)
    with pytest.raises(FormatError, match="2 images of different size"):
        open_source(tmp_path / "a.tif")


def test_pyramid_levels_are_ignored(tmp_path, noise, read_all):
    voxels = noise((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(voxels, subifds=1, tile=(16, 16))
        tif.write(voxels[::2, ::2], subfiletype=1, tile=(16, 16))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif")[0, 0], voxels)


def test_a_mirrored_orientation_is_refused(tmp_path, noise):
    extra = [(274, "H", 1, 2, True)]
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8)), extratags=extra)
    with pytest.raises(FormatError, match=r"orientation 2.*left and right"):
        open_source(tmp_path / "a.tif")


def test_a_palette_of_colours_is_refused_but_a_ramp_is_not(tmp_path, noise, read_all):
    voxels = noise((8, 8), "uint8")
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "ramp.tif", voxels, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(read_all(tmp_path / "ramp.tif")[0, 0], voxels)
    mixed = ramp[:, ::-1].copy()
    mixed[0] = np.roll(mixed[0], 100)
    tifffile.imwrite(tmp_path / "mixed.tif", voxels, photometric="palette", colormap=mixed)
    with pytest.raises(FormatError, match="colour palette"):
        open_source(tmp_path / "mixed.tif")


@pytest.mark.parametrize(
    "region",
    [
        (0, np.s_[0:3], np.s_[0:8], np.s_[0:9]),
        (0, np.s_[-1:2], np.s_[0:8], np.s_[0:8]),
        (0, np.s_[2:1], np.s_[0:8], np.s_[0:8]),
        (0, np.s_[0:2:2], np.s_[0:8], np.s_[0:8]),
        (1, np.s_[0:2], np.s_[0:8], np.s_[0:8]),
        (-1, np.s_[0:2], np.s_[0:8], np.s_[0:8]),
    ],
)
def test_a_region_outside_the_image_is_a_usage_error(tmp_path, noise, region):
    tifffile.imwrite(tmp_path / "a.tif", noise((2, 8, 8)), photometric="minisblack")
    with open_source(tmp_path / "a.tif") as source, pytest.raises(UsageError, match="Ask for"):
        source.read(*region)


def test_only_the_tiles_that_a_region_touches_are_read(tmp_path, noise, bytes_read):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((3, 64, 64)), photometric="minisblack", tile=(16, 16))
    with open_source(path) as source:
        assert source.preferred_chunk == (1, 16, 16)
        source.read(0, slice(1, 2), slice(15, 17), slice(40, 48))
    assert [size for _, _, size in bytes_read] == [512, 512]


def test_a_column_of_a_raw_plane_is_read_without_the_rest_of_its_rows(tmp_path, noise, bytes_read):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((2, 50, 4000)), photometric="minisblack")
    with open_source(path) as source:
        source.read(0, slice(0, 2), slice(0, 50), slice(100, 110))
    assert sum(size for _, _, size in bytes_read) == 2 * 50 * 10 * 2


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_memory_does_not_grow_with_the_number_of_planes(tmp_path, compression):
    peaks = []
    for planes in (8, 80):
        path = tmp_path / f"{planes}.tif"
        tifffile.imwrite(
            path,
            np.zeros((planes, 256, 512), np.uint16),
            photometric="minisblack",
            compression=compression,
            rowsperstrip=64,
        )
        with open_source(path) as source:
            tracemalloc.start()
            for z in range(planes):
                source.read(0, slice(z, z + 1), slice(0, 256), slice(0, 512))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def test_the_digest_changes_with_the_file(tmp_path, noise):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((8, 8)))
    with open_source(path) as source:
        before = source.digest_inputs()
    assert before == [("a.tif", path.stat().st_size, path.stat().st_mtime_ns)]
    tifffile.imwrite(path, noise((9, 8)))
    with open_source(path) as source:
        assert source.digest_inputs() != before


def test_a_source_can_be_read_again_after_close(tmp_path, noise):
    voxels = noise((4, 4))
    tifffile.imwrite(tmp_path / "a.tif", voxels)
    source = open_source(tmp_path / "a.tif")
    source.close()
    np.testing.assert_array_equal(source.read(0, np.s_[:], np.s_[:], np.s_[:])[0], voxels)
    source.close()


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_threads_may_share_a_source(tmp_path, noise, options):
    voxels = noise((40, 32, 32))
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric="minisblack", **options)
    with open_source(tmp_path / "a.tif") as source, ThreadPoolExecutor(4) as pool:
        everything = slice(None)
        planes = pool.map(
            lambda z: source.read(0, slice(z, z + 1), everything, everything), range(40)
        )
        np.testing.assert_array_equal(np.concatenate(list(planes)), voxels)
