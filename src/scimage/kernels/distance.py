"""Exact Euclidean distances up to a limit, morphology with balls in micrometres, and holes.

Masks are packed for morphology: 64 voxels of a row are one word, and a ball is a union of runs
along x, one for each of its rows. Distances are minima over the offsets along one axis after the
other. Both add squares in the same order, x, y, z, in float32, so that they agree on every voxel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scimage.kernels._jit import jit
from scimage.kernels.components import label_components, reached_faces

__all__ = [
    "closing",
    "dilation",
    "distance_within",
    "erosion",
    "fill_holes",
    "opening",
    "reach",
    "signed_distance_within",
]

Spacing = tuple[float, float, float]

# Operands that one turn of an inner loop takes, so that the result is stored once for all of them.
_OPERANDS = 8
# Bytes of rows that stay in a second-level cache beside the planes that they are joined to.
_CACHE = 400_000
# Voxels of a row that are measured together: until all of them are near enough, none is done.
_TOGETHER = 256


def reach(radius_um: float, spacing_um: Spacing) -> tuple[int, int, int]:
    """Voxels (z, y, x) that a ball of this radius reaches from its centre voxel."""
    z, y, x = (math.floor(radius_um / s * (1 + 1e-9)) for s in spacing_um)
    return z, y, x


def _squares(
    shape: tuple[int, ...], spacing_um: Spacing, radius_um: float
) -> tuple[list[NDArray[np.float32]], np.float32]:
    """Squared distance of 0, 1, ... voxels along each axis, and the largest within the radius."""
    squares = []
    for n, r, s in zip(shape, reach(radius_um, spacing_um), spacing_um, strict=True):
        k = np.arange(min(r, n - 1) + 1, dtype=np.float32)
        squares.append(k * k * np.float32(s * s))
    return squares, np.float32(radius_um**2 * (1 + 1e-6))


def distance_within(
    mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float
) -> NDArray[np.float32]:
    """Distance from each voxel centre to the nearest voxel centre in `mask`, up to a radius.

    Parameters
    ----------
    mask
        (z, y, x) of bool.
    spacing_um
        Voxel size (z, y, x).
    radius_um
        Distances beyond it are infinite.

    Returns
    -------
    (z, y, x) of float32, in micrometres. A separable minimum of sums of squares, exact but for
    rounding, and the same bits wherever the voxel lies in the array. A distance equal to the
    radius is within it, also when it exceeds it by rounding (up to one part in 2 million).
    """
    return _distances(mask, spacing_um, radius_um, signed=False)


def signed_distance_within(
    mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float
) -> NDArray[np.float32]:
    """Distance from each voxel centre to the nearest one of the other kind, negative in `mask`.

    Parameters
    ----------
    mask
        (z, y, x) of bool.
    spacing_um
        Voxel size (z, y, x).
    radius_um
        Distances beyond it are infinite.

    Returns
    -------
    (z, y, x) of float32, in micrometres. Outside `mask`, the distance to the nearest voxel centre
    in it, or +inf beyond the radius. In `mask`, minus the distance to the nearest voxel centre
    outside it, or -inf. No value is 0, and two neighbours on either side of the surface are at
    plus and minus their spacing: the surface itself lies half way. What lies beyond the array is
    of neither kind. Exact and independent of position as :func:`distance_within` is.
    """
    return _distances(mask, spacing_um, radius_um, signed=True)


def _distances(
    mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float, signed: bool
) -> NDArray[np.float32]:
    values = np.empty(mask.shape, dtype=np.float32)
    if mask.size == 0:
        return values
    nz, ny, nx = mask.shape
    (z2, y2, x2), limit = _squares(mask.shape, spacing_um, radius_um)
    steps, lines = _steps_and_lines(y2, ny, nx)
    # Plane by plane, so that the second axis finds in the cache what the first one left there.
    for i in range(nz):
        plane = values[i].ravel()
        _measure_along(mask[i].copy(), plane, x2.size - 1, np.float32(spacing_um[2] ** 2), signed)
        _measure_across(plane, 1, 0, nx, nx, steps, lines, limit, False)
    steps, lines = _steps_and_lines(z2, nz, nx)
    _measure_across(values.ravel(), ny, nx, ny * nx, nx, steps, lines, limit, True)
    return values


def _steps_and_lines(
    squares: NDArray[np.float32], n: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squares of 1, 2, ... steps for whole turns of the loop, and a buffer for `n` pieces of rows.

    Steps beyond the reach are infinite, and so are the pieces before the first and after the last.
    """
    r, turn = squares.size - 1, _OPERANDS // 2
    steps = np.full(-(-r // turn) * turn, np.inf, dtype=np.float32)
    steps[:r] = squares[1:]
    lines = np.full((n + 2 * steps.size, min(width, _TOGETHER)), np.inf, dtype=np.float32)
    return steps, lines


@jit
def _measure_along(mask, values, rx, unit, signed):  # type: ignore[no-untyped-def]
    """Squared distances along x within the rows of a plane; with `signed` negative in the mask."""
    ny, nx = mask.shape
    # Cones of 1, 2, 4, ... voxels add up to one of at least rx.
    margin = 1
    while margin <= rx:
        margin *= 2
    source = np.full(nx + 2 * margin, np.inf, dtype=np.float32)
    target = source.copy()
    near, far = np.float32(0), np.float32(np.inf)
    for y in range(ny):
        inside = mask[y]
        into = values[y * nx : (y + 1) * nx]
        for x in range(nx):
            into[x] = near
        for side in range(2 if signed else 1):
            in_mask, elsewhere = (near, far) if side == 0 else (far, near)
            here = source[margin : margin + nx]
            for x in range(nx):
                here[x] = in_mask if inside[x] else elsewhere
            k = 1
            while k < margin:
                here = source[margin : margin + nx]
                before = source[margin - k : margin - k + nx]
                after = source[margin + k : margin + k + nx]
                out = target[margin : margin + nx]
                step = np.float32(k)
                for x in range(nx):
                    out[x] = min(here[x], min(before[x], after[x]) + step)
                source, target = target, source
                k *= 2
            here = source[margin : margin + nx]
            scale = unit if side == 0 else -unit
            for x in range(nx):
                into[x] += here[x] * here[x] * scale


@jit
def _measure_across(values, count, apart, stride, width, steps, lines, limit, last):  # type: ignore[no-untyped-def]
    """Take another axis into squared distances, in place; after the last one, take roots.

    The axis has the given stride in the flat `values`, and there are `count` sheets of it and x,
    that begin `apart` from each other. Positive and negative values are two distances, of which
    each is 0 where the other is not.
    """
    # How many lines before each have a finite value.
    finite = np.zeros(lines.shape[0] + 1, dtype=np.int64)
    for sheet in range(count):
        for x in range(0, width, lines.shape[1]):
            size = min(lines.shape[1], width - x)
            begin = sheet * apart + x
            for sign in (np.float32(1), np.float32(-1)):
                if _fill_lines(values, begin, stride, sign, size, lines, steps.size, finite):
                    _join_lines(
                        values, begin, stride, sign, size, lines, steps, finite, limit, last
                    )


@jit
def _fill_lines(values, begin, stride, sign, size, lines, r, finite):  # type: ignore[no-untyped-def]
    """Copy what has this sign, between `r` infinite lines before and after; False if nothing."""
    # As integers, for these are compared many at a time and order the same.
    whole = lines.view(np.int32)
    infinite = np.int32(0x7F800000)
    most = np.int32(0)
    n = lines.shape[0] - 2 * r
    for i in range(n):
        piece = values[begin + i * stride : begin + i * stride + size]
        line = lines[r + i]
        for j in range(size):
            line[j] = max(sign * piece[j], np.float32(0))
        bits = whole[r + i]
        least = infinite
        for j in range(size):
            most = max(most, bits[j])
            least = min(least, bits[j])
        finite[r + i + 1] = finite[r + i] + (least < infinite)
    for i in range(r + n, n + 2 * r):
        finite[i + 1] = finite[i]
    return most > 0


@jit
def _join_lines(values, begin, stride, sign, size, lines, steps, finite, limit, last):  # type: ignore[no-untyped-def]
    """Minimum over all lines within reach of their values and the steps to them."""
    r = steps.size
    nearest = np.empty(lines.shape[1], dtype=np.float32)
    bits, step_bits = nearest.view(np.int32), steps.view(np.int32)
    infinite = np.float32(np.inf)
    for i in range(r, lines.shape[0] - r):
        if finite[i - r] == finite[i + r + 1]:
            continue
        line = lines[i]
        for j in range(size):
            nearest[j] = line[j]
        for k in range(0, r, _OPERANDS // 2):
            most = np.int32(0)
            for j in range(size):
                most = max(most, bits[j])
            if most <= step_bits[k]:
                break
            s1, s2, s3, s4 = steps[k], steps[k + 1], steps[k + 2], steps[k + 3]
            a1, b1 = lines[i - k - 1], lines[i + k + 1]
            a2, b2 = lines[i - k - 2], lines[i + k + 2]
            a3, b3 = lines[i - k - 3], lines[i + k + 3]
            a4, b4 = lines[i - k - 4], lines[i + k + 4]
            for j in range(size):
                closer = min(min(a1[j], b1[j]) + s1, min(a2[j], b2[j]) + s2)
                farther = min(min(a3[j], b3[j]) + s3, min(a4[j], b4[j]) + s4)
                nearest[j] = min(nearest[j], closer, farther)
        at = begin + (i - r) * stride
        piece = values[at : at + size]
        if last:
            for j in range(size):
                nearest[j] = np.sqrt(nearest[j]) if nearest[j] <= limit else infinite
        for j in range(size):
            piece[j] = sign * nearest[j] if line[j] > 0 else piece[j]


def dilation(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """All voxels whose centre is within `radius_um` of the centre of a voxel in `mask`.

    Parameters
    ----------
    mask
        (z, y, x) of bool.
    spacing_um
        Voxel size (z, y, x).
    radius_um
        A centre at exactly this distance is within it, as in :func:`distance_within`.

    Returns
    -------
    (z, y, x) of bool: where :func:`distance_within` is finite.
    """
    return _morphed(mask, spacing_um, radius_um, (_DILATE,))


def erosion(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """All voxels of `mask` farther than `radius_um` from every voxel outside it.

    What lies beyond the array does not erode. Arguments are those of :func:`dilation`.
    """
    return _morphed(mask, spacing_um, radius_um, (_ERODE,))


def closing(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """Dilation and then erosion with a ball; exact where twice its reach lies in the array.

    Arguments are those of :func:`dilation`.
    """
    return _morphed(mask, spacing_um, radius_um, (_DILATE, _ERODE))


def opening(mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float) -> NDArray[np.bool_]:
    """Erosion and then dilation with a ball; exact where twice its reach lies in the array.

    Arguments are those of :func:`dilation`.
    """
    return _morphed(mask, spacing_um, radius_um, (_ERODE, _DILATE))


_DILATE, _ERODE = False, True


def _morphed(
    mask: NDArray[np.bool_], spacing_um: Spacing, radius_um: float, erosions: tuple[bool, ...]
) -> NDArray[np.bool_]:
    if mask.size == 0:
        return mask.copy()
    bits = _packed(mask)
    row = _packed(np.ones((1, 1, mask.shape[2]), dtype=np.bool_))[0, 0]
    for erode in erosions:
        # To erode a mask is to dilate what lies outside it.
        if erode:
            bits ^= row
        bits = _dilated(bits, row, mask.shape, spacing_um, radius_um)
        if erode:
            bits ^= row
    octets = bits.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=2, count=mask.shape[2], bitorder="little").view(np.bool_)


def _packed(mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows as words, lowest bit first; at least one bit is left between a row and the next."""
    nz, ny, nx = mask.shape
    octets = np.zeros((nz, ny, (nx // 64 + 1) * 8), dtype=np.uint8)
    octets[..., : -(-nx // 8)] = np.packbits(mask, axis=2, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def _dilated(
    bits: NDArray[np.uint64],
    row: NDArray[np.uint64],
    shape: tuple[int, ...],
    spacing_um: Spacing,
    radius_um: float,
) -> NDArray[np.uint64]:
    (z2, y2, x2), limit = _squares(shape, spacing_um, radius_um)
    ry, rx = y2.size - 1, x2.size - 1
    # Rows that are dilated at once: as many as fit the cache with what they need above and below.
    rows = max(_CACHE // ((rx + 1) * row.nbytes) - 2 * ry, ry, 8)
    rows = min(rows, shape[1])
    valid = np.tile(row, rows + 2 * ry)
    # Which rows of the ball are joined at each dz, from rz to 0, as offsets into `levels`. A ball's
    # section holds the section one farther out, so that only rows that are wider are new.
    y2 = np.concatenate((y2[:0:-1], y2))
    narrower = np.full(y2.size, -1)
    offsets = []
    for step in z2[::-1]:
        # How far each row reaches along x, rounded as the distances are; -1 for not at all.
        width = np.count_nonzero((x2[:, None] + y2) + step <= limit, axis=0) - 1
        dy = np.flatnonzero(width > narrower)
        new = width[dy] * (valid.size + 2) + 1 + dy * row.size
        # Whole turns of the loop; to join the same row twice changes nothing.
        offsets.append(np.resize(new, -(-new.size // _OPERANDS) * _OPERANDS))
        narrower = width
    ends = np.cumsum([0, *(new.size for new in offsets)])
    out = bits.copy()
    joined = np.concatenate(offsets)
    _spread(bits.ravel(), out.ravel(), row.size, shape[1], valid, joined, ends, ry, rx)
    return out


@jit
def _spread(bits, out, words, ny, valid, offsets, ends, ry, rx):  # type: ignore[no-untyped-def]
    """Join to `out`, a copy of `bits`, the balls around all bits."""
    nz = bits.size // (words * ny)
    rz = ends.size - 2
    rows = valid.size // words - 2 * ry
    # A strip of a plane, dilated along x by 0, 1, ..., rx; zero words between them.
    between = valid.size + 2
    levels = np.zeros((rx + 1) * between, dtype=np.uint64)
    section = np.empty(rows * words, dtype=np.uint64)
    empty = np.empty(nz, dtype=np.bool_)
    full = np.empty(nz, dtype=np.bool_)
    one, last = np.uint64(1), np.uint64(63)
    for y in range(0, ny, rows):
        size = min(rows, ny - y) * words
        low, high = max(0, y - ry), min(ny, y + rows + ry)
        for z in range(nz):
            strip = bits[(z * ny + low) * words : (z * ny + high) * words]
            union, missing = np.uint64(0), np.uint64(0)
            for j in range(strip.size):
                union |= strip[j]
                missing |= strip[j] ^ valid[j]
            empty[z], full[z] = union == 0, missing == 0
        for j in range(between):
            levels[j] = 0
        above = 1 + (low - y + ry) * words
        level = levels[above : above + (high - low) * words]
        for z in range(nz):
            # A strip without a surface adds nothing: what is near a voxel inside and not in the
            # mask is as near to a voxel at the surface.
            if empty[z] or (full[z] and full[max(z - 1, 0)] and full[min(z + 1, nz - 1)]):
                continue
            strip = bits[(z * ny + low) * words : (z * ny + high) * words]
            for j in range(strip.size):
                level[j] = strip[j]
            for at in range(1, rx * between, between):
                before = levels[at - 1 : at - 1 + valid.size]
                here = levels[at : at + valid.size]
                after = levels[at + 1 : at + 1 + valid.size]
                into = levels[at + between : at + between + valid.size]
                for j in range(valid.size):
                    word = here[j] | here[j] << one | here[j] >> one
                    into[j] = (word | before[j] >> last | after[j] << last) & valid[j]
            for j in range(size):
                section[j] = 0
            for dz in range(rz, -1, -1):
                for i in range(ends[rz - dz], ends[rz - dz + 1], _OPERANDS):
                    a = levels[offsets[i] : offsets[i] + size]
                    b = levels[offsets[i + 1] : offsets[i + 1] + size]
                    c = levels[offsets[i + 2] : offsets[i + 2] + size]
                    d = levels[offsets[i + 3] : offsets[i + 3] + size]
                    e = levels[offsets[i + 4] : offsets[i + 4] + size]
                    f = levels[offsets[i + 5] : offsets[i + 5] + size]
                    g = levels[offsets[i + 6] : offsets[i + 6] + size]
                    h = levels[offsets[i + 7] : offsets[i + 7] + size]
                    for j in range(size):
                        section[j] |= a[j] | b[j] | c[j] | d[j] | e[j] | f[j] | g[j] | h[j]
                for there in (z - dz, z + dz):
                    if 0 <= there < nz:
                        begin = (there * ny + y) * words
                        plane = out[begin : begin + size]
                        for j in range(size):
                            plane[j] |= section[j]


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask` with its holes: parts of the background that do not reach a face of the array.

    Parameters
    ----------
    mask
        (z, y, x) of bool.

    Returns
    -------
    (z, y, x) of bool. The background is connected through faces of voxels (6 neighbours).
    """
    if mask.size == 0:
        return mask.copy()
    labels, n = label_components(~mask)
    # Label 0 is the mask itself.
    filled: NDArray[np.bool_] = np.append(True, ~reached_faces(labels, n).any(axis=1))
    return filled[labels]
