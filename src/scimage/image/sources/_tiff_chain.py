"""The chain of pages in a TIFF file, followed to its end."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from scimage.image.sources._boundary import refuse, truncated

__all__ = ["check_chain"]


def check_chain(path: Path) -> None:
    """Refuse a file whose chain of pages breaks off or bites its tail.

    tifffile reads the pages up to the break and logs it: a stack that was cut off
    in a copy would silently lose its last planes.

    Raises
    ------
    FormatError
        The chain leads out of the file or back into itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        big = _number(file, order + "H", 2, path) == 43
        count, entry, link, first = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
        offset = _number(file, order + link, first, path)
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise refuse(path, "a chain of pages that leads back into itself", "an end")
            seen.add(offset)
            if offset >= size:
                raise truncated(path, offset + 1, size)
            entries = _number(file, order + count, offset, path)
            after = offset + struct.calcsize(order + count) + entries * entry
            offset = _number(file, order + link, after, path)


def _number(file: BinaryIO, kind: str, offset: int, path: Path) -> int:
    width = struct.calcsize(kind)
    if offset > 2**62:
        raise refuse(path, f"a page at offset {offset}", "pages inside the file")
    file.seek(offset)
    data = file.read(width)
    if len(data) < width:
        raise truncated(path, offset + width, path.stat().st_size)
    return int(struct.unpack(kind, data)[0])
