from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import local_minima
from skimage.segmentation import watershed

import oracles.watershed as oracle
from scimage.kernels.watershed import watershed_basins

DTYPES = [np.uint8, np.uint16, np.int16, np.int64, np.float32, np.float64]
FACES = [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)]


def basins(values, mask):
    """Basins of a whole volume, around which there is nothing."""
    # Around it lies what is lower than all values: it must not attract anything.
    lowest = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
    around = np.pad(values, 1, mode="constant", constant_values=lowest)
    labels, n, leads = watershed_basins(around, np.pad(mask, 1))
    assert labels.dtype == np.uint32
    assert not leads.any()
    return labels, n


def check(values, mask):
    labels, n = basins(values, mask)

    expected, n_expected = oracle.watershed_basins(values, mask)
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected)
    return n


def random_values(seed, shape, dtype, levels):
    return np.random.default_rng(seed).integers(0, levels, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [2, 5, 100])
@pytest.mark.parametrize("density", [0.4, 0.9, 1.0])
def test_basins_of_noise_are_those_found_by_ranking_all_voxels(dtype, levels, density):
    values = random_values(0, (7, 8, 9), dtype, levels)
    mask = np.random.default_rng(1).random(values.shape) < density

    assert check(values, mask) > 1


@given(data=st.data())
def test_basins_of_any_values_and_mask_are_those_found_by_ranking_all_voxels(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    values = data.draw(hnp.arrays(dtype, shape))
    mask = data.draw(hnp.arrays(np.bool_, shape))

    check(values, mask)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 11), (9, 1, 11), (9, 11, 1), (1, 1, 12)])
def test_thin_volumes_have_the_basins_found_by_ranking_all_voxels(shape):
    check(random_values(2, shape, np.uint8, 6), np.ones(shape, dtype=bool))


def test_numbers_beyond_the_precision_of_floats_are_told_apart():
    values = np.array([2**62 + 1, 2**62, 2**62 + 1], dtype=np.int64).reshape(1, 1, 3)

    assert basins(values, np.ones(values.shape, dtype=bool))[1] == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_volume_is_one_basin(dtype):
    values = np.full((4, 5, 6), 7, dtype=dtype)

    labels, n = basins(values, np.ones(values.shape, dtype=bool))

    assert n == 1
    assert (labels == 1).all()


def test_a_plateau_goes_down_towards_the_smaller_index():
    values = np.array([0, 5, 5, 5, 5, 1]).reshape(1, 1, 6)

    labels, _ = basins(values, np.ones(values.shape, dtype=bool))

    # Only its last voxel is beside something lower; it is never divided half way.
    assert labels.ravel().tolist() == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ridge_between_equal_valleys_belongs_to_the_first(axis):
    values = np.moveaxis(np.array([0, 5, 0]).reshape(3, 1, 1), 0, axis)

    labels, _ = basins(values, np.ones(values.shape, dtype=bool))

    assert labels.ravel().tolist() == [1, 1, 2]


def test_of_equally_low_neighbours_the_one_with_the_smallest_index_attracts():
    values = np.full((3, 3, 3), 9, dtype=np.uint8)
    for face in FACES:
        values[face] = 1
    mask = ndimage.generate_binary_structure(3, 1)

    for k, order in enumerate([0, 2, 4, 5, 3, 1]):
        labels, n = basins(values, mask)

        assert n == 6 - k
        assert labels[1, 1, 1] == labels[FACES[order]]
        if n > 1:
            mask[FACES[order]] = False


def test_without_a_mask_there_is_no_basin():
    labels, n = basins(np.ones((3, 4, 5), dtype=np.float32), np.zeros((3, 4, 5), dtype=bool))

    assert n == 0
    assert labels.shape == (3, 4, 5)
    assert not labels.any()


def test_what_is_not_in_the_mask_attracts_nothing():
    values = np.array([3, 0, 4, 5]).reshape(1, 1, 4)
    mask = np.array([True, False, True, True]).reshape(1, 1, 4)

    labels, _ = basins(values, mask)

    assert labels.ravel().tolist() == [1, 0, 2, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_is_as_high_as_infinity(dtype):
    some = np.array([1, np.nan, np.inf, np.nan, -np.inf, 2, np.nan], dtype=dtype)
    values = np.random.default_rng(3).choice(some, (6, 7, 8))
    mask = np.random.default_rng(4).random(values.shape) < 0.9

    check(values, mask)

    high = np.where(np.isnan(values), np.inf, values)
    np.testing.assert_array_equal(basins(values, mask)[0], basins(high, mask)[0])


def test_nothing_but_nan_is_one_basin():
    values = np.full((3, 4, 5), np.nan, dtype=np.float32)

    assert basins(values, np.ones(values.shape, dtype=bool))[1] == 1


def test_zero_has_no_sign():
    values = np.array([0.0, -0.0, 0.0, -0.0], dtype=np.float32).reshape(1, 1, 4)

    assert basins(values, np.ones(values.shape, dtype=bool))[1] == 1


def test_the_values_are_left_as_they_were():
    values = np.full((3, 3, 3), np.nan, dtype=np.float32)
    mask = np.ones((3, 3, 3), dtype=bool)

    watershed_basins(values, mask)

    assert np.isnan(values).all()
    assert mask.all()


@pytest.mark.parametrize("order", ["transposed", "reversed", "strided"])
def test_memory_layout_does_not_matter(order):
    values = random_values(5, (6, 7, 8), np.uint8, 9)
    mask = np.random.default_rng(6).random(values.shape) < 0.8
    look = {
        "transposed": lambda a: a.T,
        "reversed": lambda a: a[::-1, :, ::-1],
        "strided": lambda a: a[::2, :, ::3],
    }[order]

    labels, n, leads = watershed_basins(look(values), look(mask))

    expected = watershed_basins(look(values).copy(), look(mask).copy())
    np.testing.assert_array_equal(labels, expected[0])
    assert n == expected[1]
    np.testing.assert_array_equal(leads, expected[2])


@pytest.mark.parametrize("i", range(6))
def test_a_voxel_whose_lowest_neighbour_lies_in_the_halo_leads_out_of_that_face(i):
    values = np.full((3, 3, 3), 5, dtype=np.uint8)
    values[FACES[i]] = 4

    labels, n, leads = watershed_basins(values, np.ones((3, 3, 3), dtype=bool))

    assert labels.ravel().tolist() == [1]
    assert n == 1
    assert leads.ravel().tolist() == [1 + i]


@pytest.mark.parametrize("i", range(6))
def test_an_equal_neighbour_in_the_halo_is_lower_only_before_the_voxel(i):
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = mask[FACES[i]] = True

    _, _, leads = watershed_basins(np.full((3, 3, 3), 5, dtype=np.uint8), mask)

    assert leads.ravel().tolist() == [1 + i if i % 2 == 0 else 0]


def test_two_voxels_that_lead_out_side_by_side_are_two_trees():
    values = np.full((3, 3, 4), 5, dtype=np.uint8)
    values[0] = 4

    labels, n, leads = watershed_basins(values, np.ones(values.shape, dtype=bool))

    assert labels.ravel().tolist() == [1, 2]
    assert n == 2
    assert leads.ravel().tolist() == [1, 1]


def test_more_voxels_than_uint32_can_number_are_refused_before_anything_is_allocated():
    huge = np.broadcast_to(np.zeros(1, dtype=bool), (2**11, 2**11, 2**11))

    with pytest.raises(ValueError, match="at most 4294967295 can be labelled at once"):
        watershed_basins(huge, huge)


def test_on_distinct_values_there_is_one_basin_around_each_local_minimum_of_skimage():
    # Only where all values differ does scikit-image mean the same: of a plateau that is a
    # minimum it marks all voxels.
    noise = np.random.default_rng(7).random((20, 22, 24))
    values = ndimage.gaussian_filter(noise, 1.5)
    assert np.unique(values).size == values.size

    labels, n = basins(values, np.ones(values.shape, dtype=bool))

    minima = np.argwhere(local_minima(values, connectivity=1))
    lowest = ndimage.minimum_position(values, labels, np.arange(1, n + 1))
    assert n > 10
    assert sorted(lowest) == sorted(map(tuple, minima.tolist()))


def test_away_from_the_ridges_the_basins_are_those_that_skimage_floods():
    # Flooding hands out the voxels of a ridge in the order in which it gets there, steepest
    # descent by their neighbours: they need to agree only on the slopes. So what is compared
    # are the voxels of well separated bowls that lie clearly nearer to one centre.
    centres = np.array([(6, 6, 6), (6, 18, 20), (18, 7, 19), (19, 20, 6)])
    place = np.indices((25, 26, 27)).reshape(3, -1).T
    away = np.linalg.norm(place[:, None] - centres - np.array([0.11, 0.23, 0.37]), axis=2)
    values = away.min(axis=1).reshape(25, 26, 27)
    nearest, second = np.sort(away, axis=1)[:, :2].T
    slopes = (nearest < 0.8 * second).reshape(values.shape)
    seeds = np.zeros(values.shape, dtype=np.int32)

    labels, n = basins(values, np.ones(values.shape, dtype=bool))

    seeds[tuple(centres.T)] = labels[tuple(centres.T)]
    flooded = watershed(values, seeds, connectivity=1)
    assert n == 4
    assert slopes.mean() > 0.5
    np.testing.assert_array_equal(labels[slopes], flooded[slopes])
