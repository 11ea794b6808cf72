"""What every reader offers to the rest of scimage."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Source"]


class Source(Protocol):
    """A microscope image of any format, as one array with the axes c, z, y, x.

    Pixels stay in their file until `read`; the memory of a read depends on the
    region asked for and on the file's strips or tiles, never on the file's size.
    `read` may be called from several threads.
    """

    @property
    def path(self) -> str:
        """File, folder or pattern, as messages name it."""

    @property
    def format(self) -> str:
        """Name of the format: 'OME-TIFF', 'ImageJ TIFF', 'TIFF', 'NIfTI', ..."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of channels, planes, rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels as `read` returns them, in native byte order."""

    @property
    def spacing_um(self) -> tuple[float, float, float] | None:
        """Voxel size (z, y, x) in micrometres; None when unknown or absurd."""

    @property
    def spacing_origin(self) -> str:
        """Where the voxel size was read, or why there is none."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One unique name a channel."""

    @property
    def channel_colors(self) -> tuple[str | None, ...]:
        """One colour 'RRGGBB' a channel, None where the file states none."""

    @property
    def preferred_chunk(self) -> tuple[int, int, int]:
        """Region (z, y, x) that is cheapest to decode, in voxels."""

    def read(self, channel: int, z: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read one region.

        Parameters
        ----------
        channel
            Index of the channel, from 0.
        z, y, x
            Half-open voxel ranges inside the image, without a step.

        Returns
        -------
        Array (z, y, x) of exactly the asked region, of type `dtype`.

        Raises
        ------
        UsageError
            The region is not inside the image.
        FormatError
            The file is truncated or damaged there.
        StorageError
            The disk failed.
        """

    def digest_inputs(self) -> list[tuple[str, int, int]]:
        """Identity of the source: name, size in bytes and mtime in ns of each file."""

    def close(self) -> None:
        """Let go of all files."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
