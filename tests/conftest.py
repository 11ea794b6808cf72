"""Fixtures for all rooms."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from numpy.typing import NDArray

from scimage.image import Channel, Image, NewImage, open_image, write_image

Spacing = tuple[float, float, float]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real images; tests that need it are skipped without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SCIMAGE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set SCIMAGE_TEST_DATA")
    return folder


class _Arrays:
    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self._arrays = arrays

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        return self._arrays[channel][z, y, x]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Image]:
    """Store arrays (z, y, x) by channel name and open the image."""
    made = 0

    def store(
        arrays: Mapping[str, NDArray[Any]],
        spacing_um: Spacing = (1.0, 1.0, 1.0),
        translation_um: Spacing = (0.0, 0.0, 0.0),
    ) -> Image:
        nonlocal made
        made += 1
        first = next(iter(arrays.values()))
        new = NewImage(
            (len(arrays), *first.shape), first.dtype, spacing_um, "test",
            tuple(Channel(name) for name in arrays), translation_um,
        )  # fmt: skip
        target = tmp_path / f"image{made}.ome.zarr"
        write_image(target, new, _Arrays(list(arrays.values())), {})
        return open_image(target)

    return store


# SCIMAGE_HYPOTHESIS=thorough searches longer, and anew on each run.
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("SCIMAGE_HYPOTHESIS", "quick"))
