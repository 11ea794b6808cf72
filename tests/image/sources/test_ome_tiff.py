"""OME-TIFF: axes, names, colours, several files, and what a hostile XML may not do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile

from scimage.errors import FormatError
from scimage.image.sources import open_source


def write_with_xml(path, voxels, edit):
    """Write an OME-TIFF, then replace its XML by an edited one."""
    tifffile.imwrite(path, voxels, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata
    tifffile.tiffcomment(path, edit(xml).encode())


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CZYX", "ZCYX", "ZYX", "CYX", "YX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_any_order_of_axes_becomes_czyx(tmp_path, noise, read_all, axes, compression):
    sizes = {"T": 1, "C": 2, "Z": 3, "Y": 20, "X": 24}
    voxels = noise(tuple(sizes[axis] for axis in axes))
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, voxels, photometric="minisblack", metadata={"axes": axes}, compression=compression
    )
    order = [axes.index(axis) for axis in "CZYX" if axis in axes]
    full = voxels[0] if axes[0] == "T" else voxels
    shift = 1 if axes[0] == "T" else 0
    expected = full.transpose([i - shift for i in order])
    expected = expected.reshape([sizes[axis] if axis in axes else 1 for axis in "CZYX"])
    np.testing.assert_array_equal(read_all(path), expected)


def test_channel_names_and_colours_come_from_the_xml(tmp_path, noise):
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": ["DAPI", "DAPI", "Cy5"], "Color": [-16776961, 16711935, 65535]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", noise((3, 8, 8)), metadata=metadata)
    with open_source(tmp_path / "a.ome.tif") as source:
        assert source.channel_names == ("DAPI", "DAPI_2", "Cy5")
        assert source.channel_colors == ("FF0000", "00FF00", "0000FF")


def test_rgb_samples_of_an_ome_channel_become_channels(tmp_path, noise, read_all):
    voxels = noise((4, 16, 16, 3), "uint8")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, voxels, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(read_all(path), np.moveaxis(voxels, 3, 0))


@pytest.fixture
def two_files(tmp_path, noise):
    """An OME-TIFF whose second plane lies in another file of the folder."""
    voxels = noise((2, 10, 12))
    tifffile.imwrite(tmp_path / "second.ome.tif", voxels[1], metadata=None)

    def edit(xml):
        pixels = re.search(r"<TiffData.*</Pixels>", xml, re.DOTALL).group()
        return xml.replace('SizeZ="1"', 'SizeZ="2"').replace(
            pixels,
            '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="first.ome.tif">urn:uuid:1'
            '</UUID></TiffData><TiffData FirstZ="1" IFD="0" PlaneCount="1">'
            '<UUID FileName="second.ome.tif">urn:uuid:2</UUID></TiffData></Pixels>',
        )

    write_with_xml(tmp_path / "first.ome.tif", voxels[:1], edit)
    return tmp_path, voxels


def test_an_image_in_two_files_is_one_image(two_files, read_all):
    folder, voxels = two_files
    np.testing.assert_array_equal(read_all(folder / "first.ome.tif")[0], voxels)
    with open_source(folder / "first.ome.tif") as source:
        names = [name for name, _, _ in source.digest_inputs()]
    assert names == ["first.ome.tif", "second.ome.tif"]


def test_a_missing_companion_is_an_error_and_not_zeros(two_files):
    folder, _ = two_files
    (folder / "second.ome.tif").unlink()
    with pytest.raises(FormatError, match=r"'second\.ome\.tif', which is not in the folder"):
        open_source(folder / "first.ome.tif")


@pytest.mark.parametrize(
    "name", ["../second.ome.tif", "/etc/passwd", "a\\b.tif", "..", "sub/x.tif"]
)
def test_a_companion_outside_the_folder_is_never_opened(two_files, name):
    folder, _ = two_files
    path = folder / "first.ome.tif"
    comment = tifffile.tiffcomment(path).replace('"second.ome.tif"', f'"{name}"')
    tifffile.tiffcomment(path, comment.encode())
    with pytest.raises(FormatError, match="same folder"):
        open_source(path)


def test_a_companion_that_is_a_link_out_of_the_folder_is_never_opened(two_files, tmp_path_factory):
    folder, _ = two_files
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "second.ome.tif"
    (folder / "second.ome.tif").rename(elsewhere)
    (folder / "second.ome.tif").symlink_to(elsewhere)
    with pytest.raises(FormatError, match="same folder"):
        open_source(folder / "first.ome.tif")


BOMB = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda xml: BOMB + xml[xml.index("<OME") :], "DOCTYPE or ENTITY"),
        (lambda xml: xml.replace("<OME", "<!doctype x><OME", 1), "DOCTYPE or ENTITY"),
        (lambda xml: xml.replace("</Pixels>", ""), "damaged OME-XML"),
        (lambda xml: xml[:-20], "OME-XML that is cut off"),
        (lambda xml: xml.replace('SizeZ="3"', 'SizeZ="3000000000"'), "3000000000 planes"),
        (lambda xml: xml.replace('PlaneCount="3"', 'PlaneCount="999999999"'), "999999999 planes"),
        (lambda xml: xml.replace('SizeZ="3"', 'SizeZ="-3"'), "size below 1"),
        (lambda xml: xml.replace('SizeZ="3"', 'SizeZ="4"'), "plane 3 without pixels"),
        (lambda xml: xml.replace('SizeZ="3"', 'SizeZ="2"'), "3 planes in the OME-XML"),
        (lambda xml: xml.replace('SizeX="12"', 'SizeX="10"'), "pages"),
        (lambda xml: xml.replace('SizeX="12"', 'SizeX="twelve"'), "without sizes"),
        (
            lambda xml: xml.replace('SizeT="1"', 'SizeT="3"').replace('SizeZ="3"', 'SizeZ="1"'),
            "time",
        ),
        (
            lambda xml: xml.replace(
                "</OME>",
                '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="x/modulo"><Value><Modulo>'
                '<ModuloAlongZ Type="angle" Start="0" Step="1" End="1e12"/></Modulo></Value>'
                "</XMLAnnotation></StructuredAnnotations></OME>",
            ),
            "extra axis",
        ),
        (
            lambda xml: re.sub(
                r"<Image.*</Image>",
                '<BinaryOnly MetadataFile="main.companion.ome"/>',
                xml,
                flags=re.S,
            ),
            "main.companion.ome describes",
        ),
        (lambda xml: xml.replace("<Image", "<MyImage").replace("</Image", "</MyImage"), "MyImage"),
        (lambda xml: re.sub(r"(<Image.*</Image>)", r"\1\1", xml, flags=re.S), "2 images"),
        (
            lambda xml: xml.replace("<TiffData", "<Unknown").replace("</TiffData", "</Unknown"),
            "pages",
        ),
    ],
)
def test_a_hostile_or_contradictory_xml_is_refused(tmp_path, noise, edit, message):
    path = tmp_path / "a.ome.tif"
    write_with_xml(path, noise((3, 10, 12)), edit)
    with pytest.raises(FormatError, match=message) as error:
        open_source(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_renamed_file_still_finds_its_own_planes(tmp_path, noise, read_all):
    voxels = noise((3, 10, 12))
    uuid = 'UUID="urn:uuid:1"'

    def edit(xml):
        xml = re.sub(r'UUID="urn:uuid:[^"]*"', uuid, xml, count=1)
        data = (
            '<TiffData PlaneCount="3" IFD="0">'
            '<UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData>'
        )
        return re.sub(r"<TiffData[^>]*(/>|>.*</TiffData>)", data, xml, flags=re.S)

    write_with_xml(tmp_path / "new.ome.tif", voxels, edit)
    assert "old.ome.tif" in tifffile.tiffcomment(tmp_path / "new.ome.tif")
    np.testing.assert_array_equal(read_all(tmp_path / "new.ome.tif")[0], voxels)
