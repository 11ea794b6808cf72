from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimage.blocks import BlockGrid, Window
from scimage.errors import UsageError

SHAPES = st.tuples(*[st.integers(1, 13)] * 3)


@given(volume=SHAPES, block=SHAPES)
def test_each_voxel_is_in_exactly_one_block(volume, block):
    grid = BlockGrid(volume, block)
    covered = np.zeros(volume, dtype=int)

    blocks = list(grid)

    for b in blocks:
        assert covered[b.core].shape == b.shape
        assert all(1 <= n <= most for n, most in zip(b.shape, block, strict=True))
        covered[b.core] += 1
    assert (covered == 1).all()
    assert len(blocks) == len(grid) == np.prod(grid.counts)


@given(volume=SHAPES, block=SHAPES)
def test_blocks_come_in_the_order_z_y_x(volume, block):
    blocks = list(BlockGrid(volume, block))

    assert [b.index for b in blocks] == sorted(b.index for b in blocks)
    assert [b.origin for b in blocks] == sorted(b.origin for b in blocks)


@pytest.mark.parametrize("block", [(7, 11, 13), (100, 100, 100), (8, 12, 14)])
def test_a_block_as_large_as_the_volume_or_larger_is_the_volume(block):
    (only,) = BlockGrid((7, 11, 13), block)

    assert only.core == (slice(0, 7), slice(0, 11), slice(0, 13))
    assert only.volume == (7, 11, 13)


def test_a_volume_beyond_32_bits_is_divided_without_overflow():
    grid = BlockGrid((10**6, 10**6, 10**6), (10**3, 10**6, 10**6))

    *_, last = grid

    assert len(grid) == 1000
    assert last.origin == (999_000, 0, 0)


@pytest.mark.parametrize(
    ("volume", "block"), [((0, 4, 4), (2, 2, 2)), ((4, 4, 4), (2, 0, 2)), ((4, 4, 4), (2, 2, -1))]
)
def test_empty_volumes_and_blocks_are_refused(volume, block):
    with pytest.raises(UsageError, match="expected at least one voxel along each axis"):
        BlockGrid(volume, block)


class Pixels:
    def __init__(self, array):
        self.array = array
        self.reads = []

    @property
    def shape(self):
        return self.array.shape

    def read(self, region):
        self.reads.append(region)
        return self.array[region]


@given(volume=SHAPES, block=SHAPES, halo=st.tuples(*[st.integers(0, 15)] * 3))
def test_core_and_halo_are_the_volume_with_its_edge_repeated(volume, block, halo):
    pixels = Pixels(np.arange(np.prod(volume)).reshape(volume))
    whole = np.pad(pixels.array, [(h, h) for h in halo], mode="edge")

    for b in itertools.islice(BlockGrid(volume, block), 30):
        window = Window(b, (pixels,))
        expected = whole[
            tuple(slice(s.start, s.stop + 2 * h) for s, h in zip(b.core, halo, strict=True))
        ]
        np.testing.assert_array_equal(window.read(0, halo), expected)


def test_a_halo_is_clipped_to_the_volume():
    first, *_, last = BlockGrid((10, 10, 10), (4, 5, 10))

    assert first.with_halo((3, 2, 1)) == (
        (slice(0, 7), slice(0, 7), slice(0, 10)), ((3, 0), (2, 0), (1, 1))
    )  # fmt: skip
    assert last.with_halo((3, 2, 1)) == (
        (slice(5, 10), slice(3, 10), slice(0, 10)), ((0, 3), (0, 2), (1, 1))
    )  # fmt: skip


def test_an_input_that_is_not_asked_for_is_not_read():
    asked, spared = Pixels(np.zeros((2, 2, 2))), Pixels(np.zeros((2, 2, 2)))
    (block,) = BlockGrid((2, 2, 2), (2, 2, 2))

    Window(block, (asked, spared)).read(0)

    assert len(asked.reads) == 1
    assert not spared.reads
