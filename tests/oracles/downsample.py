"""Twins of scimage.kernels.downsample."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def _parts(shape, factors):
    for index in np.ndindex(*(-(-n // f) for n, f in zip(shape, factors, strict=True))):
        yield index, tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))


def block_sum(array, factors):
    kind = np.float64 if array.dtype.kind == "f" else np.int64
    out = np.zeros([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], kind)
    for index, part in _parts(array.shape, factors):
        out[index] = array[part].astype(kind).sum()
    return out


def block_mean(array, factors):
    """What block_sum and rounded_mean give together."""
    out = np.zeros([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for index, part in _parts(array.shape, factors):
        values = array[part].ravel().tolist()
        if array.dtype.kind == "f":
            out[index] = math.fsum(values) / len(values)
        else:
            out[index] = math.floor(Fraction(sum(values), len(values)) + Fraction(1, 2))
    return out


def block_mode(labels, factors):
    out = np.zeros([-(-n // f) for n, f in zip(labels.shape, factors, strict=True)], labels.dtype)
    for index, part in _parts(labels.shape, factors):
        values, counts = np.unique(labels[part], return_counts=True)
        out[index] = values[np.argmax(counts)]
    return out
