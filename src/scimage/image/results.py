"""Labels and tables that belong to an image, in its own OME-Zarr or in a separate store.

Labels follow NGFF 0.5; tables follow the layout that ngio reads: one Zarr group a table with
``table.parquet`` in it. What one analysis makes is published together: readers see all of the
old result or all of the new one. Beside it lies ``provenance/ANALYSIS``: ``run.json``, how it was
made, and ``digests.json``, the SHA-256 of each of its files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scimage.errors import FormatError, UsageError
from scimage.image.durable import digest_of_file, sync_folder, sync_tree, write_file
from scimage.image.metadata import leaves_store, parse_image_label
from scimage.image.reader import Image, open_image
from scimage.image.remote import refuse_address
from scimage.image.staging import discard, exclusive, refuse_existing
from scimage.image.storage import (
    create_group,
    drop_consolidated,
    group_attributes,
    is_zarr,
    naming_storage,
    update_attributes,
)
from scimage.image.workspace import Workspace
from scimage.image.writer import NewImage, PixelSource, write_label_pyramid
from scimage.progress import Report, silent

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelClass", "NewResults", "ResultStore"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# While this file is in a store, parts of a result that is complete are being moved into place.
_COMMITTED = ".scimage-publishing.json"


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
        place = image.path if output is None else output
        refuse_address(place)
        store = cls(place)
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

    def refuse_existing(self, members: Sequence[str], *, overwrite: bool) -> None:
        """Raise TargetExistsError if a member ("labels/NAME") would be replaced unasked.

        UsageError where the store cannot take results of Zarr format 3.
        """
        self._refuse_foreign()
        self.settle()
        for member in members:
            refuse_existing(self.path / member, overwrite)

    @contextlib.contextmanager
    def new_results(
        self, analysis: str, *, overwrite: bool = False, workspace: Workspace | None = None
    ) -> Iterator[NewResults]:
        """Collect what one analysis makes; nothing is seen before ``publish`` is called.

        Parameters
        ----------
        analysis
            Its name, under which provenance and digests are kept.
        overwrite
            Replace earlier results.
        workspace
            Where the parts grow, so that a stopped run can go on; its caller closes it. Without
            one they are started anew.
        """
        own = workspace is None
        if workspace is None:
            workspace = Workspace(self.anchor(analysis), {"once": uuid.uuid4().hex})
        try:
            yield NewResults(self, analysis, overwrite, workspace)
        finally:
            if own:
                # What is committed is needed until all of it is in its place.
                workspace.close(keep=(self.path / _COMMITTED).exists())

    def anchor(self, analysis: str) -> Path:
        """A name beside the store for the work on one of its analyses."""
        return self.path.with_name(f"{self.path.name}.{_checked(analysis)}")

    def analyses(self) -> tuple[str, ...]:
        """Names of the analyses whose results are here."""
        self.settle()
        return tuple(sorted(f.parent.name for f in self.path.glob("provenance/*/digests.json")))

    def run_record(self, analysis: str) -> dict[str, Any]:
        """How the results of an analysis were made: the content of its ``run.json``."""
        return self._provenance(analysis, "run.json")

    def damage(self, analysis: str) -> list[str]:
        """Compare the files of an analysis with their digests; one line for each that differs."""
        digests = self._provenance(analysis, "digests.json")
        problems = []
        for name, expected in digests.items():
            found = "" if leaves_store(name) else digest_of_file(self.path / name)
            if found != expected:
                problems.append(f"{name}: {'another content' if found else 'lost'}")
        return problems

    def _provenance(self, analysis: str, file: str) -> dict[str, Any]:
        if analysis not in self.analyses():
            raise UsageError(
                self.path, found=f"no results of {analysis!r}",
                expected=f"one of {', '.join(self.analyses()) or 'lesion, grafts'}",
                remedy="Run the analysis first.",
            )  # fmt: skip
        path = self.path / "provenance" / analysis / file
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FormatError(
                path, found=f"no readable record ({type(error).__name__})", expected="JSON",
                remedy="Run the analysis again with --overwrite.",
            ) from error  # fmt: skip
        return dict(content)

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

    def settle(self) -> None:
        """Finish a publication that was committed: its process is at it, or was stopped."""
        if (self.path / _COMMITTED).exists():
            with exclusive(self._lock, wait=True):
                self._move_into_place()

    @property
    def _lock(self) -> Path:
        return self.anchor("results")

    def _commit(self, folder: Path, members: Sequence[str]) -> None:
        """Replace members by those in `folder`: from the moment that this is on the disk."""
        with exclusive(self._lock, wait=True), naming_storage(self.path):
            self._move_into_place()
            kinds = {member.split("/")[0] for member in members}
            for group in (self.path, *(self.path / kind for kind in sorted(kinds))):
                # What a process left that was killed when it made the group.
                for unfinished in group.glob("*.partial"):
                    unfinished.unlink()
                if not (group / "zarr.json").exists():
                    create_group(str(group))
                drop_consolidated(group)
            staged = os.path.relpath(folder, self.path)
            order = {"folder": staged, "members": list(members)}
            write_file(self.path / _COMMITTED, json.dumps(order).encode())
            self._move_into_place()

    def _move_into_place(self) -> None:
        """Carry out what was committed; whatever of it was done already is left as it is."""
        committed = self.path / _COMMITTED
        try:
            order = json.loads(committed.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        folder = self.path / order["folder"]
        with naming_storage(self.path):
            for member in order["members"]:
                staged, final = folder / member, self.path / member
                if not staged.exists():
                    continue
                if os.path.lexists(final):
                    retired = folder / "retired" / member
                    discard(retired)
                    retired.parent.mkdir(parents=True, exist_ok=True)
                    final.rename(retired)
                final.parent.mkdir(parents=True, exist_ok=True)
                staged.rename(final)
                sync_folder(final.parent)
            for kind in ("labels", "tables"):
                names = [m.split("/")[1] for m in order["members"] if m.startswith(f"{kind}/")]
                if names:
                    self._list(kind, names)
            committed.unlink()
            sync_folder(self.path)

    def _list(self, kind: str, names: Sequence[str]) -> None:
        folder = self.path / kind
        listed = [*dict.fromkeys((*self._read_list(kind), *names))]
        attributes, _ = group_attributes(str(folder))
        if kind == "tables":
            update_attributes(str(folder), {"tables": listed})
        else:
            ome = attributes.get("ome")
            kept = ome if isinstance(ome, Mapping) else {"version": "0.5"}
            update_attributes(str(folder), {"ome": {**kept, "labels": listed}})

    def _listed(self, kind: str) -> tuple[str, ...]:
        self.settle()
        return self._read_list(kind)

    def _read_list(self, kind: str) -> tuple[str, ...]:
        folder = self.path / kind
        if not is_zarr(folder):
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


class NewResults:
    """What one analysis makes, until it is published; see :meth:`ResultStore.new_results`."""

    def __init__(
        self, store: ResultStore, analysis: str, overwrite: bool, workspace: Workspace
    ) -> None:
        self._store = store
        self._analysis = analysis
        self._overwrite = overwrite
        self._workspace = workspace
        self._folder = workspace.folder / "results"
        self._members: list[str] = []

    def write_label(
        self,
        name: str,
        new: NewImage,
        source: PixelSource,
        classes: Sequence[LabelClass],
        *,
        report: Report = silent,
    ) -> None:
        """Write a label image; `new.shape` is (1, z, y, x).

        Raises
        ------
        TargetExistsError
            It exists and is not to be replaced.
        UsageError
            The voxels are no integers.
        StorageError
            The disk is full or cannot be written.
        """
        member = self._add("labels", name)
        label: dict[str, Any] = {"version": "0.5", "source": {"image": "../../"}}
        if classes:  # NGFF allows no empty lists
            label |= {
                "colors": [{"label-value": c.value, "rgba": list(c.rgba)} for c in classes],
                "properties": [{"label-value": c.value, "name": c.name} for c in classes],
            }
        write_label_pyramid(
            self._workspace, self._folder / member, new, source, label, report=report
        )

    def write_table(
        self,
        name: str,
        table: pa.Table,
        *,
        kind: Literal["generic_table", "feature_table"] = "generic_table",
        index_key: str,
        label: str | None = None,
        provenance: Mapping[str, Any],
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
            It exists and is not to be replaced.
        UsageError
            The table has no column `index_key`.
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
        staged = self._folder / self._add("tables", name)
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
        discard(staged)
        create_group(str(staged))
        with naming_storage(self._store.path):
            pq.write_table(table, staged / "table.parquet")
        update_attributes(str(staged), attributes)

    def publish(self, record: Mapping[str, Any]) -> None:
        """Put everything into the store at once, with how it was made and digests of all files.

        Raises
        ------
        TargetExistsError
            One of the results exists by now and is not to be replaced.
        StorageError
            The disk is full or cannot be written.
        """
        self._store.refuse_existing(self._members, overwrite=self._overwrite)
        about = f"provenance/{_checked(self._analysis)}"
        with naming_storage(self._store.path):
            files = sorted(
                f for m in self._members for f in (self._folder / m).rglob("*") if f.is_file()
            )
            # A killed write leaves a file of this kind beside the chunk that it was to become.
            for leftover in [f for f in files if f.suffix == ".partial"]:
                leftover.unlink()
                files.remove(leftover)
            discard(self._folder / about)
            create_group(str(self._folder / about))
            names = [f.relative_to(self._folder).as_posix() for f in files]
            digests = {n: digest_of_file(f) for n, f in zip(names, files, strict=True)}
            for file, content in (("run.json", record), ("digests.json", digests)):
                text = json.dumps(content, indent=1, default=str)
                (self._folder / about / file).write_text(text, encoding="utf-8")
            sync_tree(self._folder)
        self._store._commit(self._folder, [*self._members, about])

    def _add(self, kind: str, name: str) -> str:
        member = f"{kind}/{_checked(name)}"
        self._store.refuse_existing([member], overwrite=self._overwrite)
        self._members.append(member)
        return member


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            name, found="a name that cannot be a folder",
            expected="letters, digits, '_', '.' and '-'", remedy="Choose another name.",
        )  # fmt: skip
    return name
