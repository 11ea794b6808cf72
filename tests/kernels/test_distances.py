from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles.distance as oracle
from scimage.kernels.distance import closing, dilation, distance_within, erosion, reach

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
}


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", MASKS)
def test_distances_are_those_of_scipy_up_to_the_radius(name, spacing):
    result = distance_within(MASKS[name], spacing, 3.3)

    assert result.dtype == np.float32
    np.testing.assert_allclose(result, oracle.distance_within(MASKS[name], spacing, 3.3), rtol=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [0.0, 0.9, 2.0, 5.0])
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
def test_erosion_and_closing_are_those_of_scipys_distances(name, spacing):
    mask = MASKS[name]

    np.testing.assert_array_equal(erosion(mask, spacing, 2.2), oracle.erosion(mask, spacing, 2.2))
    np.testing.assert_array_equal(closing(mask, spacing, 2.2), oracle.closing(mask, spacing, 2.2))


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


def test_a_part_with_its_reach_has_the_same_bits_as_the_whole():
    mask, spacing, radius = sparse((11, 12, 13), seed=7, density=0.03), (1.7, 0.6, 0.9), 2.0
    rz, ry, rx = reach(radius, spacing)
    whole = distance_within(mask, spacing, radius)

    part = distance_within(mask[2:9, 1:11, 3:12], spacing, radius)

    np.testing.assert_array_equal(
        part[rz : 7 - rz, ry : 10 - ry, rx : 9 - rx],
        whole[2 + rz : 9 - rz, 1 + ry : 11 - ry, 3 + rx : 12 - rx],
    )
