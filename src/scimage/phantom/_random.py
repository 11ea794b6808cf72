"""Random numbers that are pure functions of (seed, stream, position).

A voxel's noise and a nucleus' place depend on nothing else, so a region's pixels do not
depend on how the volume was divided.
"""

from __future__ import annotations

import math

import numpy as np

from scimage.kernels import jit

# SplitMix64 (Steele, Lea, Flood 2014): golden-ratio increment and finaliser constants.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / (1 << 53)


@jit
def splitmix(key: np.uint64, counter: int) -> np.uint64:
    """Hash of one counter in one stream."""
    value = key + np.uint64(counter) * _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX_A
    value = (value ^ (value >> np.uint64(27))) * _MIX_B
    return value ^ (value >> np.uint64(31))


@jit
def site_key(key: np.uint64, i: int, j: int, k: int) -> np.uint64:
    """Key of the site (i, j, k) of a global lattice; indices above -2**20."""
    key = splitmix(key, i + (1 << 20))
    key = splitmix(key, j + (1 << 20))
    return splitmix(key, k + (1 << 20))


@jit
def uniform(key: np.uint64, draw: int) -> float:
    """Number in [0, 1) for the given draw of a site."""
    return float(splitmix(key, draw + 1) >> np.uint64(11)) * _TO_UNIT


@jit
def normal(key: np.uint64, draw: int) -> float:
    """Standard normal number (Box-Muller) that uses the draws `draw` and `draw + 1`."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, draw)))
    return radius * math.cos(2.0 * math.pi * uniform(key, draw + 1))
