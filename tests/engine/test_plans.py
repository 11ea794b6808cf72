from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scimage.blocks import Pass
from scimage.engine import Execution, make_plan, seconds_for
from scimage.engine.plan import PROCESS_BYTES
from scimage.errors import UsageError


@dataclass(frozen=True)
class Volume:
    shape: tuple[int, int, int]
    dtype: str = "uint16"

    def read(self, region):
        return np.zeros([s.stop - s.start for s in region], self.dtype)

    def write(self, region, data):
        pytest.fail("written to")

    def digest(self, region):
        return ""


@dataclass(frozen=True)
class Costly(Pass):
    """A pass that only has a price."""

    volume: tuple[int, int, int]
    reach: tuple[int, int, int] = (0, 0, 0)
    bytes_each: int = 10
    dtypes: tuple[str, ...] = ("uint16",)
    target: Volume | None = None

    @property
    def inputs(self):
        return tuple(Volume(self.volume, dtype) for dtype in self.dtypes)

    @property
    def output(self):
        return self.target

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
OWN_MB = -(-PROCESS_BYTES // 10**6)


def plan_for(passes, chunk, workers, memory_bytes, processes=0, block=None):
    stages = {f"stage {i}": pass_ for i, pass_ in enumerate(passes)}
    execution = Execution(workers=workers, memory=str(memory_bytes), block=block)
    return make_plan(stages, chunk, execution, workers, processes)


def block_in(passes, chunk, workers, block_bytes):
    """The block that is chosen where this much is left beside what a process takes."""
    return plan_for(passes, chunk, workers, PROCESS_BYTES + block_bytes).block


def need(pass_, block, workers=1, processes=0):
    around = (b + 2 * h for b, h in zip(block, pass_.halo, strict=True))
    blocks = workers * pass_.bytes_per_voxel * math.prod(around)
    return blocks + (processes + 1) * PROCESS_BYTES


def count(plan):
    return math.prod(-(-n // b) for n, b in zip(plan.volume, plan.block, strict=True))


SIZES = st.tuples(*[st.integers(1, 600)] * 3)


@example(volume=BIG, chunk=(17, 33, 1), halo=(60, 60, 60), workers=1, in_processes=False,
         megabytes=1)  # fmt: skip
@given(
    volume=SIZES,
    chunk=SIZES,
    halo=st.tuples(*[st.integers(0, 60)] * 3),
    workers=st.integers(1, 8),
    in_processes=st.booleans(),
    megabytes=st.integers(1, 10_000),
)
def test_a_plan_keeps_to_its_memory_or_the_budget_is_refused_and_the_least_named(
    volume, chunk, halo, workers, in_processes, megabytes
):
    pass_, processes = Costly(volume, halo), workers if in_processes else 0
    try:
        plan = plan_for([pass_], chunk, workers, megabytes * 10**6, processes)
    except UsageError as error:
        least = int(re.search(r"at least (\d+)MB", str(error)).group(1))
        assert least > megabytes
        enough = plan_for([pass_], chunk, workers, least * 10**6, processes)
        assert enough.memory_bytes <= least * 10**6
        with pytest.raises(UsageError):
            plan_for([pass_], chunk, workers, (least - 1) * 10**6, processes)
    else:
        assert plan.memory_bytes == need(pass_, plan.block, plan.workers, processes)
        assert plan.memory_bytes <= megabytes * 10**6
        assert all(1 <= b < 2 * n for b, n in zip(plan.block, volume, strict=True))
        assert 1 <= plan.workers <= workers
        assert not in_processes or plan.workers == workers


def test_the_costliest_pass_decides():
    cheap, costly = Costly(BIG), Costly(BIG, (30, 30, 30), 40)

    plan = plan_for([cheap, costly], (128, 128, 128), 1, 10**9)

    assert plan.block == plan_for([costly, cheap], (128, 128, 128), 1, 10**9).block
    assert plan.memory_bytes == need(costly, plan.block) <= 10**9


def test_blocks_are_whole_chunks_where_memory_allows():
    assert block_in([Costly(BIG)], (128, 128, 128), 1, 10**9) == (256, 512, 512)
    assert block_in([Costly(BIG)], (128, 128, 128), 1, 30 * 10**6) == (128, 128, 128)
    assert block_in([Costly(BIG)], (100, 100, 100), 1, 10**9) == (400, 400, 400)


def test_more_memory_never_makes_smaller_blocks_of_one_worker_nor_fewer_workers():
    plans = [
        plan_for([Costly(BIG, (9, 20, 20))], (64, 128, 128), workers, (OWN_MB + m) * 10**6)
        for workers in (1, 4)
        for m in range(20, 2000, 60)
    ]
    alone, together = plans[: len(plans) // 2], plans[len(plans) // 2 :]

    sizes, workers = [math.prod(p.block) for p in alone], [p.workers for p in together]
    assert sizes == sorted(sizes)
    assert workers == sorted(workers)
    assert set(workers) > {4}


def test_chunks_of_single_planes_are_gathered_into_thick_blocks():
    block = block_in([Costly(BIG, (20, 20, 20))], (1, 1024, 1024), 1, 4 * 10**9)

    assert block == (512, 512, 512)


def test_all_workers_have_blocks_to_do():
    volume = (256, 256, 256)

    alone = plan_for([Costly(volume)], (64, 64, 64), 1, 10**10)
    together = plan_for([Costly(volume)], (64, 64, 64), 4, 10**10)

    assert alone.block == volume
    assert together.workers == 4
    assert together.blocks == count(together) >= 8


def test_one_plane_is_not_divided_along_z():
    assert block_in([Costly((1, 500, 500))], (1, 128, 128), 1, 10**9) == (1, 512, 512)


def test_the_message_of_an_impossible_budget_names_a_budget_that_is_enough():
    pass_ = Costly(BIG, (30, 30, 30))
    least = -(-need(pass_, (16, 16, 16)) // 10**6)

    with pytest.raises(
        UsageError,
        match=rf"^--memory: 3MB for 2 worker\(s\); expected at least {least}MB for 1. Allow more",
    ):
        plan_for([pass_], (128, 128, 128), 2, 3 * 10**6)

    enough = plan_for([pass_], (128, 128, 128), 2, least * 10**6)
    assert (enough.block, enough.workers) == ((16, 16, 16), 1)


def test_processes_are_counted_with_what_each_takes_before_it_works():
    pass_ = Costly(BIG, (30, 30, 30))
    least = -(-need(pass_, (16, 16, 16), 2, 2) // 10**6)

    with pytest.raises(UsageError, match=rf"expected at least {least}MB\. .* use fewer workers"):
        plan_for([pass_], (128, 128, 128), 2, 3 * 10**6, processes=2)

    enough = plan_for([pass_], (128, 128, 128), 2, least * 10**6, processes=2)
    assert (enough.workers, enough.processes) == (2, 2)
    assert enough.memory_bytes > 3 * PROCESS_BYTES


def test_threads_are_fewer_rather_than_with_tiny_blocks_where_memory_is_short():
    pass_ = Costly(BIG, (30, 30, 30))
    three = need(pass_, (64, 64, 64), 3)

    short = plan_for([pass_], (64, 64, 64), 8, three)
    ample = plan_for([pass_], (64, 64, 64), 8, 10 * three)

    assert (short.block, short.workers) == ((64, 64, 64), 3)
    assert ample.workers == 8


def test_workers_of_their_own_process_get_smaller_blocks_where_memory_is_short():
    pass_ = Costly(BIG, (30, 30, 30))
    room = need(pass_, (32, 32, 32), 8, 8)

    plan = plan_for([pass_], (64, 64, 64), 8, room, processes=8)

    assert plan.workers == 8
    assert min(plan.block) >= 32
    assert math.prod(plan.block) < 64**3


def test_a_block_that_was_asked_for_is_taken_as_it_is():
    plan = plan_for([Costly(BIG)], (128, 128, 128), 3, 10**9, block=(7, 200, 33))

    assert (plan.block, plan.workers) == ((7, 200, 33), 3)
    assert plan.blocks == count(plan)
    assert plan.memory_bytes == need(Costly(BIG), (7, 200, 33), 3)


def test_fewer_workers_take_a_block_that_was_asked_for_where_memory_is_short():
    block = (64, 128, 128)
    room = need(Costly(BIG), block, 2)

    assert plan_for([Costly(BIG)], (128, 128, 128), 3, room, block=block).workers == 2
    with pytest.raises(UsageError, match=r"--memory: .*at least \d+MB for 1"):
        plan_for([Costly(BIG)], (128, 128, 128), 3, 10**6, block=block)


@given(
    volume=st.tuples(*[st.integers(1, 40)] * 3),
    block=st.tuples(*[st.integers(1, 45)] * 3),
    halo=st.tuples(*[st.integers(0, 50)] * 3),
)
def test_bytes_read_are_those_of_all_blocks_with_their_halos(volume, block, halo):
    pass_ = Costly(volume, halo, dtypes=("uint16", "float64"), target=Volume(volume, "uint32"))

    plan = plan_for([pass_, Costly(volume)], volume, 1, 10**9, block=block)

    voxels = 0
    for start in itertools.product(*(range(0, n, b) for n, b in zip(volume, block, strict=True))):
        voxels += math.prod(
            min(s + b + h, n) - max(s - h, 0)
            for s, b, h, n in zip(start, block, halo, volume, strict=True)
        )
    with_halo, without = plan.stages
    assert with_halo.read_bytes == voxels * (2 + 8)
    assert with_halo.written_bytes == plan.scratch_bytes == math.prod(volume) * 4
    assert with_halo.halo_share == pytest.approx(voxels / math.prod(volume) - 1)
    assert without.read_bytes == math.prod(volume) * 2
    assert without.halo_share == without.written_bytes == 0


def test_a_plan_is_told_in_plain_data_and_in_text():
    plan = plan_for([Costly((50, 60, 70), (5, 5, 5))], (32, 32, 32), 1, 10**9)

    told = json.loads(json.dumps(plan.as_dict()))
    assert told["volume"] == [50, 60, 70]
    assert told["blocks"] == count(plan)
    assert told["memory_bytes"] == plan.memory_bytes
    assert told["stages"]["stage 0"]["read_bytes"] == told["read_bytes"]
    assert "50 x 60 x 70 voxels" in plan.lines()[0]
    assert f"in {plan.blocks} blocks of" in plan.lines()[0]


@dataclass(frozen=True)
class Unwritten(Volume):
    def read(self, region):
        raise FileNotFoundError("not yet")


@dataclass(frozen=True)
class Reads(Costly):
    """Reads an array that an earlier sweep will write."""

    @property
    def inputs(self):
        return (Volume(self.volume), Unwritten(self.volume))

    def compute(self, window):
        assert window.read(0).shape == window.read(1).shape
        return None, None


def test_the_time_is_estimated_from_arrays_that_do_not_exist_yet():
    stages = {"reads": Reads((40, 40, 40))}
    plan = make_plan(stages, (16, 16, 16), Execution(workers=1), 1, 0)

    assert seconds_for(plan, stages) > 0
