"""Damaged and hostile files: read right or refused in one line, quickly and in little memory."""

from __future__ import annotations

import os
import struct
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile

from scimage.errors import FormatError, ScimageError, UsageError
from scimage.image.sources import open_source

EVERYTHING = (slice(None),) * 3

# Spoilt so far that a reader may say anything but must not show pixels.
SPOILT = ("crash-0c", "crash-0e", "crash-11", "crash-33", "crash-4f", "crash-86", "crash-f4", "oom")


def patched_tag(path, tag, value):
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages[0].tags[tag].overwrite(value)


def read_first(path):
    with open_source(path) as source:
        return source.read(0, *EVERYTHING)


def test_every_file_of_a_fuzzers_collection_is_read_right_or_refused(data_dir):
    image = pytest.importorskip("PIL.Image")
    folder = data_dir / "tiff_edge" / "pillow"
    compared = refused = 0
    for path in sorted(folder.iterdir()):
        try:
            with open_source(path) as source:
                found = [source.read(c, *EVERYTHING)[0] for c in range(source.shape[0])]
        except FormatError as error:
            assert "\n" not in str(error)
            assert path.name in str(error)
            refused += 1
            continue
        assert not path.name.startswith(SPOILT)
        try:
            with image.open(path) as picture:
                pixels = np.asarray(picture)
        except (OSError, SyntaxError):
            continue
        expected = list(np.atleast_3d(pixels).transpose(2, 0, 1))
        assert len(found) == len(expected), path.name
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            inverted, bits, name = int(page.photometric) == 0, page.bitspersample, page.dtype.name
            multiplied = 1 in page.extrasamples
        if multiplied:
            continue  # Pillow divides the colours by the opacity.
        for ours, theirs in zip(found, expected, strict=True):
            values = ours.astype(np.int64) if ours.dtype != np.float32 else ours
            if name == "int8":
                values = values % 256  # Pillow shows the bytes without their sign.
            elif bits == 16 and len(found) > 1:
                values = values >> 8  # Pillow has no colour of 16 bits.
            elif bits in (2, 4):
                values = values * 255 // (2**bits - 1)
            if inverted and bits <= 8:
                values = (1 if bits == 1 else 255) - values
            np.testing.assert_array_equal(values, theirs.astype(values.dtype), err_msg=path.name)
        compared += 1
    assert compared > 35
    assert refused > 20


def test_no_tiff_cut_anywhere_is_read_as_if_it_were_whole(tmp_path, noise):
    for name, options in {
        "raw": {"photometric": "minisblack"},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "deflate": {"photometric": "minisblack", "compression": "zlib"},
        "plain": {"photometric": "minisblack", "metadata": None},
        "ome": {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZYX"}},
    }.items():
        path = tmp_path / f"{name}.tif"
        voxels = noise((6, 16, 16))
        tifffile.imwrite(path, voxels, **options)
        content = path.read_bytes()
        for size in np.linspace(0, len(content) - 1, 60).astype(int):
            path.write_bytes(content[:size])
            try:
                found = read_first(path)
            except ScimageError:
                continue
            # The last bytes of some files are padding.
            np.testing.assert_array_equal(found, voxels, err_msg=f"{name} {size}")


def test_no_flipped_byte_causes_another_error_or_a_large_allocation(tmp_path, noise):
    path = tmp_path / "a.tif"
    voxels = noise((3, 16, 16))
    rng = np.random.default_rng(5)
    tracemalloc.start()
    for options in ({"compression": "zlib"}, {"imagej": True}, {"ome": True}, {}):
        tifffile.imwrite(path, voxels, **{"photometric": "minisblack", **options})
        content = path.read_bytes()
        with tifffile.TiffFile(path) as tif:
            headers = [
                offset for page in tif.pages for offset in range(page.offset, page.offset + 200)
            ]
        for _ in range(150):
            spoilt = bytearray(content)
            for place in rng.choice([*range(16), *headers], 2):
                if place < len(spoilt):
                    spoilt[place] = rng.integers(256)
            path.write_bytes(spoilt)
            try:
                with open_source(path) as source:
                    assert np.prod(source.shape) < 2**27
                    source.read(0, slice(0, 1), slice(0, 1), slice(0, 1))
            except ScimageError as error:
                assert "\n" not in str(error)
    assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_a_size_that_the_file_cannot_hold_is_refused_before_it_is_allocated(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((32, 32), np.uint8), metadata=None, **options)
    patched_tag(path, "ImageWidth", 60000)
    patched_tag(path, "ImageLength", 60000)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"bytes|strips or tiles"):
        open_source(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_embedded_jpeg_larger_than_its_tile_is_never_decoded(tmp_path, noise):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise((16, 16), "uint8"), compression="jpeg", tile=(16, 16), metadata=None
    )
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0", offset)
    content[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="JPEG stream of 60000 x 60000 pixels"):
        read_first(path)


@pytest.mark.parametrize("codec", ["jpeg2k", "webp"])
def test_other_embedded_images_larger_than_their_tile_are_never_decoded(codec):
    from scimage.image.sources._codecs import check_announced_pixels

    pixels = np.zeros((40, 50, 3), np.uint8)
    encoded = {
        "jpeg2k": lambda: (34712, imagecodecs.jpeg2k_encode(pixels)),
        "webp": lambda: (50001, imagecodecs.webp_encode(pixels)),
    }
    compression, data = encoded[codec]()
    check_announced_pixels(compression, data, 40, 50, "a.tif")
    with pytest.raises(FormatError, match="of 40 x 50 pixels"):
        check_announced_pixels(compression, data, 40, 49, "a.tif")


def test_a_compression_that_is_not_on_the_list_is_refused(tmp_path, noise):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((16, 16), "uint8"), compression="png")
    with pytest.raises(FormatError, match="TIFF compression 34933"):
        open_source(path)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "lzma", "jpeg"])
def test_damage_inside_a_strip_is_a_format_error(tmp_path, noise, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((64, 64), "uint8"), compression=compression, metadata=None)
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\x55" * count
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.tif"):
        read_first(path)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib", "lzma", "zstd"])
def test_no_damaged_stream_kills_the_process(tmp_path, noise, compression):
    # imagecodecs' LZW decoder did, on a few in ten thousand; see _lzw.py.
    path = tmp_path / "a.tif"
    smooth = np.cumsum(noise((64, 256), "uint8") % 3, axis=1).astype(np.uint8)
    tifffile.imwrite(path, smooth, compression=compression, predictor=False, metadata=None)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    rng = np.random.default_rng(7)
    for _ in range(150):
        spoilt = bytearray(content)
        for place in rng.integers(start, start + count, rng.integers(1, 8)):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            read_first(path)
        except FormatError as error:
            assert "a.tif" in str(error)


def test_an_xml_of_another_maker_is_not_parsed(tmp_path, noise):
    path = tmp_path / "a.tif"
    description = '<!DOCTYPE x [<!ENTITY a "b">]><scn>&a;</scn>'
    tifffile.imwrite(path, noise((8, 8)), description=description, metadata=None)
    with pytest.raises(FormatError, match="kind SCN"):
        open_source(path)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"ZISRAWFILE", "CZI .*not read yet.*OME-TIFF"),
        (b"\xda\xce\xbe\x0a", "ND2 .*not read yet"),
        (b"\x70\0\0\0\x10", "LIF .*not read yet"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 .*not read yet"),
        (b"\x89PNG\r\n", "PNG .*not read yet"),
        (b"", "an empty file"),
        (b"hello", "starts with"),
        (b"II*\0\xff\xff\xff\xff", "a file of 8 bytes"),
        (b"II*\0\0\0\0\0", "damaged"),
        (b"II*\0", "damaged"),
    ],
)
def test_other_formats_and_stumps_are_named(tmp_path, start, message):
    path = tmp_path / "a.tif"
    path.write_bytes(start)
    with pytest.raises(FormatError, match=message):
        open_source(path)


def test_an_ome_zarr_folder_is_sent_elsewhere(tmp_path):
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(FormatError, match="OME-Zarr"):
        open_source(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(UsageError):
        open_source(tmp_path / "a.tif")
    with pytest.raises(UsageError):
        open_source(tmp_path)
