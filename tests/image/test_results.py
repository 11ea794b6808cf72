"""Labels and tables in an image, or in a store of their own."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from numpy.typing import NDArray

from scimage.errors import FormatError, StorageError, TargetExistsError, UsageError
from scimage.image import Image, LabelClass, ResultStore, Workspace, leftovers, open_image
from scimage.image.staging import exclusive, lock_path

CLASSES = (LabelClass(1, "core", (255, 0, 0, 255)), LabelClass(2, "cavity", (0, 0, 255, 128)))
CELLS = pa.table({"cell": ["a", "b", None], "z_um": [1.5, None, 2.0], "n": [1, 2, None]})


@pytest.fixture
def image(tmp_path: Path, write: Any, ramp: Any) -> Image:
    return open_image(write(tmp_path / "i.ome.zarr", ramp((2, 4, 20, 20))))


@pytest.fixture
def write_label(describe: Any, pixels_of: Any) -> Any:
    def make(store: ResultStore, name: str, labels: NDArray[Any], **options: Any) -> None:
        changes = {k: options.pop(k) for k in ("translation_um", "spacing_um") if k in options}
        new = describe(labels[None], channels=(), **changes)
        classes = options.pop("classes", CLASSES)
        overwrite = options.pop("overwrite", False)
        with store.new_results(name, overwrite=overwrite) as results:
            results.write_label(name, new, pixels_of(labels[None]), classes, **options)
            results.publish({})

    return make


def write_cells(store: ResultStore, name: str = "cells", **options: Any) -> None:
    settings = {"index_key": "cell", "provenance": {"analysis": "test"}} | options
    with store.new_results("test", overwrite=settings.pop("overwrite", False)) as results:
        results.write_table(name, settings.pop("table", CELLS), **settings)
        results.publish({})


def block_modes(labels: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Most frequent value of each block, the smallest of several."""
    out = np.empty([-(-n // f) for n, f in zip(labels.shape, factors, strict=True)], labels.dtype)
    for at in np.ndindex(out.shape):
        block = labels[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        counts = Counter(block.ravel().tolist())
        out[at] = min(counts, key=lambda v: (-counts[v], v))
    return out


@pytest.mark.usefixtures("tiny_shards")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint64"])
def test_every_level_of_a_label_holds_the_modes_of_the_level_before(
    tmp_path: Path, write_label: Any, dtype: str
) -> None:
    labels = np.random.default_rng(3).integers(0, 3, (9, 33, 21)).astype(dtype)
    store = ResultStore(tmp_path / "results.zarr")
    write_label(store, "lesion", labels, translation_um=(5.0, 6.0, 7.0))
    written = store.label("lesion")
    assert written.metadata.axes == "zyx"
    assert written.dtype == np.dtype(dtype)
    assert len(written.levels) == 4
    before, last = labels, (4.0, 1.0, 1.0)
    for level in written.levels:
        assert level.spacing_um is not None
        factors = tuple(round(s / t) for s, t in zip(level.spacing_um, last, strict=True))
        before, last = block_modes(before, factors), level.spacing_um  # type: ignore[arg-type]
        np.testing.assert_array_equal(written.read(0, level=level.index), before)
    assert written.levels[0].translation_um == (5, 6, 7)
    assert written.levels[1].translation_um == (5, 6.5, 7.5)


def test_a_label_carries_its_classes_and_names_its_image(image: Image, write_label: Any) -> None:
    store = ResultStore.beside(image, None)
    write_label(store, "lesion", np.zeros((4, 20, 20), "uint8"))
    write_label(store, "graft", np.ones((4, 20, 20), "uint8"), classes=())
    assert store.label_names() == ("lesion", "graft")
    assert store.label_classes("lesion") == CLASSES
    assert store.label_classes("graft") == ()
    ome = json.loads((Path(image.path) / "labels/lesion/zarr.json").read_text())["attributes"][
        "ome"
    ]
    assert ome["image-label"] == {
        "version": "0.5",
        "colors": [
            {"label-value": 1, "rgba": [255, 0, 0, 255]},
            {"label-value": 2, "rgba": [0, 0, 255, 128]},
        ],
        "properties": [
            {"label-value": 1, "name": "core"},
            {"label-value": 2, "name": "cavity"},
        ],
        "source": {"image": "../../"},
    }
    group = json.loads((Path(image.path) / "labels/zarr.json").read_text())
    assert group["attributes"] == {"ome": {"version": "0.5", "labels": ["lesion", "graft"]}}


def test_a_label_of_fractions_is_refused(image: Image, write_label: Any) -> None:
    with pytest.raises(UsageError, match="voxels of type float32; expected one of uint8"):
        write_label(ResultStore.beside(image, None), "x", np.zeros((4, 20, 20), "float32"))


def test_a_label_that_fails_leaves_the_old_one_and_nothing_else(
    image: Image, write_label: Any, ramp: Any
) -> None:
    store = ResultStore.beside(image, None)
    old = ramp((4, 20, 20), "uint8")
    write_label(store, "lesion", old)
    with pytest.raises(TargetExistsError, match="labels/lesion: it exists already"):
        write_label(store, "lesion", old)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_label(store, "lesion", old * 0, overwrite=True, report=stop)
    np.testing.assert_array_equal(store.label("lesion").read(0), old)
    labels = Path(image.path) / "labels"
    assert sorted(p.name for p in labels.iterdir()) == ["lesion", "zarr.json"]
    write_label(store, "lesion", old[:, ::-1], overwrite=True)
    np.testing.assert_array_equal(store.label("lesion").read(0), old[:, ::-1])
    assert store.label_names() == ("lesion",)


def test_results_leave_the_pixels_of_the_image_as_they_are(image: Image, write_label: Any) -> None:
    folder = Path(image.path)
    before = {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()}
    store = ResultStore.beside(image, None)
    write_label(store, "lesion", np.zeros((4, 20, 20), "uint8"))
    write_cells(store)
    assert {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in before} == before


def test_a_table_comes_back_with_its_types_and_gaps(image: Image) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store, provenance={"analysis": "graft", "parameters": {"a": 1}})
    assert store.table("cells").equals(CELLS)
    assert store.table_names() == ("cells",)
    assert store.table_attributes("cells") == {
        "type": "generic_table",
        "table_version": "1",
        "backend": "parquet",
        "index_key": "cell",
        "index_type": "str",
        "scimage": {"analysis": "graft", "parameters": {"a": 1}},
    }
    folder = Path(image.path) / "tables" / "cells"
    assert sorted(p.name for p in folder.iterdir()) == ["table.parquet", "zarr.json"]


def test_a_feature_table_names_its_label(image: Image) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store, kind="feature_table", index_key="n", label="lesion")
    attributes = store.table_attributes("cells")
    assert attributes["region"] == {"path": "../labels/lesion"}
    assert attributes["instance_key"] == attributes["index_key"] == "n"
    assert attributes["index_type"] == "int"


def test_a_table_is_replaced_only_when_asked_and_only_by_a_whole_one(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store)
    with pytest.raises(TargetExistsError, match="tables/cells: it exists already"):
        write_cells(store)
    with pytest.raises(TargetExistsError, match="tables/cells: it exists already"):
        store.refuse_existing(["labels/lesion", "tables/cells"], overwrite=False)
    store.refuse_existing(["tables/cells"], overwrite=True)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(OSError, match="no space left on the disk"):
            write_cells(store, table=CELLS.slice(0, 1), overwrite=True)
    assert store.table("cells").equals(CELLS)
    assert sorted(p.name for p in (store.path / "tables").iterdir()) == ["cells", "zarr.json"]
    write_cells(store, table=CELLS.slice(0, 1), overwrite=True)
    assert store.table("cells").num_rows == 1


def test_an_index_that_is_no_column_is_refused(image: Image) -> None:
    with pytest.raises(UsageError, match="no column 'id'; expected one of cell, z_um, n"):
        write_cells(ResultStore.beside(image, None), index_key="id")
    assert not (Path(image.path) / "tables").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "ä", "-x"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a name that cannot be a folder"):
        write_cells(ResultStore(tmp_path / "results.zarr"), name)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_not_there_is_an_error_that_lists_what_is(image: Image) -> None:
    store = ResultStore.beside(image, None)
    with pytest.raises(UsageError, match="no label 'lesion'; expected an image with labels"):
        store.label("lesion")
    write_cells(store)
    with pytest.raises(UsageError, match=r"no table '\.\./cells'; expected one of cells"):
        store.table("../cells")


def test_listed_names_that_leave_the_store_are_not_followed(image: Image) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store)
    zarr.open_group(store.path / "tables").update_attributes(
        {"tables": ["cells", "../../secret", "/etc", 5, "with space"]}
    )
    assert store.table_names() == ("cells", "with space")


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing PAR1", None])
def test_a_damaged_table_is_named(image: Image, damage: bytes | None) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store)
    file = store.path / "tables" / "cells" / "table.parquet"
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    with pytest.raises(FormatError, match=r"cells/table\.parquet: no readable Parquet table"):
        store.table("cells")


def test_a_table_of_another_backend_is_refused(image: Image) -> None:
    store = ResultStore.beside(image, None)
    write_cells(store)
    zarr.open_group(store.path / "tables" / "cells").update_attributes({"backend": "anndata"})
    with pytest.raises(FormatError, match="a table of backend 'anndata'; expected Parquet"):
        store.table("cells")


def test_an_image_is_no_label(image: Image, write_label: Any) -> None:
    store = ResultStore.beside(image, None)
    write_label(store, "lesion", np.zeros((4, 20, 20), "uint8"))
    group = zarr.open_group(store.path / "labels" / "lesion")
    ome = dict(group.attrs)["ome"]
    group.update_attributes({"ome": {k: v for k, v in ome.items() if k != "image-label"}})
    with pytest.raises(FormatError, match="no 'image-label' metadata"):
        store.label("lesion")


def test_results_of_an_old_image_go_to_a_store_of_their_own(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    image = open_image(foreign(tmp_path / "i.zarr", ramp((4, 8, 8)), "zyx"))
    with pytest.raises(UsageError, match=r"an OME-Zarr 0\.4 image, .* --output, or convert"):
        ResultStore.beside(image, None)
    with pytest.raises(UsageError, match="a Zarr format 2 store"):
        ResultStore.beside(image, image.path)
    with pytest.raises(UsageError, match="a Zarr format 2 store"):
        write_cells(ResultStore(image.path))
    store = ResultStore.beside(image, tmp_path / "out" / "results.zarr")
    assert not store.path.exists()
    write_cells(store)
    assert store.table("cells").equals(CELLS)
    assert not (tmp_path / "i.zarr" / "zarr.json").exists()


def test_a_folder_of_other_things_is_no_store(tmp_path: Path, image: Image) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="no Zarr store; expected a Zarr format 3 store"):
        ResultStore.beside(image, tmp_path / "documents")
    with pytest.raises(UsageError, match="no Zarr store"):
        ResultStore.beside(image, tmp_path / "documents" / "thesis.txt")
    (tmp_path / "empty").mkdir()
    write_cells(ResultStore.beside(image, tmp_path / "empty"))
    assert ResultStore(tmp_path / "empty").table_names() == ("cells",)


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:Object at ")
def test_results_show_in_an_image_with_consolidated_metadata(
    image: Image, write_label: Any
) -> None:
    zarr.consolidate_metadata(image.path)
    store = ResultStore.beside(image, None)
    write_label(store, "lesion", np.zeros((4, 20, 20), "uint8"))
    assert "labels" in set(zarr.open_group(image.path, mode="r").group_keys())
    assert open_image(image.path).channels == image.channels


def test_results_written_at_once_are_all_listed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results.zarr")
    names = [f"cells_{i}" for i in range(9)]
    threads = [threading.Thread(target=write_cells, args=(store, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.table_names()) == names
    assert all(store.table(name).equals(CELLS) for name in names)


@pytest.fixture
def publish(describe: Any, pixels_of: Any) -> Callable[..., None]:
    """Publish a label and two tables of one analysis together; what they hold tells `version`."""

    def make(store: ResultStore, version: int, workspace: Workspace | None = None) -> None:
        labels = np.full((1, 4, 20, 20), version, "uint8")
        with store.new_results("lesion", overwrite=version > 1, workspace=workspace) as results:
            results.write_label("lesion", describe(labels, channels=()), pixels_of(labels), CLASSES)
            for name in ("cells", "sizes"):
                table = pa.table({"version": [version]})
                results.write_table(name, table, index_key="version", provenance={})
            results.publish({"version": version})

    return make


def versions(path: Path) -> set[int]:
    """The versions of all members of a store, as a reader without a past sees them."""
    store = ResultStore(path)
    seen = {int(v) for v in np.unique(store.label("lesion").read(0))}
    for name in ("cells", "sizes"):
        seen |= set(store.table(name)["version"].to_pylist())
    assert (store.label_names(), store.table_names()) == (("lesion",), ("cells", "sizes"))
    assert store.analyses() == ("image", "lesion")
    assert store.damage("lesion") == []
    return seen | {store.run_record("lesion")["version"]}


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, k: int) -> list[Path]:
    """Let call number `k` of a method of Path fail, and all that come after it."""
    calls: list[Path] = []
    original = getattr(Path, name)

    def failing(self: Path, goal: Path) -> Path:
        calls.append(self)
        if len(calls) >= k:
            raise OSError(5, "Input/output error")
        return original(self, goal)  # type: ignore[no-any-return]

    monkeypatch.setattr(Path, name, failing)
    return calls


def test_all_that_an_analysis_makes_is_seen_at_once(image: Image, publish: Any) -> None:
    store = ResultStore.beside(image, None)
    with store.new_results("lesion") as results:
        results.write_table("cells", CELLS, index_key="cell", provenance={})
        assert ResultStore(store.path).table_names() == ()
    assert ResultStore(store.path).table_names() == ()
    publish(store, 1)
    assert versions(store.path) == {1}
    publish(store, 2)
    assert versions(store.path) == {2}
    assert os.listdir(store.path.parent) == [store.path.name]


@pytest.mark.parametrize("own_workspace", [True, False])
@pytest.mark.parametrize("k", range(1, 9))
def test_a_publication_that_is_cut_off_between_its_moves_is_seen_as_done(
    image: Image, publish: Any, monkeypatch: pytest.MonkeyPatch, k: int, own_workspace: bool
) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    workspace = None if own_workspace else Workspace(store.anchor("lesion"), {"run": 1})
    with monkeypatch.context() as patch:
        calls = fail_at(patch, "rename", k)
        with pytest.raises(StorageError, match="writing failed"):
            publish(store, 2, workspace)
        assert len(calls) == k
    if workspace is not None:
        workspace.close(keep=True)
    assert versions(store.path) == {2}
    publish(store, 3)
    assert versions(store.path) == {3}


def test_a_publication_makes_no_more_moves_than_were_tried_above(
    image: Image, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    calls = fail_at(monkeypatch, "rename", 99)
    publish(store, 2)
    assert len(calls) == 8


def test_a_publication_that_is_cut_off_before_it_is_committed_changes_nothing(
    image: Image, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    original = Path.replace

    def failing(self: Path, goal: Path) -> Path:
        if Path(goal).name == ".scimage-publishing.json":
            raise OSError(5, "Input/output error")
        return original(self, goal)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(StorageError, match="writing failed"):
            publish(store, 2)
    assert versions(store.path) == {1}
    assert os.listdir(store.path.parent) == [store.path.name]


def test_cleaning_spares_a_publication_that_was_cut_off(
    image: Image, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    with monkeypatch.context() as patch:
        fail_at(patch, "rename", 4)
        with pytest.raises(StorageError):
            publish(store, 2)
    for place in (store.path, store.path.parent):
        for leftover in leftovers(place):
            leftover.remove()
    assert versions(store.path) == {2}
    assert os.listdir(store.path.parent) == [store.path.name]


def test_the_record_and_digests_of_all_files_are_kept(image: Image, publish: Any) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    listed = json.loads((store.path / "provenance/lesion/digests.json").read_text())
    members = [store.path / m for m in ("labels/lesion", "tables/cells", "tables/sizes")]
    assert listed == {
        f.relative_to(store.path).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest()
        for member in members
        for f in member.rglob("*")
        if f.is_file()
    }
    with pytest.raises(UsageError, match="no results of 'grafts'; expected one of image, lesion"):
        store.run_record("grafts")


def test_digests_find_a_flipped_byte_and_a_lost_file(image: Image, publish: Any) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    flipped = store.path / "tables/cells/table.parquet"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    lost = next((store.path / "labels/lesion/0/c").rglob("0/0/0"))
    lost.unlink()
    assert sorted(store.damage("lesion")) == [
        f"{lost.relative_to(store.path).as_posix()}: lost",
        "tables/cells/table.parquet: another content",
    ]


def test_digests_of_files_that_leave_the_store_are_not_followed(
    image: Image, publish: Any, tmp_path: Path
) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    digest = hashlib.sha256(b"secret").hexdigest()
    file = store.path / "provenance/lesion/digests.json"
    file.write_text(json.dumps({"../secret": digest, str(secret): digest}))
    assert store.damage("lesion") == ["../secret: lost", f"{secret}: lost"]


@pytest.mark.parametrize("damage", ["", "{", "[1"])
def test_a_damaged_record_is_named(image: Image, publish: Any, damage: str) -> None:
    store = ResultStore.beside(image, None)
    publish(store, 1)
    (store.path / "provenance/lesion/run.json").write_text(damage)
    with pytest.raises(FormatError, match=r"run\.json: no readable record"):
        store.run_record("lesion")


def test_the_lock_of_a_live_process_is_refused_and_its_holder_named(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from scimage.image import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    target = tmp_path / "results.zarr"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="another run is writing it") as caught, (
            exclusive(target)
        ):  # fmt: skip
            pytest.fail("got it")
        assert f"host {socket.gethostname()}, pid {holder.pid}, since 20" in str(caught.value)
        holder.communicate()
    with exclusive(target):
        assert lock_path(target).exists()
    assert list(tmp_path.iterdir()) == []


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    return ended.pid


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network folder without locks: only the lock file itself tells who holds it."""
    monkeypatch.setattr("scimage.image.staging._lock", lambda *_, **__: False)


@pytest.mark.parametrize("locks", ["locks", "no_locks"])
def test_the_lock_of_a_dead_process_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: Any, locks: str
) -> None:
    if locks == "no_locks":
        request.getfixturevalue("no_locks")
    target, pid = tmp_path / "results.zarr", dead_pid()
    lock_path(target).write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
    with exclusive(target):
        assert json.loads(lock_path(target).read_text())["pid"] == os.getpid()
    assert "ended without an end" in caplog.text
    assert f"pid {pid}" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    "holder", [{"host": "elsewhere", "pid": 1}, {"host": socket.gethostname(), "pid": os.getpid()}]
)
def test_without_locks_a_holder_that_may_live_is_refused(
    tmp_path: Path, holder: dict[str, Any]
) -> None:
    target = tmp_path / "results.zarr"
    lock_path(target).write_text(json.dumps(holder))
    with pytest.raises(UsageError, match=f"host {holder['host']}, pid {holder['pid']}"), (
        exclusive(target)
    ):  # fmt: skip
        pytest.fail("got it")
    assert json.loads(lock_path(target).read_text()) == holder
