"""Prediction of a forest of decision trees: random forest or extra trees."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = ["PackedForest", "classify", "pack_forest", "probabilities"]

# Voxels that go down a tree together: their features stay in the nearest caches, as the tree does.
_BATCH = 512

# A node is one word: in its lower half the threshold, as an integer that sorts like it; then the
# column of the feature, and where the first child is in the tree. The second child follows it. A
# leaf is its own child. A feature has two columns: in the first NaN is above all numbers and in
# the second below them.
_COLUMN, _CHILD = 32, 41
_MOST_COLUMNS = 2**9
_MOST_NODES = 2**23
_HIGHEST, _LOWEST = 2**31 - 1, -(2**31)
_INFINITY, _MINUS_ZERO = 0x7F800000, -(2**31)


class PackedForest(NamedTuple):
    """A forest as the kernels walk it, from :func:`pack_forest`.

    Attributes
    ----------
    nodes
        (n,) of uint64: tree after tree, each level by level.
    shares
        (n, classes) of float64: share of each class in each leaf.
    roots, depths
        (trees,) of int64: first node of each tree, and number of levels below it.
    """

    nodes: NDArray[np.uint64]
    shares: NDArray[np.float64]
    roots: NDArray[np.int64]
    depths: NDArray[np.int64]


def pack_forest(
    feature: NDArray[Any],
    threshold: NDArray[Any],
    left: NDArray[Any],
    right: NDArray[Any],
    value: NDArray[Any],
    roots: NDArray[Any],
    missing_left: NDArray[Any] | None = None,
) -> PackedForest:
    """Arrange the nodes of all trees for prediction.

    Parameters
    ----------
    feature, threshold
        (n,): a voxel goes to the left where its feature is not above the threshold. Thresholds
        are float64, as scikit-learn has them; features are compared with these, unrounded.
    left, right
        (n,) of integers: children of each node, counted from the first node of its tree; -1 in
        leaves.
    value
        (n, classes): counts, weights or shares of the classes in each leaf.
    roots
        (trees,): the first node of each tree, ascending.
    missing_left
        (n,) of bool: where NaN goes to the left, ``missing_go_to_left`` of scikit-learn. Without
        it NaN goes to the right.

    Raises
    ------
    ValueError
        A tree is none, or has more than 2**23 nodes or 256 features.
    """
    # The largest float32 that is not above the threshold: float32 features compare with it as
    # they do with the threshold itself.
    with np.errstate(over="ignore"):
        rounded = np.asarray(threshold, dtype=np.float64).astype(np.float32)
    above = rounded.astype(np.float64) > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    is_leaf = np.asarray(left) < 0
    column = 2 * np.where(is_leaf, 0, feature).astype(np.int64)
    if column.max(initial=0) >= _MOST_COLUMNS:
        raise ValueError(f"at most {_MOST_COLUMNS // 2} features can be packed")
    if missing_left is not None:
        column += np.asarray(missing_left)
    keys = np.where(is_leaf, _HIGHEST, _sorting(rounded.view(np.int32))) & np.int64(0xFFFFFFFF)
    order, children, depths = [], [], []
    ends = np.append(roots[1:], is_leaf.size)
    for first, end in zip(roots.tolist(), ends.tolist(), strict=True):
        seen, depth, level = 0, -1, np.array([first])
        while level.size > 0:
            begin, seen, depth = seen, seen + level.size, depth + 1
            if seen > min(end - first, _MOST_NODES) or level.min() < first or level.max() >= end:
                break
            order.append(level)
            inner = ~is_leaf[level]
            own = np.arange(begin, seen)
            children.append(np.where(inner, seen + 2 * (np.cumsum(inner) - 1), own))
            both = np.stack([left[level[inner]], right[level[inner]]], axis=1)
            level = both.ravel() + first
        if seen != end - first or level.size > 0:
            raise ValueError(f"nodes {first} to {end - 1} are no tree of at most {_MOST_NODES}")
        depths.append(depth)
    at = np.concatenate(order)
    nodes = (keys | column << _COLUMN)[at]
    nodes |= np.concatenate(children) << _CHILD
    shares = np.asarray(value, dtype=np.float64)[at]
    shares = shares / shares.sum(axis=1, keepdims=True)
    where = np.asarray(roots, dtype=np.int64), np.array(depths, dtype=np.int64)
    return PackedForest(nodes.view(np.uint64), shares, *where)


def _sorting(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """Integers that sort like the float32 of these bits."""
    # -0 is 0; of the negative ones the larger bits are the lower.
    return np.where(bits == _MINUS_ZERO, 0, bits ^ ((bits >> 31) & _HIGHEST))


def probabilities(forest: PackedForest, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of each class: the mean of what the trees say.

    Parameters
    ----------
    features
        (n_features, ...) of float32, such as (n_features, z, y, x). NaN is missing.

    Returns
    -------
    (classes, ...) of float32. Trees are summed in their order in float64, as scikit-learn does,
    and so this is its ``predict_proba`` rounded to float32 (relative error below 6e-8).
    """
    return _predicted(forest, features, np.float32)


def classify(forest: PackedForest, features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Most probable class, (...) of uint8; the first of equally probable ones.

    `features` is (n_features, ...) of float32, as in :func:`probabilities`.
    """
    labels: NDArray[np.uint8] = _predicted(forest, features, np.uint8)[0]
    return labels


def _predicted(forest: PackedForest, features: NDArray[np.float32], dtype: type) -> NDArray[Any]:
    bits = np.ascontiguousarray(features, dtype=np.float32).view(np.int32)
    classes = 1 if dtype == np.uint8 else forest.shares.shape[1]
    out = np.empty((classes, *features.shape[1:]), dtype=dtype)
    _predict(*forest, bits.reshape(len(bits), -1), out.reshape(classes, -1), dtype == np.uint8)
    return out


@jit
def _predict(nodes, shares, roots, depths, bits, out, winner):  # type: ignore[no-untyped-def]
    columns = np.empty((_BATCH, 2 * bits.shape[0]), dtype=np.int32)
    sums = np.empty((_BATCH, shares.shape[1]), dtype=np.float64)
    for begin in range(0, bits.shape[1], _BATCH):
        n = min(_BATCH, bits.shape[1] - begin)
        _load(bits, begin, n, columns)
        sums[:] = 0
        _add_trees(nodes, shares, roots, depths, columns, sums[:n])
        for i in range(n):
            if winner:
                out[0, begin + i] = np.argmax(sums[i])
                continue
            for k in range(out.shape[0]):
                out[k, begin + i] = sums[i, k] / roots.size


@jit
def _load(bits, begin, n, columns):  # type: ignore[no-untyped-def]
    for k in range(bits.shape[0]):
        feature = bits[k, begin : begin + n]
        for i in range(n):
            is_nan = (feature[i] & np.int32(_HIGHEST)) > np.int32(_INFINITY)
            key = feature[i] ^ ((feature[i] >> 31) & np.int32(_HIGHEST))
            if feature[i] == _MINUS_ZERO:
                key = np.int32(0)
            columns[i, 2 * k] = _HIGHEST if is_nan else key
            columns[i, 2 * k + 1] = _LOWEST if is_nan else key


@jit
def _add_trees(nodes, shares, roots, depths, columns, sums):  # type: ignore[no-untyped-def]
    at = np.empty(sums.shape[0], dtype=np.uint32)
    flat = columns.reshape(-1)
    for tree in range(roots.size):
        own, shares_of_own = nodes[roots[tree] :], shares[roots[tree] :]
        at[:] = 0
        # One level for all: no voxel waits for another, and there is nothing to mispredict.
        for _ in range(depths[tree]):
            for i in range(at.size):
                node = own[at[i]]
                column = node >> np.uint64(_COLUMN) & np.uint64(_MOST_COLUMNS - 1)
                above = flat[np.uint64(i * columns.shape[1]) + column] > np.int32(
                    node & np.uint64(0xFFFFFFFF)
                )
                at[i] = (node >> np.uint64(_CHILD)) + np.uint64(above)
        for i in range(at.size):
            for k in range(sums.shape[1]):
                sums[i, k] += shares_of_own[at[i], k]
