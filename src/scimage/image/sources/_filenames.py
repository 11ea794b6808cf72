"""What the names of several files say: which channel, which plane."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from scimage.errors import FormatError

__all__ = ["Arrangement", "arrange", "natural_key"]

# The letters right before a number, from the names that microscopes and ImageJ write.
_KINDS = {
    "channel": re.compile(r"(?:^|[^a-z])(?:c|ch|chan|channel|w|wavelength)[ _-]?$", re.IGNORECASE),
    "time": re.compile(r"(?:^|[^a-z])(?:t|tp|time|timepoint)[ _-]?$", re.IGNORECASE),
    "z": re.compile(
        r"(?:^|[^a-z])(?:z|zs|slice|plane|sec|section|img|image)[ _-]?$", re.IGNORECASE
    ),
}

_RENAME = (
    "Give the files names of one pattern, for example brain_C0_Z0001.tif, "
    "or give one file for each channel."
)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Files by channel and plane: `files[c][k]`; `labels[c]` is the token of the channel."""

    files: tuple[tuple[Path, ...], ...]
    labels: tuple[str | None, ...]


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which plane_2 comes before plane_10."""
    parts = re.split(r"(\d+)", path.name)
    return tuple(
        (1, int(part), part) if part.isdecimal() else (0, 0, part.lower()) for part in parts
    )


def arrange(paths: Sequence[Path], subject: object, *, stacks: bool) -> Arrangement:
    """Find out from their names which channel and plane each file is.

    Parameters
    ----------
    paths
        At least one file.
    subject
        Folder or pattern, for messages.
    stacks
        Each file holds several planes, so that the files can only be channels.

    Raises
    ------
    FormatError
        The names do not say it, contradict each other, or a plane is missing:
        a gap that is closed silently would shrink every distance across it.
    """
    paths = sorted(paths, key=natural_key)
    if len(paths) == 1:
        return Arrangement(((paths[0],),), (None,))
    texts, numbers = _split(paths, subject)
    varying = [i for i in range(len(numbers[0])) if len({row[i] for row in numbers}) > 1]
    kinds = {i: _kind(texts[i]) for i in varying}
    if "time" in kinds.values():
        raise _unclear(subject, f"several time points ({paths[0].name} ... {paths[-1].name})")
    channel = [i for i in varying if kinds[i] == "channel"]
    planes = [i for i in varying if kinds[i] == "z"]
    unnamed = [i for i in varying if kinds[i] is None]
    # One number that nobody named counts the planes, where there is room for planes.
    if len(unnamed) == 1 and not planes and not stacks:
        planes, unnamed = unnamed, []
    if unnamed or len(channel) > 1 or len(planes) > 1 or not varying or (stacks and planes):
        held = "stacks" if stacks else "planes"
        raise _unclear(
            subject, f"{held} whose names do not tell channels from planes ({_some(paths)})"
        )
    return _grid(paths, numbers, channel, planes, texts, subject)


def _split(paths: Sequence[Path], subject: object) -> tuple[list[str], list[list[str]]]:
    """Cut names at their numbers; the text between must be the same in all."""
    rows = [re.split(r"(\d+)", path.name) for path in paths]
    texts = [tuple(row[::2]) for row in rows]
    usual = max(texts, key=texts.count)
    for path, text in zip(paths, texts, strict=True):
        if text != usual:
            other = paths[texts.index(usual)].name
            raise _unclear(subject, f"{path.name}, a name of another pattern than that of {other}")
    return list(usual), [row[1::2] for row in rows]


def _kind(before: str) -> str | None:
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(before)), None)


def _grid(
    paths: Sequence[Path],
    numbers: list[list[str]],
    channel: list[int],
    planes: list[int],
    texts: list[str],
    subject: object,
) -> Arrangement:
    table: dict[tuple[int, int], Path] = {}
    tokens: dict[int, str] = {}
    for path, row in zip(paths, numbers, strict=True):
        c = int(row[channel[0]]) if channel else 0
        z = int(row[planes[0]]) if planes else 0
        if (c, z) in table:
            raise _unclear(subject, f"{table[c, z].name} and {path.name}, the same plane twice")
        table[c, z] = path
        if channel:
            letters = re.search(r"[A-Za-z]*[ _-]?$", texts[channel[0]])
            tokens.setdefault(c, (letters.group() if letters else "") + row[channel[0]])
    channels = sorted({c for c, _ in table})
    depths = sorted({z for _, z in table})
    step = min((b - a for a, b in pairwise(depths)), default=1)
    wanted = range(depths[0], depths[-1] + 1, step)
    missing = [(c, z) for c in channels for z in {*wanted, *depths} if (c, z) not in table]
    if missing or len(wanted) != len(depths):
        c, z = min(missing, default=(channels[0], depths[0]))
        label = f" of {tokens[c]}" if c in tokens else ""
        raise FormatError(
            subject,
            found=f"no file for plane {z}{label}",
            expected=f"all planes from {depths[0]} to {depths[-1]} in steps of {step}",
            remedy="Add the missing file, or put only one unbroken run of planes in the folder.",
        )
    return Arrangement(
        tuple(tuple(table[c, z] for z in depths) for c in channels),
        tuple(tokens.get(c) for c in channels),
    )


def _some(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:3]]
    return ", ".join(names) + (", ..." if len(paths) > 3 else "")


def _unclear(subject: object, found: str) -> FormatError:
    return FormatError(
        subject,
        found=found,
        expected="names that differ only in the number of the channel and of the plane",
        remedy=_RENAME,
    )
