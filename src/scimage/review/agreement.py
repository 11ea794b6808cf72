"""How well two raters, or a program and the truth, agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Detection", "dice", "match_points"]


@dataclass(frozen=True, slots=True)
class Detection:
    """Points of one rater against those of another, matched one to one.

    Attributes
    ----------
    pairs
        (n, 2) of int: index of each matched reference point and of its partner.
    n_reference, n_found
        Number of points.
    """

    pairs: NDArray[np.int64]
    n_reference: int
    n_found: int

    @property
    def true_positives(self) -> int:
        """Matched pairs."""
        return len(self.pairs)

    @property
    def precision(self) -> float:
        """Share of the found points that are real; NaN when none were found."""
        return self.true_positives / self.n_found if self.n_found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the real points that were found; NaN when there are none."""
        return self.true_positives / self.n_reference if self.n_reference else float("nan")

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 when there is nothing to find and nothing was found."""
        total = self.n_reference + self.n_found
        return 2 * self.true_positives / total if total else 1.0

    @property
    def count_bias(self) -> float:
        """(found - real) / real; NaN when there are none."""
        if not self.n_reference:
            return float("nan")
        return (self.n_found - self.n_reference) / self.n_reference


def match_points(
    reference_um: NDArray[Any], found_um: NDArray[Any], tolerance_um: float
) -> Detection:
    """Match points one to one, as many as possible, nearest first among equals.

    Parameters
    ----------
    reference_um, found_um
        (n, 3) positions in micrometres.
    tolerance_um
        Pairs farther apart never match.

    Notes
    -----
    A maximum-cardinality matching of least total distance, by components of the graph of
    possible pairs (Hungarian method in each).
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n, m = len(reference_um), len(found_um)
    none = np.empty((0, 2), dtype=np.int64)
    if n == 0 or m == 0:
        return Detection(none, n, m)
    near = cKDTree(reference_um).sparse_distance_matrix(
        cKDTree(found_um), tolerance_um, output_type="coo_matrix"
    )
    a, b, d = near.row.astype(np.int64), near.col.astype(np.int64), near.data
    if a.size == 0:
        return Detection(none, n, m)
    graph = coo_array((np.ones(a.size), (a, n + b)), shape=(n + m, n + m))
    _, component = connected_components(graph, directed=False)
    order = np.argsort(component[a], kind="stable")
    edges = np.split(order, np.flatnonzero(np.diff(component[a][order])) + 1)
    pairs = []
    for edge in edges:
        rows, i = np.unique(a[edge], return_inverse=True)
        columns, j = np.unique(b[edge], return_inverse=True)
        # Any impossible pair costs more than all possible ones together.
        impossible = (tolerance_um + 1.0) * (min(len(rows), len(columns)) + 1)
        cost = np.full((len(rows), len(columns)), impossible)
        cost[i, j] = d[edge]
        r, c = linear_sum_assignment(cost)
        real = cost[r, c] < impossible
        pairs.append(np.stack([rows[r[real]], columns[c[real]]], axis=1))
    return Detection(np.concatenate(pairs), n, m)


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    """2 |A and B| / (|A| + |B|) of two masks of one shape; 1 when both are empty."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
