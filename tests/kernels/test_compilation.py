from __future__ import annotations

import importlib
import pkgutil

import numba
import pytest

import scimage.kernels

MODULES = [m.name for m in pkgutil.iter_modules(scimage.kernels.__path__) if m.name[0] != "_"]


def compiled(name):
    module = importlib.import_module(f"scimage.kernels.{name}")
    return [f for f in vars(module).values() if isinstance(f, numba.core.dispatcher.Dispatcher)]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the JIT is off")
@pytest.mark.parametrize("name", MODULES)
def test_kernels_release_the_gil_start_no_threads_and_keep_the_order_of_sums(name):
    kernels = compiled(name)

    assert kernels
    for kernel in kernels:
        options = kernel.targetoptions
        assert options["nogil"]
        assert not options.get("parallel", False)
        assert not options.get("fastmath", False)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists(name):
    module = importlib.import_module(f"scimage.kernels.{name}")

    assert all(hasattr(module, public) for public in module.__all__)
