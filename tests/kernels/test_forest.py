from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles.forest as oracle
from scimage.kernels.forest import classify, pack_forest, probabilities

STUMP = {
    "feature": np.array([0, -2, -2]),
    "threshold": np.array([0.1, 0.0, 0.0]),
    "left": np.array([1, -1, -1]),
    "right": np.array([2, -1, -1]),
    "value": np.array([[1, 1], [3, 1], [0, 2]]),
    "roots": np.array([0]),
}
TENTH = np.float32(0.1)  # above 0.1


def features_of(random, n_features, shape, missing):
    features = random.normal(size=(n_features, *shape)).astype(np.float32)
    features[random.random(features.shape) < 0.1] = 0
    features[random.random(features.shape) < 0.1] = -0.0
    features[random.random(features.shape) < 0.02] = np.inf
    features[random.random(features.shape) < 0.02] = -np.inf
    features[random.random(features.shape) < missing] = np.nan
    return features


@given(
    seed=st.integers(0, 2**32 - 1),
    n_classes=st.integers(1, 4),
    depth=st.integers(0, 7),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_probabilities_are_those_found_node_by_node(seed, n_classes, depth, missing):
    random = np.random.default_rng(seed)
    forest = oracle.random_forest(random, 5, 3, n_classes, depth)
    features = features_of(random, 3, (3, 2, 7), missing)

    found = probabilities(pack_forest(**forest), features)

    expected = oracle.predict_proba(forest, features.reshape(3, -1).T)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.reshape(n_classes, -1), expected.T.astype(np.float32))


def test_classes_are_the_most_probable_ones_and_the_first_of_equal_ones():
    random = np.random.default_rng(0)
    forest = oracle.random_forest(random, 2, 2, 3, 3)
    features = features_of(random, 2, (4, 5, 60), 0.1)

    found = classify(pack_forest(**forest), features)

    expected = oracle.predict_proba(forest, features.reshape(2, -1).T)
    assert found.dtype == np.uint8
    assert found.shape == (4, 5, 60)
    np.testing.assert_array_equal(found.ravel(), expected.argmax(axis=1))


def test_a_forest_of_one_class_finds_class_0():
    stump = {**STUMP, "value": np.ones((3, 1))}

    assert classify(pack_forest(**stump), np.zeros((1, 2, 2, 2), dtype=np.float32)).max() == 0


@pytest.mark.parametrize("n", [1, 511, 512, 513, 1500])
def test_a_voxel_gets_the_same_wherever_it_lies_in_a_batch(n):
    forest = pack_forest(**oracle.random_forest(np.random.default_rng(1), 4, 3, 2, 6))
    one = np.array([[0.3], [-0.2], [np.nan]], dtype=np.float32)

    found = probabilities(forest, np.repeat(one, n, axis=1))

    assert (found == probabilities(forest, one)).all()


def test_a_threshold_between_two_float32_parts_them():
    below = np.nextafter(TENTH, np.float32(0))
    features = np.array([[below, TENTH]])

    assert float(TENTH) > 0.1
    assert probabilities(pack_forest(**STUMP), features)[0].tolist() == [0.75, 0.0]


@pytest.mark.parametrize(("missing_left", "share"), [(None, 0.0), ([0] * 3, 0.0), ([1] * 3, 0.75)])
def test_nan_goes_where_the_node_says_and_else_to_the_right(missing_left, share):
    to_left = None if missing_left is None else np.array(missing_left, dtype=bool)
    nan = np.array([[np.nan, -np.nan]], dtype=np.float32)

    found = probabilities(pack_forest(**STUMP, missing_left=to_left), nan)

    assert found[0].tolist() == [share, share]


@pytest.mark.parametrize("threshold", [1e300, -1e300, np.inf])
def test_thresholds_beyond_float32_part_nothing_but_infinity(threshold):
    forest = pack_forest(**{**STUMP, "threshold": np.array([threshold, 0, 0])})
    largest = float(np.finfo(np.float32).max)

    found = probabilities(forest, np.array([[-largest, 0, largest, np.inf]], dtype=np.float32))

    expected = [0.75 * (x <= threshold) for x in (-largest, 0, largest, np.inf)]
    assert found[0].tolist() == expected


def test_memory_layout_does_not_matter():
    forest = pack_forest(**oracle.random_forest(np.random.default_rng(2), 4, 5, 3, 5))
    features = np.random.default_rng(3).normal(size=(6, 5, 4, 10)).astype(np.float32)
    view = features.T[::2, :, ::-1]

    np.testing.assert_array_equal(probabilities(forest, view), probabilities(forest, view.copy()))


def test_no_voxels_have_no_probabilities():
    assert probabilities(pack_forest(**STUMP), np.zeros((1, 0, 2), np.float32)).shape == (2, 0, 2)


@pytest.mark.parametrize(
    ("field", "values"),
    [("left", [0, -1, -1]), ("left", [2, -1, -1]), ("right", [3, -1, -1]), ("left", [-1] * 3)],
)
def test_nodes_that_are_no_tree_are_refused(field, values):
    changed = {**STUMP, field: np.array(values)}
    if field == "left" and values[0] == 2:
        changed["left"], changed["right"] = np.array([1, 2, -1]), np.array([2, 2, -1])

    with pytest.raises(ValueError, match="nodes 0 to 2 are no tree"):
        pack_forest(**changed)


def test_more_features_than_a_node_can_name_are_refused():
    with pytest.raises(ValueError, match="at most 256 features"):
        pack_forest(**{**STUMP, "feature": np.array([256, -2, -2])})


def test_probabilities_are_those_of_scikit_learn():
    ensemble = pytest.importorskip("sklearn.ensemble")
    random = np.random.default_rng(4)
    samples = random.normal(size=(600, 4)).astype(np.float32)
    classes = (samples[:, 0] * samples[:, 1] > 0).astype(int) + (samples[:, 2] > 1)
    samples[random.random(samples.shape) < 0.05] = np.nan
    trained = ensemble.RandomForestClassifier(10, random_state=0).fit(samples, classes)
    trees = [e.tree_ for e in trained.estimators_]

    def joined(name):
        return np.concatenate([getattr(t, name) for t in trees])

    forest = pack_forest(
        joined("feature"), joined("threshold"), joined("children_left"),
        joined("children_right"), joined("value")[:, 0],
        np.cumsum([0, *(t.node_count for t in trees[:-1])]),
        joined("missing_go_to_left").astype(bool),
    )  # fmt: skip

    expected = trained.predict_proba(samples).T.astype(np.float32)
    np.testing.assert_array_equal(probabilities(forest, samples.T), expected)
