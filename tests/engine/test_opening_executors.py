from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from scimage.engine import DaskExecutor, Execution, SerialExecutor, open_executor
from scimage.engine.clusters import threads_cluster
from scimage.errors import UsageError


def test_one_worker_needs_no_dask(tmp_path):
    with open_executor(Execution(workers=1), tmp_path) as executor:
        assert isinstance(executor, SerialExecutor)
        assert (executor.workers, executor.processes) == (1, 0)


@pytest.mark.parametrize("workers", [2, 3])
def test_more_workers_are_so_many_threads_that_listen_on_no_port(workers, tmp_path):
    before = len(psutil.Process(os.getpid()).net_connections())

    with open_executor(Execution(workers=workers), tmp_path) as executor:
        after = len(psutil.Process(os.getpid()).net_connections())
        assert isinstance(executor, DaskExecutor)
        assert (executor.workers, executor.processes) == (workers, 0)
        assert list(executor.map(abs, [-1])) == [(0, 1)]

    assert after == before


def test_two_runs_at_a_time_do_not_get_in_each_others_way(tmp_path):
    two = Execution(workers=2)
    with open_executor(two, tmp_path) as one, open_executor(two, tmp_path) as other:
        assert list(one.map(abs, [-1])) == [(0, 1)]
        assert list(other.map(abs, [-2])) == [(0, 2)]


def test_an_address_of_no_scheduler_is_refused(tmp_path):
    with (
        pytest.raises(UsageError, match=r"no Dask scheduler at nonsense://here"),
        open_executor(Execution(scheduler="nonsense://here"), tmp_path),
    ):
        pytest.fail("opened")


def test_a_scheduler_without_workers_is_refused(tmp_path):
    with threads_cluster(1) as cluster:
        cluster.scale(0)
        cluster.sync(cluster._correct_state)
        execution = Execution(scheduler=cluster.scheduler_address)
        with (
            pytest.raises(UsageError, match="no workers"),
            open_executor(execution, tmp_path),
        ):
            pytest.fail("opened")


def test_the_users_own_dask_client_stays_the_default_and_is_not_used(tmp_path):
    from distributed import Client, default_client

    with threads_cluster(1) as cluster, Client(cluster) as own:
        with open_executor(Execution(workers=2), tmp_path) as executor:
            assert default_client() is own
            assert sorted(executor.map(abs, [-1, -2])) == [(0, 1), (1, 2)]
        assert default_client() is own


def test_a_scheduler_in_use_stays_open_afterwards(tmp_path):
    with threads_cluster(2) as cluster:
        execution = Execution(scheduler=cluster.scheduler_address)
        for _ in range(2):
            with open_executor(execution, tmp_path) as executor:
                assert executor.workers == 2
                assert list(executor.map(abs, [-5])) == [(0, 5)]
    assert list(tmp_path.iterdir()) == []


def test_workers_with_another_version_are_refused(tmp_path, monkeypatch):
    with threads_cluster(1) as cluster:
        execution = Execution(scheduler=cluster.scheduler_address)
        monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0.1")
        with (
            pytest.raises(UsageError, match=r"^worker .*: scimage 0\.0\.1; expected scimage "),
            open_executor(execution, tmp_path),
        ):
            pytest.fail("opened")


def test_workers_that_do_not_see_the_folder_are_refused(tmp_path, monkeypatch):
    with threads_cluster(1) as cluster:
        execution = Execution(scheduler=cluster.scheduler_address)
        monkeypatch.setattr(Path, "write_text", lambda self, *_, **__: self.write_bytes(b"else"))
        with (
            pytest.raises(UsageError, match=r"does not see .*; expected a folder that all"),
            open_executor(execution, tmp_path),
        ):
            pytest.fail("opened")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_processes_are_told_apart_from_this_one(tmp_path):
    with open_executor(Execution(workers=2, processes=True), tmp_path) as executor:
        assert (executor.workers, executor.processes) == (2, 2)
        pids = {pid for _, pid in executor.map(_pid, range(20))}
    assert os.getpid() not in pids


def _pid(_):
    return os.getpid()
