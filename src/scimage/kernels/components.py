"""Connected components of a mask, and what is known of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit

__all__ = [
    "COLUMNS",
    "find_root",
    "fold_tables",
    "join_labels",
    "label_and_measure",
    "label_components",
    "lowest_of_each",
    "measure_labels",
    "reached_faces",
    "run_end",
]

Shape = tuple[int, int, int]

# A table has one row of int64 for each component, about the volume and not about the block:
# voxels; flat index of the first; sums of z, y, x; first z, y, x; one past the last z, y, x. Sums
# of intensities may follow. All of it is added, or the lowest or highest kept: see fold_tables.
COLUMNS = 11

# Labels are uint32; at most every second voxel begins a new one.
_MOST_VOXELS = 2**33 - 4

# A mask is read in words of eight voxels, the first in the lowest byte.
_ONE = np.uint64(1)
_BYTE = np.uint64(8)
_LAST = np.uint64(56)
_NONE = np.uint64(0)
# Times this, each byte becomes the sum of all bytes up to it.
_SUMS = np.uint64(0x0101010101010101)
# Times this, 256**k has k in its highest three bits.
_PLACES = np.uint64(sum(k << (61 - 8 * k) for k in range(8)))
_PLACE = np.uint64(61)


def label_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], int]:
    """Label the 6-connected components of a mask.

    Parameters
    ----------
    mask
        (z, y, x) of bool.

    Returns
    -------
    labels
        (z, y, x) of uint32: 0 outside, 1, 2, ... in the order of each component's first voxel.
    n
        Number of components.

    Raises
    ------
    ValueError
        The mask has so many voxels that uint32 might not number its components.
    """
    labels, n, _ = _label(mask, None, (0, 0, 0), COLUMNS)
    return labels, n


def label_and_measure(
    mask: NDArray[np.bool_],
    volume: Shape,
    origin: Shape,
    intensity: NDArray[Any] | None = None,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Label the 6-connected components of a mask, and measure them in the same sweep.

    Parameters
    ----------
    mask
        (z, y, x) of bool, of at most 2**33 - 4 voxels.
    volume, origin, intensity
        As in :func:`measure_labels`.

    Returns
    -------
    labels
        As from :func:`label_components`.
    table
        Of component 1, 2, ..., as from :func:`measure_labels`.
    """
    labels, n, table = _label(mask, volume, origin, _columns(intensity))
    if n > 0 and intensity is not None:
        _add_intensity(labels, intensity, table)
    return labels, table


def _label(
    mask: NDArray[np.bool_], volume: Shape | None, origin: Shape, columns: int
) -> tuple[NDArray[np.uint32], int, NDArray[np.int64]]:
    if mask.size > _MOST_VOXELS:
        raise ValueError(f"{mask.size} voxels; at most {_MOST_VOXELS} can be labelled at once")
    if not mask.any():
        return np.zeros(mask.shape, np.uint32), 0, np.zeros((0, columns), np.int64)
    nz, ny, nx = mask.shape
    if nx % 8 or not mask.flags.c_contiguous:
        rows = np.zeros((nz, ny, -(-nx // 8) * 8), dtype=np.bool_)
        rows[:, :, :nx] = mask
        mask = rows
    words = mask.reshape(nz * ny, -1).view(np.uint64)
    runs = np.empty(words.shape, dtype=np.uint32)
    # Products and sums of words wrap. Only without the JIT would NumPy warn of it.
    with np.errstate(over="ignore"):
        number = np.arange(int(_count_runs(words, runs)) + 1, dtype=np.uint32)
        _join_runs(words, runs, ny, number)
        del runs
        n = int(_number_runs(number))
        table = np.zeros((0 if volume is None else n, columns), dtype=np.int64)
        # Runs are painted eight voxels at a time, the last one beyond the end.
        flat = np.empty(nz * ny * nx + 16, dtype=np.uint32)
        _paint(words, number, ny, nx, volume or mask.shape, origin, flat, table)
    return flat[: nz * ny * nx].reshape(nz, ny, nx), n, table


@jit
def _starts(word, before):  # type: ignore[no-untyped-def]
    """Where a run begins: voxels inside that follow one outside. `before` is the word before."""
    return word & ~(word << _BYTE | before >> _LAST)


@jit
def _count_runs(words, runs):  # type: ignore[no-untyped-def]
    """Number of runs; `runs` gets how many begin before each word."""
    n = np.uint32(0)
    for row in range(words.shape[0]):
        into = runs[row]
        before = _NONE
        for i in range(into.size):
            word = words[row, i]
            into[i] = n
            n += np.uint32(_starts(word, before) * _SUMS >> _LAST)
            before = word
    return n


@jit
def _join_runs(words, runs, ny, parent):  # type: ignore[no-untyped-def]
    """Join each run (1, 2, ...) with those that it meets in the row and in the plane before."""
    for row in range(words.shape[0]):
        above, back = max(row - 1, 0), max(row - ny, 0)
        has_above, has_back = row % ny > 0, row >= ny
        words_here, words_above, words_back = words[row], words[above], words[back]
        runs_here, runs_above, runs_back = runs[row], runs[above], runs[back]
        here = of_above = of_back = _NONE
        for i in range(words_here.size):
            before, above_before, back_before = here, of_above, of_back
            here, of_above, of_back = words_here[i], words_above[i], words_back[i]
            if here == _NONE:
                continue
            if has_above:
                _join_words(
                    here, before, of_above, above_before, runs_here[i], runs_above[i], parent
                )
            if has_back:
                _join_words(here, before, of_back, back_before, runs_here[i], runs_back[i], parent)


@jit
def _join_words(word, before, other, other_before, runs, other_runs, parent):  # type: ignore[no-untyped-def]
    meet = _starts(word & other, before & other_before)
    if meet == _NONE:
        return
    starts, other_starts = _starts(word, before), _starts(other, other_before)
    while meet != _NONE:
        place = meet & (~meet + _ONE)
        upto = (place << _ONE) - _ONE
        a = parent[np.uint64(runs) + ((starts & upto) * _SUMS >> _LAST)]
        b = parent[np.uint64(other_runs) + ((other_starts & upto) * _SUMS >> _LAST)]
        if a != b:
            _join(parent, a, b)
        meet ^= place


@jit
def _number_runs(parent):  # type: ignore[no-untyped-def]
    """Turn each run's parent into the label of its component; run 0 is what lies outside."""
    n = np.uint32(0)
    for i in range(1, parent.size):
        # A parent is never above its child, and so it is already numbered.
        if parent[i] == i:
            n += np.uint32(1)
            parent[i] = n
        else:
            parent[i] = parent[parent[i]]
    return n


@jit
def _paint_eight(labels, at, label):  # type: ignore[no-untyped-def]
    # An unsigned index is never counted from the end, and so this is one instruction.
    first = np.uint64(at)
    for k in range(8):
        labels[first + np.uint64(k)] = label


@jit
def _paint(words, number, ny, nx, volume, origin, labels, table):  # type: ignore[no-untyped-def]
    """Write the label of each run, and measure the runs where there is a table to fill."""
    run = np.uint64(0)
    for row in range(words.shape[0]):
        z, y = origin[0] + row // ny, origin[1] + row % ny
        before = _NONE
        label = np.uint32(0)
        begin = np.int64(0)
        for i in range(words.shape[1]):
            word = words[row, i]
            change = word ^ (word << _BYTE | before >> _LAST)
            before = word
            at = row * nx + 8 * i
            # Always eight at once, which is one instruction: what follows paints over it.
            _paint_eight(labels, at, label)
            while change != _NONE:
                place = change & (~change + _ONE)
                step = np.int64(place * _PLACES >> _PLACE)
                if word & place != _NONE:
                    run += _ONE
                    label = number[run]
                    begin = 8 * i + step
                else:
                    if table.size > 0:
                        _add_run(label - 1, z, y, begin, 8 * i + step, volume, origin[2], table)
                    label = np.uint32(0)
                _paint_eight(labels, at + step, label)
                change ^= place
        if label > 0 and table.size > 0:
            _add_run(label - 1, z, y, begin, nx, volume, origin[2], table)


@jit
def _add_run(i, z, y, begin, end, volume, x0, table):  # type: ignore[no-untyped-def]
    """Add voxels `begin` to `end` of a row to component `i`."""
    n = end - begin
    begin, end = begin + x0, end + x0
    if table[i, 0] == 0:
        table[i, 1] = (z * volume[1] + y) * volume[2] + begin
        table[i, 5], table[i, 6], table[i, 7] = z, y, begin
    table[i, 0] += n
    table[i, 2] += n * z
    table[i, 3] += n * y
    table[i, 4] += n * (begin + end - 1) // 2
    table[i, 6] = min(table[i, 6], y)
    table[i, 7] = min(table[i, 7], begin)
    table[i, 8] = z + 1
    table[i, 9] = max(table[i, 9], y + 1)
    table[i, 10] = max(table[i, 10], end)


def measure_labels(
    labels: NDArray[np.uint32],
    n: int,
    volume: Shape,
    origin: Shape,
    intensity: NDArray[Any] | None = None,
) -> NDArray[np.int64]:
    """Measure labels of any kind; exact, in indices of the volume.

    Parameters
    ----------
    labels
        (z, y, x) of uint32, at most `n`.
    volume, origin
        Shape (z, y, x) of the volume that the labels are a part of, and index there of their
        first voxel.
    intensity
        (z, y, x) of integers of at most 32 bits, to be summed.

    Returns
    -------
    (n, COLUMNS) of int64, for label 1, 2, ...: number of voxels; flat index of the first; sums of
    the voxels' z, y, x; lowest z, y, x; highest z, y, x plus 1. With intensities there is one
    more column: their sum.

    Raises
    ------
    ValueError
        The intensities are no such integers: sums of floats depend on their order, and so on how
        a volume is divided; those of longer integers might not fit into int64.
    """
    table = np.zeros((n, _columns(intensity)), dtype=np.int64)
    if n > 0:
        _measure(labels, volume, origin, table)
        if intensity is not None:
            _add_intensity(labels, intensity, table)
    return table


def _columns(intensity: NDArray[Any] | None) -> int:
    if intensity is None:
        return COLUMNS
    if intensity.dtype.kind not in "iub" or intensity.dtype.itemsize > 4:
        raise ValueError(f"intensities of {intensity.dtype}; only integers up to 32 bits are exact")
    return COLUMNS + 1


@jit
def run_end(row: Any, x: Any) -> Any:
    """Where the run of equal labels ends that begins at or before index `x` of a row."""
    label = row[x]
    while x + 8 <= row.size:
        same = True
        for k in range(8):
            same &= row[x + k] == label
        if not same:
            break
        x += 8
    while x < row.size and row[x] == label:
        x += 1
    return x


@jit
def _measure(labels, volume, origin, table):  # type: ignore[no-untyped-def]
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            row = labels[z, y]
            x = 0
            while x < row.size:
                label, begin = row[x], x
                x = run_end(row, x)
                if label > 0:
                    z0, y0, x0 = origin
                    _add_run(label - 1, z + z0, y + y0, begin, x, volume, x0, table)


def reached_faces(labels: NDArray[np.uint32], n: int) -> NDArray[np.bool_]:
    """Which of the `n` components of `labels` (z, y, x) reach which face of the array.

    (n, 6) of bool; faces in the order z low, z high, y low, y high, x low, x high.
    """
    reached = np.zeros((n + 1, 6), dtype=bool)
    for face in range(6):
        reached[np.take(labels, (0, -1)[face % 2], axis=face // 2), face] = True
    return reached[1:]


@jit
def _add_intensity(labels, intensity, table):  # type: ignore[no-untyped-def]
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            row = labels[z, y]
            x = 0
            while x < row.size:
                label, begin = row[x], x
                x = run_end(row, x)
                if label > 0:
                    total = np.int64(0)
                    for value in intensity[z, y, begin:x]:
                        total += np.int64(value)
                    table[label - 1, COLUMNS] += total


@jit
def fold_tables(table: NDArray[np.int64], to: NDArray[np.int64], into: NDArray[np.int64]) -> None:
    """Merge row i of a table into row ``to[i]`` of another, in place.

    Counts and sums are added, of first voxels and lower bounds the lowest is kept, of upper
    bounds the highest: all exact, and in any order. A row of `into` without voxels is empty.
    """
    for i in range(to.size):
        row = to[i]
        empty = into[row, 0] == 0
        for k in range(table.shape[1]):
            if empty:
                into[row, k] = table[i, k]
            elif k == 1 or 5 <= k < 8:
                into[row, k] = min(into[row, k], table[i, k])
            elif 8 <= k < 11:
                into[row, k] = max(into[row, k], table[i, k])
            else:
                into[row, k] += table[i, k]


@jit
def find_root(parent: NDArray[Any], i: Any) -> Any:
    """Root of the tree that element `i` is in; paths are halved in place (Tarjan 1984).

    `parent` is (n,) of unsigned or int64; a root is its own parent.
    """
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def _join(parent, a, b):  # type: ignore[no-untyped-def]
    a = find_root(parent, a)
    b = find_root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@jit
def join_labels(parent: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> None:
    """Join the sets of ``one[i]`` and ``other[i]`` for every i, in place.

    `parent` is (n,) of int64, at first ``arange(n)``; the lowest member stands for its set, so
    the outcome does not depend on the order of the pairs.
    """
    for i in range(one.size):
        _join(parent, one[i], other[i])


@jit
def lowest_of_each(parent: NDArray[Any]) -> NDArray[Any]:
    """Lowest member of the set of each element, (n,) of int64, after :func:`join_labels`."""
    lowest = parent.copy()
    for i in range(lowest.size):
        # A parent is never above its child, and so it is already settled.
        lowest[i] = lowest[lowest[i]]
    return lowest
