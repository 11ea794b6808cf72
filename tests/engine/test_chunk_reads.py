"""A sweep decodes each chunk of its input once, and those at the border of a block once more."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scimage import (
    Execution,
    GraftParameters,
    LesionParameters,
    count_grafts,
    open_image,
    segment_lesion,
)
from scimage.blocks import Block, Window
from scimage.image import Channel, NewImage, chunks, pyramid, volume_at, write_image

CHUNK = 32
# In chunks; blocks of two chunks a side, so two blocks along each axis.
SIDES = (4, 4, 4)


@dataclass(frozen=True)
class Pixels:
    array: Any

    def read(self, channel, z, y, x):
        return self.array[z, y, x]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Noise on the disk, in chunks of 32 voxels a side."""
    monkeypatch.setattr(pyramid, "_CHUNK_SIDE", CHUNK)
    monkeypatch.setattr(pyramid, "_CHUNK_VOXELS", CHUNK**3)

    def store(spacing_um, shape=tuple(CHUNK * n for n in SIDES)):
        array = np.random.default_rng(0).normal(200, 20, shape).astype(np.uint16)
        new = NewImage((1, *shape), array.dtype, spacing_um, "test", (Channel("stain"),))
        write_image(tmp_path / "image.ome.zarr", new, Pixels(array), {})
        image = open_image(tmp_path / "image.ome.zarr")
        assert image.volume(0).chunk == (CHUNK,) * 3
        return image

    return store


@contextmanager
def decoded():
    """How often each chunk of full resolution is decoded: by file and first byte."""
    counts: Counter[tuple[str, int]] = Counter()
    decode = chunks._Reading._decode

    def counting(self, file, start, *rest):
        if "/image.ome.zarr/0/" in file.name:
            counts[file.name, start] += 1
        return decode(self, file, start, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks._Reading, "_decode", counting)
        yield counts


def test_detection_decodes_one_chunk_more_along_each_axis_of_a_block(stored, tmp_path):
    image = stored((2.0, 2.0, 2.0))
    parameters = GraftParameters(nuclei="stain", diameter_um=(8.0, 10.0), threshold=1e6)
    execution = Execution(workers=1, block=(2 * CHUNK,) * 3)
    with decoded() as of_all:
        result = count_grafts(image, parameters, output=tmp_path / "a.zarr", execution=execution)
    record = json.loads((tmp_path / "a.zarr/provenance/grafts/run.json").read_text())

    # Noise is measured on tiles of 128 voxels, here one: it reads each chunk once.
    assert record["actual"]["stages"]["noise of channel 0 (stain)"]["blocks"] == 1
    # Along each axis the first block reads two layers of chunks, the other three.
    assert sum(of_all.values()) == math.prod(SIDES) + math.prod(2 + 3 for _ in SIDES)
    assert max(of_all.values()) == 1 + 2**3
    # What layers of a block share is read once: core and halo, less what lies outside.
    halo = record["planned"]["stages"]["detect"]["halo_share"]
    voxels = math.prod(image.shape)
    assert record["actual"]["stages"]["detect"]["read_bytes"] <= 2 * voxels * (1 + halo) * 1.01
    assert result.n_detected == 0


def test_the_lesion_path_reads_an_image_in_one_sweep(stored, tmp_path):
    image = stored((10.0, 10.0, 10.0))
    execution = Execution(workers=1, block=(2 * CHUNK,) * 3)
    with decoded() as counts:
        segment_lesion(
            image, LesionParameters(gfap="stain"), output=tmp_path / "a.zarr", execution=execution
        )

    # Along each axis both blocks read three layers of chunks.
    assert sum(counts.values()) == math.prod(3 + 3 for _ in SIDES)
    assert max(counts.values()) == 2**3


@pytest.mark.parametrize(("working_um", "layer"), [(2.0, 16), (3.0, 32)])
def test_larger_voxels_are_averaged_from_chunks_that_are_decoded_once(stored, working_um, layer):
    image = stored((1.0, 1.0, 1.0))
    volume = volume_at(image, "stain", image.levels[0].binned(working_um))
    whole = Block((0, 0, 0), tuple(slice(0, n) for n in volume.shape), volume.shape)

    with decoded() as counts:
        window = Window(whole, (volume,))
        ends = range(layer - 3, volume.shape[0], layer)
        parts = [w.read(0, (3, 3, 3)) for w in window.layers(ends)]

    assert len(parts) > 1
    # Bins of three voxels end where chunks of 32 do at every third chunk; so do the layers.
    assert set(counts.values()) == {1}
    assert len(counts) == math.prod(SIDES)
