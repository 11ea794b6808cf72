from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import oracles.peaks as oracle
from scimage.kernels import peaks, smooth

ONE = (1, 1, 1)
NONE = np.empty((0, 3), dtype=np.int64)


AS_IT_IS = np.ones(1, dtype=np.float32), np.ones(1, dtype=np.float32)


def roundness(image, points, step, spacing):
    """That of an image as it is: smoothed by nothing."""
    nothing = np.ones((1, 3, 1), dtype=np.float32), np.zeros((1, 3), dtype=np.int64)
    steps = np.tile(np.array((0, *step[1:])), (len(points), 1))
    which = np.zeros(len(points), dtype=np.int64)
    samples = smooth.smoothed_around(image, points, which, steps, *nothing)
    return peaks.roundness(samples, steps * np.array(spacing))


def maxima(response, cut=(-np.inf,), margin=ONE, scale=None):
    scale = np.zeros(response.shape, dtype=np.uint8) if scale is None else scale
    arguments = response.astype(np.float32), scale, np.array(cut, dtype=np.float64), margin
    found = peaks.find_maxima(*arguments)
    np.testing.assert_array_equal(found, oracle.find_maxima(*arguments))
    return found.tolist()


@given(
    response=hnp.arrays(
        np.float32,
        st.tuples(*[st.integers(3, 6)] * 3),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 1.0, 2.0]),
    ),
    cut=st.sampled_from([-5.0, 0.0, 1.0, np.inf]),
)
def test_maxima_of_plateaus_and_ties_are_those_of_brute_force(response, cut):
    found = maxima(response, (cut,))

    assert all(response[tuple(p)] >= cut for p in found)


def test_maxima_of_noise_with_a_threshold_for_each_scale_are_those_of_brute_force():
    r = np.random.default_rng(0)
    response, scale = r.normal(size=(9, 10, 11)), r.integers(0, 3, (9, 10, 11), dtype=np.uint8)

    assert len(maxima(response, (0.5, 1.5, np.inf), (1, 2, 3), scale)) > 2


def test_of_a_plateau_the_first_voxel_is_the_maximum():
    response = np.zeros((5, 5, 5))
    response[2, 1:4, 1:4] = 1

    assert maxima(response, (0.5,)) == [[2, 1, 1]]


@pytest.mark.parametrize("step", [(0, 0, 1), (0, 1, -1), (1, -1, -1), (1, 1, 1)])
def test_of_two_equal_neighbours_the_first_is_the_maximum(step):
    response = np.zeros((6, 6, 6))
    response[2, 3, 3] = response[tuple(np.add((2, 3, 3), step))] = 1

    assert maxima(response, (0.5,)) == [[2, 3, 3]]


def test_a_maximum_at_exactly_the_threshold_is_found():
    response = np.zeros((3, 3, 3))
    response[1, 1, 1] = 0.75

    assert maxima(response, (0.75,)) == [[1, 1, 1]]


def test_maxima_in_the_margin_are_left_to_the_neighbouring_block():
    response = np.zeros((7, 7, 7))
    response[1, 3, 3] = response[3, 1, 3] = response[5, 5, 5] = 1

    assert maxima(response, (0.5,), (2, 1, 1)) == [[3, 1, 3]]


def test_what_is_no_number_is_no_maximum():
    response = np.zeros((3, 3, 5), dtype=np.float32)
    response[1, 1, 1], response[1, 1, 3] = np.nan, 2

    found = peaks.find_maxima(response, np.zeros((3, 3, 5), np.uint8), np.array([0.5]), ONE)

    assert found.tolist() == [[1, 1, 3]]


def test_more_maxima_than_expected_are_all_found():
    response = np.zeros((3, 33, 33))
    response[1, 1::2, 1::2] = 1

    assert len(maxima(response, (0.5,))) == 256


def test_offsets_are_the_vertices_of_numpys_parabolas():
    response = np.random.default_rng(2).normal(size=(6, 7, 8)).astype(np.float32)
    points = np.argwhere(np.ones((4, 5, 6), dtype=bool)) + 1

    offsets = peaks.subvoxel_offset(response, points)

    np.testing.assert_allclose(offsets, oracle.subvoxel_offset(response, points), atol=1e-6)


@pytest.mark.parametrize("centre", [(4.0, 4.0, 4.0), (4.3, 3.8, 4.45), (3.6, 4.5, 4.1)])
def test_offsets_find_the_centre_of_a_paraboloid(centre):
    response = -((np.indices((9, 9, 9)).T - centre) ** 2).sum(axis=-1).T
    point = np.array([[round(c) for c in centre]])

    offset = peaks.subvoxel_offset(response.astype(np.float32), point)

    np.testing.assert_allclose(point[0] + offset[0], centre, atol=1e-4)


def test_a_neighbour_outside_the_volume_counts_as_equal():
    response = np.zeros((3, 3, 3), dtype=np.float32)
    response[1, 1, 1], response[0], response[:, :, 2] = 1, -np.inf, -np.inf
    point = np.array([[1, 1, 1]])

    offset = peaks.subvoxel_offset(response, point)

    assert offset.tolist() == [[-0.5, 0.0, 0.5]]
    np.testing.assert_allclose(offset, oracle.subvoxel_offset(response, point))


def test_flat_surroundings_give_no_offset():
    assert not peaks.subvoxel_offset(np.ones((3, 3, 3), np.float32), np.array([[1, 1, 1]])).any()


@pytest.mark.parametrize("step", [(1, 1, 1), (1, 2, 3)])
def test_roundness_is_the_ratio_of_numpys_eigenvalues(step):
    smoothed = np.random.default_rng(3).normal(size=(3, 12, 14)).astype(np.float32)
    points = np.argwhere(np.ones((3, 5, 7), dtype=bool)) + np.array((0, 3, 3))
    spacing = (2.0, 0.7, 1.1)

    result = roundness(smoothed, points, step, spacing)

    np.testing.assert_allclose(result, oracle.roundness(smoothed, points, step, spacing), rtol=1e-4)


def test_a_disc_has_roundness_one_a_ridge_zero_and_a_pit_less():
    y, x = np.indices((9, 9)) - 4
    ridge = -((y + x) ** 2)
    planes = np.array([-(y**2) - x**2, ridge, y**2 + x**2, y**2 - x**2], dtype=np.float32)
    points = np.array([[z, 4, 4] for z in range(4)])

    disc, ridge_at, pit, saddle = roundness(planes, points, ONE, (1.0, 1.0, 1.0))

    assert (disc, ridge_at, pit) == (1, 0, -1)
    assert saddle < 0


def blob(kind, diameter, spacing, centre, shape):
    away = np.indices(shape).T - np.array(centre)
    r = np.sqrt(((away * spacing) ** 2).sum(axis=-1)).T
    if kind == "gaussian":
        return (100 + 400 * np.exp(-math.log(2) * (2 * r / diameter) ** 2)).astype(np.float32)
    edge = spacing[2]
    return (100 + 400 * np.clip((diameter / 2 - r) / edge + 0.5, 0, 1)).astype(np.float32)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.5, 0.5), (3.0, 0.8, 0.65)])
@pytest.mark.parametrize("diameter", [6.0, 9.0])
@pytest.mark.parametrize("kind", ["gaussian", "ball"])
def test_the_half_maximum_diameter_of_a_blob_is_its_own(kind, diameter, spacing):
    side = int(2.6 * diameter / min(spacing[1:])) + 5
    centre = (1.2, side / 2 + 0.3, side / 2 - 0.4)
    image = blob(kind, diameter, spacing, centre, (3, side, side))
    point = np.round(centre).astype(np.int64)[None]
    offset = np.array(centre)[None] - point

    # A Gaussian's background ring still holds some of it, and its inner sixth is below its peak.
    result = peaks.half_maximum_diameter(
        image, AS_IT_IS, point, offset, np.array([diameter]), spacing
    )

    ((z, _, _),) = offset * spacing
    chord = math.sqrt(diameter**2 - (2 * z) ** 2) if kind == "ball" else diameter
    assert result[0] == pytest.approx(chord, rel=0.06)


def test_diameters_in_noise_are_those_of_scipys_interpolation():
    r = np.random.default_rng(4)
    image = blob("gaussian", 6.0, (1, 1, 1), (2, 19, 19), (5, 39, 39))
    image += r.normal(0, 40, image.shape).astype(np.float32)
    points = np.array([[2, 19, 19], [1, 18, 20], [3, 19, 17]])
    offsets = np.array([[0.5, 0.1, -0.3], [-0.5, 0.5, 0.0], [0.2, -0.5, 0.5]])
    arguments = points, offsets, np.array([6.0, 4.0, 8.0]), (2.0, 0.9, 0.8)
    light = smooth.gaussian_weights(0.6), smooth.gaussian_weights(0.3)
    smoothed = ndimage.gaussian_filter(image, (0, 0.6, 0.3), radius=(0, 3, 2), output=np.float64)

    for weights, seen in ((AS_IT_IS, image), (light, smoothed)):
        result = peaks.half_maximum_diameter(image, weights, *arguments)
        expected = oracle.half_maximum_diameter(seen, *arguments)
        np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_a_flat_image_gives_the_widest_diameter_and_not_an_error():
    image = np.full((1, 21, 21), 7, dtype=np.float32)

    result = peaks.half_maximum_diameter(
        image, AS_IT_IS, np.array([[0, 10, 10]]), np.zeros((1, 3)), np.array([6.0]),
        (1.0, 1.0, 1.0),
    )  # fmt: skip

    assert result[0] == pytest.approx(2 * 1.1 * 6)


def test_a_dark_hole_has_no_diameter():
    image = 600 - blob("ball", 6.0, (1, 1, 1), (0, 10, 10), (1, 21, 21))
    place = np.array([[0, 10, 10]]), np.zeros((1, 3)), np.array([6.0]), (1.0, 1.0, 1.0)

    assert peaks.half_maximum_diameter(image, AS_IT_IS, *place)[0] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.6)])
def test_ball_and_ring_are_those_of_a_search_through_all_voxels(dtype, spacing):
    r = np.random.default_rng(5)
    image = r.integers(0, 120, (9, 14, 15)).astype(dtype)
    if dtype == np.int16:
        image -= 60
    points = np.array([[4, 7, 7], [1, 2, 3], [8, 13, 14], [0, 7, 0]])
    offsets = r.uniform(-0.5, 0.5, (4, 3))
    radii = np.array([2.0, 3.1, 0.0, 1.2])
    arguments = points, offsets, radii, (1.0, 2.0), spacing, ((0, 1, 0), (9, 14, 13))

    means, medians = peaks.ball_and_ring(image, *arguments)

    expected_means, expected_medians = oracle.ball_and_ring(image, *arguments)
    np.testing.assert_allclose(means, expected_means, rtol=1e-12)
    np.testing.assert_allclose(medians, expected_medians, rtol=1e-12)


def test_a_ball_without_a_voxel_centre_is_its_nearest_voxel_and_an_empty_ring_the_ball():
    image = np.arange(27, dtype=np.uint16).reshape(3, 3, 3)
    inside = (1, 1, 1), (2, 2, 2)

    means, medians = peaks.ball_and_ring(
        image, np.array([[1, 1, 1]]), np.full((1, 3), 0.5), np.array([0.1]), (1.0, 3.0),
        (1.0, 1.0, 1.0), inside,
    )  # fmt: skip

    assert means.tolist() == [13]
    assert medians.tolist() == [13]


def test_measures_do_not_depend_on_where_in_the_array_a_blob_lies():
    r = np.random.default_rng(6)
    image = r.normal(100, 30, (9, 40, 40)).astype(np.float32)
    point, offset = np.array([[4, 19, 20]]), np.array([[0.1, -0.3, 0.2]])
    spacing, d = (1.0, 0.9, 0.8), np.array([7.0])
    part, moved = image[1:, 5:36, 7:38].copy(), point - (1, 5, 7)

    def measures(pixels, at):
        low_high = (0, 0, 0), pixels.shape
        return (
            peaks.half_maximum_diameter(pixels, AS_IT_IS, at, offset, d, spacing),
            *peaks.ball_and_ring(pixels, at, offset, d / 2, (1.0, 2.0), spacing, low_high)[:1],
            roundness(pixels, at, (1, 2, 2), spacing),
        )

    assert [m.tolist() for m in measures(image, point)] == [
        m.tolist() for m in measures(part, moved)
    ]


def test_no_points_give_no_measures():
    image = np.zeros((3, 9, 9), dtype=np.float32)
    nothing = np.empty((0, 3)), np.empty(0)

    assert peaks.subvoxel_offset(image, NONE).shape == (0, 3)
    assert roundness(image, NONE, ONE, (1.0, 1.0, 1.0)).shape == (0,)
    assert peaks.half_maximum_diameter(image, AS_IT_IS, NONE, *nothing, (1.0, 1.0, 1.0)).shape == (
        0,
    )


@given(data=st.data(), n=st.integers(0, 12))
def test_points_are_kept_unless_a_better_kept_one_is_too_near(data, n):
    ranks = st.tuples(*[st.integers(0, max(0, n - 1))] * 2).filter(lambda p: p[0] < p[1])
    chosen = data.draw(st.lists(ranks, unique=True)) if n > 1 else []
    pairs = np.array(sorted(chosen), dtype=np.int64).reshape(-1, 2)

    np.testing.assert_array_equal(peaks.suppress(pairs, n), oracle.suppress(pairs, n))


def test_a_suppressed_point_suppresses_nobody():
    pairs = np.array([[0, 1], [1, 2]], dtype=np.int64)

    assert peaks.suppress(pairs, 3).tolist() == [True, False, True]
