"""Real files of microscopes and scanners, against independent readers."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import tifffile

from scimage.errors import FormatError
from scimage.image.sources import open_source

MICROMETRES = "OME-XML PhysicalSizeZ/Y/X (µm)"
IMAGEJ = "ImageJ spacing + TIFF resolution ({})"

# file, axes of tifffile's array, shape (c, z, y, x), spacing (z, y, x), origin or its start
TIFFS = [
    ("formats/ometiff/cells.ome.tif", "CYX", (3, 1, 131, 93), (1, 0.25, 0.25), MICROMETRES),
    ("formats/ometiff/cells-2c.ome.tif", "CYX", (2, 1, 131, 93), (1, 0.25, 0.25), MICROMETRES),
    ("formats/ometiff/cells-2z.ome.tif", "ZYX", (1, 2, 131, 93), (1, 0.25, 0.25), MICROMETRES),
    ("formats/ometiff/multi-channel.ome.tif", "CYX", (3, 1, 167, 439), None, "no voxel size"),
    ("formats/czi/FOV7_HV110_P0500510000.ome.tiff", "YX", (1, 1, 512, 512), None, "no voxel size"),
    (
        "formats/imagej/xyzc_16bit__spots.tif",
        "ZCYX",
        (2, 17, 88, 89),
        (0.4, 0.0941344, 0.0941344),
        IMAGEJ.format("µm"),
    ),
    (
        "formats/imagej/xyz_8bit__nuclei_autothresh.tif",
        "ZYX",
        (1, 37, 118, 132),
        (4, 0.828643, 0.828643),
        IMAGEJ.format("micron"),
    ),
    (
        "formats/imagej/xyz_8bit__mitotic_plate_calibrated.tif",
        "ZYX",
        (1, 6, 263, 263),
        (3, 0.0851964, 0.0851964),
        IMAGEJ.format("µm"),
    ),
    (
        "formats/imagej/xyz_8bit__mitotic_plate_badZcalibrated.tif",
        "ZYX",
        (1, 6, 263, 263),
        None,
        "ImageJ spacing is not stated (Y 0.0851964 µm",
    ),
    (
        "geometry/neubias/xyz_8bit_sphere_calibrated.tif",
        "ZYX",
        (1, 64, 128, 128),
        (8, 4, 4),
        IMAGEJ.format("µm"),
    ),
    (
        "geometry/neubias/xyzc_8bit_spheres.tif",
        "ZCYX",
        (2, 25, 50, 50),
        (2, 1, 1),
        IMAGEJ.format("µm"),
    ),
    ("brain_sections/Section-08.tif", "CYX", (2, 1, 459, 655), (20, 20, 20), IMAGEJ.format("mm")),
    ("delivr/cFos_dev/raw_1147_1.tif", "ZYX", (1, 100, 100, 100), None, "no voxel size"),
    ("qcanet_examples/images_raw/8_cell_stage.tif", "ZYX", (1, 51, 120, 122), None, "no voxel"),
    ("stardist_img3d/img3d.tif", "ZYX", (1, 31, 61, 57), None, "no voxel size"),
    ("cellfinder_crop/signal.tif", "ZYX", (1, 30, 320, 320), None, "no voxel size"),
    ("tumor_lightsheet/tumor.tif", "ZYX", (1, 15, 757, 573), None, "no voxel size"),
    ("formats/wsi/cmu-1-small-region.svs", "YXC", (3, 1, 2967, 2220), None, "no distance of"),
    ("formats/wsi/test3-TRITC_2_(560).ndpi", "YXC", (3, 1, 4864, 3968), None, "no voxel size"),
]

# file, shape (z, y, x), spacing (z, y, x) in µm or None
NIFTIS = [
    ("rat_cord_atlas/RatHistoAtlas_cord.nii.gz", (580, 192, 192), (150, 50, 50)),
    ("sct_testing/t2/t2_fake_lesion.nii.gz", (29, 99, 99), (800, 800, 800)),
    ("sct_testing/t2/t2_seg-manual.nii.gz", (52, 55, 60), None),
    ("sct_testing/t2s/t2s.nii.gz", (9, 54, 49), (7500, 500, 500)),
    ("sct_testing/mt/mt1.nii.gz", (5, 40, 40), None),
    ("ibsi_phantom/digital_phantom.nii.gz", (4, 4, 5), (2000, 2000, 2000)),
]


def needed(data_dir, name):
    path = data_dir / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the test data")
    return path


def assert_spacing(source, spacing):
    if spacing is None:
        assert source.spacing_um is None
    else:
        assert source.spacing_um == pytest.approx(spacing, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "axes", "shape", "spacing", "origin"), TIFFS, ids=[row[0] for row in TIFFS]
)
def test_a_real_tiff_is_read_like_tifffile_reads_it(
    data_dir, read_all, name, axes, shape, spacing, origin
):
    path = needed(data_dir, name)
    expected = tifffile.imread(path)
    order = [axes.index(axis) for axis in "CZYX" if axis in axes]
    found = read_all(path)
    np.testing.assert_array_equal(found, expected.transpose(order).reshape(shape))
    with open_source(path) as source:
        assert_spacing(source, spacing)
        assert source.spacing_origin.startswith(origin)
        y, x = (slice(size // 3, size // 3 + 20) for size in shape[2:])
        part = source.read(shape[0] - 1, slice(shape[1] - 1, shape[1]), y, x)
    np.testing.assert_array_equal(part[0], found[-1, -1, y, x])


@pytest.mark.parametrize(("name", "shape", "spacing"), NIFTIS, ids=[row[0] for row in NIFTIS])
def test_a_real_nifti_is_read_like_nibabel_reads_it(data_dir, read_all, name, shape, spacing):
    path = needed(data_dir, name)
    found = read_all(path)
    assert found.shape == (1, *shape)
    np.testing.assert_allclose(found[0], nib.load(path).get_fdata().T, rtol=1e-6)
    with open_source(path) as source:
        assert_spacing(source, spacing)


def test_the_volumes_of_the_rat_atlas_are_those_of_its_paper(data_dir, read_all):
    path = needed(data_dir, "rat_cord_atlas/RatHistoAtlas_gm.nii.gz")
    with open_source(path) as source:
        voxel_mm3 = np.prod(source.spacing_um) / 1e9
    assert read_all(path).sum() * voxel_mm3 == pytest.approx(272.9, abs=0.05)


def test_three_channel_files_of_a_microscope_are_one_image(data_dir, read_all):
    needed(data_dir, "formats/ometiff/Channel_0.tif")
    pattern = str(data_dir / "formats" / "ometiff" / "Channel_*.tif")
    with open_source(pattern) as source:
        assert source.shape == (3, 1, 167, 439)
        assert source.channel_names == ("Channel_0", "Channel_1", "Channel_2")
    expected = [tifffile.imread(pattern.replace("*", str(c))) for c in range(3)]
    np.testing.assert_array_equal(read_all(pattern)[:, 0], expected)


def test_serial_sections_in_a_folder_are_one_stack(data_dir, read_all):
    needed(data_dir, "brain_sections/Section-08.tif")
    found = read_all(data_dir / "brain_sections")
    assert found.shape == (2, 3, 459, 655)
    np.testing.assert_array_equal(
        found[:, 2], tifffile.imread(data_dir / "brain_sections" / "Section-10.tif")
    )


@pytest.mark.parametrize("suffix", ["czi", "nd2", "lif"])
def test_makers_own_formats_are_refused_with_a_way_out(data_dir, suffix):
    files = sorted((data_dir / "formats" / suffix).glob(f"*.{suffix}"))
    if not files:
        pytest.skip(f"no .{suffix} in the test data")
    for path in files:
        with pytest.raises(FormatError, match=r"not read yet.*Export the image again as OME-TIFF"):
            open_source(path)
