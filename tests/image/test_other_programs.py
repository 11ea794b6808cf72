"""Other programs accept what scimage writes, and see the same things in the same places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr

from scimage.image import Channel, LabelClass, ResultStore, open_image

pytestmark = [
    # npe2 and others still use names that pydantic has renamed.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    # napari-ome-zarr gives napari no colour for values without one.
    pytest.mark.filterwarnings("ignore:color_dict did not provide a default color:UserWarning"),
]

SPACING, TRANSLATION = (4.0, 1.0, 2.0), (10.0, 20.0, 30.0)
CELLS = {"cell": ["a", "b", "c"], "z_um": [1.5, None, 2.5], "rejected": ["dim", None, "far"]}


@pytest.fixture
def array(ramp: Any) -> Any:
    return ramp((2, 6, 200, 180))


@pytest.fixture
def path(tmp_path: Path, write: Any, array: Any, describe: Any, pixels_of: Any) -> Path:
    """An image with a label and two tables."""
    frame = {"spacing_um": SPACING, "translation_um": TRANSLATION}
    channels = (Channel("GFAP", "00FF00"), Channel("NeuN", "FF00FF"))
    image: Path = write(tmp_path / "i.ome.zarr", array, channels=channels, name="cord", **frame)
    store = ResultStore(image)
    labels = array[:1] % 3
    with store.new_results("test") as new:
        new.write_label(
            "lesion", describe(labels, channels=(), **frame), pixels_of(labels),
            [LabelClass(1, "core", (255, 0, 0, 255)), LabelClass(2, "cavity", (0, 0, 255, 255))],
        )  # fmt: skip
        new.write_table("cells", pa.table(CELLS), index_key="cell", provenance={"by": "test"})
        new.write_table(
            "classes", pa.table({"label": [1, 2], "volume_mm3": [0.5, None]}),
            kind="feature_table", index_key="label", label="lesion", provenance={},
        )  # fmt: skip
        new.publish({})
    return image


def test_ome_zarr_models_validates_image_and_label(path: Path) -> None:
    from ome_zarr_models.v05 import Image, ImageLabel, Labels

    image = Image.from_zarr(zarr.open_group(path, mode="r"))
    label = ImageLabel.from_zarr(zarr.open_group(path / "labels" / "lesion", mode="r"))
    labels = Labels.from_zarr(zarr.open_group(path / "labels", mode="r"))
    scales = [
        [t.scale for t in d.coordinateTransformations if t.type == "scale"]
        for d in image.ome_attributes.multiscales[0].datasets
    ]
    assert scales[0] == [[1, *SPACING]]
    assert len(scales) == len(open_image(path).levels)
    assert label.ome_attributes.image_label.source.image == "../../"
    assert labels.ome_attributes.labels == ["lesion"]


def test_the_official_strict_schemas_accept_image_and_label(path: Path, data_dir: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    pytest.importorskip("referencing.jsonschema")
    folder = data_dir / "ome_zarr" / "ngff_0.5" / "schemas"
    schemas = [json.loads(file.read_text()) for file in sorted(folder.glob("*.schema"))]
    draft = referencing.jsonschema.DRAFT202012
    registry = referencing.Registry().with_resources(
        (s["$id"], draft.create_resource(s)) for s in schemas
    )
    by_name = {s["$id"].rsplit("/", 1)[-1]: s for s in schemas}
    for group, name in ((path, "strict_image"), (path / "labels" / "lesion", "strict_label")):
        attributes = json.loads((group / "zarr.json").read_text())["attributes"]
        validator = jsonschema.Draft202012Validator(by_name[f"{name}.schema"], registry=registry)
        assert [e.message for e in validator.iter_errors(attributes)] == []


def test_ome_zarr_py_reads_image_and_label(path: Path, array: Any) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    image, *others = [node for node in Reader(parse_url(str(path)))() if node.data]
    np.testing.assert_array_equal(image.data[0].compute(), array)
    assert image.metadata["channel_names"] == ["GFAP", "NeuN"]
    assert image.metadata["name"] == "cord"
    assert [d.shape[1:] for d in image.data] == [level.shape for level in open_image(path).levels]
    first = image.metadata["coordinateTransformations"][0]
    assert [step.get("scale", step.get("translation")) for step in first] == [
        [1, *SPACING],
        [0, *TRANSLATION],
    ]
    assert len(others) == 1
    np.testing.assert_array_equal(others[0].data[0].compute(), array[0] % 3)


def test_ngio_reads_image_label_and_tables(path: Path, array: Any) -> None:
    import ngio

    container = ngio.open_ome_zarr_container(path)
    image = container.get_image(path="0")
    assert container.channel_labels == ["GFAP", "NeuN"]
    assert (image.pixel_size.z, image.pixel_size.y, image.pixel_size.x) == SPACING
    np.testing.assert_array_equal(image.get_as_numpy(), array)
    assert container.list_labels() == ["lesion"]
    label = container.get_label("lesion", path="0")
    np.testing.assert_array_equal(label.get_as_numpy(), array[0] % 3)
    assert container.list_tables() == ["cells", "classes"]
    cells = container.get_table("cells").dataframe
    assert cells.index.tolist() == CELLS["cell"]
    np.testing.assert_array_equal(cells["z_um"], [1.5, np.nan, 2.5])
    assert [r if isinstance(r, str) else None for r in cells["rejected"]] == CELLS["rejected"]
    classes = container.get_table("classes")
    assert classes.reference_label == "lesion"
    assert classes.dataframe.index.tolist() == [1, 2]


def test_a_table_that_ngio_writes_is_read(path: Path) -> None:
    import ngio
    import pandas as pd

    frame = pd.DataFrame({"name": ["x", None], "volume": [1.0, 2.0]}, index=[3, 4])
    container = ngio.open_ome_zarr_container(path)
    container.add_table("theirs", ngio.tables.GenericTable(frame), backend="parquet")
    store = ResultStore(path)
    assert store.table_names() == ("cells", "classes", "theirs")
    read = store.table("theirs")
    assert read["name"].to_pylist() == ["x", None]
    assert read["volume"].to_pylist() == [1, 2]


def test_napari_shows_channels_and_label_in_their_places(path: Path, array: Any) -> None:
    from napari.layers import Layer
    from napari_ome_zarr import napari_get_reader

    reader = napari_get_reader(str(path))
    assert reader is not None
    # One layer for all channels, or one a channel: versions of the reader differ.
    *channels, label = reader(str(path))
    assert {kind for _, _, kind in channels} == {"image"}
    names = np.concatenate([np.atleast_1d(about["name"]) for _, about, _ in channels])
    assert names.tolist() == ["cord: GFAP", "cord: NeuN"]
    layer = Layer.create(*label)
    assert "lesion" in layer.name
    assert tuple(layer.scale) == SPACING
    np.testing.assert_array_equal(np.asarray(layer.data[0]), array[0] % 3)


def test_napari_opens_the_image_through_its_plugins(path: Path, array: Any) -> None:
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    viewer = ViewerModel()
    viewer.open(str(path), plugin="napari-ome-zarr")
    names = [layer.name for layer in viewer.layers]
    assert names[:2] == ["cord: GFAP", "cord: NeuN"]
    for channel, layer in enumerate(viewer.layers[:2]):
        np.testing.assert_allclose(layer.scale, SPACING)
        assert {str(unit) for unit in layer.units} == {"micrometer"}
        np.testing.assert_array_equal(np.asarray(layer.data[0]), array[channel])


@pytest.mark.xfail(
    reason="napari-ome-zarr 0.10 keeps the first transformation, the scale, and drops the next",
    strict=False,
)
def test_napari_shows_the_image_at_its_position(path: Path) -> None:
    from napari.layers import Layer
    from napari_ome_zarr import napari_get_reader

    reader = napari_get_reader(str(path))
    assert reader is not None
    *_, label = reader(str(path))
    layer = Layer.create(*label)
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), TRANSLATION)
