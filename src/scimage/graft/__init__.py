"""Grafted cells: detected, measured, and sorted into kept and rejected."""

from scimage.graft.count import REJECTIONS, GraftResult, count_grafts
from scimage.graft.parameters import GraftParameters

__all__ = ["REJECTIONS", "GraftParameters", "GraftResult", "count_grafts"]
