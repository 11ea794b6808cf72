"""The values of a lesion label image."""

from __future__ import annotations

from enum import IntEnum

from scimage.image import LabelClass

__all__ = ["LABEL_CLASSES", "LabelValue"]


class LabelValue(IntEnum):
    """Compartments of an injured cord; the numbers are a convention of this project.

    Spared tissue is split into grey and white matter only where a myelin stain tells them apart;
    `SPARED_TISSUE` is both together (decisions/0005-spared-tissue.md).
    """

    BACKGROUND = 0
    SPARED_GREY_MATTER = 1
    SPARED_WHITE_MATTER = 2
    LESION_CORE = 3
    CAVITY = 4
    ASTROGLIAL_BORDER = 5
    GRAFT = 6
    HAEMORRHAGE = 7
    CANAL_OR_FISSURE = 8
    SPARED_TISSUE = 9
    EXCLUDED = 255


# Colours that stay apart for colour-blind readers (Okabe & Ito).
_COLORS = {
    LabelValue.SPARED_GREY_MATTER: (153, 153, 153, 255),
    LabelValue.SPARED_WHITE_MATTER: (220, 220, 220, 255),
    LabelValue.LESION_CORE: (213, 94, 0, 255),
    LabelValue.CAVITY: (86, 180, 233, 255),
    LabelValue.ASTROGLIAL_BORDER: (0, 158, 115, 255),
    LabelValue.GRAFT: (204, 121, 167, 255),
    LabelValue.HAEMORRHAGE: (120, 30, 30, 255),
    LabelValue.CANAL_OR_FISSURE: (240, 228, 66, 255),
    LabelValue.SPARED_TISSUE: (120, 130, 150, 255),
    LabelValue.EXCLUDED: (0, 0, 0, 255),
}

LABEL_CLASSES = tuple(
    LabelClass(int(value), value.name.lower(), rgba) for value, rgba in _COLORS.items()
)
