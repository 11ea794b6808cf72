"""Twin of scimage.kernels.histogram."""

from __future__ import annotations

import math
import struct

import numpy as np


def count(values):
    counts = np.zeros(65536, dtype=np.int64)
    for value in np.asarray(values).astype(np.float32).ravel().tolist():
        if math.isfinite(value):
            sign_and_size = struct.unpack(">H", struct.pack(">f", value)[:2])[0]
            negative = sign_and_size >= 0x8000
            counts[0xFFFF - sign_and_size if negative else sign_and_size + 0x8000] += 1
    return counts
