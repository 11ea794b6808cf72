"""Agreement against worked examples and a brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimage.review import Detection, dice, match_points

# Whole numbers, so that equal distances are common.
POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=5).map(
    lambda p: np.array(p, dtype=float).reshape(-1, 3)
)


def best_by_brute_force(a, b, tolerance):
    """Most pairs, then the least total distance, over all one-to-one matchings."""
    if len(a) > len(b):
        a, b = b, a
    best = (0, 0.0)
    for order in itertools.permutations(range(len(b)), len(a)):
        apart = [np.linalg.norm(a[i] - b[j]) for i, j in enumerate(order)]
        near = [d for d in apart if d <= tolerance]
        best = max(best, (len(near), -sum(near)))
    return best[0], -best[1]


@settings(max_examples=150, deadline=None)
@given(POINTS, POINTS, st.sampled_from([0.0, 1.0, 1.5, 2.5, 10.0]))
def test_matching_is_the_brute_force_optimum(reference, found, tolerance):
    match = match_points(reference, found, tolerance)
    pairs = match.pairs
    apart = np.linalg.norm(reference[pairs[:, 0]] - found[pairs[:, 1]], axis=1)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (apart <= tolerance).all()
    count, total = best_by_brute_force(reference, found, tolerance)
    assert match.true_positives == count
    assert apart.sum() == pytest.approx(total)


def test_scores_of_the_ninth_worked_example():
    pairs = np.repeat(np.arange(450)[:, None], 2, axis=1)
    detection = Detection(pairs, n_reference=500, n_found=475)
    assert detection.precision == pytest.approx(0.947368, rel=1e-5)
    assert detection.recall == pytest.approx(0.9, rel=1e-5)
    assert detection.f1 == pytest.approx(0.923077, rel=1e-5)
    assert detection.count_bias == pytest.approx(-0.05, rel=1e-5)


def test_matching_reproduces_the_ninth_worked_example():
    reference = np.zeros((500, 3))
    reference[:, 0] = 10.0 * np.arange(500)
    found = np.concatenate([reference[:450], reference[:25] + np.array([0, 500.0, 0])])
    match = match_points(reference, found + np.array([1.0, 0, 0]), tolerance_um=4)
    assert match.true_positives == 450
    assert match.f1 == pytest.approx(0.923077, rel=1e-5)


def test_more_pairs_win_over_nearer_ones():
    reference = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    found = np.array([[1.9, 0, 0], [3.9, 0, 0]])
    assert match_points(reference, found, 2.0).true_positives == 2


def test_nothing_to_find_and_nothing_found_agree():
    none = match_points(np.empty((0, 3)), np.empty((0, 3)), 4)
    assert none.f1 == 1.0
    assert np.isnan([none.precision, none.recall, none.count_bias]).all()


def test_one_side_empty_scores_zero():
    one = np.zeros((1, 3))
    assert match_points(one, np.empty((0, 3)), 4).f1 == 0
    assert match_points(np.empty((0, 3)), one, 4).f1 == 0


def test_dice_of_the_ninth_worked_example():
    a, b = np.zeros((2, 4, 270), dtype=bool)
    a.ravel()[:1000] = True
    b.ravel()[180:1080] = True
    assert dice(a, b) == pytest.approx(0.863158, rel=1e-5)


def test_two_empty_masks_agree_and_disjoint_ones_do_not():
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    assert dice(empty, empty) == 1.0
    assert dice(empty, empty + 1) == 0.0


def test_any_value_but_zero_is_inside_a_mask():
    labels = np.array([[[0, 3, 255]]], dtype=np.uint8)
    assert dice(labels, labels > 0) == 1.0
