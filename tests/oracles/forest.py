"""Twin of scimage.kernels.forest."""

from __future__ import annotations

import math

import numpy as np


def random_forest(random, n_trees, n_features, n_classes, depth):
    """Trees of random splits, in the order in which scikit-learn stores them: depth first."""
    feature, threshold, left, right, missing, value, roots = ([] for _ in range(7))

    def grow(root, levels):
        me = len(feature)
        leaf = levels == 0 or random.random() < 0.2
        feature.append(-2 if leaf else int(random.integers(n_features)))
        # Some lie between two float32, and some are among the features.
        threshold.append(random.choice([random.normal(), np.float32(random.normal()), 0.0]))
        missing.append(bool(random.integers(2)))
        value.append(random.integers(1, 9, n_classes))
        left.append(-1)
        right.append(-1)
        if not leaf:
            left[me] = grow(root, levels - 1) - root
            right[me] = grow(root, levels - 1) - root
        return me

    for _ in range(n_trees):
        roots.append(len(feature))
        grow(roots[-1], depth)
    return {
        "feature": np.array(feature),
        "threshold": np.array(threshold),
        "left": np.array(left),
        "right": np.array(right),
        "value": np.array(value, dtype=np.float64),
        "roots": np.array(roots),
        "missing_left": np.array(missing),
    }


def predict_proba(forest, voxels):
    """Probabilities (n, classes) of float64 for (n, n_features) of float32."""
    out = np.zeros((len(voxels), forest["value"].shape[1]))
    for i, voxel in enumerate(voxels.tolist()):
        for root in forest["roots"].tolist():
            node = root
            while forest["left"][node] >= 0:
                x = voxel[forest["feature"][node]]
                to_left = x <= forest["threshold"][node]
                if math.isnan(x):
                    to_left = forest["missing_left"] is not None and forest["missing_left"][node]
                node = root + forest["left" if to_left else "right"][node]
            out[i] += forest["value"][node] / forest["value"][node].sum()
    return out / len(forest["roots"])
