"""Images of constructed nuclei, stored as scimage stores images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scimage.image import Channel, Image, NewImage, open_image, write_image

Spacing = tuple[float, float, float]


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


@pytest.fixture
def tissue() -> Callable[..., NDArray[np.uint16]]:
    """Paint balls into noisy tissue: brightness 200, noise 10."""

    def paint(
        shape: tuple[int, int, int],
        spacing_um: Spacing = (1.0, 1.0, 1.0),
        centres_um: Any = (),
        diameter_um: float = 8.0,
        height: float = 500.0,
        seed: int = 0,
    ) -> NDArray[np.uint16]:
        signal = np.zeros(shape)
        axes = [np.arange(n) * s for n, s in zip(shape, spacing_um, strict=True)]
        for centre in centres_um:
            offsets = np.meshgrid(
                *(a - c for a, c in zip(axes, centre, strict=True)), indexing="ij", sparse=True
            )
            distance = np.sqrt(sum(o**2 for o in offsets))
            # Voxels on the surface are filled in part.
            part = np.clip((diameter_um / 2 - distance) / min(spacing_um) + 0.5, 0, 1)
            signal = np.maximum(signal, part * height)
        noise = np.random.default_rng(seed).normal(200, 10, shape)
        return np.clip(signal + noise, 0, 65535).round().astype(np.uint16)

    return paint
