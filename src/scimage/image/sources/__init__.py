"""Readers that show a microscope file as one array (c, z, y, x), read region by region.

`open_source` recognises the file; what it returns is a `Source`. Importing
this package loads none of the format libraries: they load with the first file.
"""

from __future__ import annotations

from scimage.image.sources._contract import Source
from scimage.image.sources._open import open_source

__all__ = ["Source", "open_source"]
