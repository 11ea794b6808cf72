"""How every kernel of this room is compiled.

Contraction and reassociation stay off (no fastmath), so that a voxel's value does not
depend on where the compiler put it in a vector; threads belong to whoever calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile on first call: cached on disk, GIL released, strict IEEE arithmetic."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))
