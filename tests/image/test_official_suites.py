"""The official NGFF suites and the example stores: accepted or refused as they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scimage.errors import FormatError
from scimage.image import ResultStore, open_image, summarize
from scimage.image.metadata import parse_image_label, parse_metadata

PARSERS = {
    "image": parse_metadata,
    "strict_image": parse_metadata,
    "label": parse_image_label,
    "strict_label": parse_image_label,
}
# Deliberate differences, and why.
_OTHER_AXES = "valid NGFF, but scimage reads the axes t, c, z, y, x only"
_STRICT = "breaks only what NGFF recommends (SHOULD): read, but never written"
DIFFERENT = {
    ("0.4", "image", "valid/mismatch_axes_units.json"): (
        "a scale of 2 numbers for 3 axes, which the text of 0.4 forbids although its schema passes"
    ),
    ("0.4", "image", "valid/untyped_axes.json"): _OTHER_AXES,
    ("0.4", "image", "valid/custom_type_axes.json"): _OTHER_AXES,
    ("0.5", "image", "valid/untyped_axes.json"): _OTHER_AXES,
    ("0.5", "image", "valid/custom_type_axes.json"): _OTHER_AXES,
    ("0.4", "strict_label", "image-label/no_version"): _STRICT,
    ("0.4", "strict_label", "image-label/no_colors"): _STRICT,
    ("0.5", "strict_label", "image-label/no_colors"): _STRICT,
}


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "ome_zarr"


def items(folder: Path, version: str, suite: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    file = folder / f"ngff_{version}" / "tests" / f"{suite}_suite.json"
    for item in json.loads(file.read_text())["tests"]:
        yield item["formerly"], item["data"], item["valid"]


@pytest.mark.parametrize("suite", PARSERS)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_suite_items_are_accepted_or_refused(folder: Path, version: str, suite: str) -> None:
    answers, expected, subjects = {}, {}, set()
    for name, data, valid in items(folder, version, suite):
        expected[name] = valid != ((version, suite, name) in DIFFERENT)
        try:
            PARSERS[suite](name, data, {"0.4": 2, "0.5": 3}[version])
        except FormatError as error:
            answers[name] = False
            subjects.add((name, error.subject))
        else:
            answers[name] = True
    assert len(answers) >= 1
    assert answers == expected
    assert all(name == subject for name, subject in subjects)


def test_items_of_the_next_version_are_refused_by_their_version(folder: Path) -> None:
    stores = sorted((folder / "ngff_0.6rc0" / "tests").rglob("*.ome.zarr"))
    stores += sorted((folder / "models_examples" / "examples" / "v06").rglob("*.zarr"))
    assert len(stores) > 50
    stated = 0
    for store in stores:
        with pytest.raises(FormatError) as caught:
            open_image(store)
        try:
            ome = json.loads((store / "zarr.json").read_text())["attributes"].get("ome")
        except ValueError:  # some invalid items of the suite are not even JSON
            continue
        if isinstance(ome, dict) and "version" in ome:
            stated += 1
            assert caught.value.found == f"NGFF version {ome['version']}"
            assert caught.value.expected == "OME-Zarr of version 0.4 or 0.5"
    assert stated > 50


@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [
        ("image-01", (1, 1, 1000, 1000), None),
        ("image-02", (1, 1, 200, 200), None),
        ("image-03", (1, 2, 100, 100), (1, 1, 1)),
        ("image-04", (1, 2, 64, 64), (1, 1, 1)),
    ],
)
def test_valid_example_stores_are_read(
    folder: Path, name: str, shape: tuple[int, ...], spacing: Any
) -> None:
    image = open_image(folder / "examples_v04" / "valid" / f"{name}.zarr")
    assert image.shape == shape
    assert image.levels[0].spacing_um == spacing
    for level in image.levels:
        assert image.read(0, level=level.index).shape == level.shape


def test_labels_of_the_example_stores_are_listed(folder: Path) -> None:
    labelled = {
        store.stem: ResultStore(store).label_names()
        for store in sorted((folder / "examples_v04" / "valid").glob("image-*.zarr"))
    }
    for store, names in labelled.items():
        attributes = folder / "examples_v04" / "valid" / f"{store}.zarr" / "labels" / ".zattrs"
        stated = json.loads(attributes.read_text())["labels"] if attributes.exists() else []
        assert list(names) == stated


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("image-01", "without 'multiscales' metadata"),
        ("image-02", "invalid NGFF 0.4 metadata at multiscales"),
        ("image-03", "no Zarr array"),
    ],
)
def test_invalid_example_stores_are_refused(folder: Path, name: str, found: str) -> None:
    with pytest.raises(FormatError, match=found):
        open_image(folder / "examples_v04" / "invalid" / f"{name}.zarr")


def test_the_example_store_with_a_warning_is_read(folder: Path) -> None:
    image = open_image(folder / "examples_v04" / "warning" / "image-01.zarr")
    assert image.read(0).shape == image.shape[1:]


def test_a_plate_is_refused_and_its_images_named(folder: Path) -> None:
    plate = folder / "examples_v04" / "valid" / "plate-01.zarr"
    with pytest.raises(FormatError, match="a plate of several OME-Zarr images") as caught:
        open_image(plate)
    named = caught.value.remedy.removeprefix("Name one image inside it, for example ")
    images = named.removesuffix(".").split(", ")
    assert len(images) == 3
    assert all(Path(image).is_relative_to(plate) and Path(image).is_dir() for image in images)


def test_a_well_is_refused_and_its_images_named(folder: Path) -> None:
    plate = folder / "models_examples" / "examples" / "v04" / "hcs_example.ome.zarr"
    well = plate / "B" / "03"
    for path, what in ((well, "a well"), (plate, "a plate")):
        with pytest.raises(FormatError, match=f"{what} of several") as caught:
            open_image(path)
        assert caught.value.remedy == f"Name one image inside it, for example {well}/0."
    assert open_image(well / "0").metadata.version == "0.4"


def test_a_set_of_bioformats2raw_is_refused_and_its_images_named(
    tmp_path: Path, foreign: Any, ramp: Any
) -> None:
    import zarr

    root = zarr.create_group(
        tmp_path / "set.zarr",
        zarr_format=3,
        attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}},
    )
    root.create_group("OME", attributes={"ome": {"version": "0.5", "series": ["0", "1"]}})
    with pytest.raises(FormatError, match=r"a set of several .*set\.zarr/0, .*set\.zarr/1\."):
        open_image(tmp_path / "set.zarr")


def test_a_plate_cannot_make_us_look_outside(tmp_path: Path) -> None:
    import zarr

    wells = [{"path": "../../etc"}, {"path": 5}, "x"]
    zarr.create_group(
        tmp_path / "p.zarr", zarr_format=2, attributes={"plate": {"version": "0.4", "wells": wells}}
    )
    with pytest.raises(FormatError, match=r"for example PATH/0\."):
        open_image(tmp_path / "p.zarr")


def test_the_cardiomyocytes_of_fractal_are_read_with_their_label(folder: Path) -> None:
    path = folder / "fractal_cardio_v04.zarr"
    image = open_image(path)
    assert image.shape == (3, 1, 2160, 2560)
    assert image.spacing_um == (1.0, 0.325, 0.325)
    assert [c.name for c in image.channels] == ["DAPI", "nanog", "Lamin B1"]
    assert image.read("DAPI", level=3).any()
    store = ResultStore(path)
    assert store.label_names() == ("nuclei",)
    assert store.label("nuclei").read(0, level=3).max() > 0
    summary = summarize(path)
    assert summary["labels"]["nuclei"]["spacing_um"] == [1.0, 0.325, 0.325]
    assert sorted(summary["tables"]) == sorted(store.table_names())


def test_single_metadata_examples_are_accepted(folder: Path) -> None:
    examples = folder / "models_examples" / "examples"
    accepted, refused = [], []
    for version, zarr_format in (("v04", 2), ("v05", 3)):
        for file in sorted((examples / version).glob("*.json")):
            content = json.loads(file.read_text())
            attributes = content.get("attributes", content)
            if "multiscales" in attributes.get("ome", attributes):
                try:
                    parse_metadata(str(file), attributes, zarr_format)
                    accepted.append(f"{version}/{file.stem}")
                except FormatError as error:
                    refused.append((f"{version}/{file.stem}", error.found))
    assert len(accepted) == 5
    assert refused == [("v05/image_no_version_example", "NGFF version none stated")]
