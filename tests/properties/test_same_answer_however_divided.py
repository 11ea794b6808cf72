"""The promise: no block size, executor or order of completion changes a bit of a result."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimage import GraftParameters, LesionParameters
from scimage.lesion.classes import LabelValue
from scimage.phantom import PRESETS, Phantom

GRAFT = GraftParameters(nuclei="nuclei", autofluorescence="glow", diameter_um=(6.0, 10.0))
PLANE = GraftParameters(nuclei="nuclei", diameter_um=(8.0, 8.0), background="plane", min_snr=4)
LESION = LesionParameters(
    gfap="gfap", tissue="glow", gap_um=40, border_width_um=80, min_lesion_mm3=0.0001
)
NO_TISSUE = LesionParameters(gfap="gfap", gap_um=0, border_width_um=40, min_lesion_mm3=0)
SPACING = (2.5, 1.5, 1.5)
COARSE = (20.0, 20.0, 20.0)
EXECUTORS = ("serial", "dask-1", "dask-2")

# A block costs its halo: an example in the quick profile is one division into up to 27 blocks.
few = settings(
    max_examples=max(3, settings.default.max_examples // 4),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def block_shapes(shape):
    """Blocks of at least a third of the volume along each axis, also larger than the volume."""
    return st.tuples(*(st.integers(-(-n // 3), n + 3) for n in shape))


@pytest.fixture(scope="module")
def graft_image(stored, nuclei):
    return stored("nuclei", nuclei(), SPACING)


@pytest.fixture(scope="module")
def graft_reference(graft_image, counted):
    return counted(graft_image, GRAFT, (24, 40, 44))


@pytest.fixture(scope="module")
def lesion_image(stored, lesion):
    return stored("lesion", lesion(), COARSE)


@pytest.fixture(scope="module")
def lesion_reference(lesion_image, segmented):
    return segmented(lesion_image, LESION, (24, 40, 44))


def test_the_reference_counts_nuclei_on_faces_edges_corners_and_the_border_once(graft_reference):
    table = graft_reference[0]
    kept = [c == "kept" for c in table["class"][1]]

    assert len(kept) == 13
    assert sum(kept) == 10
    assert table["rejected_reason"][1].count("autofluorescent") == 3


def test_the_reference_holds_all_compartments(lesion_reference):
    counts = lesion_reference[0]

    assert sum(n > 0 for n in counts) >= 5
    assert lesion_reference[2]["cavity_mm3"][1] != [float(0).hex()]


@few
@given(block=block_shapes((24, 40, 44)), executor=st.sampled_from(EXECUTORS))
def test_any_division_and_executor_counts_the_same_cells(
    graft_image, graft_reference, counted, schedulers, block, executor
):
    assert counted(graft_image, GRAFT, block, schedulers[executor]) == graft_reference


@few
@given(block=block_shapes((24, 40, 44)), executor=st.sampled_from(EXECUTORS))
def test_any_division_and_executor_segments_the_same_lesion(
    lesion_image, lesion_reference, segmented, schedulers, block, executor
):
    assert segmented(lesion_image, LESION, block, schedulers[executor]) == lesion_reference


BLOCKS = [(12, 20, 22), (8, 40, 17), (24, 13, 44)]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("block", BLOCKS)
def test_three_divisions_on_each_executor_count_the_same_cells(
    graft_image, graft_reference, counted, schedulers, block, executor
):
    assert counted(graft_image, GRAFT, block, schedulers[executor]) == graft_reference


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("block", BLOCKS)
def test_three_divisions_on_each_executor_segment_the_same_lesion(
    lesion_image, lesion_reference, segmented, schedulers, block, executor
):
    assert segmented(lesion_image, LESION, block, schedulers[executor]) == lesion_reference


CASES = {
    "float32 with NaN": ((24, 40, 44), np.float32, [(12, 20, 22), (7, 40, 25)]),
    "uint8": ((24, 40, 44), np.uint8, [(12, 20, 22)]),
    "int16 below zero": ((24, 40, 44), np.int16, [(12, 20, 22)]),
    "one plane": ((1, 40, 44), np.uint16, [(1, 20, 22), (1, 7, 44)]),
    "thin along y": ((24, 1, 44), np.uint16, [(12, 1, 22), (5, 1, 11)]),
    "blocks of one plane": ((5, 21, 23), np.uint16, [(1, 21, 23)]),
    "prime sizes": ((13, 29, 31), np.uint16, [(5, 11, 17), (7, 29, 13)]),
    "smaller than a block": ((6, 9, 11), np.uint16, [(128, 128, 128), (5, 5, 5)]),
}


@pytest.mark.parametrize("parameters", [GRAFT, PLANE], ids=["volume", "plane"])
@pytest.mark.parametrize("case", CASES)
def test_cells_of_unusual_images_do_not_depend_on_the_division(
    stored, nuclei, counted, case, parameters
):
    shape, dtype, blocks = CASES[case]
    image = stored(f"nuclei of {case}", nuclei(shape, dtype), SPACING)
    whole = counted(image, parameters, shape)

    assert len(whole[0]["cell_id"][1]) > 0
    for block in blocks:
        assert counted(image, parameters, block) == whole


@pytest.mark.parametrize("parameters", [LESION, NO_TISSUE], ids=["tissue", "no tissue"])
@pytest.mark.parametrize("case", [c for c in CASES if c != "uint8"])
def test_lesions_of_unusual_images_do_not_depend_on_the_division(
    stored, lesion, segmented, case, parameters
):
    shape, dtype, blocks = CASES[case]
    image = stored(f"lesion of {case}", lesion(shape, dtype), COARSE)
    whole = segmented(image, parameters, shape)

    for block in blocks:
        assert segmented(image, parameters, block) == whole


@pytest.mark.slow
def test_a_phantom_has_the_same_cells_and_lesion_however_divided(
    stored, counted, segmented, schedulers
):
    phantom = Phantom(PRESETS["tiny"])
    everything = tuple(slice(0, n) for n in phantom.shape)
    pixels = {channel: phantom.render(channel, everything) for channel in phantom.channels}
    image = stored("phantom", pixels, phantom.spacing_um)
    graft = GraftParameters(nuclei="human_nuclei", dna="DNA", autofluorescence="autofluorescence")
    # The preset is a cord at 0.15 of its size, and so are these lengths.
    lesion = LesionParameters(
        gfap="GFAP", tissue="autofluorescence", working_um=2, smoothing_um=2, gap_um=16,
        border_width_um=30, min_lesion_mm3=1e-5,
    )  # fmt: skip
    halves = tuple(-(-n // 2) for n in phantom.shape)

    whole = counted(image, graft, phantom.shape), segmented(image, lesion, phantom.shape)

    assert whole[0][0]["class"][1].count("kept") > 10
    assert whole[1][0][LabelValue.LESION_CORE] > 0
    parts = (
        counted(image, graft, halves, schedulers["dask-2"]),
        segmented(image, lesion, halves, schedulers["dask-2"]),
    )
    assert parts == whole


_SCRIPT = """
import sys
from scimage import Execution, GraftParameters, count_grafts
from scimage.image import open_image
p = GraftParameters(nuclei="nuclei", autofluorescence="glow", diameter_um=(6.0, 10.0))
e = Execution(workers=1, block=(12, 20, 22))
r = count_grafts(open_image(sys.argv[1]), p, output=sys.argv[2], execution=e)
for column in r.cells.columns:
    print([v.hex() if isinstance(v, float) else v for v in column.to_pylist()])
"""


def test_the_order_of_hashes_changes_nothing(graft_image, graft_reference, tmp_path):
    digests = set()
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", _SCRIPT, graft_image.path, tmp_path / f"{seed}.ome.zarr"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        digests.add(hashlib.sha256(out.encode()).hexdigest())

    expected = "".join(f"{values}\n" for _, values in graft_reference[0].values())
    assert digests == {hashlib.sha256(expected.encode()).hexdigest()}
