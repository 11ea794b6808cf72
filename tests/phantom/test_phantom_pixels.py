"""The same pixels however they are asked for, and the physics that made them."""

from __future__ import annotations

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from scimage.phantom import CHANNELS, MICROSCOPES, PRESETS, Phantom
from scimage.phantom._camera import blur, expose, gaussian_taps, lattice_noise, photon_tables

Channels = dict[str, NDArray[np.uint16]]


def blocks(shape: tuple[int, ...], size: tuple[int, ...]) -> list[tuple[slice, ...]]:
    axes = [
        [slice(i, min(i + s, n)) for i in range(0, n, s)] for n, s in zip(shape, size, strict=True)
    ]
    return list(itertools.product(*axes))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    "size", [(32, 128, 128), (37, 61, 53), (85, 17, 152), (64, 122, 31)], ids=str
)
def test_any_division_into_blocks_gives_the_same_pixels(
    whole: Channels, channel: str, size: tuple[int, ...]
) -> None:
    phantom = Phantom(PRESETS["tiny"])
    # Backwards, so that nothing can depend on what was computed before.
    for region in reversed(blocks(phantom.shape, size)):
        np.testing.assert_array_equal(phantom.render(channel, region), whole[channel][region])


def test_single_planes_without_any_cache_give_the_same_pixels(whole: Channels) -> None:
    phantom = Phantom(PRESETS["tiny"], cache_bytes=0)
    full = slice(None)
    for region in (
        (slice(43, 44), full, full),
        (full, slice(7, 8), full),
        (full, full, slice(0, 1)),
    ):
        np.testing.assert_array_equal(phantom.render("DNA", region), whole["DNA"][region])


def test_any_division_into_blocks_gives_the_same_labels(
    truth: NDArray[np.uint8],
) -> None:
    phantom = Phantom(PRESETS["tiny"])
    for region in blocks(phantom.shape, (41, 59, 23)):
        np.testing.assert_array_equal(phantom.labels(region), truth[region])


@pytest.mark.parametrize("channel", CHANNELS)
def test_internal_tiles_leave_no_trace_in_the_pixels(whole: Channels, channel: str) -> None:
    phantom = Phantom(PRESETS["tiny"])
    phantom.tile_shape = (24, 56, 40)
    region = (slice(20, 60), slice(30, 90), slice(20, 100))
    np.testing.assert_array_equal(phantom.render(channel, region), whole[channel][region])


def test_threads_that_share_a_phantom_get_the_same_pixels(whole: Channels) -> None:
    phantom = Phantom(PRESETS["tiny"], cache_bytes=4 * 2**20)
    regions = blocks(phantom.shape, (30, 122, 76))
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda region: phantom.render("GFAP", region), regions))
    for region, part in zip(regions, parts, strict=True):
        np.testing.assert_array_equal(part, whole["GFAP"][region])


def test_a_pickled_phantom_gives_the_same_pixels(tiny: Phantom, whole: Channels) -> None:
    copy = pickle.loads(pickle.dumps(tiny))
    region = (slice(40, 50), slice(40, 90), slice(100, 140))
    np.testing.assert_array_equal(copy.render("DNA", region), whole["DNA"][region])


def test_a_caller_who_writes_into_a_region_does_not_change_the_next_one(
    tiny: Phantom, whole: Channels
) -> None:
    region = (slice(0, 32), slice(0, 122), slice(0, 128))
    tiny.render("DNA", region)[:] = 0
    np.testing.assert_array_equal(tiny.render("DNA", region), whole["DNA"][region])


def test_another_seed_gives_other_noise_other_cells_and_another_lesion(tiny: Phantom) -> None:
    other = Phantom(replace(PRESETS["tiny"], seed=2))
    region = tuple(slice(0, n) for n in tiny.shape)
    corner = (slice(0, 20), slice(0, 6), slice(0, 6))
    assert (other.render("DNA", corner) != tiny.render("DNA", corner)).mean() > 0.5
    assert (other.labels(region) != tiny.labels(region)).any()
    assert not np.array_equal(other.cells()["z_um"][:5], tiny.cells()["z_um"][:5])


def test_channels_have_independent_noise(whole: Channels) -> None:
    corner = (slice(0, 85), slice(0, 5), slice(0, 8))
    gfap, dna = (whole[name][corner].ravel().astype(float) for name in ("GFAP", "DNA"))
    assert abs(np.corrcoef(gfap, dna)[0, 1]) < 4 / np.sqrt(gfap.size)


@pytest.mark.parametrize("name", MICROSCOPES)
def test_blur_has_the_point_spread_of_its_microscope(name: str) -> None:
    microscope = MICROSCOPES[name]
    taps = [
        gaussian_taps(sigma, step)
        for sigma, step in zip(microscope.psf_sigma_um, microscope.spacing_um, strict=True)
    ]
    halo = [t.size - 1 for t in taps]
    image = np.random.default_rng(0).random([9 + 2 * h for h in halo], dtype=np.float32)
    expected = image.astype(float)
    for axis, half in enumerate(taps):
        sigma = microscope.psf_sigma_um[axis] / microscope.spacing_um[axis]
        expected = ndimage.gaussian_filter1d(expected, sigma, axis, radius=half.size - 1)
    inside = tuple(slice(h, h + 9) for h in halo)
    np.testing.assert_allclose(blur(image, *taps), expected[inside], rtol=1e-5)


@pytest.mark.parametrize("mean", [0.3, 8.0, 37.4, 150.9, 600.0])
def test_photons_are_poisson_and_read_noise_is_normal(mean: float) -> None:
    shape = (8, 200, 200)
    ones = [np.ones(s, np.float32) for s in ((8, 200), (8, 200), (200, 200))]
    light = np.full(shape, mean, np.float32)

    def counts(read_noise: float, key: int) -> NDArray[np.float64]:
        tables = photon_tables(read_noise)
        image = expose(
            light, *ones, 0.0, tables, np.uint64(key), (0, 0, 0), shape, 1.0, 100.0, 65535
        )
        return image.ravel() - 100.0

    sample = counts(1e-9, 7)
    n = sample.size
    assert sample.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n) + 1 / 512)
    assert sample.var() == pytest.approx(mean, rel=0.02)
    seen = np.bincount(sample.astype(int), minlength=1000)[:1000] / n
    law = stats.poisson.pmf(np.arange(1000), mean)
    assert np.abs(np.cumsum(seen) - np.cumsum(law)).max() < 2.2 / np.sqrt(n)
    # Rounding to whole counts adds a twelfth.
    assert counts(1.6, 8).var() == pytest.approx(mean + 1.6**2 + 1 / 12, rel=0.02, abs=0.15)


def test_neighbouring_voxels_have_independent_noise(whole: Channels) -> None:
    corner = whole["DNA"][:, :5, :8].astype(float)
    corner -= corner.mean()
    for axis in range(3):
        a = corner.take(range(1, corner.shape[axis]), axis)
        b = corner.take(range(corner.shape[axis] - 1), axis)
        assert abs((a * b).mean() / corner.var()) < 4 / np.sqrt(a.size)


def test_the_camera_saturates_at_its_bit_depth() -> None:
    ones = [np.ones((4, 4), np.float32)] * 3
    light = np.full((4, 4, 4), 5_000, np.float32)
    image = expose(
        light,
        *ones,
        8.0,
        photon_tables(1.6),
        np.uint64(1),
        (0, 0, 0),
        (4, 4, 4),
        8.0,
        50.0,
        Phantom(PRESETS["mouse-confocal"]).largest_count,
    )
    assert (image == 4095).all()


def test_stripe_noise_has_unit_variance_and_does_not_depend_on_its_window() -> None:
    noise = lattice_noise(np.uint64(5), 0, 0, 300, 400)
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    part = lattice_noise(np.uint64(5), 17, 101, 30, 40)
    np.testing.assert_array_equal(part, noise[17:47, 101:141])


def test_light_fades_with_depth_along_the_optical_axis() -> None:
    def fade(axis: str) -> NDArray[np.float64]:
        phantom = Phantom(replace(PRESETS["mouse-demo"], optical_axis=axis))
        region = (slice(0, 8), slice(0, 392), slice(60, 80))
        image = phantom.render("autofluorescence", region).astype(float)
        white = phantom.labels(region) == 2
        image -= 100 + 2.2 * 8
        return np.array([np.median(image[:, y][white[:, y]]) for y in (150, 220)])

    along, across = fade("y"), fade("x")
    # 70 rows of 1.8 um at an attenuation length of 1.5 mm.
    assert along[1] / along[0] / (across[1] / across[0]) == pytest.approx(
        np.exp(-70 * 1.8 / 1500), rel=0.05
    )
