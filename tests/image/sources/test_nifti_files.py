"""NIfTI against nibabel."""

from __future__ import annotations

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from scimage.errors import FormatError
from scimage.image.sources import open_source

EVERYTHING = (slice(None),) * 3


def save(path, voxels, *, zooms=(0.5, 0.25, 2.0), unit="mm", slope=None, kind=nib.Nifti1Image):
    image = kind(voxels, np.diag([*zooms[:3], 1.0]), dtype=voxels.dtype)
    image.header.set_zooms(zooms[: voxels.ndim] + (1.0,) * (voxels.ndim - 3))
    image.header.set_xyzt_units(unit)
    if slope:
        image.header.set_slope_inter(*slope)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_i_j_k_become_x_y_z(tmp_path, noise, read_all, suffix, kind, dtype):
    voxels = noise((5, 6, 7), dtype)
    path = save(tmp_path / f"a{suffix}", voxels, kind=kind)
    found = read_all(path)
    assert found.dtype == (np.float32 if dtype == "float64" else dtype)
    expected = np.asarray(nib.load(path).dataobj).T.astype(found.dtype)
    np.testing.assert_array_equal(found[0], expected)
    with open_source(path) as source:
        assert source.shape == (1, 7, 6, 5)
        assert source.spacing_um == (2000.0, 250.0, 500.0)
        assert source.spacing_origin == "NIfTI pixdim (mm)"
        part = source.read(0, slice(2, 5), slice(1, 4), slice(3, 4))
    np.testing.assert_array_equal(part, expected[2:5, 1:4, 3:4])


def test_slope_and_intercept_are_applied_where_the_file_has_them(tmp_path, noise, read_all):
    path = save(tmp_path / "a.nii", noise((4, 5, 6), "int16"))
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, -3], "<f4").tobytes()
    path.write_bytes(raw)
    found = read_all(path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], nib.load(path).get_fdata().T, rtol=1e-6)


def test_a_big_endian_volume_is_read(tmp_path, noise, read_all):
    voxels = noise((4, 5, 6), "int16")
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(voxels.astype(">i2"), np.eye(4), header), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_all(tmp_path / "a.nii")[0], voxels.T)


def test_a_mirrored_affine_leaves_the_order_of_the_array(tmp_path, noise, read_all):
    voxels = noise((4, 5, 6), "uint8")
    image = nib.Nifti1Image(voxels, np.diag([-0.5, 0.25, -2.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(read_all(tmp_path / "a.nii")[0], voxels.T)
    with open_source(tmp_path / "a.nii") as source:
        assert source.spacing_um == (2000.0, 250.0, 500.0)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1e3), ("micron", 1.0)])
def test_units_are_converted(tmp_path, noise, unit, factor):
    path = save(tmp_path / "a.nii", noise((4, 5, 6), "uint8"), zooms=(0.3, 0.2, 0.1), unit=unit)
    with open_source(path) as source:
        assert source.spacing_um == pytest.approx((0.1 * factor, 0.2 * factor, 0.3 * factor))


def test_without_a_unit_there_is_no_voxel_size(tmp_path, noise):
    path = save(tmp_path / "a.nii", noise((4, 5, 6), "uint8"), unit="unknown")
    with open_source(path) as source:
        assert source.spacing_um is None
        assert source.spacing_origin == "NIfTI xyzt_units is unknown"


@pytest.mark.parametrize("size", [0.0, -2.0, float("nan"), float("inf"), 2e4])
def test_an_absurd_voxel_size_is_unknown_and_not_repaired(tmp_path, noise, size):
    path = save(tmp_path / "a.nii", noise((4, 5, 6), "uint8"))
    raw = bytearray(path.read_bytes())
    raw[88:92] = np.array([size], "<f4").tobytes()
    path.write_bytes(raw)
    with open_source(path) as source:
        assert source.spacing_um is None
        assert source.spacing_origin.startswith("pixdim Z is")


def test_a_time_axis_of_one_is_accepted_and_of_more_is_not(tmp_path, noise, read_all):
    one = save(tmp_path / "one.nii", noise((4, 5, 6, 1), "uint8"))
    assert read_all(one).shape == (1, 6, 5, 4)
    more = save(tmp_path / "more.nii", noise((4, 5, 6, 3), "uint8"))
    with pytest.raises(FormatError, match="time axis of 3 points"):
        open_source(more)


@pytest.mark.parametrize("dtype", ["int64", "complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_types_that_are_no_intensities_are_refused(tmp_path, dtype):
    path = save(tmp_path / "a.nii", np.zeros((4, 5, 6), dtype))
    with pytest.raises(FormatError, match="voxels of type"):
        open_source(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_volume_is_refused(tmp_path, noise, suffix):
    path = save(tmp_path / f"a{suffix}", noise((20, 20, 20), "uint8"))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(FormatError, match=r"a\.nii"), open_source(path) as source:
        source.read(0, *EVERYTHING)


def test_a_gzip_stream_of_fewer_voxels_than_announced_is_refused(tmp_path, noise):
    path = save(tmp_path / "a.nii", noise((20, 20, 20), "uint8"))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes()[:-10]))
    with (
        open_source(tmp_path / "b.nii.gz") as source,
        pytest.raises(FormatError, match="8342 bytes"),
    ):
        source.read(0, *EVERYTHING)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_larger_than_its_file_is_refused_before_it_is_allocated(tmp_path, suffix):
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(1000)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(FormatError, match="bytes"):
        open_source(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no NIfTI header"), (b"x" * 400, "no NIfTI header"), (bytes(344) + b"ni1\0", "pair")],
)
def test_what_is_no_nifti_is_refused(tmp_path, content, message):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        open_source(path)


def test_memory_does_not_grow_with_a_gzipped_volume(tmp_path):
    peaks = []
    for planes in (10, 100):
        path = tmp_path / f"{planes}.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros((256, 256, planes), np.int16), np.eye(4)), path)
        with open_source(path) as source:
            tracemalloc.start()
            for z in range(planes):
                source.read(0, slice(z, z + 1), slice(0, 256), slice(0, 256))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < max(peaks[0] * 1.2, 5 * 2**20)


def test_a_gzipped_volume_can_be_read_again_after_close(tmp_path, noise):
    voxels = noise((4, 5, 6), "uint8")
    source = open_source(save(tmp_path / "a.nii.gz", voxels))
    for _ in range(2):
        np.testing.assert_array_equal(source.read(0, *EVERYTHING), voxels.T)
        source.close()
