"""From emitted photons to counts: blur, depth, illumination, photon and read noise."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scimage.kernels import jit
from scimage.phantom._random import splitmix

# A pixel holds no more photons than this: full well (convention), above every saturation.
FULL_WELL = 1024
_READ_STEPS = 1 << 14
_PARTS = 256
# Where the tail of a kernel falls below the read noise of the brightest pixel.
_TAIL_SIGMAS = 3.5


class PhotonTables(NamedTuple):
    """Alias tables (Walker 1977) of Poisson laws with whole means, 0 to FULL_WELL - 1.

    Row k holds 2**bits[k] columns from start[k]; column c stands for least[k] + c, or for
    `other` when the rest of the random word is not below `threshold`.
    """

    bits: NDArray[np.int64]
    start: NDArray[np.int64]
    least: NDArray[np.int64]
    threshold: NDArray[np.uint32]
    other: NDArray[np.uint16]
    none_left: NDArray[np.float64]
    read: NDArray[np.float64]


def gaussian_taps(sigma_um: float, step_um: float) -> NDArray[np.float32]:
    """Half of a normalised Gaussian, centre first, cut at 3.5 standard deviations."""
    n = math.ceil(_TAIL_SIGMAS * sigma_um / step_um)
    taps = np.exp(-0.5 * (np.arange(n + 1) * step_um / sigma_um) ** 2)
    normalised: NDArray[np.float32] = (taps / (2.0 * taps.sum() - taps[0])).astype(np.float32)
    return normalised


@jit
def blur(
    image: NDArray[np.float32],
    z_taps: NDArray[np.float32],
    y_taps: NDArray[np.float32],
    x_taps: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Separable symmetric filter of the part of `image` where all taps lie inside."""
    hz, hy, hx = z_taps.size - 1, y_taps.size - 1, x_taps.size - 1
    nz, ny, nx = image.shape[0] - 2 * hz, image.shape[1] - 2 * hy, image.shape[2] - 2 * hx
    out = np.empty((nz, ny, nx), np.float32)
    plane = np.empty((image.shape[1], image.shape[2]), np.float32)
    line = np.empty(image.shape[2], np.float32)
    for z in range(nz):
        for y in range(image.shape[1]):
            p = plane[y]
            a = image[z + hz, y]
            for x in range(p.size):
                p[x] = z_taps[0] * a[x]
            for t in range(1, hz + 1):
                a, b = image[z + hz - t, y], image[z + hz + t, y]
                for x in range(p.size):
                    p[x] += z_taps[t] * (a[x] + b[x])
        for y in range(ny):
            a = plane[y + hy]
            for x in range(line.size):
                line[x] = y_taps[0] * a[x]
            for t in range(1, hy + 1):
                a, b = plane[y + hy - t], plane[y + hy + t]
                for x in range(line.size):
                    line[x] += y_taps[t] * (a[x] + b[x])
            o = out[z, y]
            for x in range(nx):
                o[x] = x_taps[0] * line[x + hx]
            for t in range(1, hx + 1):
                a, b = line[hx - t : hx - t + nx], line[hx + t : hx + t + nx]
                for x in range(nx):
                    o[x] += x_taps[t] * (a[x] + b[x])
    return out


@lru_cache(maxsize=2)
def photon_tables(read_noise: float) -> PhotonTables:
    """Tables for exact Poisson photons and normal read noise, in electrons."""
    from scipy.special import gammaln, ndtri

    mean = np.arange(FULL_WELL)
    reach = np.ceil(6.5 * np.sqrt(mean)) + 8
    least = np.maximum(mean - reach, 0).astype(np.int64)
    bits = np.ceil(np.log2(mean + reach + 1 - least)).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(1 << bits)])
    threshold = np.empty(start[-1], np.uint32)
    other = np.empty(start[-1], np.uint16)
    for k in range(FULL_WELL):
        row = slice(start[k], start[k + 1])
        n = least[k] + np.arange(1 << bits[k])
        # The law with mean 0 is a certainty that the formula's log(0) cannot say.
        law = np.exp(n * np.log(k) - k - gammaln(n + 1)) if k else (n == 0).astype(float)
        _alias(law / law.sum(), least[k], bits[k], threshold[row], other[row])
    read = read_noise * ndtri((np.arange(_READ_STEPS) + 0.5) / _READ_STEPS)
    none_left = np.exp(-np.arange(_PARTS) / _PARTS)
    return PhotonTables(bits, start[:-1], least, threshold, other, none_left, read)


@jit
def _alias(
    law: NDArray[np.float64],
    least: int,
    bits: int,
    threshold: NDArray[np.uint32],
    other: NDArray[np.uint16],
) -> None:
    """Fill one row of the alias tables (Vose 1991)."""
    n = law.size
    scaled = law * n
    small = np.empty(n, np.int64)
    large = np.empty(n, np.int64)
    n_small, n_large = 0, 0
    for i in range(n):
        other[i] = least + i
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    full = float(1 << (32 - bits))
    while n_small > 0 and n_large > 0:
        n_small -= 1
        s, g = small[n_small], large[n_large - 1]
        threshold[s] = np.uint32(scaled[s] * full)
        other[s] = least + g
        scaled[g] -= 1.0 - scaled[s]
        if scaled[g] < 1.0:
            n_large -= 1
            small[n_small] = g
            n_small += 1
    # What rounding left over is full; `other` already points to itself there.
    for i in range(n_small):
        threshold[small[i]] = 0
    for i in range(n_large):
        threshold[large[i]] = 0


@jit
def expose(
    emitted: NDArray[np.float32],
    gain_zy: NDArray[np.float32],
    gain_zx: NDArray[np.float32],
    gain_yx: NDArray[np.float32],
    glare: float,
    tables: PhotonTables,
    key: np.uint64,
    first: tuple[int, int, int],
    image_shape: tuple[int, int, int],
    counts_per_electron: float,
    offset: float,
    top: int,
) -> NDArray[np.uint16]:
    """Counts of a tile.

    Parameters
    ----------
    emitted
        Photons (z, y, x) before loss.
    gain_zy, gain_zx, gain_yx
        Loss and illumination, whose product scales each voxel.
    glare
        Photons from the medium, not lost with depth.
    key
        Stream of the noise; each voxel's number in the image picks its own.
    first, image_shape
        Index of the tile's first voxel, and the image's size (z, y, x).
    counts_per_electron, offset, top
        Camera: slope, offset and largest count.
    """
    n_z, n_y, n_x = emitted.shape
    out = np.empty((n_z, n_y, n_x), np.uint16)
    brightest = np.float32(FULL_WELL * _PARTS - 1)
    for z in range(n_z):
        for y in range(n_y):
            number = ((first[0] + z) * image_shape[1] + first[1] + y) * image_shape[2] + first[2]
            line, light = out[z, y], emitted[z, y]
            gx, gy, gz = gain_yx[y], gain_zx[z], gain_zy[z, y]
            for x in range(n_x):
                mean = np.float32(glare) + light[x] * (gz * gy[x] * gx[x])
                level = int(min(max(mean * np.float32(_PARTS), np.float32(0.0)), brightest))
                whole, rest = level // _PARTS, level % _PARTS
                word = splitmix(key, number + x)
                high = np.int64(word >> np.uint64(32))
                bits = tables.bits[whole]
                column = high >> (32 - bits)
                cell = tables.start[whole] + column
                if (high & ((np.int64(1) << (32 - bits)) - 1)) < tables.threshold[cell]:
                    electrons = tables.least[whole] + column
                else:
                    electrons = np.int64(tables.other[cell])
                # Poisson(whole) + Poisson(rest) is Poisson(whole + rest).
                draw = np.int64((word >> np.uint64(14)) & np.uint64(0x3FFFF)) / 262144.0
                chance = tables.none_left[rest]
                total, more = chance, 0
                while draw > total and more < 8:
                    more += 1
                    chance *= rest / (_PARTS * more)
                    total += chance
                read = tables.read[np.int64(word & np.uint64(_READ_STEPS - 1))]
                counts = offset + counts_per_electron * (electrons + more + read)
                line[x] = int(min(max(counts + 0.5, 0.0), top))
    return out


@jit
def lattice_noise(key: np.uint64, i0: int, j0: int, n_i: int, n_j: int) -> NDArray[np.float32]:
    """Noise of unit variance on a plane, smooth over about three samples each way."""
    white = np.empty((n_i + 2, n_j + 2))
    for i in range(n_i + 2):
        row = splitmix(key, i0 + i)
        for j in range(n_j + 2):
            word = splitmix(row, j0 + j)
            white[i, j] = np.int64(word >> np.uint64(11)) / (1 << 52) - 1.0
    out = np.empty((n_i, n_j), np.float32)
    # Weights 1-2-1 each way, of white noise with variance 1/3, give variance 6 * 6 / 3.
    scale = math.sqrt(3.0) / 6.0
    for i in range(n_i):
        for j in range(n_j):
            total = 0.0
            for a in range(3):
                for b in range(3):
                    total += (2 - abs(a - 1)) * (2 - abs(b - 1)) * white[i + a, j + b]
            out[i, j] = scale * total
    return out
