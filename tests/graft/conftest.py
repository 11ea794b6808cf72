"""Images of constructed nuclei, stored as scimage stores images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Spacing = tuple[float, float, float]


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
