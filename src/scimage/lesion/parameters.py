"""What lesion segmentation needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from scimage.parameters import check, parameter

__all__ = ["LesionParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionParameters:
    """Parameters of :func:`scimage.segment_lesion`."""

    gfap: str = parameter(
        help="Channel of the astrocyte marker (GFAP): name or index.",
        origin="required",
    )
    tissue: str | None = parameter(
        None,
        help="Channel in which all tissue glows (autofluorescence, DNA, any counterstain). "
        "Without it cavity cannot be told from GFAP-poor core.",
        origin="convention",
    )
    working_um: float = parameter(
        10.0,
        help="Voxel size to work at; the coarsest pyramid level that is not coarser in plane.",
        origin="convention: an eighth of the 80 um border",
        low=0.1, high=1000,
    )  # fmt: skip
    smoothing_um: float = parameter(
        10.0,
        help="Sigma of the Gaussian that is applied before thresholds.",
        origin="measured on phantoms: smooths nuclei and fibres, keeps an 80 um border",
        low=0, high=500,
    )  # fmt: skip
    gap_um: float = parameter(
        40.0,
        help="Gaps in the astroglial border up to twice this are bridged before asking what "
        "it encloses; the surface itself stays where the stain puts it.",
        origin="convention: half the border's width",
        low=0, high=500,
    )  # fmt: skip
    border_width_um: float = parameter(
        250.0,
        help="Dense GFAP farther than this from the lesion is not called its border.",
        origin="domain: borders are 50 to 250 um wide",
        low=0, high=2000,
    )  # fmt: skip
    min_lesion_mm3: float = parameter(
        0.002,
        help="Enclosed regions smaller than this are not called lesion.",
        origin="convention: a ball of 156 um diameter, twice a central canal",
        low=0, high=1000,
    )  # fmt: skip
    canal_um: float = parameter(
        80.0,
        help="Widest canal or fissure: where tissue-free space that is open to the image's faces "
        "enters the lesion, it is cavity only if it is wider than this.",
        origin="domain: the central canal is 40 to 80 um wide",
        low=0, high=2000,
    )  # fmt: skip
    light_loss: str = parameter(
        "evened",
        help="'evened' undoes the exponential loss of GFAP light across the cord, measured on "
        "intact tissue; 'as_is' does not.",
        origin="domain: attenuation lengths of 0.4 to 1.5 mm in cleared cords",
        choices=("evened", "as_is"),
    )
    tissue_threshold: float | None = parameter(
        None,
        help="Intensity from which a voxel is tissue, instead of the automatic one.",
        origin="automatic: half way between the medians of background and tissue",
    )
    border_threshold: float | None = parameter(
        None,
        help="Intensity from which GFAP is dense (at the depth of the image's centre), instead of "
        "the automatic one.",
        origin="automatic: half way between intact tissue and the border's plateau",
    )
    rostrocaudal_axis: str = parameter(
        "z",
        help="Image axis along the cord.",
        origin="convention",
        choices=("z", "y", "x"),
    )
    rostral_end: str = parameter(
        "first",
        help="Whether the first or the last section along that axis is the most rostral.",
        origin="convention",
        choices=("first", "last"),
    )

    def __post_init__(self) -> None:
        check(self)
