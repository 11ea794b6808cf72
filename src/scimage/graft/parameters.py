"""What counting graft cells needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from scimage.errors import UsageError
from scimage.parameters import check, parameter

__all__ = ["GraftParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftParameters:
    """Parameters of :func:`scimage.count_grafts`."""

    nuclei: str = parameter(
        help="Channel of the nuclear human marker (HNA, Ku80): name or index.",
        origin="required",
    )
    dna: str | None = parameter(
        None,
        help="DNA channel; a marker-positive blob without DNA is rejected.",
        origin="domain: a graft cell is marker AND DNA object",
    )
    autofluorescence: str | None = parameter(
        None,
        help="Channel without any stain; what glows there too is rejected.",
        origin="domain: macrophages and vessels glow in every channel",
    )
    diameter_um: tuple[float, float] = parameter(
        (5.0, 12.0),
        help="Smallest and largest nucleus that is looked for.",
        origin="domain: human nuclei have an equivalent diameter of 5 to 12 um",
        low=0.1, high=500,
    )  # fmt: skip
    min_snr: float = parameter(
        6.0,
        help="A cell's contrast in units of the image's own noise. Six for sparse nuclei on "
        "tissue; raise it for bright markers on textured tissue, lower it to 1 to 2 where "
        "nuclei fill the volume, because these then are most of what looks like noise.",
        origin="measured: phantoms and five public data sets (docs/explanation/detection.md)",
        low=0.1, high=1000,
    )  # fmt: skip
    threshold: float | None = parameter(
        None,
        help="A cell's contrast in grey levels, instead of --min-snr. Take one from control "
        "images and use it for a whole study.",
        origin="convention",
    )
    background: str = parameter(
        "volume",
        help="'volume' compares a nucleus with all its surroundings; 'plane' only with its own "
        "plane, for light sheets whose brightness changes from plane to plane.",
        origin="measured: volume separates crowded nuclei better, plane resists stripes",
        choices=("volume", "plane"),
    )
    min_roundness: float = parameter(
        0.2,
        help="Smallest ratio of in-plane curvatures; vessels, fibres and stripes have 0.",
        origin="measured on light-sheet c-Fos and phantoms",
        low=-1, high=1,
    )  # fmt: skip
    separation: float = parameter(
        0.6,
        help="Two centres nearer than this share of a diameter are one cell.",
        origin="measured on crowded nuclei",
        low=0, high=2,
    )  # fmt: skip
    diameter_slack: float = parameter(
        1.5,
        help="A measured diameter may leave the range by this factor before the cell is "
        "rejected as too small or too large.",
        origin="measured: spread of the half-maximum diameter on crowded nuclei",
        low=1, high=100,
    )  # fmt: skip
    max_autofluorescence: float = parameter(
        0.5,
        help="Largest ratio of a cell's contrast in the autofluorescence channel to that in the "
        "nuclear channel.",
        origin="measured on phantoms",
        low=0, high=100,
    )  # fmt: skip
    min_dna_snr: float = parameter(
        4.0,
        help="A cell's contrast in the DNA channel in units of that channel's noise.",
        origin="measured on phantoms",
        low=-100, high=1000,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        if self.diameter_um[0] > self.diameter_um[1]:
            raise UsageError(
                "--diameter-um", found="{:g},{:g}".format(*self.diameter_um),
                expected="the smaller diameter first", remedy="Swap the two numbers.",
            )  # fmt: skip
