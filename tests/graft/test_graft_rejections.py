"""What is no graft cell is rejected, and the reason is the right one."""

from __future__ import annotations

import numpy as np
import pytest

from scimage import GraftParameters, count_grafts

CENTRES = np.array([[20.0, 20.0, 20.0], [20.0, 60.0, 60.0], [44.0, 20.0, 60.0], [44.0, 60.0, 20.0]])
SHAPE = (64, 80, 80)


def reasons(result):
    return result.cells["rejected_reason"].to_pylist()


def test_counts_reconcile(stored, tissue):
    rng = np.random.default_rng(3)
    pixels = tissue(SHAPE, centres_um=rng.uniform(0, 64, (50, 3)), diameter_um=10)
    dna = tissue(SHAPE, centres_um=rng.uniform(0, 64, (50, 3)), diameter_um=10, seed=1)
    result = count_grafts(
        stored({"HNA": pixels, "DNA": dna, "AF": dna.max() - dna}),
        GraftParameters(nuclei="HNA", dna="DNA", autofluorescence="AF"),
    )
    assert result.n_detected == result.n_kept + sum(result.rejected.values())
    assert result.n_detected == len(result.cells) == len(result.positions_um(kept_only=False))
    assert result.n_kept == len(result.positions_um())
    assert result.rejected["no_dna"] > 0


@pytest.mark.parametrize("background", ["volume", "plane"])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_vessel_in_the_plane_is_rejected_as_elongated(stored, tissue, axis, background):
    pixels = tissue(SHAPE).astype(np.int64)
    grid = np.indices(SHAPE)
    across = [a for a in range(3) if a != axis]
    distance = np.sqrt(sum((grid[a] - 32.0) ** 2 for a in across))
    pixels = (pixels + 500 * np.clip(4.5 - distance, 0, 1)).astype(np.uint16)
    result = count_grafts(
        stored({"HNA": pixels}), GraftParameters(nuclei="HNA", background=background)
    )
    assert result.n_kept == 0
    assert set(reasons(result)) <= {"elongated", "too_small", "too_large"}


def test_a_vessel_across_the_planes_has_no_contrast_in_z(stored, tissue):
    grid = np.indices(SHAPE)
    distance = np.hypot(grid[1] - 40.0, grid[2] - 40.0)
    pixels = (tissue(SHAPE) + 500 * np.clip(4.5 - distance, 0, 1)).astype(np.uint16)
    result = count_grafts(
        stored({"HNA": pixels}), GraftParameters(nuclei="HNA", background="plane")
    )
    assert result.n_kept == 0
    assert "no_contrast_in_z" in reasons(result)


def test_what_glows_without_a_stain_is_rejected_as_autofluorescent(stored, tissue):
    result = count_grafts(
        stored({"HNA": tissue(SHAPE, centres_um=CENTRES),
                "AF": tissue(SHAPE, centres_um=CENTRES[:2], seed=1)}),
        GraftParameters(nuclei="HNA", autofluorescence="AF"),
    )  # fmt: skip
    assert reasons(result) == ["autofluorescent", "autofluorescent", None, None]


def test_a_faint_glow_does_not_reject_a_bright_nucleus(stored, tissue):
    result = count_grafts(
        stored({"HNA": tissue(SHAPE, centres_um=CENTRES),
                "AF": tissue(SHAPE, centres_um=CENTRES, height=150, seed=1)}),
        GraftParameters(nuclei="HNA", autofluorescence="AF"),
    )  # fmt: skip
    assert reasons(result) == [None] * 4


def test_a_marker_without_dna_is_rejected(stored, tissue):
    result = count_grafts(
        stored({"HNA": tissue(SHAPE, centres_um=CENTRES),
                "DNA": tissue(SHAPE, centres_um=CENTRES[2:], seed=1)}),
        GraftParameters(nuclei="HNA", dna="DNA"),
    )  # fmt: skip
    assert reasons(result) == ["no_dna", "no_dna", None, None]


def test_autofluorescence_is_named_before_missing_dna(stored, tissue):
    lit = tissue(SHAPE, centres_um=CENTRES)
    result = count_grafts(
        stored({"HNA": lit, "DNA": tissue(SHAPE, seed=1), "AF": lit}),
        GraftParameters(nuclei="HNA", dna="DNA", autofluorescence="AF"),
    )
    assert reasons(result) == ["autofluorescent"] * 4


@pytest.mark.parametrize(
    ("diameter", "range_um", "reason"),
    [(5.0, (9.0, 14.0), "too_small"), (20.0, (8.0, 12.0), "too_large")],
)
def test_a_ball_outside_the_range_of_diameters_is_rejected(
    stored, tissue, diameter, range_um, reason
):
    image = stored({"HNA": tissue(SHAPE, centres_um=CENTRES, diameter_um=diameter)})
    parameters = GraftParameters(
        nuclei="HNA", diameter_um=range_um, diameter_slack=1.1, separation=2, min_snr=10
    )
    result = count_grafts(image, parameters)
    assert result.n_kept == 0
    assert reason in reasons(result)
