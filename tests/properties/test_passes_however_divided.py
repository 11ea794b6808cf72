"""No pass can tell how its volume was divided: small volumes, in blocks of any shape.

Each example runs one pass in blocks and in one block that holds the whole volume, without disk
and in any order, and compares every voxel and every number that comes out of it, bit by bit.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracles.downsample import block_mean, block_mode
from scimage.blocks import BlockGrid, ComponentsPass, WatershedPass, Window, pack, unpack
from scimage.graft import passes as graft_passes
from scimage.graft.parameters import GraftParameters
from scimage.graft.passes import DetectPass, NoisePass
from scimage.graft.scales import filter_bank
from scimage.image import Channel, NewImage, ResultStore, open_image, pyramid, write_image
from scimage.kernels.histogram import bins_of
from scimage.lesion.passes import (
    ABOVE,
    CLOSED,
    ENCLOSED,
    EXTERIOR,
    HOLE,
    OPEN,
    AssignPass,
    Brightness,
    HistogramPass,
    MaskPass,
    PlaneLevelsPass,
    ProfilePass,
    RegionsPass,
    SmoothPass,
    table_path,
)

PIXELS = ("uint8", "uint16", "int16", "float32")
SIGMA = (0.5, 0.0, 0.7)
SPACING_UM = (3.0, 2.0, 2.0)
PRIMES = (1, 2, 3, 5, 7, 11, 13)
ONE_VOXEL = {"volume": (3, 4, 5), "block": (1, 1, 1), "kind": "uint16"}


def examples(n):
    """So many, or as many as the profile says where that is more."""
    return settings(max_examples=max(n, settings.default.max_examples))


@st.composite
def divided(draw, most_blocks=60, longest=12, kinds=PIXELS):
    """Volume, block, type of voxel, and the seed of all that is random in an example."""
    volume = draw(st.tuples(*[st.integers(1, longest)] * 3))
    block = draw(
        st.one_of(
            st.just((1, 1, 1)),
            st.sampled_from([(1, 99, 99), (99, 1, 99), (99, 99, 1)]),
            st.tuples(*[st.sampled_from(PRIMES)] * 3),
            st.tuples(*(st.integers(1, n) for n in volume)),
            st.tuples(*(st.integers(-(-n // 2), n + 3) for n in volume)),
        )
    )
    # Blocks of few voxels in a large volume take long, and show no more than in a small one.
    while len(BlockGrid(volume, block)) > most_blocks:
        counts = BlockGrid(volume, block).counts
        block = tuple(b + (n == max(counts)) for b, n in zip(block, counts, strict=True))
    kind = draw(st.sampled_from(kinds))
    return {"volume": volume, "block": block, "kind": kind, "seed": draw(st.integers(0, 2**32))}


@dataclass(frozen=True)
class Volume:
    """A volume in memory, in place of one on the disk."""

    array: Any

    @property
    def shape(self):
        return self.array.shape

    @property
    def dtype(self):
        return self.array.dtype.name

    def read(self, region):
        assert all(0 <= s.start < s.stop <= n for s, n in zip(region, self.shape, strict=True))
        return self.array[region].copy()

    def write(self, region, data):
        assert data.dtype == self.array.dtype
        assert data.shape == tuple(s.stop - s.start for s in region)
        self.array[region] = data

    def digest(self, region):
        return hashlib.sha256(self.array[region].tobytes()).hexdigest()


def blank(shape, dtype):
    """To be written to; what is forgotten shows."""
    return Volume(np.full(shape, 99, dtype))


def boxes(random, shape):
    """A mask of specks, and of boxes that end inside the volume or on its faces."""
    mask = random.random(shape) < random.choice([0, 0.05, 0.5])
    for _ in range(random.integers(0, 4)):
        ends = [sorted(random.integers(-2, n + 3, 2).clip(0, n)) for n in shape]
        mask[tuple(slice(a, b) for a, b in ends)] ^= True
    return mask


def pixels(random, shape, kind):
    """Noise, with boxes that are brighter; floats lack some numbers. Some volumes are empty."""
    if random.random() < 0.05:
        return Volume(np.zeros(shape, kind))
    base, noise, step = {"uint8": (40, 8, 120), "int16": (-50, 12, 300)}.get(kind, (200, 12, 500))
    signal = base + random.normal(0, noise, shape) + step * boxes(random, shape)
    if kind == "float32":
        signal[random.random(shape) < 0.04] = np.nan
        signal[random.random(shape) < 0.01] = np.inf
    else:
        signal = signal.clip(np.iinfo(kind).min, np.iinfo(kind).max)
    return Volume(signal.astype(kind))


def flags(random, shape, *bits):
    """A volume of bits, each in boxes of its own."""
    together = np.zeros(shape, np.uint8)
    for bit in bits:
        together |= np.where(boxes(random, shape), np.uint8(bit), np.uint8(0))
    return Volume(together)


def nuclei(random, shape, spacing_um, kind):
    """Balls in noise, some of them centred on faces, edges and corners of the volume."""
    place = np.indices(shape).T * spacing_um
    volume = pixels(random, shape, kind)
    signal = np.nan_to_num(volume.array.astype(float), nan=0, posinf=0)
    for _ in range(random.integers(1, 6)):
        centre = random.random(3) * (np.array(shape) - 1)
        centre = np.where(random.random(3) < 0.3, np.round(centre), centre) * spacing_um
        away = np.sqrt(((place - centre) ** 2).sum(axis=-1)).T
        signal += random.integers(50, 100) * np.clip((4 - away) / 2 + 0.5, 0, 1)
    missing = ~np.isfinite(volume.array) if kind == "float32" else False
    limits = (-1e6, 1e6) if kind == "float32" else (np.iinfo(kind).min, np.iinfo(kind).max)
    return Volume(np.where(missing, np.nan, signal.clip(*limits)).astype(kind))


def levels(random, shape, kind):
    """Pixels as bins of their grey levels."""
    array = np.nan_to_num(pixels(random, shape, kind).array, nan=0, posinf=0)
    return Volume(bins_of(array).reshape(shape))


def light(random):
    """Brightness that is to be evened out, or not."""
    slopes = random.choice([0, 0.01, -0.03], 3)
    return Brightness(50.0, tuple(slopes.tolist()))


def run(pass_, block, random):
    """What all blocks come to, computed in any order and some of them twice."""
    grid = BlockGrid(pass_.inputs[0].shape, block)
    blocks = list(pass_.blocks(grid))
    packed = {}
    order = [*random.permutation(len(blocks)), *random.integers(0, len(blocks), 2)]
    for i in order:
        core, partial = pass_.compute(Window(blocks[i], pass_.inputs))
        if pass_.output is not None:
            assert core is not None
            pass_.output.write(blocks[i].core, core)
        assert packed.setdefault(blocks[i].index, pack(partial)) == pack(partial)
    return pass_.merge(unpack(packed[b.index]) for b in blocks)


def bits(value):
    """Plain data in which equal means equal to the last bit."""
    if is_dataclass(value):
        return {f.name: bits(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(key, bits(v)) for key, v in value.items()]
    if isinstance(value, (tuple, list)):
        return [bits(v) for v in value]
    return value


def divide(make, volume, block, kind, seed=0):
    """Run the pass that `make` gives over one division; its output and what it came to.

    `make` gets a source of chance that is the same for all divisions.
    """
    pass_ = make(np.random.default_rng(seed), volume, kind)
    result = run(pass_, block, np.random.default_rng([seed, *block]))
    return pass_, result


def same(make, case):
    """Whether blocks and the whole give the same."""
    found = []
    for block in (case["volume"], case["block"]):
        pass_, result = divide(make, **{**case, "block": block})
        output = None if pass_.output is None else bits(pass_.output.array)
        found.append((output, bits(result)))
    return found[0] == found[1]


def numbered(volume, grid, components):
    """Local labels of blocks as those of the volume."""
    out = np.zeros(volume.shape, np.int64)
    for b in grid:
        out[b.core] = components.component[b.index][volume.array[b.core]]
    return out


def same_components(make, case):
    """Whether the parts of the volume are the same, and their sizes, places and faces."""
    found = []
    for block in (case["volume"], case["block"]):
        pass_, result = divide(make, **{**case, "block": block})
        labels = numbered(pass_.output, BlockGrid(case["volume"], block), result)
        assert np.bincount(labels.ravel())[1:].tolist() == result.voxels[1:].tolist()
        found.append((bits(labels), bits(result.voxels), bits(result.first), bits(result.touches)))
    return found[0] == found[1]


@examples(60)
@given(case=divided())
@example(case=ONE_VOXEL)
def test_a_smoothed_channel_does_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        return SmoothPass(pixels(random, shape, kind), blank(shape, np.uint16), SIGMA)

    assert same(make, case)


@examples(60)
@given(case=divided())
@example(case=ONE_VOXEL)
def test_the_histogram_of_a_channel_does_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        within = ((flags(random, shape, 1, 2), 1), (flags(random, shape, 4), 4))
        within = within[: random.integers(0, 3)]
        return HistogramPass(levels(random, shape, kind), within, light(random))

    assert same(make, case)


@examples(100)
@given(case=divided())
@example(case=ONE_VOXEL)
def test_a_mask_whose_gaps_are_bridged_does_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        threshold, gap = random.choice([0.0, 90.0, 350.0]), random.choice([0.0, 2.0, 4.1])
        channel, target = levels(random, shape, kind), blank(shape, np.uint8)
        return MaskPass(channel, target, SPACING_UM, threshold, gap, light(random))

    assert same(make, case)


@examples(50)
@given(case=divided(), axes=st.sampled_from([(0, 1), (0, 2), (1, 2)]))
@example(case=ONE_VOXEL, axes=(0, 2))
def test_histograms_by_plane_do_not_depend_on_the_blocks(case, axes):
    def make(random, shape, kind):
        mask = flags(random, shape, ABOVE, CLOSED)
        return PlaneLevelsPass(levels(random, shape, kind), mask, axes)

    assert same(make, case)


@examples(100)
@given(case=divided(most_blocks=200))
@example(case=ONE_VOXEL)
def test_the_components_of_a_mask_do_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        return ComponentsPass(flags(random, shape, 1, 2), 2, blank(shape, np.uint32))

    assert same_components(make, case)


@examples(100)
@given(case=divided(most_blocks=100))
@example(case=ONE_VOXEL)
def test_basins_do_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        landscape = pixels(random, shape, kind).array
        if random.random() < 0.5:
            # Plateaus: most voxels have an equal neighbour.
            landscape = landscape // 50 * 50 if kind != "float32" else np.round(landscape, -2)
        mask = flags(random, shape, 1)
        return WatershedPass(Volume(landscape), mask, blank(shape, np.uint32))

    assert same_components(make, case)


@examples(40)
@given(case=divided())
@example(case=ONE_VOXEL)
def test_what_a_border_encloses_does_not_depend_on_the_blocks(case):
    random = np.random.default_rng(case.get("seed", 0))
    masks = [flags(random, case["volume"], bit) for bit in (CLOSED, ABOVE)]
    found = []
    for block in (case["volume"], case["block"]):
        order = np.random.default_rng([1, *block])
        with tempfile.TemporaryDirectory() as folder:
            for i, mask in enumerate(masks):
                merged = run(ComponentsPass(mask, (CLOSED, ABOVE)[i]), block, order)
                inside = ~merged.touches.any(axis=1)
                bit = np.where(inside, (ENCLOSED, HOLE)[i], (EXTERIOR, OPEN)[i]).astype(np.uint8)
                bit[0] = 0
                for index, component in merged.component.items():
                    np.save(table_path(folder, i, index), bit[component], allow_pickle=False)
            target = blank(case["volume"], np.uint8)
            run(RegionsPass(*masks, folder, target), block, order)
        found.append(bits(target.array))
    assert found[0] == found[1]


@examples(100)
@given(case=divided(most_blocks=40))
@example(case=ONE_VOXEL)
def test_compartments_do_not_depend_on_the_blocks(case):
    def make(random, shape, kind):
        return AssignPass(
            levels(random, shape, kind),
            flags(random, shape, ABOVE),
            flags(random, shape, ABOVE, CLOSED),
            flags(random, shape, ENCLOSED, EXTERIOR, HOLE, OPEN),
            blank(shape, np.uint8),
            SPACING_UM,
            gap_um=random.choice([0.0, 3.0]),
            border_width_um=random.choice([2.0, 4.0]),
            inner_threshold=random.choice([90.0, 300.0]),
            edge_um=2.0,
            cavity_known=bool(random.integers(0, 2)),
            canal_um=4.0,
            brightness=light(random),
        )

    assert same(make, case)


@examples(50)
@given(case=divided(most_blocks=100), axis=st.integers(0, 2))
@example(case=ONE_VOXEL, axis=1)
def test_areas_by_section_do_not_depend_on_the_blocks(case, axis):
    def make(random, shape, kind):
        return ProfilePass(flags(random, shape, 1, 2, 64), axis)

    assert same(make, case)


@examples(40)
@given(case=divided(most_blocks=40, longest=24), tile=st.integers(2, 6))
@example(case=ONE_VOXEL, tile=2)
def test_the_sample_of_noise_does_not_depend_on_the_blocks(case, tile):
    bank = filter_bank(GraftParameters(nuclei="n", diameter_um=(4.0, 6.0)), SPACING_UM)

    def make(random, shape, kind):
        return NoisePass(pixels(random, shape, kind), bank, (tile, tile + 1, tile))

    with pytest.MonkeyPatch.context() as patch:
        # Of the few tiles in these small volumes some are left out.
        patch.setattr(graft_passes, "_FEWEST_TILES", 8)
        assert same(make, case)


@examples(60)
@given(
    case=divided(most_blocks=24),
    background=st.sampled_from(["volume", "plane"]),
    depth=st.integers(1, 9),
    planes=st.integers(1, 5),
)
@example(case=ONE_VOXEL, background="volume", depth=1, planes=1)
def test_the_cells_that_are_found_do_not_depend_on_the_blocks(case, background, depth, planes):
    spacing_um = (4.0, 3.0, 3.0)
    parameters = GraftParameters(nuclei="n", diameter_um=(6.0, 8.0), background=background)
    bank = filter_bank(parameters, spacing_um)
    # The whole volume in one layer, blocks in layers of any depth.
    depths = iter((99, depth))

    def make(random, shape, kind):
        channels = [nuclei(random, shape, spacing_um, kind) for _ in range(2)]
        cut = (random.choice([0.0, 5.0]),) * len(bank)
        return DetectPass(
            tuple(channels), 1, bank, cut, spacing_um, 8.0 * 1.5, background == "plane",
            next(depths),
        )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graft_passes, "_PLANES", planes)
        assert same(make, case)


@dataclass(frozen=True)
class Pixels:
    array: Any

    def read(self, channel, z, y, x):
        return self.array[z, y, x]


@st.composite
def pyramids(draw):
    """A volume with voxels that are flat or not, and how its pyramid is cut into pieces."""
    volume = draw(st.tuples(st.integers(1, 9), st.integers(1, 24), st.integers(1, 24)))
    spacing_um = draw(st.sampled_from([(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (2.0, 1.0, 3.0)]))
    side = draw(st.sampled_from([2, 4, 8]))
    pieces = {
        "_CHUNK_SIDE": side,
        "_CHUNK_VOXELS": side**3 * draw(st.sampled_from([1, 4])),
        "_SHARD_VOXELS": side**3 * draw(st.sampled_from([4, 16])),
        "_SMALLEST_LEVEL": draw(st.sampled_from([1, 3])),
    }
    return volume, spacing_um, pieces, draw(st.integers(0, 2**32))


def in_pieces(patch, pieces):
    for name, value in pieces.items():
        patch.setattr(pyramid, name, value)


@examples(20)
@given(case=pyramids(), kind=st.sampled_from(PIXELS))
def test_each_level_of_an_image_is_the_mean_of_its_voxels_however_it_is_cut(case, kind):
    volume, spacing_um, pieces, seed = case
    random = np.random.default_rng(seed)
    # Quarters, so that sums of floats are exact and there is one mean.
    whole = pixels(random, volume, kind).array
    whole = (np.round(np.nan_to_num(whole, posinf=0) * 4) / 4).astype(kind)
    new = NewImage((1, *volume), whole.dtype, spacing_um, "test", (Channel("it"),))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        in_pieces(patch, pieces)
        target = Path(folder, "it.ome.zarr")
        write_image(target, new, Pixels(whole), {})
        image = open_image(target)
        everything = tuple(slice(0, n) for n in volume)
        np.testing.assert_array_equal(image.volume(0, 0).read(everything), whole)
        for level, planned in zip(
            image.levels, pyramid.plan_pyramid(volume, spacing_um), strict=True
        ):
            expected = block_mean(whole, planned.factors)
            region = tuple(slice(0, n) for n in expected.shape)
            np.testing.assert_array_equal(image.volume(0, level.index).read(region), expected)


@examples(20)
@given(case=pyramids())
def test_each_level_of_a_label_is_the_mode_of_the_one_before_however_it_is_cut(case):
    volume, spacing_um, pieces, seed = case
    random = np.random.default_rng(seed)
    before = flags(random, volume, 1, 2, 4).array
    new = NewImage((1, *volume), before.dtype, spacing_um, "test", ())
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        in_pieces(patch, pieces)
        store = ResultStore(Path(folder, "it.zarr"))
        with store.new_results("it", overwrite=False) as results:
            results.write_label("it", new, Pixels(before), ())
            results.publish({})
        label, last = store.label("it"), (1, 1, 1)
        for level, planned in zip(
            label.levels, pyramid.plan_pyramid(volume, spacing_um), strict=True
        ):
            by = tuple(f // g for f, g in zip(planned.factors, last, strict=True))
            before, last = block_mode(before, by), planned.factors
            np.testing.assert_array_equal(label.read(0, level=level.index), before)
