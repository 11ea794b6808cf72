"""The errors that scimage raises on purpose.

Every one of them says four things: which file or parameter, what was found,
what was expected, and what to do. The command line prints exactly that, on one
line; anything else that reaches it is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "BlocksFailedError",
    "Cancelled",
    "ChannelError",
    "FormatError",
    "ScimageError",
    "SpacingError",
    "StorageError",
    "TargetExistsError",
    "UsageError",
]


class ScimageError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    subject
        The file, store or parameter that the error is about.
    found
        What was found there.
    expected
        What would have been right.
    remedy
        What the user can do about it, as a full sentence.
    """

    exit_code = 1

    def __init__(self, subject: object, *, found: str, expected: str, remedy: str) -> None:
        self.subject = str(subject)
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(f"{self.subject}: {found}; expected {expected}. {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.subject, self.found, self.expected, self.remedy)


def _rebuild(
    kind: type[ScimageError], subject: str, found: str, expected: str, remedy: str
) -> ScimageError:
    return kind(subject, found=found, expected=expected, remedy=remedy)


class UsageError(ScimageError, ValueError):
    """The request is wrong: a parameter out of bounds, two options that exclude each other."""

    exit_code = 2


class ChannelError(UsageError, LookupError):
    """A channel was asked for that the image does not have."""


class SpacingError(UsageError):
    """The voxel size is unknown or absurd, and none was given."""


class FormatError(ScimageError, ValueError):
    """A file is damaged, or is not what it claims to be, or holds what scimage cannot use."""


class TargetExistsError(ScimageError, FileExistsError):
    """The result would replace something that exists."""

    exit_code = 2


class StorageError(ScimageError, OSError):
    """The disk is full, read-only or gone."""


class BlocksFailedError(ScimageError):
    """Blocks failed by themselves, each time that they were tried; all others are done.

    Parameters
    ----------
    stage
        The sweep in which they failed.
    failures
        What went wrong, by block (its place z-y-x in the grid).
    blocks
        Number of blocks in all.
    """

    exit_code = 3

    def __init__(self, stage: str, failures: Mapping[str, str], blocks: int) -> None:
        self.stage, self.failures, self.blocks = stage, dict(failures), blocks
        listed = "; ".join(f"block {name}: {why}" for name, why in [*failures.items()][:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__(
            stage, found=f"{len(failures)} of {blocks} blocks failed ({listed}{more})",
            expected="every block done; nothing was published",
            remedy="Mend what is wrong and run the same command again: it continues.",
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return BlocksFailedError, (self.stage, self.failures, self.blocks)


class Cancelled(ScimageError):
    """The user stopped the work."""

    exit_code = 130
