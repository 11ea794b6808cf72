"""Build results beside their place under a hidden name, go on after a stop, publish when whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scimage.errors import TargetExistsError, UsageError
from scimage.image.storage import create_group, is_zarr, naming_storage

__all__ = ["Ledger", "discard", "exclusive", "publish", "refuse_existing", "staging_path"]


def staging_path(target: Path) -> Path:
    """Where the parts of `target` are built: beside it, under a hidden name."""
    return target.with_name(f".{target.name}.partial")


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


class Ledger:
    """Which steps of a staged image are finished, so that a stopped run can go on.

    Parameters
    ----------
    folder
        Holds the ledger, the image that grows (`image`) and what is needed meanwhile (`scratch`).
    identity
        What is built, as JSON. A folder of another identity is discarded.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._file = folder / "finished.txt"
        self.image = folder / "image"
        self.scratch = folder / "scratch"
        wanted = json.dumps(identity, sort_keys=True)
        identity_file = folder / "identity.json"
        if _text_of(identity_file) != wanted:
            discard(folder)
            with naming_storage(folder):
                folder.mkdir(parents=True)
                create_group(str(self.image))
                # Written last: a folder without it is discarded.
                identity_file.write_text(wanted, encoding="utf-8")
        # A line without its end was being written when the run stopped.
        lines = _text_of(self._file).splitlines(keepends=True)
        self._done = {line.rstrip("\n") for line in lines if line.endswith("\n")}
        self._repair(lines)
        self.reused = len(self._done)

    def _repair(self, lines: list[str]) -> None:
        if lines and not lines[-1].endswith("\n"):
            with naming_storage(self._folder):
                self._file.write_text("".join(lines[:-1]), encoding="utf-8")

    def has(self, step: str) -> bool:
        return step in self._done

    def add(self, step: str) -> None:
        with naming_storage(self._folder), self._file.open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        self._done.add(step)

    def publish(self, target: Path, overwrite: bool) -> None:
        publish(self.image, target, overwrite)
        discard(self._folder)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


@contextlib.contextmanager
def exclusive(target: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the right to build `target` against other threads and processes.

    Raises
    ------
    UsageError
        Another one holds it, and `wait` is not set.
    """
    lock = target.with_name(f".{target.name}.lock")
    with naming_storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = _locked(lock, wait)
        except BlockingIOError as error:
            raise UsageError(
                target,
                found="another run is writing it",
                expected="one run at a time",
                remedy="Wait until the other run has ended, or choose another name.",
            ) from error
    try:
        yield
    finally:
        # Windows cannot remove an open file; an old lock file does no harm.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(file)


def _locked(lock: Path, wait: bool) -> int:
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file, wait)
            # The one before may have removed the file between our opening and our locking.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), lock.stat()):
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int, wait: bool) -> None:
        try:
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error

else:
    import fcntl

    def _lock(file: int, wait: bool) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            # Some network folders know no locks; there, care is the user's.
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
                raise
