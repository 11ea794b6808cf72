"""NIfTI-1 and NIfTI-2 volumes (.nii, .nii.gz).

The axes i, j, k become x, y, z in the order of the file; nothing is flipped or
resampled to a world frame.
"""

from __future__ import annotations

import gzip
import math
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import FormatError
from scimage.image.sources._base import Description, PlaneSource, checked_dtype
from scimage.image.sources._boundary import decoding, refuse, truncated
from scimage.image.sources._codecs import check_ratio
from scimage.image.sources._planes import Plane, RawPlane
from scimage.image.sources._spacing import Spacing, spacing_from

__all__ = ["open_nifti"]

_GZIP_RATIO = 1040  # deflate cannot do better
_COPY_BYTES = 2**20
_HEADER_BYTES = 540  # of NIfTI-2, the longer one

_UNITS = {"meter": "m", "mm": "mm", "micron": "µm"}


class _NiftiSource(PlaneSource):
    """A NIfTI volume of one channel."""

    def __init__(
        self,
        description: Description,
        path: Path,
        stored: np.dtype[Any],
        offset: int,
        scaling: tuple[float, float] | None,
    ) -> None:
        super().__init__(description, [path])
        self._file = path
        self._stored = stored
        self._offset = offset
        self._scaling = scaling
        self._lock = threading.Lock()
        self._unpacked = False

    def plane(self, channel: int, z: int) -> Plane:
        """Find a plane; a gzipped file is unpacked on the first call."""
        _, _, height, width = self.shape
        offset = self._offset + z * height * width * self._stored.itemsize
        file = self._file
        if file.suffix.lower() == ".gz":
            file = self._ensure_unpacked()
        return RawPlane(file, offset, width, self._stored)

    def convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Apply slope and intercept where the file has them."""
        if self._scaling is not None:
            slope, intercept = self._scaling
            stored = stored.astype(np.float64) * slope + intercept
        return stored.astype(self.dtype, copy=False)

    def close(self) -> None:
        """Let go of the file and of its unpacked copy."""
        with self._lock:
            super().close()
            self._unpacked = False

    def _ensure_unpacked(self) -> Path:
        """Copy the voxels of a gzip stream to an anonymous file, once.

        Such a stream can only be read from its start, so that random access means
        either all of it in memory or a copy on disk. The returned path does not
        exist: should the copy be closed under a reader, it must not read the stream.
        """
        place = self._file.with_name(f"{self._file.name} (unpacked)")
        with self._lock:
            if self._unpacked:
                return place
            copy = tempfile.TemporaryFile(prefix="scimage-")  # noqa: SIM115 - `close` closes it
            try:
                self._unpack(copy)
            except BaseException:
                copy.close()
                raise
            self.files.substitute(place, copy)
            self._unpacked = True
            return place

    def _unpack(self, copy: IO[bytes]) -> None:
        needed = self._offset + math.prod(self.shape) * self._stored.itemsize
        size = 0
        with gzip.open(self._file, "rb") as packed:
            # What follows the announced voxels may be a bomb.
            while size < needed:
                data = packed.read(min(_COPY_BYTES, needed - size))
                if not data:
                    raise truncated(self._file, needed, size)
                copy.write(data)
                size += len(data)


def open_nifti(path: Path) -> PlaneSource:
    """Open a NIfTI file.

    Parameters
    ----------
    path
        An existing file, .nii or .nii.gz.

    Raises
    ------
    FormatError
        The file is damaged or truncated, has a time axis or vectors, or a voxel
        type that is not supported.
    """
    import nibabel as nib

    with decoding(path):
        header = _header(path, nib)
        shape = _shape(header, path)
        stored = header.get_data_dtype()
        offset = int(header.get_data_offset())
        if offset < header.template_dtype.itemsize:
            raise refuse(path, f"voxels at offset {offset}", "voxels behind the header")
        needed = offset + math.prod(shape) * stored.itemsize
        size = path.stat().st_size
        if path.suffix.lower() == ".gz":
            check_ratio(needed, size, _GZIP_RATIO, path)
        elif needed > size:
            raise truncated(path, needed, size)
        slope, intercept = header.get_slope_inter()
        scaled = slope is not None and (slope, intercept or 0.0) != (1.0, 0.0)
        if scaled or stored.newbyteorder("=") == np.float64:
            if stored.kind not in "iuf":
                raise refuse(path, f"voxels of type {stored}", "integers or floats")
            dtype = np.dtype(np.float32)
        else:
            dtype = checked_dtype(stored, path)
        description = Description(
            path=str(path),
            format="NIfTI",
            shape=shape,
            dtype=dtype,
            spacing=_spacing(header),
            channel_names=("channel_0",),
            channel_colors=(None,),
            preferred_chunk=(1, *shape[2:]),
        )
        scaling = (float(slope), float(intercept or 0.0)) if scaled else None
        return _NiftiSource(description, path, stored, offset, scaling)


def _header(path: Path, nib: Any) -> Any:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        start = file.read(_HEADER_BYTES)
    for kind, magic in ((nib.Nifti1Header, start[344:348]), (nib.Nifti2Header, start[4:8])):
        if magic in (b"n+1\0", b"n+2\0"):
            size = kind.template_dtype.itemsize
            if len(start) < size:
                raise truncated(path, size, len(start))
            # nibabel's check would repair the header: a voxel size of 0 to 1 mm.
            return kind(start[:size], check=False)
        if magic in (b"ni1\0", b"ni2\0"):
            raise FormatError(
                path,
                found="the header of a pair .hdr and .img",
                expected="header and voxels in one file",
                remedy="Convert the pair to .nii, for example with nibabel or fslchfiletype.",
            )
    raise refuse(path, "no NIfTI header", "NIfTI-1 or NIfTI-2")


def _shape(header: Any, path: Path) -> tuple[int, int, int, int]:
    sizes: Sequence[int] = [int(size) for size in header.get_data_shape()]
    if not 2 <= len(sizes) <= 7 or min(sizes) < 1:
        raise refuse(path, f"a volume of shape {tuple(sizes)}", "axes x, y, z of at least 1")
    x, y, z, *more = [*sizes, 1] if len(sizes) == 2 else sizes
    if more and more[0] > 1:
        raise FormatError(
            path,
            found=f"a time axis of {more[0]} points",
            expected="a single time point",
            remedy="Split the series, for example with fslsplit, and give one volume.",
        )
    if math.prod(more) > 1:
        raise refuse(path, f"several values a voxel (shape {tuple(sizes)})", "one value a voxel")
    return 1, z, y, x


def _spacing(header: Any) -> Spacing:
    unit = header.get_xyzt_units()[0]
    if unit not in _UNITS:
        return Spacing(None, f"NIfTI xyzt_units is {unit}")
    # pixdim[0] is a sign; behind the used dimensions it holds leftovers.
    used = int(header["dim"][0])
    # As text, since 0.05 mm in 32 bits is 0.0500000007 in 64.
    pixdim = [float(str(size)) for size in header["pixdim"][1:4]]
    sizes = {
        axis: (f"pixdim {axis}", pixdim[i] if i < used else None, _UNITS[unit])
        for i, axis in enumerate("XYZ")
    }
    return spacing_from(sizes, f"NIfTI pixdim ({_UNITS[unit]})")
