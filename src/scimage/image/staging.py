"""Replace one thing by another in a single step, one writer at a time."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from scimage.errors import TargetExistsError, UsageError
from scimage.image.durable import sync_folder
from scimage.image.storage import is_zarr, naming_storage

__all__ = ["discard", "exclusive", "is_locked", "lock_path", "publish", "refuse_existing"]

_log = logging.getLogger("scimage")


def refuse_existing(
    target: Path, overwrite: bool, *, replaces: Callable[[Path], bool] = is_zarr
) -> None:
    """Raise unless `target` is free, or may be replaced and is something that `replaces` accepts.

    A mistyped name must not cost anybody a folder of other things.
    """
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise TargetExistsError(
            target,
            found="it exists already",
            expected="a name that is free",
            remedy="Choose another name, or replace it with --overwrite.",
        )
    if not replaces(target):
        raise TargetExistsError(
            target,
            found="it exists already and is something else than what would replace it",
            expected="a result of scimage, or a name that is free",
            remedy="Choose another name, or remove it yourself.",
        )


def publish(staged: Path, target: Path, overwrite: bool) -> None:
    """Move the finished `staged` folder to `target`; what stood there goes only afterwards.

    Should the machine stop between the two renames, the old result is kept beside `target` as
    ``.NAME.replaced`` until a new one is published.
    """
    refuse_existing(target, overwrite)
    retired = target.with_name(f".{target.name}.replaced")
    with naming_storage(target):
        # A killed write leaves a file of this kind beside the chunk that it was to become.
        for leftover in staged.rglob("*.partial"):
            leftover.unlink()
        if os.path.lexists(target):
            _remove(retired)
            target.rename(retired)
        try:
            staged.rename(target)
        except OSError:
            if os.path.lexists(retired):
                retired.rename(target)
            raise
        sync_folder(target.parent)
        _remove(retired)


def discard(path: Path) -> None:
    """Remove what will not be published, or is needed no more."""
    with naming_storage(path):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def lock_path(target: Path) -> Path:
    """The file that who builds `target` holds."""
    return target.with_name(f".{target.name}.lock")


@contextlib.contextmanager
def exclusive(target: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the right to build `target` against other threads and processes.

    The operating system lets go of the lock when its holder ends, however it ends. Where a
    network folder knows no locks, the lock file itself tells who holds it.

    Raises
    ------
    UsageError
        Another one holds it, and `wait` is not set.
    """
    lock = lock_path(target)
    with naming_storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = _locked(lock, wait)
        except BlockingIOError as error:
            raise UsageError(
                target,
                found=f"another run is writing it ({_holder(lock)})",
                expected="one run at a time",
                remedy=f"Wait until the other run has ended. If it is no more, remove {lock}.",
            ) from error
    try:
        yield
    finally:
        # Windows cannot remove an open file; an old lock file does no harm.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(file)


def is_locked(lock: Path) -> bool:
    """Whether somebody holds a lock file."""
    try:
        file = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(file, wait=False) and _holds(lock)
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def _locked(lock: Path, wait: bool) -> int:
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(file, wait) and _holds(lock):
                raise BlockingIOError(errno.EWOULDBLOCK, "held")
            # The one before may have removed the file between our opening and our locking.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), lock.stat()):
                    _sign(file, lock)
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _sign(file: int, lock: Path) -> None:
    """Write into the lock file who holds it."""
    if os.fstat(file).st_size:
        _log.warning("a run of %s ended without an end (%s)", lock.name, _holder(lock))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    me = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
    os.ftruncate(file, 0)
    os.write(file, json.dumps(me).encode())


def _read_holder(lock: Path) -> dict[str, object]:
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _holder(lock: Path) -> str:
    holder = _read_holder(lock)
    named = [f"{key} {holder[key]}" for key in ("host", "pid", "since") if key in holder]
    return ", ".join(named) or "unknown host"


def _holds(lock: Path) -> bool:
    """Whether the process that signed a lock file may still be there."""
    holder = _read_holder(lock)
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    pid = holder.get("pid")
    return isinstance(pid, int) and psutil.pid_exists(pid)


if sys.platform == "win32":
    import msvcrt

    # Behind the text, which others may read.
    _LOCKED_BYTE = 2**16

    def _lock(file: int, wait: bool) -> bool:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(file: int, wait: bool) -> bool:
        """Lock a file; False where the file system knows no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
                raise
            return False
        return True
