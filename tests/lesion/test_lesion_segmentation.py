"""A lesion of known shape has its known volume, whichever way the cord lies."""

from __future__ import annotations

import numpy as np
import pytest

from scimage import LesionParameters, segment_lesion
from scimage.errors import ChannelError, TargetExistsError, UsageError
from scimage.image import ResultStore
from scimage.lesion import LabelValue
from scimage.review import dice

GFAP = LesionParameters(gfap="GFAP", tissue="DNA")


@pytest.fixture
def injured(stored, cord):
    made = cord()
    return made, stored(made.channels, made.spacing_um)


def test_volumes_are_those_of_the_geometry(injured):
    truth, image = injured
    found = segment_lesion(image, GFAP).measurements
    assert found["lesion_mm3"] == pytest.approx(truth.lesion_mm3, rel=0.03)
    assert found["cavity_mm3"] == pytest.approx(truth.cavity_mm3, rel=0.06)
    assert found["cord_mm3"] == pytest.approx(truth.cord_mm3, rel=0.01)
    assert found["lesion_core_mm3"] + found["cavity_mm3"] == pytest.approx(found["lesion_mm3"])


def test_the_lesion_lies_where_it_is(injured):
    truth, image = injured
    found = segment_lesion(image, GFAP).measurements
    assert found["epicentre_um"] == pytest.approx(truth.epicentre_um, abs=30)
    assert found["centroid_z_um"] == pytest.approx(500, abs=3)
    assert found["centroid_y_um"] == pytest.approx(512, abs=3)
    assert found["centroid_x_um"] == pytest.approx(512, abs=3)
    assert found["lesion_length_um"] == pytest.approx(520, abs=30)
    assert found["lesion_length_um"] - found["lesion_extent_um"] == 10


def test_a_hole_in_the_lesion_is_cavity_and_the_canal_is_not(injured):
    truth, image = injured
    labels = segment_lesion(image, GFAP).labels()
    assert labels[50, 64, 64] == LabelValue.CAVITY
    canal = labels[:, 64 + 40, 64]
    assert (canal == LabelValue.CANAL_OR_FISSURE).all()
    volume = (labels == LabelValue.CANAL_OR_FISSURE).sum() * np.prod(truth.spacing_um) * 1e-9
    assert volume == pytest.approx(truth.canal_mm3, rel=0.1)


def test_without_a_tissue_channel_the_cavity_is_part_of_the_lesion(injured):
    truth, image = injured
    result = segment_lesion(image, LesionParameters(gfap="GFAP"))
    assert result.measurements["lesion_mm3"] == pytest.approx(truth.lesion_mm3, rel=0.03)
    assert not (result.labels() == LabelValue.CAVITY).any()
    stored_row = result.store.table("lesion_measurements").to_pylist()[0]
    assert stored_row["cavity_mm3"] is None


def test_without_a_tissue_channel_a_given_threshold_finds_the_lesion(injured):
    truth, image = injured
    parameters = LesionParameters(gfap="GFAP", tissue_threshold=250)
    result = segment_lesion(image, parameters)
    assert result.tissue_threshold == 250
    assert not (result.labels() == LabelValue.CAVITY).any()
    assert result.measurements["lesion_mm3"] == pytest.approx(truth.lesion_mm3, rel=0.03)
    assert result.store.table("lesion_measurements").to_pylist()[0]["cavity_mm3"] is None


def test_a_gap_in_the_border_is_bridged(stored, cord):
    truth = cord(cavity=False, border_gap_um=60)
    found = segment_lesion(stored(truth.channels, truth.spacing_um), GFAP).measurements
    assert found["lesion_mm3"] == pytest.approx(truth.lesion_mm3, rel=0.05)


def test_a_border_that_is_wide_open_encloses_nothing(stored, cord):
    truth = cord(cavity=False, border_gap_um=240)
    image = stored(truth.channels, truth.spacing_um)
    assert segment_lesion(image, GFAP).measurements["lesion_mm3"] == 0


def test_an_intact_cord_has_no_lesion(stored, cord):
    truth = cord(lesion=False, cavity=False)
    result = segment_lesion(stored(truth.channels, truth.spacing_um), GFAP)
    found = result.measurements
    assert found["lesion_mm3"] == found["lesion_core_mm3"] == found["cavity_mm3"] == 0
    assert found["max_lesion_area_mm2"] == 0
    for name in ("epicentre_um", "lesion_extent_um", "lesion_length_um",
                 "max_axial_damage_ratio", "centroid_z_um"):  # fmt: skip
        assert found[name] is None
    assert found["cord_mm3"] == pytest.approx(truth.cord_mm3, rel=0.01)
    profile = result.profile_table()
    assert set(profile["rostrocaudal_position_um"].to_pylist()) == {None}
    assert sum(profile["lesion_mm2"].to_pylist()) == 0


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((24, 24, 24), np.uint16), id="all zeros"),
        pytest.param(np.full((24, 24, 24), 65535, np.uint16), id="saturated"),
        pytest.param(np.full((24, 24, 24), np.nan, np.float32), id="all NaN"),
        pytest.param(np.full((1, 1, 1), 7, np.uint16), id="one voxel"),
        pytest.param(np.full((1, 40, 40), 7, np.uint16), id="one plane"),
    ],
)
def test_an_image_without_contrast_has_no_lesion(stored, pixels):
    image = stored({"GFAP": pixels, "DNA": pixels}, (10.0, 8.0, 8.0))
    result = segment_lesion(image, GFAP)
    assert result.measurements["lesion_mm3"] == 0
    assert result.measurements["epicentre_um"] is None
    assert result.labels().shape == pixels.shape


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_axis_of_the_cord_does_not_change_volumes(injured, stored, axis):
    truth, image = injured
    upright = segment_lesion(image, GFAP)
    to = "zyx".index(axis)
    turned = {name: np.swapaxes(a, 0, to).copy() for name, a in truth.channels.items()}
    spacing = list(truth.spacing_um)
    spacing[0], spacing[to] = spacing[to], spacing[0]
    parameters = LesionParameters(gfap="GFAP", tissue="DNA", rostrocaudal_axis=axis)
    lying = segment_lesion(stored(turned, (spacing[0], spacing[1], spacing[2])), parameters)
    assert dice(np.swapaxes(lying.labels(), 0, to) == 3, upright.labels() == 3) > 0.999
    for name in ("lesion_mm3", "cavity_mm3", "cord_mm3", "canal_or_fissure_mm3",
                 "epicentre_um", "lesion_length_um", "max_axial_damage_ratio"):  # fmt: skip
        assert lying.measurements[name] == pytest.approx(upright.measurements[name], rel=1e-3)


def test_the_rostral_end_turns_the_profile_and_its_signs_but_no_volume(injured):
    _, image = injured
    first = segment_lesion(image, GFAP)
    tail = LesionParameters(gfap="GFAP", tissue="DNA", rostral_end="last")
    last = segment_lesion(image, tail, overwrite=True)
    assert last.measurements == first.measurements
    a, b = first.profile.profile_table().to_pydict(), last.profile.profile_table().to_pydict()
    assert b["image_index"] == a["image_index"][::-1]
    assert b["position_um"] == a["position_um"][::-1]
    assert b["rostrocaudal_position_um"] == [-p for p in a["rostrocaudal_position_um"][::-1]]
    assert a["rostrocaudal_position_um"][0] < 0 < a["rostrocaudal_position_um"][-1]
    assert b["rostrocaudal_position_um"][0] < 0 < b["rostrocaudal_position_um"][-1]


def test_the_profile_sums_to_the_volumes(injured):
    _, image = injured
    result = segment_lesion(image, GFAP)
    table, found = result.profile_table(), result.measurements
    for name in ("lesion", "lesion_core", "cavity", "astroglial_border", "spared_tissue",
                 "canal_or_fissure", "cord"):  # fmt: skip
        areas = table[f"{name}_mm2"].to_numpy()
        assert areas.sum() * 0.010 == pytest.approx(found[f"{name}_mm3"], rel=1e-9)


def test_small_enclosed_spots_are_not_called_lesion(injured):
    _, image = injured
    parameters = LesionParameters(gfap="GFAP", tissue="DNA", min_lesion_mm3=0.1)
    assert segment_lesion(image, parameters).measurements["lesion_mm3"] == 0


def test_earlier_results_are_refused_before_any_work(injured):
    _, image = injured
    segment_lesion(image, GFAP)

    def refuse_work(stage: str, done: int, total: int) -> None:
        pytest.fail(f"{stage} began")

    with pytest.raises(TargetExistsError, match="lesion"):
        segment_lesion(image, GFAP, report=refuse_work)


def test_results_go_to_another_store_when_asked(injured, tmp_path):
    _, image = injured
    segment_lesion(image, GFAP, output=tmp_path / "results.zarr")
    store = ResultStore(tmp_path / "results.zarr")
    assert store.label_names() == ("lesion",)
    assert store.table_names() == ("lesion_measurements", "lesion_profile")
    assert ResultStore(image.path).label_names() == ()


def test_a_missing_channel_is_named_with_those_that_exist(injured):
    _, image = injured
    with pytest.raises(ChannelError, match=r"no channel 'NF'; expected one of GFAP \(0\), DNA"):
        segment_lesion(image, LesionParameters(gfap="NF"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"working_um": 0}, "--working-um: 0"),
        ({"smoothing_um": -1}, "--smoothing-um: -1"),
        ({"gap_um": float("nan")}, "--gap-um: nan"),
        ({"border_threshold": float("inf")}, "--border-threshold: inf"),
        ({"rostrocaudal_axis": "c"}, "--rostrocaudal-axis: 'c'; expected one of z, y, x"),
        ({"rostral_end": "top"}, "--rostral-end: 'top'; expected one of first, last"),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        LesionParameters(gfap="GFAP", **wrong)


def test_a_sham_cord_has_no_lesion_and_says_why(stored):
    rng = np.random.default_rng(0)
    stack = rng.normal(100, 5, (2, 40, 60, 60))
    stack[:, :, 10:50, 10:50] += 300
    gfap, dna = stack.astype(np.uint16)
    image = stored({"GFAP": gfap, "DNA": dna}, (10, 10, 10))
    result = segment_lesion(image, GFAP)
    assert result.measurements["lesion_mm3"] == 0
    assert result.qc_flag in ("no_dense_gfap", "nothing_enclosed")
    row = result.store.table("lesion_measurements").to_pylist()[0]
    assert (row["qc_flag"], row["epicentre_um"]) == (result.qc_flag, None)


@pytest.mark.parametrize("light_loss", ["evened", "as_is"])
def test_light_that_is_lost_in_depth_does_not_open_the_border(stored, light_loss):
    z, y, x = np.ogrid[:70, :100, :100]
    r = 10 * np.sqrt((z - 35.0) ** 2 + (y - 50.0) ** 2 + (x - 50.0) ** 2)
    inside = 10 * np.hypot(y - 50, x - 50) + 0 * z < 450
    gfap = np.where(inside, np.where(r < 180, 50, np.where(r < 260, 800, 200)), 0)
    dimming = np.exp(-10 * y / 700.0)
    stack = np.stack([100 + gfap * dimming, np.where(inside, 400, 100)])
    gfap, dna = np.random.default_rng(0).poisson(stack).astype(np.uint16)
    image = stored({"GFAP": gfap, "DNA": dna}, (10.0, 10.0, 10.0))
    parameters = LesionParameters(gfap="GFAP", tissue="DNA", light_loss=light_loss)
    result = segment_lesion(image, parameters)
    truth = 4 / 3 * np.pi * 0.18**3
    if light_loss == "as_is":
        assert result.measurements["lesion_mm3"] != pytest.approx(truth, rel=0.05)
    else:
        assert result.decay_px[1] == pytest.approx(-10 / 700, rel=0.1)
        assert result.measurements["lesion_mm3"] == pytest.approx(truth, rel=0.05)
