from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import numba
import numpy as np
import pytest

import scimage.kernels
from scimage.kernels import _cache, jit

MODULES = [m.name for m in pkgutil.iter_modules(scimage.kernels.__path__) if m.name[0] != "_"]

needs_posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes are POSIX")


def compiled(name):
    module = importlib.import_module(f"scimage.kernels.{name}")
    return [f for f in vars(module).values() if isinstance(f, numba.core.dispatcher.Dispatcher)]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the JIT is off")
@pytest.mark.parametrize("name", MODULES)
def test_kernels_release_the_gil_start_no_threads_and_keep_the_order_of_sums(name):
    kernels = compiled(name)

    assert kernels
    for kernel in kernels:
        options = kernel.targetoptions
        assert options["nogil"]
        assert not options.get("parallel", False)
        assert not options.get("fastmath", False)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists(name):
    module = importlib.import_module(f"scimage.kernels.{name}")

    assert all(hasattr(module, public) for public in module.__all__)


def doubled(values):
    total = values[0]
    for i in range(1, values.size):
        total += values[i]
    return 2 * total


ONE_TO_FOUR = np.arange(1, 5)


@pytest.fixture
def jit_on(monkeypatch):
    """Compile also where the kernels run as plain Python, so that coverage sees the cache."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)


@pytest.fixture
def folder(tmp_path, monkeypatch, jit_on):
    """A cold cache for the kernels compiled in this process."""
    path = tmp_path / "cache"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(path))
    return path


def run_fresh():
    """Compile and run `doubled` as a process would that has not seen it: times loaded, compiled."""
    kernel = jit(doubled)
    assert kernel(ONE_TO_FOUR) == 20
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


def identities(folder):
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}


def is_whole(path):
    return _cache.unpack(path.read_bytes()) is not None


# Joins pairs, and so runs three kernels; says when it is ready, so that all can start at once.
JOIN = """
import sys
import numpy as np
from scimage.kernels import components

dtype = np.dtype(sys.argv[1])
parent = np.arange(6, dtype=dtype)
print("ready", flush=True)
sys.stdin.readline()
components.join_labels(parent, np.array([5, 1], dtype=dtype), np.array([3, 3], dtype=dtype))
print(components.lowest_of_each(parent).tolist())
"""
JOINED = "[0, 1, 2, 1, 4, 1]"


def start(script, cache, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env=os.environ | {"NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(cache)} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    try:
        out, _ = process.communicate("go\n", timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0
    return out.splitlines()[-1]


def test_a_second_process_uses_what_the_first_compiled(tmp_path):
    assert finish(start(JOIN, tmp_path, "int64")) == JOINED
    first = identities(tmp_path)

    assert finish(start(JOIN, tmp_path, "int64")) == JOINED

    assert len(first) == 4
    assert identities(tmp_path) == first


def test_processes_that_start_cold_at_once_are_all_right_and_leave_a_whole_cache(tmp_path):
    processes = [start(JOIN, tmp_path, t) for t in ("int64", "int32", "int64", "int32")]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    assert [finish(process) for process in processes] == [JOINED] * 4
    files = list(tmp_path.iterdir())
    assert len(files) == 8
    assert all(is_whole(file) for file in files)


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        flip_a_bit,
        lambda content: b"garbage",
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "cut in half", "one bit flipped", "garbage", "zeros"],
)
def test_a_damaged_file_is_compiled_anew_and_replaced(folder, damage):
    assert run_fresh() == (0, 1)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert not is_whole(file)

    assert run_fresh() == (0, 1)

    assert list(folder.iterdir()) == [file]
    assert is_whole(file)
    assert run_fresh() == (1, 0)


def test_a_file_that_cannot_be_read_is_no_error(folder):
    run_fresh()
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()

    assert run_fresh() == (0, 1)

    assert list(folder.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_only_costs_compilation(folder):
    folder.write_bytes(b"")

    assert run_fresh() == (0, 1)
    assert run_fresh() == (0, 1)


def test_a_full_disk_only_costs_compilation_and_leaves_nothing_behind(folder, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "replace", full)

    assert run_fresh() == (0, 1)
    assert list(folder.iterdir()) == []


def test_signatures_have_files_of_their_own(folder):
    kernel = jit(doubled)

    assert (kernel(np.arange(3)), kernel(np.array([0.5, 1]))) == (6, 3.0)

    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("setting", ["BOUNDSCHECK", "OPT"])
def test_code_compiled_with_other_settings_is_not_used(folder, monkeypatch, setting):
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 0)
    assert run_fresh() == (0, 1)

    # NUMBA_OPT is a number with more to it, so that only a copy of its type will do.
    monkeypatch.setattr(numba.config, setting, type(getattr(numba.config, setting))(1))

    assert run_fresh() == (0, 1)
    assert len(list(folder.iterdir())) == 2


def test_what_a_kernel_takes_from_its_maker_is_not_mixed_up(folder):
    def maker(n):
        @jit
        def plus(i):
            return i + n

        return plus

    assert (maker(1)(0), maker(2)(0)) == (1, 2)


def first_field(pair):
    return pair.first


def test_types_that_share_a_name_do_not_share_code(folder):
    forward = namedtuple("Pair", ["first", "second"])
    backward = namedtuple("Pair", ["second", "first"])

    assert jit(first_field)(forward(1, 2)) == 1
    assert jit(first_field)(backward(1, 2)) == 2


# So large that the code holds its address and not its values.
TABLE = np.arange(200_000)


def looked_up(i):
    return TABLE[i]


def test_code_that_holds_addresses_is_not_kept(folder):
    assert jit(looked_up)(7) == 7

    assert list(folder.iterdir()) == []


def test_without_the_jit_a_kernel_is_the_plain_function(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)

    assert jit(doubled) is doubled


def test_a_kernel_without_a_source_file_is_compiled_and_not_kept(folder):
    names = {"jit": jit, "__name__": "typed"}
    exec("@jit\ndef three():\n    return 3\n", names)

    assert names["three"]() == 3
    assert not folder.exists() or list(folder.iterdir()) == []


def test_recompiling_forgets_the_files(folder):
    kernel = jit(doubled)
    kernel(ONE_TO_FOUR)
    before = identities(folder)

    kernel.recompile()

    assert identities(folder).keys() == before.keys()
    assert identities(folder) != before


@pytest.fixture
def small_package(tmp_path):
    """A package with one kernel that calls another of another module, to be edited."""
    root = tmp_path / "package"
    kernels = root / "scimage" / "kernels"
    kernels.mkdir(parents=True)
    (root / "scimage" / "__init__.py").touch()
    for name in ("__init__.py", "_jit.py", "_cache.py"):
        shutil.copy(Path(scimage.kernels.__path__[0]) / name, kernels)
    start = "from scimage.kernels._jit import jit\n"
    (kernels / "called.py").write_text(f"{start}@jit\ndef called(i):\n    return i + 1\n")
    (kernels / "caller.py").write_text(
        f"{start}from scimage.kernels.called import called\n"
        "@jit\ndef caller(i):\n    return 10 * called(i)\n"
    )
    return root


@pytest.mark.parametrize(
    ("module", "old", "new", "answer"),
    [("caller", "10", "20", "20"), ("called", "+ 1", "+ 2", "20")],
)
def test_a_kernel_is_compiled_anew_when_it_or_a_kernel_that_it_calls_has_changed(
    tmp_path, small_package, module, old, new, answer
):
    def run():
        script = "from scimage.kernels.caller import caller; print(caller(0))"
        # Bytecode is stale after two edits of one length within a second.
        quick = {"PYTHONPATH": str(small_package), "PYTHONDONTWRITEBYTECODE": "1"}
        return finish(start(script, tmp_path / "cache", **quick))

    assert run() == "10"
    before = identities(tmp_path / "cache")
    source = small_package / "scimage" / "kernels" / f"{module}.py"
    source.write_text(source.read_text().replace(old, new))

    assert run() == answer

    after = identities(tmp_path / "cache")
    assert len(before) == 2
    assert len(after) == 4
    assert before.items() <= after.items()


@pytest.fixture
def home(tmp_path, monkeypatch, jit_on):
    """A user without a cache so far, with a home and a folder for temporary files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    _cache.default_folder.cache_clear()
    yield tmp_path / "home"
    _cache.default_folder.cache_clear()


def in_temp(home):
    (folder,) = (home.parent / "temp").iterdir()
    return folder


def test_by_default_each_machine_has_a_folder_in_the_caches_of_the_user(home):
    folder = _cache.cache_folder()

    assert home in folder.parents
    assert folder.name == platform.node()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG")
@pytest.mark.parametrize("unset", ["", "relative"])
def test_without_xdg_cache_home_caches_are_in_the_home(home, monkeypatch, unset):
    monkeypatch.setenv("XDG_CACHE_HOME", unset)

    assert home / ".cache" in _cache.cache_folder().parents


@needs_posix
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nobody_else_can_read_or_write_the_folders(home, umask):
    before = os.umask(umask)
    try:
        folder = _cache.cache_folder()
    finally:
        os.umask(before)

    made = [p for p in (folder, *folder.parents) if home in p.parents]
    assert made
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o700 for p in made)


@needs_posix
def test_without_a_writable_home_the_folder_is_among_the_temporary_files(home):
    home.rmdir()
    home.write_bytes(b"")

    folder = _cache.cache_folder()

    assert folder == in_temp(home)
    assert str(os.getuid()) in folder.name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@needs_posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_not_used(home, mode):
    home.rmdir()
    home.write_bytes(b"")
    _cache.cache_folder().chmod(mode)
    _cache.default_folder.cache_clear()

    assert _cache.cache_folder() is None


@needs_posix
def test_a_folder_of_another_user_is_not_used(home, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: home.stat().st_uid + 1)

    assert _cache.cache_folder() is None


@needs_posix
def test_a_link_among_the_temporary_files_is_not_followed(home, tmp_path):
    home.rmdir()
    home.write_bytes(b"")
    folder = _cache.cache_folder()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    _cache.default_folder.cache_clear()

    assert _cache.cache_folder() is None


def test_without_any_folder_kernels_are_only_compiled(home, monkeypatch):
    home.rmdir()
    home.write_bytes(b"")
    monkeypatch.setattr(tempfile, "tempdir", str(home))

    assert run_fresh() == (0, 1)
    assert run_fresh() == (0, 1)
    assert _cache.cache_folder() is None


def test_nothing_is_read_or_kept_while_the_cache_is_disabled(folder):
    kernel = jit(doubled)
    kernel._cache.disable()
    kernel(ONE_TO_FOUR)
    assert list(folder.iterdir()) == []

    kernel._cache.enable()
    kernel(ONE_TO_FOUR.astype(float))

    assert len(list(folder.iterdir())) == 1
