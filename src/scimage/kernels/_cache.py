"""Where compiled kernels are kept, so that the next process need not compile them again.

Numba's own cache has an index for each function beside numbered files. Processes that compile at
the same time can leave an index that points to the code of another signature, and a file that was
cut short stops every later process. It also lies beside the source, which may be a network folder
that machines with other processors share.

Here each overload has one file, named by the digest of all that the code depends on. Nothing
points to it and it is never changed: whoever compiles an overload moves the complete file into
place, and whoever comes second replaces it with the same. What a file holds is checked against
its digest. Whatever is wrong with files or folders only costs a compilation.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import platform
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

__all__ = ["KernelCache", "cache_folder", "default_folder", "pack", "unpack"]

_MAGIC = b"scimage kernel 1\n"

# Numba's own key lacks these: an analysis after a test run would get code that checks every index.
_SETTINGS = (
    "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE", "USING_SVML",
)  # fmt: skip


class KernelCache(_Cache):  # type: ignore[misc]
    """What a dispatcher asks for code before it compiles, and gives the code that it compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        name = f"{function.__module__}.{function.__qualname__}"
        self._prefix = name.replace("<locals>", "locals") + "-"
        self._line = function.__code__.co_firstlineno
        # Now and not at the first call: by then the files may be newer than what was imported.
        # What a closure holds is in no file, and so closures are not kept.
        file = Path(inspect.getfile(function))
        self._sources = None if function.__closure__ else _digest_of_sources(file)
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        folder = cache_folder()
        return None if folder is None else str(folder)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        folder = cache_folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                for path in folder.glob(f"{self._prefix}*"):
                    path.unlink()

    def load_overload(self, signature: Any, target: Any) -> Any:
        # The target must know all types before it can take code in.
        target.refresh()
        path = self._path(signature, target.codegen())
        if path is None:
            return None
        try:
            payload = unpack(path.read_bytes())
        except OSError:
            return None
        if payload is None:
            return None
        kept_signature, code = pickle.loads(payload)
        # Types that differ can have one name, as named tuples with other fields do.
        if kept_signature != signature:
            return None
        return CompileResult._rebuild(target, *code)

    def save_overload(self, signature: Any, compiled: Any) -> None:
        path = self._path(signature, compiled.codegen)
        # Dynamic globals are addresses in this process.
        if path is not None and not compiled.library.has_dynamic_globals:
            _put(path, pack(dumps((signature, compiled._reduce()))))

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        folder = cache_folder()
        if folder is None or self._sources is None or not self._enabled:
            return None
        versions = sys.version, numba.__version__, np.__version__
        settings = [getattr(numba.config, name, None) for name in _SETTINGS]
        # The text and not the pickle of the types: equal objects can have different pickles.
        depends_on = repr(
            (self._sources, self._line, signature, codegen.magic_tuple(), versions, settings)
        )
        return folder / (self._prefix + hashlib.sha256(depends_on.encode()).hexdigest())


@functools.cache
def _digest_of_sources(file: Path) -> str | None:
    """Digest of `file`, the modules beside it and those beside this one; None without sources.

    Code contains that of the kernels it calls, which may lie in other modules. There is no file
    in frozen applications and for what is typed: nothing would tell old from new there.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted({file, *file.parent.glob("*.py"), *Path(__file__).parent.glob("*.py")}):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
    except OSError:
        return None
    return digest.hexdigest()


def pack(payload: bytes) -> bytes:
    """Content of a file that holds `payload`."""
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def unpack(content: bytes) -> bytes | None:
    """Payload of a file; None if it is not as it was written."""
    payload = content[len(_MAGIC) + hashlib.sha256().digest_size :]
    return payload if content == pack(payload) else None


def _put(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def cache_folder() -> Path | None:
    """Where kernels are kept; None if nowhere is safe and writable.

    A folder that ``NUMBA_CACHE_DIR`` names is the user's own choice and is taken as it is.
    """
    if not numba.config.CACHE_DIR:
        return default_folder()
    chosen = Path(numba.config.CACHE_DIR)
    with contextlib.suppress(OSError):
        _make(chosen)
    return chosen


@functools.cache
def default_folder() -> Path | None:
    """One for this user and machine: homes are shared, and code fits one kind of processor."""
    for candidate in (_folder_in_home, _folder_in_temp):
        # RuntimeError is how pathlib says that the user has no home.
        with contextlib.suppress(OSError, RuntimeError):
            folder = candidate()
            _make(folder)
            if _is_private(folder):
                tempfile.TemporaryFile(dir=folder).close()
                return folder
    return None


def _folder_in_home() -> Path:
    variable, usual = {
        "win32": ("LOCALAPPDATA", "AppData/Local"),
        "darwin": ("", "Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    caches = Path(os.environ.get(variable, ""))
    if not caches.is_absolute():
        caches = Path.home() / usual
    return caches / "scimage" / "numba" / platform.node()


def _folder_in_temp() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"scimage-numba-{user}"


def _make(folder: Path) -> None:
    for level in (*reversed(folder.parents), folder):
        # Others must not put code there that this user would run.
        level.mkdir(mode=0o700, exist_ok=True)


def _is_private(folder: Path) -> bool:
    # Windows keeps the profiles of its users apart itself.
    if not hasattr(os, "getuid"):
        return True
    # Not the status of a link's target: in a shared folder the link may be somebody else's.
    status = folder.lstat()
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not others_write
