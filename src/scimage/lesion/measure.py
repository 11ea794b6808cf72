"""Numbers from a lesion label image: volumes, lengths, and the profile along the cord."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.blocks import BlockGrid, Readable
from scimage.engine import SerialExecutor, run_pass
from scimage.errors import FormatError
from scimage.image import Image, Workspace
from scimage.lesion.classes import LabelValue
from scimage.lesion.passes import ProfilePass
from scimage.progress import Report, silent

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelProfile", "measure_labels", "row_table"]

_LESION = (LabelValue.LESION_CORE, LabelValue.CAVITY, LabelValue.HAEMORRHAGE)


@dataclass(frozen=True, slots=True)
class LabelProfile:
    """Voxels of each label value in each section across the cord, and what follows from them.

    Attributes
    ----------
    counts
        (sections, 256) of int64: voxels of each label value, in image order.
    index_sums
        (256, 3) of int64: sums of the voxels' z, y, x indices.
    spacing_um, translation_um
        Frame (z, y, x) of the label image.
    axis
        0, 1, 2: the image axis along the cord.
    rostral_first
        Whether the first section is the most rostral.
    """

    counts: NDArray[np.int64]
    index_sums: NDArray[np.int64]
    spacing_um: tuple[float, float, float]
    translation_um: tuple[float, float, float]
    axis: int
    rostral_first: bool = True

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_um)) * 1e-9

    @property
    def section_um(self) -> float:
        """Distance between sections."""
        return self.spacing_um[self.axis]

    def volume_mm3(self, *values: int) -> float:
        """Volume of these label values together."""
        return int(self.counts[:, list(values)].sum()) * self.voxel_mm3

    def volumes_mm3(self) -> dict[int, float]:
        """Volume of every value that occurs, background (0) left out."""
        present = np.flatnonzero(self.counts.sum(axis=0))
        return {int(v): self.volume_mm3(int(v)) for v in present if v != 0}

    def areas_mm2(self, *values: int) -> NDArray[np.float64]:
        """Area of these label values together in each section, in image order."""
        voxel_mm2 = self.voxel_mm3 / (self.section_um * 1e-3)
        areas: NDArray[np.float64] = self.counts[:, list(values)].sum(axis=1) * voxel_mm2
        return areas

    def positions_um(self) -> NDArray[np.float64]:
        """Position of each section in the image's frame, along the image axis."""
        index = np.arange(len(self.counts), dtype=np.float64)
        return self.translation_um[self.axis] + self.section_um * index

    def measurements(self) -> dict[str, Any]:
        """All outcomes of one lesion; lengths and positions are None where there is no lesion.

        The epicentre is the section of the largest lesion area, the first of several.
        """
        lesion = self.areas_mm2(*_LESION)
        cord = self._cord_areas_mm2()
        sections = np.flatnonzero(lesion)
        out: dict[str, Any] = {
            "lesion_mm3": self.volume_mm3(*_LESION),
            "lesion_with_border_mm3": self.volume_mm3(*_LESION, LabelValue.ASTROGLIAL_BORDER),
            **{
                f"{v.name.lower()}_mm3": self.volume_mm3(v)
                for v in (
                    LabelValue.LESION_CORE,
                    LabelValue.CAVITY,
                    LabelValue.ASTROGLIAL_BORDER,
                    LabelValue.SPARED_TISSUE,
                    LabelValue.CANAL_OR_FISSURE,
                )
            },
            "cord_mm3": float(cord.sum() * self.section_um * 1e-3),
            "max_lesion_area_mm2": float(lesion.max(initial=0.0)),
            "epicentre_method": "max_lesion_area",
        }
        lengths = dict.fromkeys(
            ("epicentre_um", "lesion_extent_um", "lesion_length_um", "max_axial_damage_ratio",
             "centroid_z_um", "centroid_y_um", "centroid_x_um")
        )  # fmt: skip
        if sections.size:
            ratio = np.divide(lesion, cord, out=np.zeros_like(lesion), where=cord > 0)
            lengths |= {
                "epicentre_um": float(self.positions_um()[np.argmax(lesion)]),
                "lesion_extent_um": float((sections[-1] - sections[0]) * self.section_um),
                "lesion_length_um": float(sections.size * self.section_um),
                "max_axial_damage_ratio": float(ratio.max()),
            }
            voxels = int(self.counts[:, list(_LESION)].sum())
            for axis, name in enumerate("zyx"):
                mean_index = int(self.index_sums[list(_LESION), axis].sum()) / voxels
                lengths[f"centroid_{name}_um"] = (
                    self.translation_um[axis] + mean_index * self.spacing_um[axis]
                )
        return out | lengths

    def profile_table(self) -> pa.Table:
        """One row a section, from rostral to caudal.

        ``rostrocaudal_position_um`` is 0 at the epicentre and negative rostral of it; null where
        there is no lesion.
        """
        import pyarrow as pa

        order = np.arange(len(self.counts))
        if not self.rostral_first:
            order = order[::-1]
        positions = self.positions_um()
        epicentre = self.measurements()["epicentre_um"]
        sign = 1 if self.rostral_first else -1
        relative = (
            [None] * len(order) if epicentre is None else (sign * (positions - epicentre))[order]
        )
        lesion, cord = self.areas_mm2(*_LESION), self._cord_areas_mm2()
        ratio = np.divide(lesion, cord, out=np.full_like(lesion, np.nan), where=cord > 0)
        columns: dict[str, Any] = {
            "section": pa.array(np.arange(len(order)), pa.int64()),
            "image_index": pa.array(order, pa.int64()),
            "position_um": pa.array(positions[order], pa.float64()),
            "rostrocaudal_position_um": pa.array(relative, pa.float64()),
            "lesion_mm2": lesion[order],
            **{
                f"{v.name.lower()}_mm2": self.areas_mm2(v)[order]
                for v in (
                    LabelValue.LESION_CORE,
                    LabelValue.CAVITY,
                    LabelValue.ASTROGLIAL_BORDER,
                    LabelValue.SPARED_TISSUE,
                    LabelValue.CANAL_OR_FISSURE,
                )
            },
            "cord_mm2": cord[order],
            "axial_damage_ratio": pa.array(ratio[order], pa.float64(), from_pandas=True),
        }
        return pa.table(columns)

    def _cord_areas_mm2(self) -> NDArray[np.float64]:
        inside = [v for v in range(1, 256) if v != LabelValue.EXCLUDED]
        return self.areas_mm2(*inside)


def measure_labels(
    image: Image,
    channel: str | int = 0,
    *,
    rostrocaudal_axis: str = "z",
    rostral_end: str = "first",
    report: Report = silent,
) -> LabelProfile:
    """Measure an existing mask or label image: a manual outline, an atlas, another program's.

    Parameters
    ----------
    image
        Label values 0 to 255, one channel of an OME-Zarr image (NIfTI and TIFF: convert first).
    rostrocaudal_axis, rostral_end
        As in :class:`LesionParameters`.

    Raises
    ------
    FormatError
        Values are no whole numbers from 0 to 255.
    SpacingError
        The voxel size is unknown.
    """
    spacing = image.spacing_um
    volume = image.volume(channel)
    grid = BlockGrid(volume.shape, volume.chunk)
    checked = _WholeNumbers(volume, f"{image.path} channel {channel}")
    axis = "zyx".index(rostrocaudal_axis)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder, "measure"), {})
        try:
            counts, sums = run_pass(
                "measure", ProfilePass(checked, axis), grid, SerialExecutor(), workspace, report
            )
        finally:
            workspace.close(keep=False)
    translation = image.levels[0].translation_um
    return LabelProfile(counts, sums, spacing, translation, axis, rostral_end == "first")


@dataclass(frozen=True, slots=True)
class _WholeNumbers:
    """A volume whose values are refused unless they are labels."""

    volume: Readable
    name: str
    dtype: str = "uint8"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volume.shape

    def read(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        data = self.volume.read(region)
        with np.errstate(invalid="ignore"):
            labels = data.astype(np.uint8)
        if not np.array_equal(labels, data):
            wrong = data[labels != data].ravel()[0]
            raise FormatError(
                self.name, found=f"the value {wrong}", expected="label values from 0 to 255",
                remedy="Name a mask or label image; number its values from 0 to 255.",
            )  # fmt: skip
        return labels


def row_table(values: Mapping[str, Any]) -> pa.Table:
    """A table of one row; None becomes null."""
    import pyarrow as pa

    def column(value: Any) -> pa.Array:
        kind = pa.float64() if value is None or isinstance(value, float) else None
        return pa.array([value], kind)

    return pa.table({name: column(value) for name, value in values.items()})
