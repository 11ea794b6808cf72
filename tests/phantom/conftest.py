"""Phantoms that several tests look at; none of them changes one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scimage.phantom import PRESETS, Phantom


@pytest.fixture(scope="session")
def tiny() -> Phantom:
    return Phantom(PRESETS["tiny"])


@pytest.fixture(scope="session")
def whole(tiny: Phantom) -> dict[str, NDArray[np.uint16]]:
    """Every channel of the tiny phantom, rendered in one piece."""
    region = tuple(slice(0, n) for n in tiny.shape)
    return {channel: tiny.render(channel, region) for channel in tiny.channels}


@pytest.fixture(scope="session")
def truth(tiny: Phantom) -> NDArray[np.uint8]:
    return tiny.labels(tuple(slice(0, n) for n in tiny.shape))


@pytest.fixture(scope="session")
def mouse_cells() -> dict[str, NDArray[Any]]:
    return Phantom(PRESETS["mouse-light-sheet-lo"]).cells()


@pytest.fixture(scope="session")
def mouse_volumes() -> dict[str, float]:
    return Phantom(PRESETS["mouse-light-sheet-lo"]).volumes_mm3()
