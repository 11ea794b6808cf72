"""Partial results as bytes: plain data only, so that nothing that is read back can run code."""

from __future__ import annotations

import json
import math
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
    head = json.dumps(_describe(partial, buffers)).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *buffers])


def unpack(packed: bytes) -> Any:
    """Turn the bytes of :func:`pack` into what they were made from; arrays are read-only views."""
    begin = 8 + int.from_bytes(packed[:8], "little")
    return _build(json.loads(packed[8:begin]), memoryview(packed), [begin])


def _describe(value: Any, buffers: list[bytes]) -> Any:
    """What `value` is, as JSON; what is no JSON is appended to `buffers`."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is bytes:
        buffers.append(value)
        return {"bytes": len(value)}
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        buffers.append(np.ascontiguousarray(value).tobytes())
        return {"array": value.dtype.str, "shape": value.shape}
    if type(value) is tuple:
        return [_describe(v, buffers) for v in value]
    raise TypeError(f"a partial result holds a {type(value).__name__}, which is no plain data")


def _build(node: Any, view: memoryview, at: list[int]) -> Any:
    """The value that `node` describes; ``at[0]`` is where its bytes begin, and moves on."""
    if isinstance(node, list):
        return tuple(_build(n, view, at) for n in node)
    if not isinstance(node, dict):
        return node
    begin = at[0]
    if "bytes" in node:
        at[0] += node["bytes"]
        return bytes(view[begin : at[0]])
    dtype, shape = np.dtype(node["array"]), tuple(node["shape"])
    at[0] += dtype.itemsize * math.prod(shape)
    return np.frombuffer(view[begin : at[0]], dtype=dtype).reshape(shape)
