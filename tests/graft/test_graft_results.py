"""Tables, stores and refusals of counting."""

from __future__ import annotations

import pyarrow as pa
import pytest

from scimage import GraftParameters, count_grafts
from scimage.errors import ChannelError, TargetExistsError, UsageError
from scimage.image import ResultStore

CENTRES = [(16.0, 16.0, 16.0), (30.0, 30.0, 16.0)]
HNA = GraftParameters(nuclei="HNA")


@pytest.fixture
def image(stored, tissue):
    lit = tissue((48, 48, 48), centres_um=CENTRES)
    return stored({"HNA": lit, "DNA": lit})


def refuse_work(stage: str, done: int, total: int) -> None:
    pytest.fail(f"{stage} began")


def test_the_table_has_the_documented_columns(image):
    schema = count_grafts(image, HNA).cells.schema
    double = pa.float64()
    assert {f.name: f.type for f in schema} == {
        "cell_id": pa.int64(), "z_um": double, "y_um": double, "x_um": double,
        "diameter_um": double, "score": double, "snr": double, "roundness": double,
        "mean_HNA": double, "background_HNA": double, "mean_DNA": double,
        "background_DNA": double, "class": pa.string(), "rejected_reason": pa.string(),
    }  # fmt: skip


def test_an_empty_table_has_the_same_columns(image, stored, tissue):
    dark = tissue((48, 48, 48))
    empty = count_grafts(stored({"HNA": dark, "DNA": dark}), HNA).cells
    assert empty.num_rows == 0
    assert empty.schema.equals(count_grafts(image, HNA).cells.schema)


def test_cells_are_numbered_from_one_and_measured_above_their_surroundings(image):
    cells = count_grafts(image, HNA).cells
    assert cells["cell_id"].to_pylist() == [1, 2]
    for name in ("HNA", "DNA"):
        assert cells[f"mean_{name}"].to_pylist() == pytest.approx([650, 650], rel=0.15)
        assert cells[f"background_{name}"].to_pylist() == pytest.approx([200, 200], rel=0.1)


def test_the_stored_table_is_the_returned_one_and_says_how_it_was_made(image):
    result = count_grafts(image, HNA)
    store = ResultStore(image.path)
    about = store.table_attributes("graft_cells")["scimage"]
    assert store.table("graft_cells").equals(result.cells)
    assert (about["detected"], about["kept"], about["rejected"]) == (2, 2, {})
    assert about["parameters"]["min_snr"] == HNA.min_snr
    assert about["spacing_um"] == [1.0, 1.0, 1.0]


def test_a_missing_channel_is_named_with_those_that_exist(image):
    with pytest.raises(ChannelError, match=r"no channel 'GFP'; expected one of HNA \(0\), DNA"):
        count_grafts(image, GraftParameters(nuclei="GFP"))
    with pytest.raises(ChannelError, match="no channel 'AF'"):
        count_grafts(image, GraftParameters(nuclei="HNA", autofluorescence="AF"))


def test_an_earlier_table_is_refused_before_any_work(image):
    first = count_grafts(image, HNA).cells
    with pytest.raises(TargetExistsError, match="graft_cells"):
        count_grafts(image, GraftParameters(nuclei="DNA", min_snr=1e3), report=refuse_work)
    assert ResultStore(image.path).table("graft_cells").equals(first)


def test_an_earlier_table_is_replaced_when_asked(image):
    count_grafts(image, HNA)
    none = count_grafts(image, GraftParameters(nuclei="HNA", min_snr=1e3), overwrite=True)
    assert none.n_detected == ResultStore(image.path).table("graft_cells").num_rows == 0


def test_results_go_to_another_store_when_asked(image, tmp_path):
    result = count_grafts(image, HNA, output=tmp_path / "results.zarr")
    assert result.store.path == tmp_path / "results.zarr"
    assert ResultStore(tmp_path / "results.zarr").table("graft_cells").num_rows == 2
    assert ResultStore(image.path).table_names() == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_snr": 0}, "--min-snr: 0; expected a number from 0.1 to 1000"),
        ({"min_snr": float("nan")}, "--min-snr: nan"),
        ({"threshold": float("inf")}, "--threshold: inf"),
        ({"diameter_um": (12, 5)}, "--diameter-um: 12,5; expected the smaller diameter first"),
        ({"diameter_um": (-1, 5)}, "--diameter-um: -1"),
        ({"background": "sphere"}, "--background: 'sphere'; expected one of volume, plane"),
        ({"diameter_slack": 0.5}, "--diameter-slack: 0.5"),
        ({"separation": 3}, "--separation: 3"),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        GraftParameters(nuclei="HNA", **wrong)
