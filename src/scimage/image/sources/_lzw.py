"""LZW by libtiff instead of imagecodecs' own decoder.

`imagecodecs.lzw_decode` (2026.3.6) writes past its tables on a damaged stream when
it is told the size of the output, as tifffile tells it: the process dies. libtiff's
decoder has been fuzzed for years, and a strip or tile is a whole image to it once it
has a header.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_lzw"]

_SHORT, _LONG = 3, 4
_SAMPLE_FORMAT = {"u": 1, "i": 2, "f": 3}


def decode_lzw(
    data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any], predictor: int
) -> NDArray[Any]:
    """Decode one strip or tile.

    Parameters
    ----------
    data
        The stream.
    shape
        Rows, columns and interleaved samples.
    dtype
        Type of the samples, of 8, 16 or 32 bits, in the byte order of the file.
    predictor
        1 for none, 2 for differences, 3 for those of floats.

    Returns
    -------
    Array of that shape in native byte order.
    """
    import imagecodecs

    height, width, samples = shape
    little = dtype.newbyteorder("<") == dtype
    order = "<" if little else ">"
    bits = [8 * dtype.itemsize] * samples
    tags = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, bits),
        259: (_SHORT, [5]),
        262: (_SHORT, [1]),
        273: (_LONG, [0]),  # filled in below, as is the size
        277: (_SHORT, [samples]),
        278: (_LONG, [height]),
        279: (_LONG, [len(data)]),
        284: (_SHORT, [1]),
        317: (_SHORT, [predictor]),
        338: (_SHORT, [0] * (samples - 1)),
        339: (_SHORT, [_SAMPLE_FORMAT[dtype.kind]] * samples),
    }
    tags = {tag: entry for tag, entry in tags.items() if entry[1]}
    after = 8 + 2 + 12 * len(tags) + 4
    lists = sum(2 * len(values) for _, values in tags.values() if len(values) > 2)
    tags[273] = (_LONG, [after + lists])
    directory, overflow = b"", b""
    for tag, (kind, values) in tags.items():
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        if len(packed) > 4:
            place, overflow = after + len(overflow), overflow + packed
            packed = struct.pack(order + "I", place)
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    header = (b"II" if little else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    file = header + directory + bytes(4) + overflow + data
    return np.asarray(imagecodecs.tiff_decode(file)).reshape(shape)
