from __future__ import annotations

import math

import numpy as np
import pytest

from scimage.blocks import BlockGrid
from scimage.graft import GraftParameters
from scimage.graft.passes import NoisePass, noise_tile
from scimage.graft.scales import bank_of, filter_bank

TILE = (128, 64, 64)


class Volume:
    dtype = "uint16"

    def __init__(self, shape):
        self.shape = shape


def sampled(volume, block):
    scales = filter_bank(GraftParameters(nuclei="n"), (2.0, 2.0, 2.0))
    return NoisePass(Volume(volume), scales, TILE).blocks(BlockGrid(volume, block))


@pytest.mark.parametrize("volume", [(64, 64, 64), (1, 100, 200), (256, 256, 256)])
def test_the_noise_of_a_small_volume_is_measured_everywhere(volume):
    assert len(sampled(volume, volume)) == math.prod(
        -(-n // t) for n, t in zip(volume, TILE, strict=True)
    )


@pytest.mark.parametrize(
    "volume", [(1024,) * 3, (2560,) * 3, (128, 16000, 8000), (8000, 1500, 1500)]
)
def test_the_noise_of_a_large_volume_is_measured_in_all_its_parts(volume):
    tiles = sampled(volume, volume)

    every = len(BlockGrid(volume, TILE))
    assert len(tiles) == pytest.approx(max(32, every / 64), rel=0.25)
    for axis, n in enumerate(volume):
        if n > 4 * TILE[axis]:
            place = [t.origin[axis] for t in tiles]
            thirds = np.histogram(place, bins=3, range=(0, n))[0] / len(tiles)
            assert thirds.min() > 0.2


def test_the_sampled_tiles_do_not_depend_on_the_blocks():
    volume = (700, 600, 500)

    assert sampled(volume, (128, 192, 64)) == sampled(volume, volume)


@pytest.mark.parametrize("bins", [(1, 1, 1), (1, 2, 2), (3, 5, 5), (200, 1, 1)])
@pytest.mark.parametrize("spacing_um", [(1.0, 1.0, 1.0), (0.1, 2.0, 2.0)])
def test_a_tile_is_not_all_rim_and_is_read_in_whole_chunks(bins, spacing_um):
    scales = filter_bank(GraftParameters(nuclei="n"), spacing_um)

    tile = noise_tile(scales, bins)

    for side, reach, b in zip(tile, bank_of(scales).reach, bins, strict=True):
        assert side >= 4 * reach
        assert side % max(1, 128 // b) == 0
