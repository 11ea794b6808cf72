"""Connected components (6-connected) of a mask, in memory and straight from Zarr."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import (
    NUCLEI_UM,
    Shape,
    blobs,
    cached,
    cached_array,
    noise,
    open_zarr,
    scratch,
    store,
)
from benchmarks.harness import Check, Contest, Contestant, Size
from benchmarks.reading import reading_alone

__all__ = ["CONTESTS"]

SHAPES: dict[Size, Shape] = {
    "full": (128, 512, 512),
    "crop": (32, 256, 256),
    "quick": (64, 256, 256),
    "tiny": (32, 128, 128),
}
# The large mask repeats a small one.
_TILES = (4, 2, 2)
_BLOCK: Shape = (64, 256, 256)

_CROSS = np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]] * 3, dtype=bool)
_CROSS[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def _scimage(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import components

    return components.label_components(task.mask)[0]


def _sweep(workers: int, task: SimpleNamespace, *, write: bool = True) -> tuple[Any, Any, Any]:
    """Label block by block with the engine, and merge; local labels are written or not."""
    import scimage
    from scimage.blocks import BlockGrid, ComponentsPass
    from scimage.engine import Execution, open_executor, run_pass
    from scimage.image import Workspace

    mask = scimage.open_image(task.path).volume(0)
    grid = BlockGrid(mask.shape, tuple(min(b, n) for b, n in zip(_BLOCK, mask.shape, strict=True)))
    workspace = Workspace(scratch("labels"), {})
    target = workspace.volume("labels", np.uint32, grid.volume, grid.block) if write else None
    with open_executor(Execution(workers=workers), workspace.folder) as executor:
        # The pass labels what lacks a bit: the image holds that bit outside the mask.
        merged = run_pass("label", ComponentsPass(mask, 1, target), grid, executor, workspace)
    return merged, target, grid


def _whole(answer: tuple[Any, Any, Any]) -> NDArray[Any]:
    """Labels of the volume out of those of the blocks."""
    merged, target, grid = answer
    labels = np.empty(grid.volume, dtype=np.uint32)
    for block in grid:
        labels[block.core] = merged.component[block.index][target.read(block.core)]
    return labels


def _scipy(task: SimpleNamespace) -> NDArray[Any]:
    from scipy.ndimage import label

    return label(task.mask)[0]


def _skimage(task: SimpleNamespace) -> NDArray[Any]:
    from skimage.measure import label

    return label(task.mask, connectivity=1)


def _simpleitk(task: SimpleNamespace) -> NDArray[Any]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.mask.view(np.uint8))
    return SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(image))


def _cc3d(task: SimpleNamespace) -> NDArray[Any]:
    import cc3d

    return cc3d.connected_components(task.mask, connectivity=6)


def _dask_image(task: SimpleNamespace) -> NDArray[Any]:
    import dask
    import dask.array
    from dask_image.ndmeasure import label

    labels, _ = label(dask.array.from_array(task.mask, chunks=(32, 128, 128)), _CROSS)
    with dask.config.set(scheduler="threads", num_workers=2):
        return labels.compute()


def _cc3d_statistics(task: SimpleNamespace) -> Any:
    """Read, label, measure."""
    import cc3d

    labels = cc3d.connected_components(open_zarr(task.path)[:] == 0, connectivity=6)
    cc3d.statistics(labels)
    return labels


def _cc3d_on_disk(task: SimpleNamespace) -> Any:
    """Read, label, write: what there is to do where the mask is stored."""
    import cc3d

    labels = cc3d.connected_components(open_zarr(task.path)[:] == 0, connectivity=6)
    target = scratch("labels.zarr")
    store(target, labels.shape, labels.dtype, iter([labels]), NUCLEI_UM)
    return labels


def same_partition(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two label images are the same but for the numbers."""
    if ((one > 0) != (other > 0)).any():
        return False
    table = np.zeros(int(one.max()) + 1, dtype=np.int64)
    table[one] = other
    met = table[1:]
    return bool((table[one] == other).all()) and np.unique(met[met > 0]).size == (met > 0).sum()


def _given(kind: str, size: Size) -> SimpleNamespace:
    shape = SHAPES[size]
    mask = blobs(shape) if kind == "blobs" else noise(shape)
    name = f"mask-{kind}-{'x'.join(map(str, shape))}"
    path = cached(name, lambda p: store(p, shape, np.uint8, iter([~mask]), NUCLEI_UM))
    return SimpleNamespace(mask=mask, path=path, voxels=mask.size, name=name)


def _same(task: SimpleNamespace, answer: Any) -> Check:
    labels = _whole(answer) if isinstance(answer, tuple) else answer
    right = cached_array(f"labels-{task.name}", lambda: _scipy(task))
    same = same_partition(right, labels)
    return Check("equal" if same else f"{labels.max()} parts for {right.max()}", same)


def _given_large(size: Size) -> SimpleNamespace:
    small = SHAPES["full" if size == "full" else size]
    tiles = _TILES if size == "full" else (2, 1, 1)
    shape: Any = tuple(n * t for n, t in zip(small, tiles, strict=True))

    def slabs() -> Iterator[NDArray[Any]]:
        row = np.tile(~blobs(small), (1, *tiles[1:]))
        for _ in range(tiles[0]):
            yield row

    name = f"mask-tiled-{'x'.join(map(str, shape))}"
    path = cached(name, lambda p: store(p, shape, np.uint8, slabs(), NUCLEI_UM))
    return SimpleNamespace(path=path, voxels=math.prod(shape), name=name)


def _sizes(labels: NDArray[Any]) -> NDArray[Any]:
    return np.sort(np.bincount(labels.reshape(-1)))


def _same_sizes(task: SimpleNamespace, answer: Any) -> Check:
    def right() -> NDArray[Any]:
        return _sizes(_scipy(SimpleNamespace(mask=open_zarr(task.path)[:] == 0)))

    expected = cached_array(f"sizes-{task.name}", right)
    if isinstance(answer, tuple):
        found = answer[0].voxels[1:]
        found = np.sort(np.append(found, task.voxels - found.sum()))
    else:
        found = _sizes(answer)
    same = np.array_equal(found, expected)
    return Check("equal sizes" if same else f"{found.size} parts for {expected.size}", same)


def _sweeps(*workers: int, write: bool = True) -> Iterator[Contestant]:
    for n in workers:
        yield Contestant(
            name=f"scimage from Zarr, {n} worker{'s' * (n > 1)}",
            run=partial(_sweep, n, write=write), cores=n,
        )  # fmt: skip


def _peer(name: str, package: str, run: Callable[..., Any], **more: Any) -> Contestant:
    return Contestant(name=name, package=package, run=run, **more)


CONTESTS = (
    *(
        Contest(
            name=f"labelling, {kind}",
            given=partial(_given, kind),
            check=_same,
            contestants=(
                Contestant(name="scimage in memory", run=_scimage),
                *_sweeps(1, 2),
                reading_alone(2),
                _peer("scipy", "scipy", _scipy),
                _peer("scikit-image", "scikit-image", _skimage),
                _peer("SimpleITK", "SimpleITK", _simpleitk),
                _peer("cc3d", "connected-components-3d", _cc3d),
                _peer("dask-image, 2 threads", "dask-image", _dask_image, cores=2, crop=True),
            ),
        )
        for kind in ("blobs", "30% noise")
    ),
    Contest(
        name="labelling, statistics only",
        given=_given_large,
        check=_same_sizes,
        contestants=(
            *_sweeps(2, 1, write=False),
            reading_alone(2),
            _peer("cc3d", "connected-components-3d", _cc3d_statistics, cores=2),
        ),
    ),
    Contest(
        name="labelling, labels written",
        given=_given_large,
        check=_same_sizes,
        contestants=(
            *_sweeps(2, 1),
            reading_alone(2),
            _peer("cc3d", "connected-components-3d", _cc3d_on_disk, cores=2),
        ),
    ),
)
