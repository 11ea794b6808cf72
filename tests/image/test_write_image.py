"""Writing an image: pixels, pyramid, metadata, and what stands at its name meanwhile."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from scimage.errors import FormatError, TargetExistsError, UsageError
from scimage.image import Channel, open_image
from scimage.image.pyramid import plan_layout, plan_pyramid


def block_means(array: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Mean of each block of full-resolution voxels; integers are rounded half up."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for at in np.ndindex(out.shape):
        block = array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        if array.dtype.kind == "f":
            out[at] = block.mean(dtype=np.float64)
        else:
            total, n = sum(int(v) for v in block.ravel()), block.size
            out[at] = (2 * total + n) // (2 * n)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.usefixtures("tiny_shards")
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((1, 20, 37, 45), (1.0, 1.0, 1.0)),
        ((2, 9, 33, 17), (4.0, 0.5, 0.5)),
        ((1, 1, 50, 7), (1.0, 0.3, 1.0)),
    ],
)
def test_every_level_holds_the_exact_means_of_full_resolution_blocks(
    tmp_path: Path, write: Any, ramp: Any, dtype: str, shape: Any, spacing: Any
) -> None:
    array = ramp(shape, dtype)
    image = open_image(write(tmp_path / "i.ome.zarr", array, spacing_um=spacing))
    assert len(image.levels) >= 3
    for level in image.levels:
        assert level.spacing_um is not None
        factors = tuple(round(s / t) for s, t in zip(level.spacing_um, spacing, strict=True))
        for c in range(shape[0]):
            expected = block_means(array[c], factors)  # type: ignore[arg-type]
            stored = image.read(c, level=level.index)
            if dtype == "float32":
                np.testing.assert_allclose(stored, expected, rtol=1e-6, atol=1e-7)
            else:
                np.testing.assert_array_equal(stored, expected)
    assert max(image.levels[-1].shape) <= 8


@pytest.mark.usefixtures("tiny_shards")
def test_each_level_is_centred_on_the_voxels_that_it_covers(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    path = write(
        tmp_path / "i.ome.zarr", ramp((1, 8, 32, 32)), spacing_um=(4, 1, 2),
        translation_um=(-3, 10, 0.5),
    )  # fmt: skip
    for level in open_image(path).levels:
        assert level.spacing_um is not None
        for axis in range(3):
            spacing, first = (4, 1, 2)[axis], (-3, 10, 0.5)[axis]
            covered = round(level.spacing_um[axis] / spacing)
            centre = np.mean([first + spacing * i for i in range(covered)])
            assert level.translation_um[axis] == pytest.approx(centre)


def test_finer_axes_are_halved_until_voxels_are_nearly_cubes() -> None:
    levels = plan_pyramid((256, 1024, 1024), (4.0, 1.0, 1.0))
    assert [level.factors for level in levels] == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]
    assert [level.shape for level in levels][-1] == (128, 128, 128)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 5, 7), (100, 2000, 3000), (1000, 129, 70000), (5000, 5000, 5000)]
)
def test_a_shard_is_a_whole_number_of_chunks_and_of_blocks_of_every_level(
    shape: tuple[int, int, int],
) -> None:
    layout = plan_layout(shape)
    for level in plan_pyramid(shape, (1.0, 1.0, 1.0)):
        for n, shard, chunk, factor in zip(
            shape, layout.shard, layout.chunk, level.factors, strict=True
        ):
            assert shard % chunk == 0
            assert n <= shard or shard % factor == 0
    assert np.prod(layout.chunk) <= 2**21
    assert np.prod(layout.shard) <= 2**25


def test_arrays_are_sharded_and_compressed_with_blosc_lz4_bitshuffle(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((1, 130, 140, 300), "uint8"))
    array = zarr.open_array(path / "0", mode="r")
    assert array.metadata.zarr_format == 3
    assert array.chunks == (1, 128, 128, 128)
    assert array.shards == (1, 128, 256, 384)
    assert array.metadata.dimension_names == ("c", "z", "y", "x")
    codec = json.loads((path / "0" / "zarr.json").read_text())["codecs"][0]
    assert codec["name"] == "sharding_indexed"
    inner = {c["name"]: c.get("configuration", {}) for c in codec["configuration"]["codecs"]}
    assert inner["blosc"]["cname"] == "lz4"
    assert inner["blosc"]["shuffle"] == "bitshuffle"


def test_channel_names_colours_and_windows_are_stored(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    array = ramp((2, 4, 20, 20))
    array[1] = 3
    channels = (Channel("GFAP", "00FF00"), Channel("human nuclei", "FF00FF"))
    path = write(tmp_path / "cord 1.ome.zarr", array, channels=channels, name="cord 1")
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    stored = attributes["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"]) for c in stored] == [
        ("GFAP", "00FF00"),
        ("human nuclei", "FF00FF"),
    ]
    low, high = np.percentile(array[0], [1, 99.9])
    assert stored[0]["window"] == pytest.approx({"min": 0, "max": 65535, "start": low, "end": high})
    assert stored[1]["window"] == {"min": 0, "max": 65535, "start": 3, "end": 4}
    assert attributes["ome"]["multiscales"][0]["name"] == "cord 1"
    assert open_image(path).spacing_origin == "test"
    assert open_image(path).name == "cord 1"


def test_a_float_image_with_nan_and_infinity_gets_a_finite_window(
    tmp_path: Path, write: Any
) -> None:
    array = np.full((2, 2, 4, 4), np.nan, "float32")
    array[1, 0, 0] = [1, 2, np.inf, -np.inf]
    image = open_image(write(tmp_path / "i.ome.zarr", array))
    assert image.channels[0].window == (0, 1, 0, 1)
    assert image.channels[1].window == pytest.approx((1, 2, 1.01, 1.999))
    np.testing.assert_array_equal(image.read(1), array[1])


@pytest.mark.usefixtures("tiny_shards")
def test_only_zarr_content_and_its_provenance_are_left_under_and_beside_the_name(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((2, 8, 20, 20)))
    assert [p.name for p in tmp_path.iterdir()] == ["i.ome.zarr"]
    about = {"provenance/image/run.json", "provenance/image/digests.json"}
    assert about < {*files(path)}
    for name in {*files(path)} - about:
        parts = Path(name).parts
        assert parts[-1] == "zarr.json" or (parts[0].isdecimal() and parts[1] == "c"), name


@pytest.mark.usefixtures("tiny_shards")
def test_the_provenance_holds_the_source_and_the_digest_of_each_shard(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((2, 8, 20, 20)), identity="these pixels")
    about = path / "provenance" / "image"
    assert json.loads((about / "run.json").read_text()) == {"test": "these pixels"}
    assert json.loads((about / "digests.json").read_text()) == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files(path).items()
        if "c" in Path(name).parts
    }


@pytest.mark.usefixtures("tiny_shards")
@pytest.mark.parametrize("shard", ["0/c/1/0/1/0", "1/c/0/0/0/0"])
def test_a_lost_shard_is_an_error_and_not_background(
    tmp_path: Path, write: Any, ramp: Any, shard: str
) -> None:
    path = write(tmp_path / "i.ome.zarr", ramp((2, 8, 20, 20)))
    (path / shard).unlink()
    level, channel = int(shard[0]), int(shard[4])
    with pytest.raises(FormatError, match="was lost"):
        open_image(path).read(channel, level=level)
    open_image(path).read(1 - channel, level=level)


@pytest.mark.usefixtures("tiny_shards")
def test_nothing_stands_under_the_name_before_all_is_written(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    target = tmp_path / "new folder" / "i.ome.zarr"
    seen = []

    def report(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total, target.exists()))

    write(target, ramp((1, 8, 33, 33)), report=report)
    total = 9 + 4 + 1 + 1
    assert seen == [("write", i + 1, total, False) for i in range(total)]


@pytest.mark.usefixtures("tiny_shards")
def test_the_old_image_stays_until_the_new_one_is_whole(
    tmp_path: Path, write: Any, ramp: Any
) -> None:
    target, old, new = tmp_path / "i.ome.zarr", ramp((1, 8, 20, 20)), ramp((1, 8, 30, 30), seed=2)
    write(target, old)
    with pytest.raises(TargetExistsError, match=r"it exists already; .* --overwrite"):
        write(target, new)

    def report(stage: str, done: int, total: int) -> None:
        np.testing.assert_array_equal(open_image(target).read(0), old[0])

    write(target, new, overwrite=True, report=report)
    np.testing.assert_array_equal(open_image(target).read(0), new[0])
    assert [p.name for p in tmp_path.iterdir()] == ["i.ome.zarr"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_overwrite_replaces_no_file_and_no_folder_of_other_things(
    tmp_path: Path, write: Any, ramp: Any, kind: str
) -> None:
    target = tmp_path / "precious"
    kept = target / "thesis.txt" if kind == "folder" else target
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("years of work")
    with pytest.raises(TargetExistsError, match="something else than what would replace it"):
        write(target, ramp((1, 4, 8, 8)), overwrite=True)
    assert kept.read_text() == "years of work"


def test_an_empty_image_is_refused(tmp_path: Path, write: Any) -> None:
    with pytest.raises(UsageError, match=r"an image of shape \(1, 0, 8, 8\)"):
        write(tmp_path / "i.ome.zarr", np.zeros((1, 0, 8, 8), "uint8"))


@pytest.mark.parametrize("dtype", ["uint64", "int64", "float16", "complex64", "bool"])
def test_a_type_without_exact_means_is_refused(tmp_path: Path, write: Any, dtype: str) -> None:
    with pytest.raises(UsageError, match=f"voxels of type {dtype}; expected one of uint8"):
        write(tmp_path / "i.ome.zarr", np.zeros((1, 2, 8, 8), dtype))
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, resource
        from pathlib import Path
        import numpy as np
        from scimage.image import NewImage, pyramid, write_image, writer
        from scimage.image.metadata import named_channels
        pyramid._SHARD_VOXELS, writer._BAND_BYTES = 2**22, 2**24

        class Pixels:
            def read(self, channel, z, y, x):
                rows = np.arange(y.start, y.stop, dtype=np.uint16)[None, :, None]
                shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
                return np.broadcast_to(rows, shape).copy()

        def go(target, side):
            shape = (1, 128, side, side)
            write_image(target, NewImage(shape, np.dtype("uint16"), (1.0, 1.0, 1.0), "test",
                        named_channels(["a"])), Pixels(), {})

        go(Path(sys.argv[1]) / "warm", 384)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        go(Path(sys.argv[1]) / "large", 768)
        print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    small, large = (int(n) for n in result.stdout.split())
    # Four times as many voxels (150 MB more) may cost a tenth of their size at most.
    assert large - small < 15_000
