"""Properties that hold for any image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scimage.image import NewImage, open_image, write_image
from scimage.image.metadata import named_channels

LENGTHS = st.floats(0.01, 1000)
POSITIONS = st.floats(-1e6, 1e6)


class Pixels:
    def __init__(self, array: Any) -> None:
        self.array = array

    def read(self, channel: int, z: slice, y: slice, x: slice) -> Any:
        return self.array[channel, z, y, x]


@st.composite
def images(draw: st.DrawFn) -> tuple[Any, Any, Any, Any]:
    """An image, its frame, and a region in it."""
    dtype = np.dtype(draw(st.sampled_from(["uint8", "uint16", "int16", "float32"])))
    shape = (draw(st.integers(1, 3)), *(draw(st.integers(1, n)) for n in (6, 150, 150)))
    seed = draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        array = draw(hnp.arrays(dtype, shape, fill=hnp.from_dtype(dtype)))
    else:
        array = (np.random.default_rng(seed).normal(size=shape) * 100).astype(dtype)
    spacing = draw(st.tuples(LENGTHS, LENGTHS, LENGTHS))
    translation = draw(st.tuples(POSITIONS, POSITIONS, POSITIONS))
    region = []
    for n in shape[1:]:
        start = draw(st.integers(0, n))
        region.append(slice(start, draw(st.integers(start, n))))
    return array, spacing, translation, tuple(region)


@settings(max_examples=50, deadline=None)
@given(images())
def test_what_is_written_is_read(drawn: tuple[Any, Any, Any, Any]) -> None:
    array, spacing, translation, region = drawn
    names = [f"stain {i}" for i in range(array.shape[0])]
    new = NewImage(array.shape, array.dtype, spacing, "test", named_channels(names), translation)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "i.ome.zarr"
        with np.errstate(all="ignore"):
            write_image(target, new, Pixels(array), {})
        image = open_image(target)
        assert image.shape == array.shape
        assert image.dtype == array.dtype
        np.testing.assert_allclose(image.spacing_um, spacing, rtol=1e-12)
        np.testing.assert_allclose(image.levels[0].translation_um, translation, rtol=1e-12)
        for c, name in enumerate(names):
            np.testing.assert_array_equal(image.read(name), array[c])
            np.testing.assert_array_equal(image.read(c, region), array[(c, *region)])
