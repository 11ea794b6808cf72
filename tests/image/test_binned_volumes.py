from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimage.image import BinnedVolume, Channel, NewImage, open_image, volume_at, write_image

SHAPE = (11, 26, 37)


@dataclass(frozen=True)
class Pixels:
    array: Any

    def read(self, channel, z, y, x):
        return self.array[channel][z, y, x]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Two channels of noise with voxels of 1 x 0.5 x 0.5 um, whose first is centred at 10 um."""
    array = np.random.default_rng(0).integers(0, 65535, (2, *SHAPE), dtype=np.uint16)
    new = NewImage(
        array.shape, array.dtype, (1.0, 0.5, 0.5), "test", (Channel("a"), Channel("b")),
        (10.0, 0.0, 0.0),
    )  # fmt: skip
    target = tmp_path_factory.mktemp("images") / "image.ome.zarr"
    write_image(target, new, Pixels(array), {})
    return open_image(target)


def means(array, bins):
    """Means of bins, one by one."""
    out = np.empty([-(-n // b) for n, b in zip(array.shape, bins, strict=True)])
    for i in np.ndindex(out.shape):
        part = tuple(slice(k * b, (k + 1) * b) for k, b in zip(i, bins, strict=True))
        out[i] = array[part].mean()
    return out


@pytest.mark.parametrize("bins", [(1, 2, 2), (2, 3, 5), (11, 1, 40)])
def test_voxels_are_means_of_bins_that_begin_at_the_first_voxel(image, bins):
    volume = BinnedVolume(image.volume("b"), bins)

    whole = volume.read(tuple(slice(0, n) for n in volume.shape))

    assert whole.dtype.name == volume.dtype == "float32"
    np.testing.assert_allclose(whole, means(image.read("b"), bins), rtol=1e-6)


@given(data=st.data(), bins=st.tuples(*[st.integers(1, 6)] * 3))
def test_a_region_has_the_same_bits_as_the_whole(image, data, bins):
    volume = BinnedVolume(image.volume("a"), bins)
    whole = volume.read(tuple(slice(0, n) for n in volume.shape))
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in volume.shape]
    region = tuple(slice(a, b) for a, b in ends)

    np.testing.assert_array_equal(volume.read(region), whole[region])


@pytest.mark.parametrize(
    ("working_um", "bins", "spacing_um", "translation_um"),
    [
        (0.4, (1, 1, 1), (1.0, 0.5, 0.5), (10.0, 0.0, 0.0)),
        (1.0, (1, 2, 2), (1.0, 1.0, 1.0), (10.0, 0.25, 0.25)),
        (3.4, (3, 6, 6), (3.0, 3.0, 3.0), (11.0, 1.25, 1.25)),
    ],
)
def test_a_level_is_binned_to_at_most_the_working_size(
    image, working_um, bins, spacing_um, translation_um
):
    level = image.levels[0].binned(working_um)

    assert level.bins == bins
    assert level.spacing_um == pytest.approx(spacing_um)
    assert level.translation_um == pytest.approx(translation_um)
    assert volume_at(image, "a", level).shape == level.shape


def test_a_spacing_that_divides_the_working_size_up_to_rounding_does_divide_it(image):
    level = image.levels[0]
    third = type(level)(0, level.path, level.shape, (0.1, 0.1, 0.1), (0.0, 0.0, 0.0))

    assert third.binned(0.3).bins == (3, 3, 3)
