"""Pure functions on arrays (z, y, x), compiled by Numba.

Each module is one family of kernels and is imported by its name, so that only what a pass
needs is compiled. Kernels take arrays and scalars and return arrays; they know nothing of
stores, parameter objects, progress or threads.
"""

from scimage.kernels._jit import jit

__all__ = ["jit"]
