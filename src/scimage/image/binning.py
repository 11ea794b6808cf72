"""A stored volume seen with larger voxels: whole numbers of stored ones, averaged as it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scimage.image.reader import Image, Level, Region, Volume

__all__ = ["BinnedVolume", "volume_at"]


@dataclass(frozen=True, slots=True)
class BinnedVolume:
    """A volume whose voxels are means of `bins` (z, y, x) stored voxels.

    The bins begin at the volume's first voxel, whatever region is read; those at the far end may
    be smaller. Means of integers are exact but for rounding to float32; the mean of what is no
    number is none.
    """

    stored: Volume
    bins: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x), rounded up."""
        z, y, x = (-(-n // b) for n, b in zip(self.stored.shape, self.bins, strict=True))
        return z, y, x

    @property
    def dtype(self) -> str:
        """Name of the data type."""
        return "float32"

    @property
    def chunk(self) -> tuple[int, int, int]:
        """(z, y, x) of what is decoded at once."""
        z, y, x = (-(-c // b) for c, b in zip(self.stored.chunk, self.bins, strict=True))
        return z, y, x

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region (slices along z, y, x with start and stop inside the volume).

        Returns
        -------
        (z, y, x) of float32, contiguous.
        """
        from scimage.kernels.downsample import bin_means

        out = np.empty([s.stop - s.start for s in region], dtype=np.float32)
        z, y, x = region
        # Some chunks at a time: what is stored never lies in memory as a whole.
        for rows in self._pieces(0, z):
            for columns in self._pieces(1, y):
                wanted = (
                    slice(s.start * b, min(s.stop * b, n))
                    for s, b, n in zip(
                        (rows, columns, x), self.bins, self.stored.shape, strict=True
                    )
                )
                pixels = self.stored.read((next(wanted), next(wanted), next(wanted)))
                here = out[_shifted(rows, -z.start), _shifted(columns, -y.start)]
                bin_means(pixels, self.bins, here)
        return out

    def _pieces(self, axis: int, span: slice) -> Iterator[slice]:
        """A span in pieces that end where both chunks and bins end."""
        b = self.bins[axis]
        unit = math.lcm(self.stored.chunk[axis], b) // b
        begin = span.start
        while begin < span.stop:
            end = min(span.stop, (begin // unit + 1) * unit)
            yield slice(begin, end)
            begin = end


def volume_at(image: Image, channel: str | int, level: Level) -> Volume | BinnedVolume:
    """One channel of an image, with the voxels of a level that may be binned.

    Raises
    ------
    ChannelError
        There is no such channel.
    """
    stored = image.volume(channel, level.index)
    return BinnedVolume(stored, level.bins) if max(level.bins) > 1 else stored


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)
