"""What a phantom can be asked for, and what it answers to the rest."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from scimage.errors import ChannelError, UsageError
from scimage.phantom import CHANNEL_COLOURS, CHANNELS, PRESETS, Phantom


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": "pig"}, "phantom parameter species: 'pig'; expected one of mouse, rat"),
        ({"microscope": "stereo"}, "expected one of confocal, light-sheet-hi, light-sheet-lo"),
        ({"optical_axis": "w"}, "expected one of z, y, x"),
        ({"seed": -1}, "phantom parameter seed: -1; expected 0 to"),
        ({"seed": 1.5}, "phantom parameter seed: 1.5; expected a whole number"),
        ({"length_um": 0.0}, "phantom parameter length_um: 0.0"),
        ({"cavities": 3}, "phantom parameter cavities: 3; expected 0 to 2"),
        ({"human_nuclei_per_mm3": 1e7}, "phantom parameter human_nuclei_per_mm3"),
        ({"bend_radius_um": 900.0}, "phantom parameter bend_radius_um"),
        ({"graft_volume_mm3": 0.2}, "phantom parameter graft_volume_mm3"),
        ({"canal_diameter_um": float("nan")}, "phantom parameter canal_diameter_um: nan"),
    ],
)
def test_a_parameter_out_of_bounds_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        replace(PRESETS["mouse-light-sheet-lo"], **change)
    assert message in str(error.value)


def test_a_lesion_larger_than_the_cord_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"lesion_scale: 1\.15; expected a lesion that stays inside"
    ):
        Phantom(replace(PRESETS["rat-light-sheet-lo"], lesion_scale=1.15))


def test_an_unknown_channel_is_refused_with_those_there_are(tiny: Phantom) -> None:
    with pytest.raises(ChannelError, match="'DAPI'; expected one of GFAP, DNA, human_nuclei"):
        tiny.render("DAPI", (slice(0, 1), slice(0, 1), slice(0, 1)))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((slice(0, 1), slice(0, 1)), "2 slices; expected three slices"),
        ((slice(0, 1), slice(0, 500), slice(0, 1)), "region y: .*within 0 to 122"),
        ((slice(-3, 1), slice(0, 1), slice(0, 1)), "region z"),
        ((slice(0, 1), slice(0, 1), slice(5, 5)), "region x: .*not empty"),
        ((slice(0, 8, 2), slice(0, 1), slice(0, 1)), "region z: .*step 1"),
    ],
)
def test_a_region_outside_the_image_is_refused(tiny: Phantom, region: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny.render("DNA", region)
    with pytest.raises(UsageError, match=message):
        tiny.labels(region)


@pytest.mark.parametrize(
    ("name", "spacing", "sigma"),
    [
        ("mouse-confocal", (1.5, 0.32, 0.32), (0.8, 0.16, 0.16)),
        ("mouse-light-sheet-hi", (2.5, 0.65, 0.65), (2.0, 0.45, 0.45)),
        ("mouse-light-sheet-lo", (4.0, 1.8, 1.8), (3.0, 1.0, 1.0)),
        ("rat-light-sheet-lo", (4.0, 1.8, 1.8), (3.0, 1.0, 1.0)),
    ],
)
def test_presets_have_the_voxels_and_the_blur_of_their_microscope(
    name: str, spacing: tuple[float, ...], sigma: tuple[float, ...]
) -> None:
    phantom = Phantom(PRESETS[name])
    assert phantom.spacing_um == spacing
    assert phantom.psf_sigma_um == sigma


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_the_whole_cord_with_the_epicentre_in_the_middle(name: str) -> None:
    phantom = Phantom(PRESETS[name])
    y, x = phantom.parameters.cord_semi_axes_um
    _, n_y, n_x = phantom.shape
    assert n_y * phantom.spacing_um[1] >= 2 * (y + phantom.parameters.margin_um)
    assert n_x * phantom.spacing_um[2] >= 2 * (x + phantom.parameters.margin_um)
    length = phantom.shape[0] * phantom.spacing_um[0]
    assert length == pytest.approx(phantom.parameters.imaged_length_um, abs=phantom.spacing_um[0])
    assert phantom.epicentre_um == pytest.approx((length - phantom.spacing_um[0]) / 2)


def test_every_channel_has_a_colour_of_its_own() -> None:
    assert tuple(CHANNEL_COLOURS) == CHANNELS
    assert len(set(CHANNEL_COLOURS.values())) == len(CHANNELS)
    assert all(int(colour, 16) < 2**24 for colour in CHANNEL_COLOURS.values())


def test_parameters_load_without_numba_and_scipy() -> None:
    script = (
        "import sys; from scimage.phantom import PRESETS, Phantom; Phantom(PRESETS['tiny']).shape;"
        "print(sorted({'numba', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
