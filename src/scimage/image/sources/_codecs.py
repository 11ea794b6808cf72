"""Which TIFF compressions are decoded at all, and how much each may claim to hold."""

from __future__ import annotations

import struct

from scimage.errors import FormatError
from scimage.image.sources._boundary import EXPORT, refuse

__all__ = ["LZW", "PLAUSIBLE_BYTES", "check_announced_pixels", "check_compression", "check_ratio"]

LZW = 5

# Below this, a claim is too small to harm, whatever the ratio.
PLAUSIBLE_BYTES = 64 * 2**20

# TIFF compression tag -> name and the most decoded bytes that one stored byte can
# give, from the formats themselves (deflate: 1032; LZW: 12-bit codes of up to 4096
# bytes; packbits: 2 bytes for 128; zstd: 4 bytes for a 128 KiB block; LZMA: measured
# 7000), rounded up. Fax codes and uncompressed bits become one byte a pixel; a white
# fax row is a single bit whatever its width. Image codecs: a flat tile, measured.
_ALLOWED = {
    1: ("none", 8),
    2: ("CCITT RLE", 2**16),
    3: ("CCITT fax 3", 2**16),
    4: ("CCITT fax 4", 2**16),
    LZW: ("LZW", 3000),
    7: ("JPEG", 1000),
    8: ("deflate", 1040),
    32773: ("packbits", 64),
    32946: ("deflate", 1040),
    33005: ("JPEG 2000", 20000),
    34712: ("JPEG 2000", 20000),
    34925: ("LZMA", 8000),
    34926: ("zstd", 33000),
    50000: ("zstd", 33000),
    50001: ("WebP", 20000),
}


def check_compression(compression: int, path: object) -> int:
    """Return the largest plausible ratio of decoded to stored bytes.

    Raises
    ------
    FormatError
        The compression is not on the list: its decoder is never called.
    """
    if compression not in _ALLOWED:
        names = ", ".join(dict.fromkeys(name for name, _ in _ALLOWED.values()))
        raise refuse(path, f"TIFF compression {compression}", f"one of {names}")
    return _ALLOWED[compression][1]


def check_ratio(decoded: int, stored: int, ratio: int, path: object) -> None:
    """Refuse a decoded size (bytes) that the stored bytes cannot hold."""
    if decoded > max(PLAUSIBLE_BYTES, stored * ratio):
        raise FormatError(
            path,
            found=f"{decoded} bytes of pixels announced for {stored} bytes in the file",
            expected=f"at most {stored * ratio} bytes",
            remedy=f"The file is damaged. {EXPORT}",
        )


def check_announced_pixels(
    compression: int, data: bytes, height: int, width: int, path: object
) -> None:
    """Refuse an embedded image that announces more pixels than its strip or tile.

    The decoders of JPEG, JPEG 2000 and WebP allocate what the stream says, not
    what the TIFF tags say.
    """
    name = _ALLOWED[compression][0]
    announced = {"JPEG": _jpeg_size, "JPEG 2000": _jpeg2000_size, "WebP": _webp_size}.get(name)
    size = announced(data) if announced else None
    if size is None:
        return
    if size[0] > height or size[1] > width:
        raise refuse(
            path,
            f"a {name} stream of {size[0]} x {size[1]} pixels",
            f"at most {height} x {width}, the strip or tile that it fills",
        )


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        # Every frame header (SOF) but the tables DHT, JPG and DAC of the same range.
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return height, width
        if marker == 0xFF:
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 24:
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
    return y1 - y0, x1 - x0


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return int.from_bytes(data[27:30], "little") + 1, width
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return height & 0x3FFF, width & 0x3FFF
