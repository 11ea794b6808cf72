"""From a path, a pattern or a list of files to the reader that understands it."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from scimage.errors import FormatError, UsageError
from scimage.image.sources._boundary import EXPORT, decoding, one_line
from scimage.image.sources._contract import Source

__all__ = ["open_source"]

_TIFF_SUFFIXES = {".tif", ".tiff", ".btf", ".tf8", ".tf2", ".svs", ".ndpi"}
_TIFF_MAGIC = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}

# What a file is tells better than its suffix; the suffix serves where nothing is known.
_OTHER_MAGIC = {
    b"ZISRAWFILE": "CZI (Zeiss)",
    b"\xda\xce\xbe\x0a": "ND2 (Nikon)",
    b"\x70\0\0\0": "LIF (Leica)",
    b"\x89HDF": "HDF5 (Imaris, BigDataViewer, ilastik)",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"BM": "BMP",
    b"\xd0\xcf\x11\xe0": "OIB or ZVI (Olympus, Zeiss)",
    b"NRRD": "NRRD",
    b"PK\x03\x04": "zip archive",
}


def open_source(path: str | Path | Sequence[Path]) -> Source:
    """Open a microscope image as one array (c, z, y, x) without reading its pixels.

    Parameters
    ----------
    path
        A TIFF (plain, Big, OME, ImageJ, SVS, NDPI) or NIfTI file; a folder of
        TIFF files; a pattern such as 'brain_C*.tif'; or a list of TIFF files.
        The names of several files tell which channel and plane each one is.

    Returns
    -------
    An open source; close it, or use it in a `with` statement.

    Raises
    ------
    UsageError
        There is no such file.
    FormatError
        The file is damaged, truncated, or of a kind that cannot be used.
    StorageError
        The disk failed.
    """
    if not isinstance(path, str | Path):
        return _open_several([Path(file) for file in path], "the list of files")
    place = Path(path)
    with decoding(place):
        if place.is_dir():
            return _open_folder(place)
        if place.is_file():
            return _open_file(place)
    if glob.has_magic(str(path)):
        matches = [Path(file) for file in glob.glob(str(path), recursive=True)]
        return _open_several([file for file in matches if file.is_file()], str(path))
    raise UsageError(
        place,
        found="no such file or folder",
        expected="an existing image",
        remedy="Check the path.",
    )


def _open_folder(folder: Path) -> Source:
    if (folder / "zarr.json").exists() or (folder / ".zattrs").exists():
        raise FormatError(
            folder,
            found="an OME-Zarr image",
            expected="a microscope file",
            remedy="OME-Zarr needs no conversion: use the image as it is.",
        )
    # macOS leaves ._name files that are no images.
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _TIFF_SUFFIXES
        and not file.name.startswith(".")
        and file.is_file()
    ]
    return _open_several(files, str(folder))


def _open_several(files: list[Path], subject: str) -> Source:
    from scimage.image.sources._stack import open_stack

    if not files:
        raise UsageError(
            subject,
            found="no TIFF file there",
            expected="at least one",
            remedy="Check the path; patterns are case-sensitive on most systems.",
        )
    if len(files) == 1:
        return open_source(files[0])
    for file in files:
        with decoding(file):
            if _start(file)[:4] not in _TIFF_MAGIC:
                raise FormatError(
                    file,
                    found="no TIFF file",
                    expected="TIFF files only, where several make one image",
                    remedy="Give this file alone, or export it as TIFF.",
                )
    return open_stack(files, subject)


def _open_file(path: Path) -> Source:
    start = _start(path)
    name = path.name.lower()
    if start[:4] in _TIFF_MAGIC:
        from scimage.image.sources._tiff import open_tiff

        return open_tiff(path)
    if name.endswith((".nii", ".nii.gz")):
        from scimage.image.sources._nifti import open_nifti

        return open_nifti(path)
    kinds = [kind for magic, kind in _OTHER_MAGIC.items() if start.startswith(magic)]
    if kinds:
        raise FormatError(
            path,
            found=f"a {kinds[0]} file, a format that is not read yet",
            expected="TIFF, OME-TIFF or NIfTI",
            remedy=EXPORT,
        )
    raise FormatError(
        path,
        found="an empty file" if not start else f"a file that starts with {one_line(start[:8])}",
        expected="TIFF, OME-TIFF or NIfTI",
        remedy=EXPORT,
    )


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
