"""Labels and tables that belong to an image, in its own OME-Zarr or in a separate store.

Labels follow NGFF 0.5; tables follow the layout that ngio reads: one Zarr group a table with
``table.parquet`` in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scimage.errors import FormatError, UsageError
from scimage.image.metadata import leaves_store, parse_image_label
from scimage.image.reader import Image, open_image
from scimage.image.staging import (
    discard,
    exclusive,
    publish,
    refuse_existing,
    staging_path,
)
from scimage.image.storage import (
    create_group,
    drop_consolidated,
    group_attributes,
    is_zarr,
    naming_storage,
    update_attributes,
)
from scimage.image.writer import NewImage, PixelSource, write_label_pyramid
from scimage.progress import Report, silent

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelClass", "ResultStore"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One value of a label image: what it means and how it is drawn (RGBA, 0 to 255)."""

    value: int
    name: str
    rgba: tuple[int, int, int, int]


class ResultStore:
    """The labels and tables of one image.

    Parameters
    ----------
    path
        The OME-Zarr 0.5 image itself, or a separate store (``--output``), which is created with
        the first result.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def beside(cls, image: Image, output: str | Path | None) -> ResultStore:
        """Choose the store for results of `image`: `output`, or the image itself.

        Raises
        ------
        UsageError
            The image is of NGFF 0.4 (Zarr format 2), which cannot hold results of format 3, or
            `output` is something else than a store.
        """
        if output is None and image.metadata.version != "0.5":
            raise UsageError(
                image.path,
                found=f"an OME-Zarr {image.metadata.version} image, which scimage only reads",
                expected="OME-Zarr 0.5 to put results into",
                remedy="Name a store for the results with --output, or convert the image first.",
            )
        store = cls(image.path if output is None else output)
        store._refuse_foreign()
        return store

    def label_names(self) -> tuple[str, ...]:
        """Names of the label images."""
        return self._listed("labels")

    def table_names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return self._listed("tables")

    def label(self, name: str) -> Image:
        """Open a label image.

        Raises
        ------
        UsageError
            There is no label of this name.
        FormatError
            It is damaged or no label image.
        """
        path = self._member("labels", name)
        attributes, zarr_format = group_attributes(str(path))
        parse_image_label(str(path), attributes, zarr_format)
        return open_image(path)

    def label_classes(self, name: str) -> tuple[LabelClass, ...]:
        """Values, names and colours that a label image declares."""
        path = self._member("labels", name)
        label = parse_image_label(str(path), *group_attributes(str(path)))
        names = {p["label-value"]: p.get("name", "") for p in label.get("properties") or []}
        return tuple(
            LabelClass(
                int(c["label-value"]),
                str(names.get(c["label-value"], "")),
                tuple(c.get("rgba") or (255, 255, 255, 255)),
            )
            for c in label.get("colors") or []
        )

    def table(self, name: str) -> pa.Table:
        """Read a table.

        Raises
        ------
        UsageError
            There is no table of this name.
        FormatError
            It is damaged, or stored by another backend than Parquet.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._member("tables", name)
        backend = group_attributes(str(path))[0].get("backend")
        if backend != "parquet":
            raise FormatError(
                path, found=f"a table of backend {backend!r}", expected="Parquet",
                remedy="Read it with the program that wrote it.",
            )  # fmt: skip
        try:
            return pq.read_table(path / "table.parquet")
        except (OSError, pa.ArrowException) as error:
            raise FormatError(
                path / "table.parquet",
                found=f"no readable Parquet table ({type(error).__name__})",
                expected="the table that the store names",
                remedy="Run the command that makes it again with --overwrite.",
            ) from error

    def table_attributes(self, name: str) -> dict[str, Any]:
        """Attributes of a table: its layout, and the provenance under ``scimage``."""
        return group_attributes(str(self._member("tables", name)))[0]

    def refuse_existing(
        self, *, labels: Sequence[str] = (), tables: Sequence[str] = (), overwrite: bool
    ) -> None:
        """Raise TargetExistsError before any work if a result would be replaced unasked."""
        for name in labels:
            refuse_existing(self.path / "labels" / name, overwrite)
        for name in tables:
            refuse_existing(self.path / "tables" / name, overwrite)

    def write_label(
        self,
        name: str,
        new: NewImage,
        source: PixelSource,
        classes: Sequence[LabelClass],
        *,
        overwrite: bool = False,
        report: Report = silent,
    ) -> None:
        """Write a label image; `new.shape` is (1, z, y, x).

        Raises
        ------
        TargetExistsError
            It exists and `overwrite` is not set.
        UsageError
            The voxels are no integers, or another run writes this label.
        StorageError
            The disk is full or cannot be written.
        """
        self._prepare("labels", name)
        label: dict[str, Any] = {"version": "0.5", "source": {"image": "../../"}}
        if classes:  # NGFF allows no empty lists
            label |= {
                "colors": [{"label-value": c.value, "rgba": list(c.rgba)} for c in classes],
                "properties": [{"label-value": c.value, "name": c.name} for c in classes],
            }
        target = self.path / "labels" / name
        write_label_pyramid(target, new, source, label, overwrite=overwrite, report=report)
        self._list("labels", name)

    def write_table(
        self,
        name: str,
        table: pa.Table,
        *,
        kind: Literal["generic_table", "feature_table"] = "generic_table",
        index_key: str,
        label: str | None = None,
        provenance: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        """Write a table.

        Parameters
        ----------
        index_key
            The column that names the rows.
        label
            For a feature table: the label image whose objects the rows describe.
        provenance
            How the table was made, kept in its attributes under ``scimage``.

        Raises
        ------
        TargetExistsError
            It exists and `overwrite` is not set.
        UsageError
            The table has no column `index_key`, or another run writes this table.
        StorageError
            The disk is full or cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if index_key not in table.column_names:
            raise UsageError(
                name, found=f"no column {index_key!r}",
                expected=f"one of {', '.join(table.column_names)}",
                remedy="Name the column that identifies the rows.",
            )  # fmt: skip
        self._prepare("tables", name)
        target = self.path / "tables" / name
        refuse_existing(target, overwrite)
        kind_of_index = table.schema.field(index_key).type
        text = pa.types.is_string(kind_of_index) or pa.types.is_large_string(kind_of_index)
        attributes: dict[str, Any] = {
            "type": kind,
            "table_version": "1",
            "backend": "parquet",
            "index_key": index_key,
            "index_type": "str" if text else "int",
            "scimage": dict(provenance),
        }
        if label is not None:
            attributes |= {"region": {"path": f"../labels/{label}"}, "instance_key": index_key}
        with exclusive(target):
            staged = staging_path(target)
            discard(staged)
            try:
                create_group(str(staged))
                with naming_storage(target):
                    pq.write_table(table, staged / "table.parquet")
                update_attributes(str(staged), attributes)
                publish(staged, target, overwrite)
            except BaseException:
                discard(staged)
                raise
        self._list("tables", name)

    def _refuse_foreign(self) -> None:
        """Results are Zarr format 3: they go into a store of that format or a new one."""
        taken = is_zarr(self.path) or self.path.is_file()
        if self.path.is_dir() and not taken:
            # The lock and the half-written zarr.json of another process that makes the store.
            taken = any(
                not p.name.startswith(".") and p.suffix != ".partial" for p in self.path.iterdir()
            )
        if taken and not (self.path / "zarr.json").exists():
            raise UsageError(
                self.path,
                found="a Zarr format 2 store" if is_zarr(self.path) else "no Zarr store",
                expected="a Zarr format 3 store for results, or a new name",
                remedy="Name another store for the results with --output.",
            )

    def _prepare(self, kind: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                name, found="a name that cannot be a folder",
                expected="letters, digits, '_', '.' and '-'", remedy="Choose another name.",
            )  # fmt: skip
        self._refuse_foreign()
        with exclusive(self.path / kind, wait=True):
            for folder in (self.path, self.path / kind):
                if not (folder / "zarr.json").exists():
                    create_group(str(folder))
                drop_consolidated(folder)

    def _list(self, kind: str, name: str) -> None:
        folder = self.path / kind
        with exclusive(folder, wait=True):
            names = [*dict.fromkeys((*self._listed(kind), name))]
            attributes, _ = group_attributes(str(folder))
            if kind == "tables":
                update_attributes(str(folder), {"tables": names})
            else:
                ome = attributes.get("ome")
                kept = ome if isinstance(ome, Mapping) else {"version": "0.5"}
                update_attributes(str(folder), {"ome": {**kept, "labels": names}})

    def _listed(self, kind: str) -> tuple[str, ...]:
        folder = self.path / kind
        if not folder.is_dir():
            return ()
        attributes, _ = group_attributes(str(folder))
        ome = attributes.get("ome")
        holder = ome if isinstance(ome, Mapping) and kind == "labels" else attributes
        names = holder.get(kind)
        listed = names if isinstance(names, list) else []
        return tuple(n for n in listed if isinstance(n, str) and not leaves_store(n))

    def _member(self, kind: str, name: str) -> Path:
        listed = self._listed(kind)
        if name not in listed:
            raise UsageError(
                self.path,
                found=f"no {kind.removesuffix('s')} {name!r}",
                expected=f"one of {', '.join(listed)}" if listed else f"an image with {kind}",
                remedy="Name one of these." if listed else "Run scimage lesion or grafts first.",
            )
        return self.path / kind / name
