"""Synthetic injured spinal cords with known truth.

A `Phantom` computes any region of any channel on its own, with the same pixels however
the volume is divided, and knows its labels, its cells and its volumes.
"""

from __future__ import annotations

from scimage.phantom._parameters import (
    CHANNEL_COLOURS,
    CHANNELS,
    LABELS,
    MICROSCOPES,
    PRESETS,
    SPECIES,
    Microscope,
    PhantomParameters,
    Species,
)
from scimage.phantom._phantom import Phantom

__all__ = [
    "CHANNELS",
    "CHANNEL_COLOURS",
    "LABELS",
    "MICROSCOPES",
    "PRESETS",
    "SPECIES",
    "Microscope",
    "Phantom",
    "PhantomParameters",
    "Species",
]
