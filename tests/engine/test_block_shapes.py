from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimage.blocks import Pass
from scimage.engine import block_shape
from scimage.errors import UsageError


@dataclass(frozen=True)
class Volume:
    shape: tuple[int, int, int]

    def read(self, region):
        return np.zeros([s.stop - s.start for s in region])


@dataclass(frozen=True)
class Costly(Pass):
    """A pass that only has a price."""

    volume: tuple[int, int, int]
    reach: tuple[int, int, int] = (0, 0, 0)
    bytes_each: int = 10

    @property
    def inputs(self):
        return (Volume(self.volume),)

    @property
    def halo(self):
        return self.reach

    @property
    def bytes_per_voxel(self):
        return self.bytes_each

    def compute(self, window):
        return None, None

    def merge(self, partials):
        return None


BIG = (2000, 2000, 2000)


def need(pass_, block, workers=1):
    around = (b + 2 * h for b, h in zip(block, pass_.halo, strict=True))
    return workers * pass_.bytes_per_voxel * math.prod(around)


SIZES = st.tuples(*[st.integers(1, 600)] * 3)


@given(
    volume=SIZES,
    chunk=SIZES,
    halo=st.tuples(*[st.integers(0, 60)] * 3),
    workers=st.integers(1, 8),
    megabytes=st.integers(1, 10_000),
)
def test_a_block_fits_in_memory_and_in_the_volume_or_the_budget_is_refused(
    volume, chunk, halo, workers, megabytes
):
    pass_ = Costly(volume, halo)
    try:
        block = block_shape([pass_], chunk, workers, megabytes * 10**6)
    except UsageError as error:
        least = int(re.search(r"at least (\d+)MB", str(error)).group(1))
        assert least > megabytes
        assert need(pass_, block_shape([pass_], chunk, workers, least * 10**6), workers)
        with pytest.raises(UsageError):
            block_shape([pass_], chunk, workers, (least - 1) * 10**6)
    else:
        assert need(pass_, block, workers) <= megabytes * 10**6
        assert all(1 <= b < 2 * n for b, n in zip(block, volume, strict=True))


def test_the_costliest_pass_decides():
    cheap, costly = Costly(BIG), Costly(BIG, (30, 30, 30), 40)

    block = block_shape([cheap, costly], (128, 128, 128), 1, 10**9)

    assert block == block_shape([costly, cheap], (128, 128, 128), 1, 10**9)
    assert need(costly, block) <= 10**9


def test_blocks_are_whole_chunks_where_memory_allows():
    assert block_shape([Costly(BIG)], (128, 128, 128), 1, 10**9) == (256, 256, 256)
    assert block_shape([Costly(BIG)], (128, 128, 128), 1, 30 * 10**6) == (128, 128, 128)
    assert block_shape([Costly(BIG)], (100, 100, 100), 1, 10**9) == (200, 200, 200)


def test_more_memory_never_makes_fewer_voxels():
    sizes = [
        math.prod(block_shape([Costly(BIG, (9, 20, 20))], (64, 128, 128), 2, m * 10**6))
        for m in range(20, 2000, 60)
    ]

    assert sizes == sorted(sizes)


def test_chunks_of_single_planes_are_gathered_into_thick_blocks():
    z, y, x = block_shape([Costly(BIG, (20, 20, 20))], (1, 1024, 1024), 1, 4 * 10**9)

    assert (z, y, x) == (256, 256, 256)


def test_all_workers_have_blocks_to_do():
    volume = (256, 256, 256)

    alone = block_shape([Costly(volume)], (64, 64, 64), 1, 10**10)
    together = block_shape([Costly(volume)], (64, 64, 64), 4, 10**10)

    assert alone == volume
    assert math.prod(-(-n // b) for n, b in zip(volume, together, strict=True)) >= 8


def test_one_plane_is_not_divided_along_z():
    assert block_shape([Costly((1, 500, 500))], (1, 128, 128), 1, 10**9) == (1, 256, 256)


def test_the_message_of_an_impossible_budget_names_a_budget_that_is_enough():
    pass_ = Costly(BIG, (30, 30, 30))
    least = -(-need(pass_, (16, 16, 16), 2) // 10**6)

    with pytest.raises(
        UsageError,
        match=rf"^--memory: 3MB for 2 worker\(s\); expected at least {least}MB. Allow more memory",
    ):
        block_shape([pass_], (128, 128, 128), 2, 3 * 10**6)

    assert block_shape([pass_], (128, 128, 128), 2, least * 10**6) == (16, 16, 16)
