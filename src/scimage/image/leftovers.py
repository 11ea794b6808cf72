"""What runs left behind that were killed, and that nobody is working on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scimage.errors import UsageError
from scimage.image.results import ResultStore
from scimage.image.staging import discard, is_locked, lock_path
from scimage.image.storage import folder_bytes

__all__ = ["Leftover", "leftovers"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder that a run left, what it is, and its size."""

    path: Path
    what: str
    bytes: int

    def remove(self) -> None:
        """Remove it; a run that it belongs to cannot go on then."""
        discard(self.path)


def leftovers(path: Path) -> list[Leftover]:
    """Find what runs left beside an image or store, or beside any in a folder.

    What a run is working on is not listed.

    Raises
    ------
    UsageError
        There is no such place.
    """
    if not path.exists() and not path.parent.is_dir():
        raise UsageError(
            path, found="no such file or folder", expected="an image, or a folder of images",
            remedy="Check the path.",
        )  # fmt: skip
    for store in (path, *path.glob("*")):
        # A publication that was committed and cut off needs what lies in a workspace.
        ResultStore(store).settle()
    inside = sorted(path.glob(".*")) if path.is_dir() else []
    beside = sorted(path.absolute().parent.glob(f".{path.name}.*"))
    return [*_among(beside), *_among(inside)]


def _among(paths: list[Path]) -> Iterator[Leftover]:
    for path in paths:
        if path.name.endswith(".lock"):
            if not is_locked(path):
                yield Leftover(path, "lock that nobody holds", path.stat().st_size)
        elif path.is_dir() and path.name.endswith((".partial", ".replaced")):
            # .NAME.FINGERPRINT.partial belongs to NAME, and so do its lock and .NAME.replaced.
            name = path.name[1:].removesuffix(".partial").removesuffix(".replaced")
            owner = name.rpartition(".")[0] if path.name.endswith(".partial") else name
            if not is_locked(lock_path(path.with_name(owner))):
                yield Leftover(path, _about(path), folder_bytes(path))


def _about(folder: Path) -> str:
    if folder.name.endswith(".replaced"):
        return "earlier result that was being replaced"
    try:
        identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "unfinished run"
    return f"unfinished {identity.get('analysis', 'conversion')}; the same command continues it"
