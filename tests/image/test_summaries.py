"""What `summarize` says about images, stores of results and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from scimage.errors import FormatError, UsageError
from scimage.image import LabelClass, ResultStore, summarize


def add_results(store: ResultStore, describe: Any, pixels_of: Any) -> None:
    labels = np.ones((1, 4, 20, 20), "uint8")
    with store.new_results("test") as new:
        new.write_label(
            "lesion", describe(labels, channels=()), pixels_of(labels),
            [LabelClass(1, "core", (255, 0, 0, 255))],
        )  # fmt: skip
        new.write_table("cells", pa.table({"n": [1]}), index_key="n", provenance={})
        new.publish({})


RESULTS = {
    "labels": {
        "lesion": {
            "shape": [4, 20, 20],
            "dtype": "uint8",
            "spacing_um": [4, 1, 1],
            "classes": {1: "core"},
        }
    },
    "tables": {"cells": "generic_table"},
}


def test_an_image_is_described_with_its_results(
    tmp_path: Path, write: Any, ramp: Any, describe: Any, pixels_of: Any
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((2, 4, 200, 20)), translation_um=(1, 2, 3))
    add_results(ResultStore(path), describe, pixels_of)
    summary = summarize(path)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert summary == {
        "path": str(path),
        "format": "OME-Zarr 0.5",
        "axes": "czyx",
        "shape": [2, 4, 200, 20],
        "dtype": "uint16",
        "spacing_um": [4, 1, 1],
        "spacing_origin": "test",
        "translation_um": [1, 2, 3],
        "channels": ["stain0", "stain1"],
        "pyramid": [
            {"path": "0", "shape": [4, 200, 20], "spacing_um": [4, 1, 1]},
            {"path": "1", "shape": [4, 100, 10], "spacing_um": [4, 2, 2]},
        ],
        **RESULTS,
        "bytes": size,
    }
    assert json.loads(json.dumps(summary))["shape"] == [2, 4, 200, 20]


def test_a_store_of_results_is_described_without_an_image(
    tmp_path: Path, describe: Any, pixels_of: Any
) -> None:
    add_results(ResultStore(tmp_path / "r.zarr"), describe, pixels_of)
    summary = summarize(str(tmp_path / "r.zarr"))
    assert summary.pop("bytes") > 0
    assert summary == {"path": str(tmp_path / "r.zarr"), "format": "results of scimage", **RESULTS}


def test_a_microscope_file_is_described(tmp_path: Path, ramp: Any) -> None:
    file = tmp_path / "s.tif"
    tifffile.imwrite(file, ramp((3, 10, 12), "uint8"), photometric="minisblack")
    summary = summarize(file)
    assert summary["shape"] == [1, 3, 10, 12]
    assert summary["dtype"] == "uint8"
    assert summary["spacing_um"] is None
    assert summary["channels"] == ["channel_0"]


def test_an_image_of_unknown_spacing_is_described(tmp_path: Path, foreign: Any, ramp: Any) -> None:
    summary = summarize(foreign(tmp_path / "i.zarr", ramp((8, 8)), "yx"))
    assert summary["format"] == "OME-Zarr 0.4"
    assert summary["spacing_um"] is None
    assert summary["spacing_origin"] == "the image has no z axis"


def test_what_is_none_of_these_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"x\.txt"):
        summarize(tmp_path / "x.txt")
    with pytest.raises(UsageError, match="no such file or folder"):
        summarize(tmp_path / "missing")
