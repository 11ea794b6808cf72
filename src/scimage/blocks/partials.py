"""Partial results as bytes: plain data only, so that nothing that is read back can run code."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["pack", "unpack"]


def pack(partial: Any) -> bytes:
    """Turn plain data into bytes; equal data (to the bit) give equal bytes.

    Plain are None, bool, int, float, str, bytes, arrays of numbers, and tuples of these.

    Raises
    ------
    TypeError
        It holds something else.
    """
    buffers: list[bytes] = []

    def describe(value: Any) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is bytes:
            buffers.append(value)
            return {"bytes": len(value)}
        if type(value) is np.ndarray and not value.dtype.hasobject:
            buffers.append(np.ascontiguousarray(value).tobytes())
            return {"array": value.dtype.str, "shape": value.shape}
        if type(value) is tuple:
            return [describe(v) for v in value]
        raise TypeError(f"a partial result holds a {type(value).__name__}, which is no plain data")

    head = json.dumps(describe(partial)).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *buffers])


def unpack(packed: bytes) -> Any:
    """Turn the bytes of :func:`pack` into what they were made from; arrays are read-only."""
    at = 8 + int.from_bytes(packed[:8], "little")
    view = memoryview(packed)

    def build(node: Any) -> Any:
        nonlocal at
        if isinstance(node, list):
            return tuple(build(n) for n in node)
        if not isinstance(node, dict):
            return node
        begin = at
        if "bytes" in node:
            at += node["bytes"]
            return bytes(view[begin:at])
        dtype, shape = np.dtype(node["array"]), tuple(node["shape"])
        at += dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(view[begin:at], dtype=dtype).reshape(shape)

    return build(json.loads(packed[8:at]))
