from __future__ import annotations

import pytest

from scimage.engine import Execution
from scimage.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GB", 4 * 10**9),
        ("500MB", 5 * 10**8),
        ("1.5g", 15 * 10**8),
        (" 2 TB ", 2 * 10**12),
        ("64k", 64_000),
        ("123456", 123_456),
        ("7b", 7),
    ],
)
def test_memory_is_a_number_with_a_unit(text, expected):
    assert Execution(memory=text).memory_bytes == expected


@pytest.mark.parametrize("text", ["", "lots", "-4GB", "4 GiB", "1e9", "nan", "4GB 2", "GB"])
def test_memory_that_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match=r"^--memory: .*; expected a size such as 8GB"):
        Execution(memory=text)


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(workers):
    with pytest.raises(UsageError, match=rf"^--workers: {workers}; expected a number from 1 "):
        Execution(workers=workers)


@pytest.mark.parametrize("block", [(0, 5, 5), (5, -5, 5)])
def test_a_block_of_no_voxels_is_refused(block):
    with pytest.raises(UsageError, match=r"^--block"):
        Execution(block=block)


@pytest.mark.parametrize(
    "places",
    [
        {"processes": True, "scheduler": "tcp://here:1"},
        {"scheduler": "tcp://here:1", "cluster": "slurm.toml"},
        {"processes": True, "cluster": "slurm.toml"},
    ],
)
def test_workers_in_two_places_are_refused(places):
    with pytest.raises(UsageError, match="2 of them; expected one at most"):
        Execution(**places)
