"""The one place where errors of the format libraries become scimage's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scimage.errors import FormatError, ScimageError, StorageError

__all__ = ["EXPORT", "decoding", "one_line", "refuse", "truncated"]

EXPORT = "Export the image again as OME-TIFF, for example with Fiji (Bio-Formats Exporter)."


def one_line(value: object) -> str:
    """Shorten any text to one printable line for a message."""
    text = " ".join(str(value).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 160 else text[:157] + "..."


def refuse(path: object, found: str, expected: str) -> FormatError:
    """Build the error for a file that is fine elsewhere but not usable here."""
    return FormatError(path, found=one_line(found), expected=expected, remedy=EXPORT)


def truncated(path: object, needed: int, size: int) -> FormatError:
    """Build the error for a file that ends before its pixels do."""
    return FormatError(
        path,
        found=f"a file of {size} bytes",
        expected=f"at least {needed} bytes for the pixels that it announces",
        remedy="Copy the file again from the microscope: this copy is cut off or damaged.",
    )


@contextmanager
def decoding(path: object) -> Iterator[None]:
    """Turn whatever a decoder raises into a FormatError that names the file.

    The libraries raise dozens of kinds (struct.error, zlib.error, IndexError,
    codec errors, ...), and a hostile file chooses which.

    Raises
    ------
    FormatError
        The file is damaged.
    StorageError
        The disk failed, which is not the file's fault.
    """
    try:
        yield
    except (ScimageError, MemoryError):
        raise
    except OSError as err:
        if err.errno is None:
            raise _damaged(path, err) from err
        raise StorageError(
            path,
            found=one_line(err.strerror or err),
            expected="a working disk",
            remedy="Check that the disk is connected and not full, and that you may read the file.",
        ) from err
    except Exception as err:
        raise _damaged(path, err) from err


def _damaged(path: object, err: Exception) -> FormatError:
    return FormatError(
        path,
        found=f"damaged or unsupported content ({type(err).__name__}: {one_line(err)})",
        expected="an intact image",
        remedy="Copy the file again from the microscope, or export it again as OME-TIFF.",
    )
