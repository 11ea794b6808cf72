"""Inputs: made once, in slabs, and kept in a cache folder outside the repository.

The phantoms of the library are realistic and slow; these are plain and fast, and of any size.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CODECS",
    "Shape",
    "blobs",
    "cached",
    "delivr",
    "lesion",
    "link_repeated",
    "noise",
    "nuclei",
    "open_zarr",
    "scratch",
    "store",
]

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

# Part of the names in the cache: count it up when what is made changes.
_VERSION = 1
CODECS = ("blosc-lz4", "blosc-zstd", "zstd", "gzip", "none")
NUCLEI_UM: Spacing = (2.0, 1.0, 1.0)
LESION_UM: Spacing = (5.0, 5.0, 5.0)
# As in a cleared cord with a graft: 20,000 in half a Gvoxel.
_NUCLEI_PER_VOXEL = 20_000 / (512 * 1024 * 1024)


def cache_folder() -> Path:
    """``SCIMAGE_BENCH_CACHE``, or a folder among the user's caches."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SCIMAGE_BENCH_CACHE") or caches / "scimage-bench")


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """What `make` has written under this name; it appears when it is whole."""
    target = cache_folder() / f"v{_VERSION}-{name}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            part = Path(folder, target.name)
            make(part)
            part.rename(target)
    return target


def cached_array(name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """An array that is computed once."""
    return np.load(cached(f"{name}.npy", lambda path: np.save(path, make())))


def scratch(name: str) -> Path:
    """A path that does not exist yet; all of them are removed when the process ends."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="scratch-", dir=cache_folder())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, name)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def open_zarr(path: Path) -> Any:
    """Full resolution of an image, as zarr itself opens it."""
    import zarr

    return zarr.open_array(path / "0", mode="r")


def store(
    path: Path,
    shape: Shape,
    dtype: Any,
    slabs: Iterator[NDArray[Any]],
    spacing_um: Spacing,
    codec: str = "blosc-lz4",
    sharded: bool = False,
) -> None:
    """Write an OME-Zarr 0.5 image of one level in chunks of 64 x 128 x 128, shards of 2 x 2 x 2."""
    import zarr

    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    multiscales = [{"axes": axes, "datasets": _datasets(spacing_um)}]
    ome = {"version": "0.5", "multiscales": multiscales}
    group = zarr.create_group(path, zarr_format=3, attributes={"ome": ome})
    chunk = tuple(min(c, n) for c, n in zip((64, 128, 128), shape, strict=True))
    array = group.create_array(
        "0", shape=shape, dtype=dtype, chunks=chunk,
        shards=tuple(2 * c for c in chunk) if sharded else None, compressors=_codec(codec),
    )  # fmt: skip
    z = 0
    for slab in slabs:
        array[z : z + len(slab)] = slab
        z += len(slab)


def _datasets(spacing_um: Spacing) -> list[dict[str, Any]]:
    scale = {"type": "scale", "scale": list(spacing_um)}
    return [{"path": "0", "coordinateTransformations": [scale]}]


def _codec(name: str) -> Any:
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    return {
        "blosc-lz4": partial(BloscCodec, cname="lz4", clevel=5, shuffle="bitshuffle"),
        "blosc-zstd": partial(BloscCodec, cname="zstd", clevel=3, shuffle="bitshuffle"),
        "zstd": partial(ZstdCodec, level=3),
        "gzip": partial(GzipCodec, level=5),
        "none": lambda: None,
    }[name]()


def link_repeated(
    source: Path, target: Path, times: int, spacing_um: Spacing | None = None
) -> None:
    """An image that repeats another along z, made of links to its chunks."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("c"))
    if spacing_um is not None:
        scale = target / "zarr.json"
        about = json.loads(scale.read_text())
        about["attributes"]["ome"]["multiscales"][0]["datasets"] = _datasets(spacing_um)
        scale.write_text(json.dumps(about))
    described = target / "0" / "zarr.json"
    metadata = json.loads(described.read_text())
    depth, chunk = metadata["shape"][0], metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    metadata["shape"][0] = times * depth
    described.write_text(json.dumps(metadata))
    for file in (source / "0" / "c").rglob("*"):
        if file.is_file():
            z, y, x = file.relative_to(source / "0" / "c").parts
            for i in range(times):
                link = target / "0" / "c" / str(int(z) + i * (depth // chunk)) / y / x
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, link)


def nuclei(shape: Shape, codec: str = "zstd", sharded: bool = False) -> SimpleNamespace:
    """Nuclei of 8 to 9 um on uneven background with the noise of photons and camera; uint16."""
    centres, radii, heights = _places(shape)
    name = f"nuclei-{_text(shape)}-{codec}{'-sharded' * sharded}"
    depth = 128 if sharded else 64

    def make(path: Path) -> None:
        slabs = (
            _nuclei_slab(shape, z, min(depth, shape[0] - z), centres, radii, heights)
            for z in range(0, shape[0], depth)
        )
        store(path, shape, np.uint16, slabs, NUCLEI_UM, codec, sharded)

    return SimpleNamespace(
        name=name, path=cached(name, make), voxels=math.prod(shape), spacing_um=NUCLEI_UM,
        truth_um=centres * NUCLEI_UM, tolerance_um=5.0, diameter_um=8.5,
    )  # fmt: skip


def _places(shape: Shape) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Centres in voxels, radii in um and heights in grey levels; none nearer than 12 um."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(math.prod(shape))
    n = max(12, round(_NUCLEI_PER_VOXEL * math.prod(shape)))
    size = np.array(shape) * NUCLEI_UM
    place = rng.uniform(6, size - 6, (2 * n, 3))
    close = cKDTree(place).query_pairs(12, output_type="ndarray")
    place = np.delete(place, np.unique(close[:, 1]), axis=0)[:n]
    n = len(place)
    return place / NUCLEI_UM, rng.uniform(4, 4.5, n), rng.uniform(80, 300, n)


def _nuclei_slab(
    shape: Shape, z0: int, depth: int, centres: Any, radii: Any, heights: Any
) -> NDArray[np.uint16]:
    z, y, x = (np.arange(n, dtype=np.float32) / n for n in shape)
    waves = np.sin(5 * y)[:, None] * np.cos(7 * x) + np.sin(11 * (y[:, None] - x)) / 2
    bright = (1 + 0.5 * np.cos(4 * z[z0 : z0 + depth]))[:, None, None]
    slab = (150 + 40 * waves) * bright
    around = np.ceil(6 / np.array(NUCLEI_UM)).astype(int)
    for centre, radius, height in zip(centres, radii, heights, strict=True):
        low = np.maximum(np.round(centre).astype(int) - around, (z0, 0, 0))
        high = np.minimum(np.round(centre).astype(int) + around + 1, (z0 + depth, *shape[1:]))
        if low[0] >= high[0]:
            continue
        away = [
            ((np.arange(a, b) - c) * s) ** 2
            for a, b, c, s in zip(low, high, centre, NUCLEI_UM, strict=True)
        ]
        distance = np.sqrt(away[0][:, None, None] + away[1][:, None] + away[2])
        into = tuple(slice(a, b) for a, b in zip(low - (z0, 0, 0), high - (z0, 0, 0), strict=True))
        # The light of the surface is spread over two voxels.
        slab[into] += height * np.clip((radius - distance) / 2 + 0.5, 0, 1)
    return np.concatenate([_photographed(p, z0 + i) for i, p in enumerate(slab)]).reshape(
        slab.shape
    )


def _photographed(plane: NDArray[np.floating], seed: int) -> NDArray[np.uint16]:
    # So many photons are normally distributed: their variance is their number, and 25 the camera's.
    chance = np.random.default_rng(seed).standard_normal(plane.shape, dtype=np.float32)
    return np.clip(plane + chance * np.sqrt(plane + 25), 0, 65535).astype(np.uint16)


def delivr(folder: str, pick: int | None = None) -> list[SimpleNamespace]:
    """Patches of cleared mouse brain with human masks, from the test data."""
    from scipy import ndimage
    from tifffile import imread

    root = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("SCIMAGE_TEST_DATA", root)) / "delivr" / folder
    spacing = (6.0, 1.62, 1.62)
    out = []
    for raw in sorted(root.glob("raw_*.tif"))[:pick]:
        pixels = imread(raw)
        mask = imread(raw.with_name(raw.name.replace("raw", "gt"))) > 0
        labels, n = ndimage.label(mask, np.ones((3, 3, 3)))
        centres = np.array(ndimage.center_of_mass(mask, labels, range(1, n + 1))).reshape(-1, 3)
        name = f"delivr-{folder}-{raw.stem}"

        def make(path: Path, pixels: NDArray[Any] = pixels) -> None:
            store(path, pixels.shape, pixels.dtype, iter([pixels]), spacing)

        out.append(
            SimpleNamespace(
                name=name, path=cached(name, make), voxels=pixels.size, spacing_um=spacing,
                truth_um=centres * spacing,
            )
        )  # fmt: skip
    if not out:
        raise SystemExit("no test data: set SCIMAGE_TEST_DATA")
    return out


def noise(shape: Shape, share: float = 0.3) -> NDArray[np.bool_]:
    """White noise: each voxel is set with this probability."""
    return np.random.default_rng(0).random(shape, dtype=np.float32) < share


def smooth_noise(shape: Shape, sigma: float) -> NDArray[np.float32]:
    """Noise of mean 0 and variance 1 after smoothing."""
    from scipy.ndimage import gaussian_filter

    def make() -> NDArray[np.float32]:
        white = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
        smooth = gaussian_filter(white, sigma)
        return smooth / smooth.std()

    return cached_array(f"smooth-{_text(shape)}-{sigma:g}", make)


def blobs(shape: Shape, sigma: float = 3.0, above: float = 0.8) -> NDArray[np.bool_]:
    """Smooth bodies: a fifth of the volume where `above` is .8."""
    return smooth_noise(shape, sigma) > above


def lesion(shape: Shape) -> SimpleNamespace:
    """Tissue in a dark surround, in it a hollow ellipsoid with a bright border; uint16.

    The core inside the border is as dark as tissue: only the border tells it.
    """
    name = f"lesion-{_text(shape)}"
    size = np.array(shape) * LESION_UM
    half = size * (0.3, 0.3, 0.3)
    border_um = min(80.0, half.min() / 2)

    def inside(z0: int, depth: int, shrink_um: float) -> NDArray[np.bool_]:
        axes = (np.arange(z0, z0 + depth), np.arange(shape[1]), np.arange(shape[2]))
        away = [
            (((a + 0.5) * s - n / 2) / (h - shrink_um)) ** 2
            for a, s, n, h in zip(axes, LESION_UM, size, half, strict=True)
        ]
        return away[0][:, None, None] + away[1][:, None] + away[2] < 1

    def slab(z0: int, depth: int) -> NDArray[np.uint16]:
        out = np.full((depth, *shape[1:]), 110, dtype=np.float32)
        margin = max(4, shape[1] // 20)
        for edge in (slice(0, margin), slice(-margin, None)):
            out[:, edge] = 10
            out[:, :, edge] = 10
        out[inside(z0, depth, 0)] = 400
        out[inside(z0, depth, border_um)] = 100
        return np.concatenate([_photographed(p, z0 + i) for i, p in enumerate(out)]).reshape(
            out.shape
        )

    def make(path: Path) -> None:
        slabs = (slab(z, min(64, shape[0] - z)) for z in range(0, shape[0], 64))
        store(path, shape, np.uint16, slabs, LESION_UM)

    core = partial(inside, 0, shape[0], border_um)
    return SimpleNamespace(
        name=name, path=cached(name, make), voxels=math.prod(shape), spacing_um=LESION_UM, core=core
    )
