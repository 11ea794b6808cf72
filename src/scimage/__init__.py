"""Lesion volumes and graft-cell counts from large microscope stacks of the injured spinal cord.

>>> import scimage
>>> image = scimage.convert("stack.tif", "stack.ome.zarr")
>>> lesion = scimage.segment_lesion(image, scimage.LesionParameters(gfap="GFAP"))
>>> grafts = scimage.count_grafts(image, scimage.GraftParameters(nuclei="HNA"))

Names are imported when they are first used, so that ``import scimage`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scimage.lazy import door

if TYPE_CHECKING:
    from scimage.engine import Execution
    from scimage.errors import ScimageError
    from scimage.graft import GraftParameters, GraftResult, count_grafts
    from scimage.image import Image, ResultStore, convert, open_image, summarize
    from scimage.lesion import (
        LesionParameters,
        LesionResult,
        measure_labels,
        segment_lesion,
    )
    from scimage.study import export_table, verify_store
    from scimage.version import __version__

__getattr__, __dir__ = door(
    __name__,
    {
        "Execution": "engine",
        "GraftParameters": "graft",
        "GraftResult": "graft",
        "Image": "image",
        "LesionParameters": "lesion",
        "LesionResult": "lesion",
        "ResultStore": "image",
        "ScimageError": "errors",
        "__version__": "version",
        "convert": "image",
        "count_grafts": "graft",
        "export_table": "study",
        "measure_labels": "lesion",
        "open_image": "image",
        "segment_lesion": "lesion",
        "summarize": "image",
        "verify_store": "study",
    },
)

__all__ = [
    "Execution",
    "GraftParameters",
    "GraftResult",
    "Image",
    "LesionParameters",
    "LesionResult",
    "ResultStore",
    "ScimageError",
    "__version__",
    "convert",
    "count_grafts",
    "export_table",
    "measure_labels",
    "open_image",
    "segment_lesion",
    "summarize",
    "verify_store",
]
