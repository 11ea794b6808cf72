"""The lesion of an injured cord: segmented, measured, profiled along the cord."""

from scimage.lesion.classes import LABEL_CLASSES, LabelValue
from scimage.lesion.measure import LabelProfile, measure_labels
from scimage.lesion.parameters import LesionParameters
from scimage.lesion.segment import LesionResult, segment_lesion

__all__ = [
    "LABEL_CLASSES",
    "LabelProfile",
    "LabelValue",
    "LesionParameters",
    "LesionResult",
    "measure_labels",
    "segment_lesion",
]
