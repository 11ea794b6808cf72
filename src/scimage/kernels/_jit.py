"""How every kernel is compiled, decided once.

- ``nogil``: the executor runs one kernel a thread; kernels never start threads themselves.
- ``cache``: the second process does not compile again.
- no ``fastmath``: reordered or fused floating point would make a voxel depend on its block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

__all__ = ["jit"]

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on its first call."""
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True)(function))
