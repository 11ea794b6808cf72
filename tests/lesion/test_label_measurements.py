"""Numbers from label images: worked examples and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from scimage import measure_labels
from scimage.errors import BlocksFailedError

# Worked example 5 of the domain reference: sections 300 um apart, from -1500 to 1500 um.
AREAS_MM2 = [0, 0.05, 0.35, 1.05, 2.05, 2.35, 2.45, 1.30, 0.50, 0.10, 0]
SPACING_UM = (300.0, 10.0, 10.0)


@pytest.fixture
def fifth_example(stored):
    """Sections with these areas of lesion core (3) in 4 mm2 of spared tissue (9)."""
    labels = np.full((len(AREAS_MM2), 200, 200), 9, dtype=np.uint8)
    for section, area in zip(labels, AREAS_MM2, strict=True):
        section.ravel()[: round(area / 1e-4)] = 3
    return labels, stored({"labels": labels}, SPACING_UM, (-1500.0, 0.0, 0.0))


def test_the_fifth_worked_example(fifth_example):
    found = measure_labels(fifth_example[1]).measurements()
    assert found["lesion_mm3"] == pytest.approx(3.06, rel=1e-5)
    assert found["epicentre_um"] == pytest.approx(300)
    assert found["lesion_extent_um"] == pytest.approx(2400)
    assert found["lesion_length_um"] == pytest.approx(2700)
    assert found["centroid_z_um"] == pytest.approx(45.588, rel=1e-5)
    assert found["max_lesion_area_mm2"] == pytest.approx(2.45)
    assert found["max_axial_damage_ratio"] == pytest.approx(2.45 / 4)
    assert found["cord_mm3"] == pytest.approx(4 * 11 * 0.3)


def test_positions_along_the_cord_are_negative_towards_the_rostral_end(fifth_example):
    image = fifth_example[1]
    first = measure_labels(image).profile_table().to_pydict()
    last = measure_labels(image, rostral_end="last").profile_table().to_pydict()
    assert first["rostrocaudal_position_um"] == [-1800 + 300 * i for i in range(11)]
    assert last["rostrocaudal_position_um"] == [-1200 + 300 * i for i in range(11)]
    assert first["lesion_mm2"] == pytest.approx(AREAS_MM2)
    assert last["lesion_mm2"] == pytest.approx(AREAS_MM2[::-1])


def test_volumes_of_all_values_are_counts_of_voxels(stored):
    labels = np.random.default_rng(0).integers(0, 256, (7, 31, 45)).astype(np.uint8)
    found = measure_labels(stored({"labels": labels}, (2.0, 3.0, 5.0))).volumes_mm3()
    counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert 0 not in found
    assert found == pytest.approx({int(v): n * 30e-9 for v, n in counts.items() if v})


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_profile_counts_sections_across_the_axis_of_the_cord(stored, axis):
    labels = np.random.default_rng(0).integers(0, 12, (7, 31, 45)).astype(np.uint8)
    profile = measure_labels(stored({"a": labels}, (2.0, 3.0, 5.0)), rostrocaudal_axis=axis)
    i = "zyx".index(axis)
    others = tuple(a for a in range(3) if a != i)
    expected = (labels == 4).sum(axis=others) * 30e-9 / ((2.0, 3.0, 5.0)[i] * 1e-3)
    np.testing.assert_allclose(profile.areas_mm2(4), expected)
    assert profile.section_um == (2.0, 3.0, 5.0)[i]


def test_excluded_voxels_belong_to_no_cord(stored):
    labels = np.full((4, 8, 8), 9, dtype=np.uint8)
    labels[:, :4] = 255
    found = measure_labels(stored({"a": labels}, (10.0, 10.0, 10.0))).measurements()
    assert found["cord_mm3"] == pytest.approx(4 * 32 * 1e-6)


def test_labels_stored_as_whole_floats_are_labels(stored):
    labels = np.zeros((4, 8, 8), dtype=np.float32)
    labels[1] = 3
    assert measure_labels(stored({"a": labels}, (10.0, 10.0, 10.0))).volume_mm3(3) == (
        pytest.approx(64e-6)
    )


@pytest.mark.parametrize("wrong", [0.5, -1.0, 300.0, np.nan, np.inf])
def test_values_that_are_no_labels_are_refused(stored, wrong):
    pixels = np.zeros((4, 8, 8), dtype=np.float32)
    pixels[2, 3, 4] = wrong
    image = stored({"a": pixels}, (10.0, 10.0, 10.0))
    with pytest.raises(BlocksFailedError, match=f"the value {wrong}; expected label values from 0"):
        measure_labels(image)
