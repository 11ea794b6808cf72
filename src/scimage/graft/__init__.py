"""Grafted cells: detected, measured, and sorted into kept and rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scimage.lazy import door

if TYPE_CHECKING:
    from scimage.graft.count import REJECTIONS, GraftResult, count_grafts, graft_stages
    from scimage.graft.parameters import GraftParameters

__getattr__, __dir__ = door(
    __name__,
    {
        "REJECTIONS": "count",
        "GraftParameters": "parameters",
        "GraftResult": "count",
        "count_grafts": "count",
        "graft_stages": "count",
    },
)

__all__ = ["REJECTIONS", "GraftParameters", "GraftResult", "count_grafts", "graft_stages"]
