"""Nuclei at known places are found there, once each, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scimage import Execution, GraftParameters, count_grafts

HNA = GraftParameters(nuclei="HNA")


def lattice(shape_um, step_um, first_um):
    axes = [
        np.arange(f, n - f / 2, step_um) for n, f in zip(shape_um, (first_um,) * 3, strict=True)
    ]
    jitter = np.random.default_rng(1).uniform(-2, 2, (len(list(itertools.product(*axes))), 3))
    return np.array(list(itertools.product(*axes))) + jitter


def assert_same_places(found, expected, within_um):
    assert len(found) == len(expected)
    assert cdist(expected, found).min(axis=1).max() < within_um
    assert cdist(expected, found).min(axis=0).max() < within_um


@pytest.mark.parametrize("background", ["volume", "plane"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (4.0, 1.8, 1.8)])
def test_isolated_nuclei_are_counted_exactly_and_placed_in_micrometres(
    stored, tissue, spacing, background
):
    shape = tuple(round(96 / s) for s in spacing)
    centres = lattice((96, 96, 96), 24, 14)
    image = stored({"HNA": tissue(shape, spacing, centres, diameter_um=9)}, spacing)
    found = count_grafts(image, GraftParameters(nuclei="HNA", background=background))
    assert_same_places(found.positions_um(), centres, within_um=max(1.0, 0.5 * spacing[0]))
    assert found.n_kept == len(centres)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_touching_nuclei_are_two(stored, tissue, axis):
    first = np.full(3, 30.0)
    second = first.copy()
    second[axis] += 8.0
    image = stored({"HNA": tissue((64, 64, 64), centres_um=[first, second])})
    found = count_grafts(image, HNA).positions_um()
    assert_same_places(found, np.array([first, second]), within_um=1.5)


def test_a_nucleus_at_each_face_edge_and_corner_of_the_volume_is_counted(stored, tissue):
    n = 64
    places = [p for p in itertools.product((0, 31, n - 1), repeat=3) if p != (31, 31, 31)]
    image = stored({"HNA": tissue((n, n, n), centres_um=places, diameter_um=9)})
    found = count_grafts(image, HNA).positions_um()
    assert_same_places(found, np.array(places, dtype=float), within_um=3)


@pytest.mark.parametrize("diameter", [6.0, 8.0, 11.0])
def test_diameters_are_right_within_a_tenth(stored, tissue, diameter):
    centres = lattice((96, 96, 96), 24, 14)
    pixels = tissue((96, 192, 192), (1.0, 0.5, 0.5), centres, diameter_um=diameter)
    cells = count_grafts(stored({"HNA": pixels}, (1.0, 0.5, 0.5)), HNA).cells
    assert np.median(cells["diameter_um"].to_numpy()) == pytest.approx(diameter, rel=0.1)


def test_positions_are_in_the_frame_of_the_image(stored, tissue):
    shift = (1000.0, -250.0, 17.5)
    centres = np.array([[20.0, 30.0, 40.0], [44.0, 12.0, 18.0]])
    pixels = tissue((64, 64, 64), centres_um=centres)
    found = count_grafts(stored({"HNA": pixels}, translation_um=shift), HNA).positions_um()
    assert_same_places(found, centres + shift, within_um=1)


def test_noise_alone_holds_no_cell(stored, tissue):
    assert count_grafts(stored({"HNA": tissue((64, 128, 128))}), HNA).n_detected == 0


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((32, 32, 32), np.uint16), id="all zeros"),
        pytest.param(np.full((32, 32, 32), 65535, np.uint16), id="saturated"),
        pytest.param(np.full((32, 32, 32), np.nan, np.float32), id="all NaN"),
        pytest.param(np.full((1, 1, 1), 7, np.uint16), id="one voxel"),
        pytest.param(np.full((1, 64, 64), 7, np.uint16), id="one flat plane"),
        pytest.param(np.full((64, 1, 1), 7, np.uint8), id="one line"),
    ],
)
@pytest.mark.parametrize("background", ["volume", "plane"])
def test_an_image_without_contrast_holds_no_cell(stored, pixels, background):
    result = count_grafts(
        stored({"HNA": pixels}), GraftParameters(nuclei="HNA", background=background)
    )
    assert (result.n_detected, result.n_kept, result.rejected) == (0, 0, {})
    assert result.positions_um().shape == (0, 3)


def test_nuclei_in_a_single_plane_are_counted(stored, tissue):
    centres = [(0.0, 20.0, 20.0), (0.0, 40.0, 44.0), (0.0, 60.0, 20.0)]
    found = count_grafts(stored({"HNA": tissue((1, 80, 64), centres_um=centres)}), HNA)
    assert_same_places(found.positions_um(), np.array(centres), within_um=1)


def test_saturated_nuclei_are_counted(stored, tissue):
    centres = lattice((64, 64, 64), 24, 14)
    pixels = tissue((64, 64, 64), centres_um=centres, diameter_um=9, height=1e6)
    assert pixels.max() == 65535
    assert_same_places(count_grafts(stored({"HNA": pixels}), HNA).positions_um(), centres, 1)


def test_missing_values_are_no_cells_and_hide_none(stored, tissue):
    centres = lattice((64, 64, 64), 24, 14)
    pixels = tissue((64, 64, 64), centres_um=centres, diameter_um=9).astype(np.float32) - 200
    pixels[:, :, 62:] = np.nan
    assert_same_places(count_grafts(stored({"HNA": pixels}), HNA).positions_um(), centres, 1)


@pytest.mark.parametrize("block", [(64, 64, 64), (16, 17, 64), (13, 64, 21)])
def test_the_table_does_not_depend_on_the_blocks(stored, tissue, block):
    rng = np.random.default_rng(5)
    pixels = tissue((64, 64, 64), centres_um=rng.uniform(0, 64, (60, 3)))
    image = stored({"HNA": pixels, "DNA": pixels // 2})
    parameters = GraftParameters(nuclei="HNA", dna="DNA")
    whole, divided = (
        count_grafts(image, parameters, execution=Execution(block=b), overwrite=True).cells
        for b in ((64, 64, 64), block)
    )
    assert whole.num_rows > 40
    assert divided.equals(whole)
