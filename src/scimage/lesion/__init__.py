"""The lesion of an injured cord: segmented, measured, profiled along the cord."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scimage.lazy import door

if TYPE_CHECKING:
    from scimage.lesion.classes import LABEL_CLASSES, LabelValue
    from scimage.lesion.measure import LabelProfile, measure_labels
    from scimage.lesion.parameters import LesionParameters
    from scimage.lesion.segment import LesionResult, lesion_stages, segment_lesion

__getattr__, __dir__ = door(
    __name__,
    {
        "LABEL_CLASSES": "classes",
        "LabelProfile": "measure",
        "LabelValue": "classes",
        "LesionParameters": "parameters",
        "LesionResult": "segment",
        "lesion_stages": "segment",
        "measure_labels": "measure",
        "segment_lesion": "segment",
    },
)

__all__ = [
    "LABEL_CLASSES",
    "LabelProfile",
    "LabelValue",
    "LesionParameters",
    "LesionResult",
    "lesion_stages",
    "measure_labels",
    "segment_lesion",
]
