"""Clusters that scimage starts and ends itself: processes here, and jobs of SLURM."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from scimage.engine import Execution, open_executor
from scimage.errors import UsageError

WAIT_S = 20


def wait_until(happened):
    end = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def where(n):
    time.sleep(0.1)
    return os.getpid(), os.environ.get("NUMBA_NUM_THREADS"), os.environ.get("MODULE")


def listening(processes):
    """Addresses at which processes and all that they started can be reached."""
    everyone = {*processes, *(c for p in processes for c in p.children(recursive=True))}
    return {
        c.laddr.ip
        for p in everyone
        for c in p.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }


def transport(task):
    """On a worker: the address of its scheduler."""
    from distributed import get_worker

    return get_worker().scheduler.address


@contextlib.contextmanager
def nothing_left():
    me = psutil.Process()
    before = {*me.children(recursive=True)}
    open_before = {(c.laddr, c.status) for c in me.net_connections("inet")}
    started = set()
    yield started
    # multiprocessing keeps one that tracks resources until this process ends.
    now = {
        c
        for c in me.children(recursive=True)
        if c not in before and "resource_tracker" not in " ".join(c.cmdline())
    }
    assert not now
    assert not [p for p in started if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert {(c.laddr, c.status) for c in me.net_connections("inet")} <= open_before


def test_processes_work_beside_this_one_reachable_only_from_this_machine(tmp_path):
    with (
        nothing_left() as started,
        open_executor(Execution(processes=True, workers=2), tmp_path) as executor,
    ):
        answers = [answer for _, answer in executor.map(where, range(20))]
        started |= {psutil.Process(pid) for pid, _, _ in answers}
        reached_at = listening([psutil.Process()])
        assert executor.workers == executor.processes == 2

    assert len({pid for pid, _, _ in answers} - {os.getpid()}) == 2
    assert {threads for _, threads, _ in answers} == {"1"}
    assert reached_at == {"127.0.0.1"}


SBATCH = """#!{python}
import pathlib, subprocess, sys, time
jobs = pathlib.Path({jobs!r})
if (jobs / "refuse").exists():
    sys.exit("sbatch: error: invalid account")
script = jobs / f"{{time.time_ns()}}.sh"
script.write_text(pathlib.Path(sys.argv[1]).read_text())
with script.with_suffix(".log").open("wb") as log:
    job = subprocess.Popen(["bash", str(script)], stdin=subprocess.DEVNULL, stdout=log,
                           stderr=log, start_new_session=True)
(jobs / f"{{job.pid}}.running").touch()
print("Submitted batch job", job.pid)
"""
SCANCEL = """#!{python}
import os, pathlib, signal, sys
running = pathlib.Path({jobs!r}, f"{{sys.argv[1]}}.running")
if running.exists():
    running.unlink()
    os.killpg(int(sys.argv[1]), signal.SIGTERM)
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Something that looks like SLURM; the folder of its jobs, which are processes here."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(python=sys.executable, jobs=str(jobs)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    # Tasks of these tests are functions of this module.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    yield jobs
    for running in jobs.glob("*.running"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(running.stem), 9)


@pytest.fixture
def profile(tmp_path):
    """Write a profile; what is None is left out."""

    def write(**changes):
        shared = tmp_path / "shared"
        shared.mkdir(exist_ok=True)
        entries = {
            "system": "slurm", "memory": "2GB", "interface": "lo", "walltime": "00:10:00",
            "shared_folder": str(shared), "prologue": ["export MODULE=loaded"],
            "directives": ["--nice=100"], **changes,
        }  # fmt: skip
        file = tmp_path / "cluster.toml"
        file.write_text("".join(f"{k} = {v!r}\n" for k, v in entries.items() if v is not None))
        return str(file)

    return write


def job_processes(jobs):
    """The processes of all jobs, whether scancel was called for them or not."""
    sessions = {int(f.stem) for f in jobs.glob("*.running")}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) in sessions:
                found.append(process)
    return found


def test_jobs_of_slurm_work_over_encrypted_connections_and_are_ended(slurm, profile, tmp_path):
    execution = Execution(cluster=profile(queue="short", account="cord"), workers=2)
    with nothing_left() as started:
        with open_executor(execution, tmp_path) as executor:
            assert executor.workers == 2
            wait_until(lambda: len({a[0] for _, a in executor.map(where, range(8))}) == 2)
            answers = [answer for _, answer in executor.map(where, range(8))]
            scheduler = dict(executor.map(transport, [0]))[0]
            started |= {*job_processes(slurm)}
            reached_at = listening([*started, psutil.Process()])
            scripts = [f.read_text() for f in slurm.glob("*.sh")]
            keys = [*(tmp_path / "shared").glob(".scimage-keys-*")]
            assert [stat & 0o77 for stat in (k.stat().st_mode for k in keys)] == [0]
        wait_until(lambda: not any(p.is_running() for p in started))

    assert len(scripts) == 2
    assert {pid for pid, _, _ in answers} <= {p.pid for p in started}
    assert {(threads, module) for _, threads, module in answers} == {("1", "loaded")}
    assert scheduler.startswith("tls://127.0.0.1:")
    assert reached_at == {"127.0.0.1"}
    for line in ("-p short", "-A cord", "-t 00:10:00", "--mem=2G", "--nice=100"):
        assert f"#SBATCH {line}\n" in scripts[0]
    assert not [*slurm.glob("*.running")], "scancel was called for each job"
    assert not [*(tmp_path / "shared").glob(".*")], "no keys are left"


def test_jobs_are_ended_when_the_work_fails(slurm, profile, tmp_path):
    execution = Execution(cluster=profile(), workers=1)

    def fail(started):
        with open_executor(execution, tmp_path) as executor:
            started |= {*job_processes(slurm)}
            list(executor.map(divide, [0]))

    with nothing_left() as started:
        with pytest.raises(ZeroDivisionError):
            fail(started)
        wait_until(lambda: not any(p.is_running() for p in started))

    assert started
    assert not [*slurm.glob("*.running")]


def divide(n):
    return 1 // n


def refused(execution, shared):
    with pytest.raises(UsageError) as caught, open_executor(execution, shared):
        pytest.fail("opened")
    return str(caught.value)


def test_jobs_that_slurm_refuses_are_an_error_that_says_what_slurm_says(slurm, profile, tmp_path):
    (slurm / "refuse").touch()
    name = profile()

    with nothing_left():
        message = refused(Execution(cluster=name, workers=2), tmp_path)

    assert message.startswith(f"{name}: sbatch: error: invalid account; expected jobs that")
    assert not [*(tmp_path / "shared").glob(".*")]


def test_without_slurm_on_this_machine_the_message_names_sbatch(profile, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with nothing_left():
        message = refused(Execution(cluster=profile(), workers=1), tmp_path)

    assert "No such file or directory: 'sbatch'" in message
    assert "'sbatch' must work here" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "no usable profile (unknown: 'colour'); expected a TOML file with"),
        ({"memory": None, "walltime": None}, "no usable profile (missing: memory, walltime)"),
        ({"prologue": "module load"}, "no usable profile (prologue must be a list of texts)"),
        ({"memory": 2}, "no usable profile (memory must be a text)"),
        ({"system": "pbs"}, "system 'pbs'; expected 'slurm'. Start a scheduler on the other"),
        ({"shared_folder": "/nowhere"}, "shared_folder '/nowhere'; expected an existing folder"),
        ({"interface": "ib99"}, "no usable profile (interface 'ib99' is none of lo"),
        ({"memory": "much"}, "no usable profile (Could not interpret 'much'"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(profile, tmp_path, changes, message):
    name = profile(**changes)

    with nothing_left():
        said = refused(Execution(cluster=name), tmp_path)

    assert said.startswith(f"{name}: ")
    assert message in said


def test_a_profile_that_is_not_there_is_refused(tmp_path):
    said = refused(Execution(cluster=str(tmp_path / "none.toml")), tmp_path)

    assert said.startswith(f"{tmp_path / 'none.toml'}: no usable profile ([Errno 2] No such file")


def test_a_profile_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")

    assert "no usable profile" in refused(Execution(cluster=str(tmp_path / "x.toml")), tmp_path)


@pytest.mark.parametrize("package", ["dask_jobqueue", "cryptography"])
def test_without_its_packages_the_message_names_the_extra(profile, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)

    said = refused(Execution(cluster=profile()), tmp_path)

    assert said == (
        f"--cluster: no package {package}; expected the extra 'cluster'. "
        "Install it: pip install 'scimage[cluster]'."
    )
