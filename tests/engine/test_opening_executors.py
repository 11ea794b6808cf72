from __future__ import annotations

import os

import psutil
import pytest

from scimage.engine import DaskExecutor, SerialExecutor, open_executor
from scimage.engine._cluster import threads_cluster
from scimage.errors import UsageError


def test_one_worker_needs_no_dask():
    with open_executor() as executor:
        assert isinstance(executor, SerialExecutor)


@pytest.mark.parametrize("workers", [2, 3])
def test_more_workers_are_so_many_threads_that_listen_on_no_port(workers):
    before = len(psutil.Process(os.getpid()).net_connections())

    with open_executor(workers) as executor:
        after = len(psutil.Process(os.getpid()).net_connections())
        assert isinstance(executor, DaskExecutor)
        assert executor.workers == workers
        assert list(executor.map(abs, [-1])) == [(0, 1)]

    assert after == before


def test_two_runs_at_a_time_do_not_get_in_each_others_way():
    with open_executor(2) as one, open_executor(2) as other:
        assert list(one.map(abs, [-1])) == [(0, 1)]
        assert list(other.map(abs, [-2])) == [(0, 2)]


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(workers):
    with (
        pytest.raises(UsageError, match=rf"^--workers: {workers}; expected 1 or more"),
        open_executor(workers),
    ):
        pytest.fail("opened")


def test_an_address_of_no_scheduler_is_refused():
    with (
        pytest.raises(UsageError, match=r"no Dask scheduler at nonsense://here"),
        open_executor(scheduler="nonsense://here"),
    ):
        pytest.fail("opened")


def test_the_users_own_dask_client_stays_the_default_and_is_not_used():
    from distributed import Client, default_client

    with threads_cluster(1) as cluster, Client(cluster) as own:
        with open_executor(2) as executor:
            assert default_client() is own
            assert sorted(executor.map(abs, [-1, -2])) == [(0, 1), (1, 2)]
        assert default_client() is own


def test_a_scheduler_in_use_stays_open_afterwards():
    with threads_cluster(2) as cluster:
        for _ in range(2):
            with open_executor(scheduler=cluster.scheduler_address) as executor:
                assert executor.workers == 2
                assert list(executor.map(abs, [-5])) == [(0, 5)]
