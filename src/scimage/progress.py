"""How long work tells of its progress, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Report", "silent"]

# Called with (stage, steps done, steps in all) after each step, always in the caller's thread.
# To stop the work, raise from it (Cancelled, KeyboardInterrupt): what is finished is kept for
# the next run, nothing is published.
Report: TypeAlias = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""
