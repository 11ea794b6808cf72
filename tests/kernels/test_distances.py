from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles.distance as oracle
from scimage.kernels import distance
from scimage.kernels.distance import (
    closing,
    dilation,
    distance_within,
    erosion,
    fill_holes,
    opening,
    reach,
    signed_distance_within,
)

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 1.25, 1.25), (0.3, 0.7, 1.1), (8.0, 2.0, 0.5)]


def single(shape=(7, 9, 11)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(n // 2 for n in shape)] = True
    return mask


def sparse(shape=(7, 9, 11), seed=0, density=0.02):
    return np.random.default_rng(seed).random(shape) < density


MASKS = {
    "empty": np.zeros((4, 5, 6), dtype=bool),
    "full": np.ones((4, 5, 6), dtype=bool),
    "one voxel": single(),
    "sparse": sparse(),
    "dense": sparse(density=0.6),
    "one plane": sparse((1, 12, 13)),
    "thin along y": sparse((9, 1, 13), density=0.1),
    "thin along x": sparse((9, 13, 1), density=0.1),
    "a single voxel volume": np.ones((1, 1, 1), dtype=bool),
    "rows of one word": sparse((3, 4, 64), density=0.01),
    "rows of a word and a bit": sparse((3, 4, 65), density=0.01),
    "rows of many words": sparse((2, 5, 600), density=0.004),
    "solid but for a few voxels": ~sparse((13, 21, 30), density=0.001),
}


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", MASKS)
def test_distances_are_those_of_scipy_up_to_the_radius(name, spacing):
    mask = MASKS[name]

    for result, expected in (
        (distance_within(mask, spacing, 3.3), oracle.distance_within(mask, spacing, 3.3)),
        (
            signed_distance_within(mask, spacing, 3.3),
            oracle.signed_distance_within(mask, spacing, 3.3),
        ),
    ):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5, 2, 3), (1, 4, 2)])
@pytest.mark.parametrize("radius", [0, 1, 6, 11, 40])
def test_distances_of_whole_micrometres_are_the_roots_of_whole_numbers(radius, spacing):
    mask = sparse((6, 7, 8), density=0.02)
    squares = oracle.squared_integers(mask, spacing, radius)
    roots = np.sqrt(
        squares.astype(np.float32), where=squares >= 0, out=np.full(mask.shape, np.inf, "f4")
    )

    np.testing.assert_array_equal(distance_within(mask, spacing, radius), roots)
    np.testing.assert_array_equal(dilation(mask, spacing, radius), squares >= 0)


def test_signed_distances_of_neighbours_across_the_surface_are_plus_and_minus_their_spacing():
    mask = np.zeros((1, 1, 8), dtype=bool)
    mask[..., 3:] = True

    row = signed_distance_within(mask, (1.0, 1.0, 0.5), 1.2)[0, 0]

    np.testing.assert_array_equal(row, [np.inf, 1, 0.5, -0.5, -1, -np.inf, -np.inf, -np.inf])


@pytest.mark.parametrize("name", MASKS)
def test_the_signed_distance_of_the_complement_is_the_negative(name):
    result = signed_distance_within(~MASKS[name], (2.0, 1.0, 0.7), 4.0)

    np.testing.assert_array_equal(
        result, -signed_distance_within(MASKS[name], (2.0, 1.0, 0.7), 4.0)
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [0.0, 0.9, 2.0, 5.0, 100.0])
def test_dilation_takes_all_centres_within_the_radius(radius, spacing):
    mask = sparse((5, 7, 8), density=0.03)

    result = dilation(mask, spacing, radius)

    np.testing.assert_array_equal(result, oracle.dilation(mask, spacing, radius))


@pytest.mark.parametrize(
    ("spacing", "radius", "offset"),
    [
        ((1.0, 1.0, 1.0), 3.0, (0, 0, 3)),
        ((1.0, 1.0, 1.0), 5.0, (0, 3, 4)),
        ((1.0, 1.0, 1.0), 3.0, (1, 2, 2)),
        ((0.1, 0.1, 0.1), 0.3, (3, 0, 0)),
        ((0.1, 0.1, 0.1), 0.5, (0, 3, 4)),
        ((0.3, 0.1, 0.1), 0.5, (1, 4, 0)),
        ((2.5, 0.7, 0.7), 2.5, (1, 0, 0)),
        ((10.0, 10.0, 10.0), 40.0, (0, 4, 0)),
    ],
)
def test_a_centre_at_exactly_the_radius_is_within_it(spacing, radius, offset):
    mask = np.zeros((9, 9, 11), dtype=bool)
    mask[4, 4, 5] = True
    there = tuple(c + o for c, o in zip((4, 4, 5), offset, strict=True))
    beyond = dilation(mask, spacing, radius * (1 - 1e-5))

    assert dilation(mask, spacing, radius)[there]
    assert not beyond[there]


def test_the_reach_of_a_ball_counts_equality_and_nothing_beyond():
    assert reach(0.3, (0.1, 0.15, 0.1001)) == (3, 2, 2)
    assert reach(0.0, (1.0, 1.0, 1.0)) == (0, 0, 0)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("radius", [0.0, 2.2, 4.4])
def test_balls_are_those_of_scipy(radius, name, spacing):
    mask = MASKS[name]

    for ours, twin in (
        (erosion, oracle.erosion),
        (closing, oracle.closing),
        (opening, oracle.opening),
    ):
        np.testing.assert_array_equal(ours(mask, spacing, radius), twin(mask, spacing, radius))


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("radius", [0.0, 1.0, 3.3, 50.0])
def test_erosion_is_the_complement_of_the_dilated_complement(radius, name):
    mask, spacing = MASKS[name], (0.3, 0.7, 1.1)

    np.testing.assert_array_equal(erosion(mask, spacing, radius), ~dilation(~mask, spacing, radius))
    np.testing.assert_array_equal(opening(mask, spacing, radius), ~closing(~mask, spacing, radius))


@pytest.mark.parametrize("density", [0.001, 0.5, 0.999])
def test_planes_wider_than_the_cache_are_dilated_in_strips(density, monkeypatch):
    mask, spacing = sparse((12, 61, 70), density=density), (1.5, 1.0, 1.0)
    mask[:, 20:50] &= density < 0.9
    mask[:, :20] |= density > 0.9
    expected = oracle.closing(mask, spacing, 3.0), oracle.opening(mask, spacing, 3.0)

    monkeypatch.setattr(distance, "_CACHE", 1)

    np.testing.assert_array_equal(closing(mask, spacing, 3.0), expected[0])
    np.testing.assert_array_equal(opening(mask, spacing, 3.0), expected[1])


ALL = {
    "distance_within": distance_within,
    "signed_distance_within": signed_distance_within,
    "dilation": dilation,
    "erosion": erosion,
    "closing": closing,
    "opening": opening,
    "fill_holes": lambda mask, spacing, radius: fill_holes(mask),
}


@pytest.mark.parametrize("name", ALL)
def test_any_memory_layout_gives_the_same_and_the_input_is_left_alone(name):
    mask = sparse((6, 8, 10), density=0.3)
    before = mask.copy()
    expected = ALL[name](mask, (1.0, 1.0, 2.0), 2.0)
    frozen = mask.copy()
    frozen.flags.writeable = False
    spread = np.zeros((12, 8, 30), dtype=bool)
    spread[::2, :, ::-3] = mask

    for same in (np.asfortranarray(mask), spread[::2, :, ::-3], frozen):
        np.testing.assert_array_equal(ALL[name](same, (1.0, 1.0, 2.0), 2.0), expected)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("name", ALL)
def test_an_array_without_voxels_stays_one(name):
    assert ALL[name](np.zeros((0, 3, 4), dtype=bool), (1.0, 1.0, 1.0), 2.0).shape == (0, 3, 4)


def test_what_lies_beyond_the_array_does_not_erode():
    full = np.ones((3, 4, 5), dtype=bool)

    assert erosion(full, (1.0, 1.0, 1.0), 10.0).all()


def test_closing_bridges_gaps_of_twice_the_radius_and_keeps_the_faces():
    mask = np.ones((1, 1, 13), dtype=bool)
    mask[..., 4:8] = False

    assert closing(mask, (1.0, 1.0, 1.0), 2.0)[0, 0, [0, 4, 7, 12]].all()
    assert closing(mask, (1.0, 1.0, 1.0), 2.5).all()
    assert not closing(mask, (1.0, 1.0, 1.0), 1.9)[0, 0, 5:7].any()


@given(
    mask=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)),
    spacing=st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0])] * 3),
    radius=st.sampled_from([0.5, 1.0, 1.5, 2.5, 3.25]),
)
def test_any_mask_spacing_and_radius_agree_with_brute_force(mask, spacing, radius):
    np.testing.assert_array_equal(
        dilation(mask, spacing, radius), oracle.dilation(mask, spacing, radius)
    )
    np.testing.assert_allclose(
        distance_within(mask, spacing, radius),
        oracle.distance_within(mask, spacing, radius),
        rtol=1e-6,
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    spacing=st.tuples(*[st.floats(0.05, 5.0)] * 3),
    radius=st.floats(0.0, 12.0),
)
def test_a_voxel_is_dilated_exactly_where_its_distance_is_finite(seed, spacing, radius):
    mask = sparse((5, 6, 7), seed=seed)

    np.testing.assert_array_equal(
        dilation(mask, spacing, radius), np.isfinite(distance_within(mask, spacing, radius))
    )


@pytest.mark.parametrize("name", ["distance_within", "signed_distance_within"])
def test_a_part_with_its_reach_has_the_same_bits_as_the_whole(name):
    mask, spacing, radius = sparse((11, 12, 13), seed=7, density=0.03), (1.7, 0.6, 0.9), 2.0
    rz, ry, rx = reach(radius, spacing)
    whole = ALL[name](mask, spacing, radius)

    part = ALL[name](mask[2:9, 1:11, 3:12], spacing, radius)

    np.testing.assert_array_equal(
        part[rz : 7 - rz, ry : 10 - ry, rx : 9 - rx],
        whole[2 + rz : 9 - rz, 1 + ry : 11 - ry, 3 + rx : 12 - rx],
    )


@pytest.mark.parametrize("name", ["closing", "opening"])
@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
def test_a_part_with_twice_its_reach_is_closed_and_opened_as_the_whole(density, name):
    mask, spacing, radius = sparse((18, 30, 90), seed=3, density=density), (1.7, 0.6, 0.9), 2.0
    rz, ry, rx = (2 * r for r in reach(radius, spacing))
    whole = ALL[name](mask, spacing, radius)

    part = ALL[name](mask[2:17, 3:28, 13:85], spacing, radius)

    np.testing.assert_array_equal(
        part[rz:-rz, ry:-ry, rx:-rx],
        whole[2 + rz : 17 - rz, 3 + ry : 28 - ry, 13 + rx : 85 - rx],
    )


@pytest.mark.parametrize("name", MASKS)
def test_holes_are_filled_as_by_scipy(name):
    np.testing.assert_array_equal(fill_holes(MASKS[name]), oracle.fill_holes(MASKS[name]))


def test_a_hole_that_touches_a_face_or_leaks_through_one_stays_and_a_diagonal_does_not_leak():
    mask = np.zeros((7, 7, 7), dtype=bool)
    mask[1:6, 1:6, 1:6] = True
    mask[2:5, 2:5, 2:5] = False
    mask[1, 1, 1] = False
    closed = fill_holes(mask)
    mask[0:2, 3, 3] = False

    assert closed[2:5, 2:5, 2:5].all()
    assert not closed[1, 1, 1]
    np.testing.assert_array_equal(fill_holes(mask), mask)
