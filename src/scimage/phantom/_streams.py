"""Independent streams of random numbers, by name."""

from __future__ import annotations

import numpy as np


def stream_key(seed: int, name: str) -> np.uint64:
    """64-bit key of a named stream; distinct names give independent streams."""
    words = [seed, *name.encode()]
    return np.uint64(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def generator(seed: int, name: str) -> np.random.Generator:
    """Counter-based generator for lists drawn once, in canonical order."""
    return np.random.Generator(np.random.Philox(key=int(stream_key(seed, name))))
