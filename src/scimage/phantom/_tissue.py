"""From the lattice of distances to voxels: emitted light, and labels.

Between nodes the distances are interpolated linearly. A surface covers a voxel in
proportion to its distance from the voxel's centre over the voxel's width, which is the
integral over the voxel for a locally flat surface; z, coarser, is supersampled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scimage.kernels import jit
from scimage.phantom._fields import (
    CAVITY,
    CORD,
    GRAFT,
    GREY,
    HOLLOW,
    LESION,
    N_FIELDS,
    TEXTURE,
    label_of,
)


class Stain(NamedTuple):
    """Photons that each tissue emits in one channel, above the glare of the medium.

    `border` is the peak of the astroglial border, `texture` the amplitude of the
    tissue's unevenness relative to 1.
    """

    white: float
    grey: float
    hollow: float
    core: float
    graft: float
    cavity: float
    border: float
    texture: float


@jit
def _row(nodes: NDArray[np.float32], tz: float, ty: float, out: NDArray[np.float32]) -> None:
    """Interpolate the fields in z and y to one row of nodes along x."""
    i, j = min(int(tz), nodes.shape[0] - 2), min(int(ty), nodes.shape[1] - 2)
    fz, fy = np.float32(tz - i), np.float32(ty - j)
    one = np.float32(1.0)
    for f in range(N_FIELDS):
        a, b = nodes[i, j, f], nodes[i, j + 1, f]
        c, d = nodes[i + 1, j, f], nodes[i + 1, j + 1, f]
        o = out[f]
        for k in range(o.shape[0]):
            o[k] = (one - fz) * ((one - fy) * a[k] + fy * b[k]) + fz * (
                (one - fy) * c[k] + fy * d[k]
            )


@jit
def _covered(distance: float, width: float) -> float:
    return min(max(0.5 - distance / width, 0.0), 1.0)


@jit
def _profile(lesion: float, border: float, shell: float) -> float:
    """Intensity of the border from 1 in its dense part to 0 at the end of its decay."""
    t = min(max((shell - lesion) / (shell - border), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@jit
def emit_tissue(
    out: NDArray[np.float32],
    nodes: NDArray[np.float32],
    shift: tuple[int, int, int],
    step: tuple[int, int, int],
    samples: int,
    width: float,
    stain: Stain,
    border: float,
    shell: float,
) -> None:
    """Add the tissue's light to `out`.

    Parameters
    ----------
    out
        Photons (z, y, x).
    nodes
        From `lattice`, covering `out` with at least half a voxel to spare in z.
    shift
        Voxels from the first node to the first voxel (z, y, x).
    step
        Voxels between nodes (z, y, x).
    samples
        Supersampling in z.
    width
        Voxel width in y and x, micrometres.
    border, shell
        Micrometres from the lesion to the end of the dense border and of its decay.
    """
    half = 0.5 * width
    part = 1.0 / samples
    row = np.empty((N_FIELDS, nodes.shape[3]), np.float32)
    surfaces = (CORD, GREY, HOLLOW, LESION, CAVITY, GRAFT)
    white, grey, hollow = stain.white, stain.grey, stain.hollow
    core, graft, cavity = stain.core, stain.graft, stain.cavity
    peak, rough = stain.border, stain.texture
    for z in range(out.shape[0]):
        for s in range(samples):
            tz = (shift[0] + z + (s + 0.5) / samples - 0.5) / step[0]
            for y in range(out.shape[1]):
                _row(nodes, tz, (shift[1] + y) / step[1], row)
                line = out[z, y]
                for k in range(row.shape[1] - 1):
                    begin = max(k * step[2] - shift[2], 0)
                    end = min((k + 1) * step[2] - shift[2], out.shape[2])
                    if begin >= end or (row[CORD, k] > half and row[CORD, k + 1] > half):
                        continue
                    mixed = False
                    for f in surfaces:
                        a, b = row[f, k], row[f, k + 1]
                        mixed |= not ((a > half and b > half) or (a < -half and b < -half))
                    slope = row[TEXTURE, k + 1] - row[TEXTURE, k]
                    glow = peak > 0.0 and (row[LESION, k] < shell or row[LESION, k + 1] < shell)
                    if not mixed:
                        light = grey if row[GREY, k] < 0.0 else white
                        if row[HOLLOW, k] < 0.0:
                            light = hollow
                            glow = False
                        if row[LESION, k] < 0.0:
                            light = core
                            glow = False
                        if row[GRAFT, k] < 0.0:
                            light = graft
                        if row[CAVITY, k] < 0.0:
                            light = cavity
                        if not glow:
                            for x in range(begin, end):
                                t = (x + shift[2] - k * step[2]) / step[2]
                                texture = 1.0 + rough * (row[TEXTURE, k] + t * slope)
                                line[x] += part * light * texture
                            continue
                    for x in range(begin, end):
                        t = (x + shift[2] - k * step[2]) / step[2]
                        texture = 1.0 + rough * (row[TEXTURE, k] + t * slope)
                        lesion = row[LESION, k] + t * (row[LESION, k + 1] - row[LESION, k])
                        if mixed:
                            d = row[GREY, k] + t * (row[GREY, k + 1] - row[GREY, k])
                            light = white + (grey - white) * _covered(d, width)
                        if glow:
                            lit = light + (peak - light) * _profile(lesion, border, shell)
                        else:
                            lit = light
                        if mixed:
                            d = row[HOLLOW, k] + t * (row[HOLLOW, k + 1] - row[HOLLOW, k])
                            lit += (hollow - lit) * _covered(d, width)
                            lit += (core - lit) * _covered(lesion, width)
                            d = row[GRAFT, k] + t * (row[GRAFT, k + 1] - row[GRAFT, k])
                            lit += (graft - lit) * _covered(d, width)
                            d = row[CAVITY, k] + t * (row[CAVITY, k + 1] - row[CAVITY, k])
                            lit += (cavity - lit) * _covered(d, width)
                            d = row[CORD, k] + t * (row[CORD, k + 1] - row[CORD, k])
                            lit *= _covered(d, width)
                        line[x] += part * lit * texture


@jit
def paint_labels(
    out: NDArray[np.uint8],
    nodes: NDArray[np.float32],
    shift: tuple[int, int, int],
    step: tuple[int, int, int],
    border: float,
) -> None:
    """Write the label at every voxel's centre; parameters as in `emit_tissue`."""
    row = np.empty((N_FIELDS, nodes.shape[3]), np.float32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            _row(nodes, (shift[0] + z) / step[0], (shift[1] + y) / step[1], row)
            line = out[z, y]
            for x in range(out.shape[2]):
                t = (shift[2] + x) / step[2]
                k = min(int(t), row.shape[1] - 2)
                t -= k
                line[x] = label_of(
                    row[CORD, k] + t * (row[CORD, k + 1] - row[CORD, k]),
                    row[GREY, k] + t * (row[GREY, k + 1] - row[GREY, k]),
                    row[HOLLOW, k] + t * (row[HOLLOW, k + 1] - row[HOLLOW, k]),
                    row[LESION, k] + t * (row[LESION, k + 1] - row[LESION, k]),
                    row[CAVITY, k] + t * (row[CAVITY, k + 1] - row[CAVITY, k]),
                    row[GRAFT, k] + t * (row[GRAFT, k + 1] - row[GRAFT, k]),
                    border,
                )
