from __future__ import annotations

import math

import numpy as np
import pytest

from scimage.blocks import BlockGrid
from scimage.graft.passes import _SAMPLE_VOXELS, _TILE, _sampled_tiles


def sampled(volume, block):
    """First voxel of each sampled part of a tile, in the volume."""
    return {
        tuple(s.start + o for s, o in zip(tile, b.origin, strict=True))
        for b in BlockGrid(volume, block)
        for tile in _sampled_tiles(b)
    }


@pytest.mark.parametrize("volume", [(64, 64, 64), (1, 500, 700), (256, 256, 256)])
def test_the_noise_of_a_small_volume_is_measured_everywhere(volume):
    assert len(sampled(volume, volume)) == math.prod(-(-n // _TILE) for n in volume)


@pytest.mark.parametrize(
    "volume", [(512,) * 3, (1024,) * 3, (2560,) * 3, (64, 16000, 16000), (8000, 1500, 1500)]
)
def test_the_noise_of_a_large_volume_is_measured_in_all_its_parts(volume):
    tiles = np.array(sorted(sampled(volume, volume)))

    assert len(tiles) * _TILE**3 == pytest.approx(_SAMPLE_VOXELS, rel=0.25)
    for axis, n in enumerate(volume):
        if n > 4 * _TILE:
            thirds = np.histogram(tiles[:, axis], bins=3, range=(0, n))[0] / len(tiles)
            assert thirds.min() > 0.2


def test_the_sampled_tiles_do_not_depend_on_the_blocks():
    volume = (700, 600, 500)

    assert sampled(volume, (128, 192, 64)) == sampled(volume, volume)
