"""Cells from an image on disk to a table of positions; truth is known."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Shape, cached, delivr, nuclei, open_zarr, scratch
from benchmarks.harness import Check, Contest, Contestant, Size
from benchmarks.reading import reading_alone

__all__ = ["CONTESTS", "count"]

SHAPES: dict[Size, Shape] = {
    "full": (512, 1024, 1024),
    "crop": (64, 512, 512),
    "quick": (64, 256, 256),
    "tiny": (32, 128, 128),
}
# Thresholds of peers are chosen on this part, in grey levels of their own response.
_TUNING: Shape = (32, 192, 192)
_GRID = (4, 6, 8, 11, 15, 20, 28, 40)
# Widths of a Gaussian that answers best to a ball, and of its surroundings (Marr & Hildreth).
_BALL, _WIDER = 2 * np.sqrt(3), 1.6

Points = NDArray[np.float64]


def count(
    task: SimpleNamespace,
    *,
    workers: int = 2,
    block: Shape | None = None,
    **parameters: Any,
) -> Points:
    """Positions from scimage, with its table written."""
    import scimage

    result = scimage.count_grafts(
        scimage.open_image(task.path),
        scimage.GraftParameters(nuclei="0", **parameters),
        output=scratch("cells.zarr"),
        execution=scimage.Execution(workers=workers, block=block),
    )
    return result.positions_um()


def _tuned_ours(task: SimpleNamespace, *, workers: int = 2, **parameters: Any) -> Points:
    """With the size of the nuclei told, and the best of a grid of `min_snr`, as peers get it."""
    d = task.diameter_um
    fixed = {"diameter_um": (d / 1.1, d * 1.1), **parameters}
    best = _best_threshold(
        "scimage", (3, 4, 6, 8), lambda t, at: count(t, workers=1, min_snr=at, **fixed)
    )
    return count(task, workers=workers, min_snr=best, **fixed)


def _peer(name: str, detect: Callable[..., Points], grid: Sequence[float] = _GRID) -> Any:
    """A peer with its best threshold, which is looked for on the tiny input, outside the clock."""

    def run(task: SimpleNamespace) -> Points:
        found = detect(task, _best_threshold(name, grid, detect))
        np.savetxt(scratch("cells.csv"), found, fmt="%.3f", delimiter=",")
        return found

    return run


def _best_threshold(name: str, grid: Sequence[float], detect: Callable[..., Points]) -> float:
    """The best on a small phantom, kept in the cache: only the first run ever looks for it."""

    def search(path: Any) -> None:
        part = nuclei(_TUNING)
        path.write_text(json.dumps(max(grid, key=lambda at: _f1(part, detect(part, at)))))

    return float(json.loads(cached(f"threshold-{name}.json", search).read_text()))


def _f1(task: SimpleNamespace, found: Points) -> float:
    from scimage.review import match_points

    return match_points(task.truth_um, found, task.tolerance_um).f1


def _right(task: SimpleNamespace, found: Points) -> Check:
    f1 = _f1(task, found)
    return Check(f"F1 {f1:.3f}", f1 > 0.5)


def _sigmas(task: SimpleNamespace, binned: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both Gaussians of the difference, in voxels."""
    spacing = np.array(task.spacing_um) * (1, binned, binned)
    inner = task.diameter_um / _BALL / spacing
    return inner, inner * _WIDER


def _binned_scipy(task: SimpleNamespace, threshold: float) -> Points:
    """The strongest script: exact binning to near isotropic voxels, and float32."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    array = open_zarr(task.path)
    depth, height, width = array.shape
    binned = np.zeros((depth, height // 2, width // 2), np.float32)
    for z in range(0, depth, 64):
        slab = array[z : z + 64]
        for i, j in itertools.product((0, 1), repeat=2):
            binned[z : z + 64] += slab[:, i::2, j::2]
    binned *= 0.25
    inner, outer = _sigmas(task, binned=2)
    response = gaussian_filter(binned, inner, truncate=3)
    response -= gaussian_filter(binned, outer, truncate=3)
    peaks = (maximum_filter(response, 3) == response) & (response > threshold)
    return (np.argwhere(peaks) * (1, 2, 2) + np.array([0, 0.5, 0.5])) * task.spacing_um


def _dog_peaks(data: NDArray[Any], inner: Any, outer: Any, threshold: float) -> NDArray[np.bool_]:
    from scipy.ndimage import gaussian_filter, maximum_filter

    values = data.astype(np.float32)
    response = gaussian_filter(values, inner, truncate=3)
    response -= gaussian_filter(values, outer, truncate=3)
    return (maximum_filter(response, (3, 5, 5)) == response) & (response > threshold)


def _scipy(task: SimpleNamespace, threshold: float) -> Points:
    peaks = _dog_peaks(open_zarr(task.path)[:], *_sigmas(task), threshold)
    return np.argwhere(peaks) * task.spacing_um


def _dask_array(task: SimpleNamespace) -> Any:
    import dask.array

    return dask.array.from_zarr(str(task.path / "0"), chunks=(64, 256, 256))


def _map_overlap(task: SimpleNamespace, threshold: float) -> Points:
    import dask

    inner, outer = _sigmas(task)
    depth = tuple(int(3 * s + 0.5) + 2 for s in outer)
    peaks = _dask_array(task).map_overlap(
        _dog_peaks, depth=depth, boundary="nearest", dtype=bool,
        inner=inner, outer=outer, threshold=threshold,
    )  # fmt: skip
    with dask.config.set(scheduler="threads", num_workers=2):
        return np.argwhere(peaks.compute()) * task.spacing_um


def _dask_image(task: SimpleNamespace, threshold: float) -> Points:
    import dask
    from dask_image.ndfilters import gaussian_filter, maximum_filter

    data = _dask_array(task).astype(np.float32)
    inner, outer = _sigmas(task)
    response = gaussian_filter(data, inner, mode="nearest", truncate=3)
    response = response - gaussian_filter(data, outer, mode="nearest", truncate=3)
    peaks = (maximum_filter(response, (3, 5, 5)) == response) & (response > threshold)
    with dask.config.set(scheduler="threads", num_workers=2):
        return np.argwhere(peaks.compute()) * task.spacing_um


def _skimage(kind: str, task: SimpleNamespace, threshold: float) -> Points:
    from skimage import feature

    data = open_zarr(task.path)[:].astype(np.float32)
    sigma, _ = _sigmas(task)
    if kind == "blob_dog":
        # Two widths: a single difference of Gaussians.
        found = feature.blob_dog(data, sigma, sigma, _WIDER, threshold=threshold / (_WIDER - 1))
    else:
        found = feature.blob_log(data, sigma, sigma, num_sigma=1, threshold=4 * threshold)
    return found[:, :3] * task.spacing_um


def _trackpy(task: SimpleNamespace, threshold: float) -> Points:
    import trackpy

    trackpy.quiet()
    data = open_zarr(task.path)[:]
    size = [int(task.diameter_um / s) // 2 * 2 + 1 for s in task.spacing_um]
    found = trackpy.locate(
        data, size, minmass=40 * threshold * np.prod(size) / 100, engine="numba", characterize=False
    )
    return found[["z", "y", "x"]].dropna().to_numpy() * task.spacing_um


def _simpleitk(task: SimpleNamespace, threshold: float) -> Points:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(open_zarr(task.path)[:].astype(np.float32))
    inner, outer = (tuple(s[::-1].tolist()) for s in _sigmas(task))
    response = SimpleITK.SmoothingRecursiveGaussian(image, inner)
    response -= SimpleITK.SmoothingRecursiveGaussian(image, outer)
    highest = SimpleITK.GrayscaleDilate(response, (2, 2, 1), SimpleITK.sitkBox)
    peaks = SimpleITK.And(SimpleITK.Equal(highest, response), response > threshold)
    return np.argwhere(SimpleITK.GetArrayViewFromImage(peaks)) * task.spacing_um


def _cellfinder(task: SimpleNamespace, threshold: float) -> Points:
    from cellfinder.core.detect.detect import main

    data = open_zarr(task.path)[:]
    # What is not brighter than the corner it takes for outside the brain, and leaves out.
    data[:, :32, :32] = 0
    cells = main(
        signal_array=data, start_plane=0, end_plane=len(data), voxel_sizes=task.spacing_um,
        soma_diameter=task.diameter_um, max_cluster_size=100_000, ball_xy_size=6, ball_z_size=8,
        ball_overlap_fraction=0.6, soma_spread_factor=1.4, n_free_cpus=0, log_sigma_size=0.2,
        n_sds_above_mean_thresh=threshold,
    )  # fmt: skip
    return np.array([(c.z, c.y, c.x) for c in cells]).reshape(-1, 3) * task.spacing_um


def _given(size: Size) -> SimpleNamespace:
    return nuclei(SHAPES[size])


def _given_part(size: Size) -> SimpleNamespace:
    """A quarter of the whole, for peers that would take a minute for that."""
    return nuclei((128, 1024, 1024) if size == "full" else SHAPES[size])


_SCIMAGE = (
    Contestant(name="scimage, 2 workers", run=_tuned_ours, cores=2),
    Contestant(name="scimage, 1 worker", run=partial(_tuned_ours, workers=1)),
    Contestant(name="scimage, defaults, 2 workers", run=count, cores=2),
    reading_alone(1),
    reading_alone(2),
)

_PEERS = (
    Contestant(name="scipy, binned", run=_peer("binned", _binned_scipy), package="scipy"),
    Contestant(name="scipy", run=_peer("scipy", _scipy), package="scipy", crop=True),
    Contestant(
        name="dask map_overlap, 2 threads", run=_peer("map-overlap", _map_overlap),
        package="dask", cores=2, given=_given_part,
    ),
    Contestant(
        name="dask-image, 2 threads", run=_peer("dask-image", _dask_image),
        package="dask-image", cores=2, given=_given_part,
    ),
    Contestant(
        name="scikit-image blob_dog", run=_peer("blob-dog", partial(_skimage, "blob_dog")),
        package="scikit-image", crop=True,
    ),
    Contestant(
        name="scikit-image blob_log", run=_peer("blob-log", partial(_skimage, "blob_log")),
        package="scikit-image", crop=True,
    ),
    Contestant(name="trackpy", run=_peer("trackpy", _trackpy), package="trackpy", crop=True),
    Contestant(
        name="SimpleITK", run=_peer("simpleitk", _simpleitk), package="SimpleITK", crop=True
    ),
    Contestant(
        name="cellfinder 1.3, Numba, 2 processes", package="cellfinder",
        run=_peer("cellfinder", _cellfinder, (2, 3, 4, 6)), cores=2, crop=True, once=True,
    ),
    Contestant(
        name="cellfinder, PyTorch, 2 processes", package="cellfinder",
        run=_peer("cellfinder-2", _cellfinder, (2, 3, 4, 6)), cores=2, crop=True, once=True,
        environment=".venv-cellfinder",
    ),
)  # fmt: skip

# Human masks of c-Fos nuclei. Touching nuclei are one mask; background is judged within planes.
_DELIVR = {"diameter_um": (9.5, 12.5), "min_snr": 8.25, "background": "plane", "diameter_slack": 3}


def _patches(size: Size) -> SimpleNamespace:
    images = delivr("cFos_dev", {"tiny": 1, "quick": 2}.get(size))
    for image in images:
        image.tolerance_um, image.diameter_um = 8.0, 11.0
    return SimpleNamespace(images=images, voxels=sum(i.voxels for i in images))


def _each(detect: Callable[..., Points]) -> Callable[[SimpleNamespace], list[Points]]:
    return lambda task: [detect(image) for image in task.images]


def _delivr_peer(name: str, package: str, detect: Callable[..., Points]) -> Contestant:
    """A peer with the best threshold for these images, as ours was tuned on them."""

    def given(size: Size) -> SimpleNamespace:
        task = _patches(size)
        images = task.images

        def search(path: Any) -> None:
            grid = [10 * 1.4**i for i in range(14)]
            scores = [(_f1_of_all(images, [detect(i, at) for i in images]), at) for at in grid]
            path.write_text(json.dumps(max(scores)[1]))

        key = f"threshold-delivr-{len(images)}-{name.replace(' ', '-')}.json"
        task.threshold = json.loads(cached(key, search).read_text())
        return task

    return Contestant(
        name=name, package=package, given=given,
        run=lambda task: [detect(image, task.threshold) for image in task.images],
    )  # fmt: skip


def _f1_of_all(images: Sequence[SimpleNamespace], found: Sequence[Points]) -> float:
    from scimage.review import match_points

    matches = [
        match_points(i.truth_um, f, i.tolerance_um) for i, f in zip(images, found, strict=True)
    ]
    return (
        2 * sum(m.true_positives for m in matches) / sum(m.n_reference + m.n_found for m in matches)
    )


def _right_patches(task: SimpleNamespace, found: list[Points]) -> Check:
    f1 = _f1_of_all(task.images, found)
    return Check(f"F1 {f1:.3f} at 8 um", f1 > 0.3)


CONTESTS = (
    Contest(
        name="detection", given=_given, check=_right, contestants=(*_SCIMAGE, *_PEERS)
    ),
    Contest(
        name="detection, blosc-lz4 sharded",
        given=lambda size: nuclei(
            {**SHAPES, "full": (256, 1024, 1024)}[size], "blosc-lz4", sharded=True
        ),
        check=_right,
        contestants=_SCIMAGE,
    ),
    Contest(
        name="detection, delivr c-Fos",
        given=_patches,
        check=_right_patches,
        contestants=(
            Contestant(name="scimage", run=_each(partial(count, workers=1, **_DELIVR))),
            Contestant(name="scimage, defaults", run=_each(partial(count, workers=1))),
            _delivr_peer("scipy, binned", "scipy", _binned_scipy),
            _delivr_peer("scipy", "scipy", _scipy),
            _delivr_peer("scikit-image blob_dog", "scikit-image", partial(_skimage, "blob_dog")),
        ),
    ),
)  # fmt: skip
