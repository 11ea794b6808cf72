"""Files that survive a power cut: written, flushed to the disk, and told apart by digest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = [
    "digest_of",
    "digest_of_file",
    "make_folder",
    "sync_file",
    "sync_folder",
    "sync_tree",
    "write_file",
    "write_pieces",
]


def digest_of(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's content; empty where there is no file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, and stays once this returns."""
    write_pieces(path, [data])


def write_pieces(path: Path, pieces: Iterable[Any]) -> str:
    """Write a file as :func:`write_file` does, buffer by buffer, and return its digest."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    digest = hashlib.sha256()
    try:
        with unfinished.open("wb", buffering=0) as file:
            for piece in pieces:
                digest.update(piece)
                # The system may take less than all.
                rest = memoryview(piece)
                while rest:
                    rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that they stay once this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the disk has a file's content."""
    # Windows flushes only what is open for writing.
    with path.open("rb" if sys.platform != "win32" else "r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder (Windows writes them through)."""
    if sys.platform == "win32":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has everything below a folder."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_file(path)
