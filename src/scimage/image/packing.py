"""What scimage writes: the bytes of a chunk or shard, compressed without zarr."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from scimage.image.chunks import ChunkFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from zarr.codecs import BloscCodec

__all__ = ["compression", "packed"]

# The fastest to read at its size on microscopy: docs/decisions/0003-storage.md.
_COMPRESSOR: Final = "lz4"
_SHUFFLE: Final = "bitshuffle"
_LEVEL: Final = 5
# By so much more than its voxels a Blosc frame may have.
_FRAME_BYTES = 16


def compression() -> BloscCodec:
    """Tell zarr how the arrays that are written here are compressed."""
    from zarr.codecs import BloscCodec

    return BloscCodec(cname=_COMPRESSOR, clevel=_LEVEL, shuffle=_SHUFFLE)


def packed(form: ChunkFormat, data: NDArray[Any]) -> Iterator[Any]:
    """Give the pieces of a file that holds a chunk, or shard; every chunk of it is written.

    They are buffers of bytes, each there until the next is asked for.

    Parameters
    ----------
    form
        Of an array with this :func:`compression`.
    data
        What the array has of the chunk, or shard: less than the whole at the far end.
    """
    import google_crc32c
    import imagecodecs
    import numpy as np

    # Blosc shuffles by the size of its voxels.
    loose: Any = np.empty(form.chunk, form.stored)
    room: Any = np.empty(loose.nbytes + _FRAME_BYTES, np.uint8)
    places = []
    end = 0
    for at in itertools.product(
        *(range(0, unit, n) for unit, n in zip(form.unit, form.chunk, strict=True))
    ):
        part = data[tuple(slice(i, i + n) for i, n in zip(at, form.chunk, strict=True))]
        if part.shape != form.chunk:
            loose[...] = form.fill
        loose[tuple(slice(n) for n in part.shape)] = part
        piece = imagecodecs.blosc_encode(
            loose, level=_LEVEL, compressor=_COMPRESSOR, shuffle=_SHUFFLE, numthreads=1, out=room
        )
        places.append((end, len(piece)))
        end += len(piece)
        yield piece
    if form.sharded:
        index = np.array(places, "<u8").tobytes()
        yield index
        yield google_crc32c.value(index).to_bytes(4, "little")
