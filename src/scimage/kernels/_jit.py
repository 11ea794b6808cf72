"""How every kernel is compiled, decided once.

- ``nogil``: the executor runs one kernel a thread; kernels never start threads themselves.
- a cache: the second process does not compile again. Ours, for Numba's is not safe when many
  processes start at once (:mod:`scimage.kernels._cache`).
- no ``fastmath``: reordered or fused floating point would make a voxel depend on its block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

from scimage.kernels._cache import KernelCache

__all__ = ["jit"]

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on its first call."""
    kernel = numba.njit(nogil=True)(function)
    # With NUMBA_DISABLE_JIT there is nothing to keep.
    if kernel is not function:
        # What `cache=True` does, with another cache; Numba has no public way to choose it.
        kernel._cache = KernelCache(function)
    return cast("Callable[P, R]", kernel)
