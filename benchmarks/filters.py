"""Smoothing, derivatives, watershed, Otsu, downsampling and forests in memory; one core each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Shape, cached_array, nuclei, open_zarr, smooth_noise
from benchmarks.harness import Check, Contest, Contestant, Size

__all__ = ["CONTESTS"]

SHAPES: dict[Size, Shape] = {
    "full": (64, 512, 512),
    "crop": (64, 256, 256),
    "quick": (64, 256, 256),
    "tiny": (32, 128, 128),
}
_FOREST: dict[Size, Shape] = {
    "full": (32, 128, 128),
    "quick": (16, 128, 128),
    "tiny": (16, 64, 64),
}
_SIGMA = 2.0
_REACH = 8


def _given(size: Size) -> SimpleNamespace:
    task = nuclei(SHAPES[size], "blosc-lz4")
    task.image = open_zarr(task.path)[:]
    return task


def _near(
    reference: Callable[[Any], NDArray[Any]], tolerance: float, margin: int = 0
) -> Callable[[Any, NDArray[Any]], Check]:
    """Compare with a peer's answer, away from the faces, in units of the values' spread."""

    def check(task: SimpleNamespace, found: NDArray[Any]) -> Check:
        name = f"{reference.__name__.strip('_')}-{task.name}"
        right = cached_array(name, lambda: reference(task))
        inner = tuple(slice(margin, n - margin) for n in right.shape[:3])
        off = float(np.abs(right[inner] - found[inner].astype(np.float64)).max())
        off /= float(right[inner].std())
        return Check("equal" if off == 0 else f"{off:.1g} SD off at most", off <= tolerance)

    return check


def _copy(task: SimpleNamespace) -> NDArray[Any]:
    """To read every voxel and write an answer of float32: what memory allows."""
    return task.image.astype(np.float32)


def _scimage_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import smooth

    weights = smooth.gaussian_weights(_SIGMA)
    return smooth.smooth(np.pad(task.image, weights.size - 1, "edge"), (weights,) * 3)


def _scipy_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(task.image, _SIGMA, output=np.float32, mode="nearest")


def _skimage_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    from skimage.filters import gaussian

    return gaussian(task.image.astype(np.float32), _SIGMA, preserve_range=True)


def _simpleitk_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.image.astype(np.float32))
    return SimpleITK.GetArrayFromImage(SimpleITK.SmoothingRecursiveGaussian(image, _SIGMA))


def _opencv_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    """Plane by plane, and then along z as the rows of one wide image."""
    import cv2

    cv2.setNumThreads(1)
    size = 2 * _REACH + 1
    planes = np.stack(
        [
            cv2.GaussianBlur(
                p.astype(np.float32), (size, size), _SIGMA, borderType=cv2.BORDER_REPLICATE
            )
            for p in task.image
        ]
    )
    rows = planes.reshape(len(planes), -1)
    kernel = cv2.getGaussianKernel(size, _SIGMA, cv2.CV_32F)
    one = np.ones(1, np.float32)
    smoothed = cv2.sepFilter2D(rows, -1, one, kernel, borderType=cv2.BORDER_REPLICATE)
    return smoothed.reshape(planes.shape)


def _dask_gaussian(task: SimpleNamespace) -> NDArray[Any]:
    import dask
    import dask.array
    from dask_image.ndfilters import gaussian_filter

    data = dask.array.from_array(task.image, chunks=(64, 256, 256)).astype(np.float32)
    with dask.config.set(scheduler="synchronous"):
        return gaussian_filter(data, _SIGMA, mode="nearest").compute()


def _scimage_gradient(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import gradients

    return gradients.gradient_magnitude(np.pad(task.image, _REACH, "edge"), _SIGMA, (1, 1, 1))


def _scipy_gradient(task: SimpleNamespace) -> NDArray[Any]:
    from scipy.ndimage import gaussian_gradient_magnitude

    return gaussian_gradient_magnitude(task.image, _SIGMA, output=np.float32, mode="nearest")


def _simpleitk_gradient(task: SimpleNamespace) -> NDArray[Any]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.image.astype(np.float32))
    return SimpleITK.GetArrayFromImage(SimpleITK.GradientMagnitudeRecursiveGaussian(image, _SIGMA))


def _scimage_tensor(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import gradients

    padded = np.pad(task.image, 4 + _REACH, "edge")
    return gradients.structure_tensor(padded, 1.0, _SIGMA, (1, 1, 1))


def _scipy_tensor(task: SimpleNamespace) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    near = {"mode": "nearest", "output": np.float32}
    slopes = [gaussian_filter(task.image, 1.0, order, **near) for order in np.eye(3, dtype=int)]
    pairs = combinations_with_replacement(slopes, 2)
    return np.stack([gaussian_filter(a * b, _SIGMA, **near) for a, b in pairs])


def _skimage_tensor(task: SimpleNamespace) -> NDArray[Any]:
    """Its derivatives are those of Sobel, of an image that is smoothed before."""
    from skimage.feature import structure_tensor
    from skimage.filters import gaussian

    smooth = gaussian(task.image.astype(np.float32), 1.0, preserve_range=True)
    return np.stack(structure_tensor(smooth, _SIGMA, mode="nearest"))


def _alike(task: SimpleNamespace, found: NDArray[Any]) -> Check:
    right = cached_array(f"tensor-{task.name}", lambda: _scipy_tensor(task))
    inner = (slice(None), *(slice(12, n - 12, 2) for n in right.shape[1:]))
    r = min(
        float(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1])
        for a, b in zip(right[inner], found[inner], strict=True)
    )
    return Check("equal" if r > 1 - 1e-6 else f"correlation {r:.3f}", r > 0.9)


def _smaller(size: Size) -> SimpleNamespace:
    return _given("crop" if size == "full" else size)


def _landscape(size: Size) -> SimpleNamespace:
    shape = SHAPES["crop" if size == "full" else size]
    values = smooth_noise(shape, 2.0)
    return SimpleNamespace(values=values, mask=values < 0.5, voxels=values.size)


def _scimage_watershed(task: SimpleNamespace) -> int:
    from scimage.kernels import watershed

    return watershed.watershed_basins(np.pad(task.values, 1), np.pad(task.mask, 1))[1]


def _skimage_watershed(task: SimpleNamespace) -> int:
    from skimage.segmentation import watershed

    return int(watershed(task.values, mask=task.mask, connectivity=1).max())


def _scipy_watershed(task: SimpleNamespace) -> int:
    from scipy.ndimage import label, minimum_filter, watershed_ift

    cross = np.zeros((3, 3, 3), bool)
    cross[1, 1], cross[1, :, 1], cross[:, 1, 1] = True, True, True
    low = minimum_filter(task.values, footprint=cross, mode="nearest") == task.values
    markers, n = label(low & task.mask)
    levels = np.interp(task.values, (-4, 4), (0, 65535)).astype(np.uint16)
    watershed_ift(levels, np.where(task.mask, markers, -1), cross)
    return n


def _basins(task: SimpleNamespace, n: int) -> Check:
    right = _minima(task)
    return Check("equal number" if n == right else f"{n} basins, {right} minima", n == right)


def _minima(task: SimpleNamespace) -> int:
    """Voxels of the mask below all their neighbours in it, which have a basin each."""
    high = np.pad(np.where(task.mask, task.values, np.inf), 1, constant_values=np.inf)
    middle = high[1:-1, 1:-1, 1:-1]
    low = task.mask.copy()
    for axis, step in ((a, s) for a in range(3) for s in (0, 2)):
        window = [slice(1, -1)] * 3
        window[axis] = slice(step, step + middle.shape[axis])
        low &= middle < high[tuple(window)]
    return int(low.sum())


def _scimage_otsu(task: SimpleNamespace) -> float:
    from scimage.blocks import Histogram

    return Histogram.of(task.image).otsu()


def _otsu_of(counts: NDArray[Any]) -> float:
    from skimage.filters import threshold_otsu

    used = np.flatnonzero(counts)[-1] + 1
    return float(threshold_otsu(hist=(counts[:used], np.arange(used))))


def _numpy_otsu(task: SimpleNamespace) -> float:
    return _otsu_of(np.bincount(task.image.reshape(-1), minlength=65536))


def _skimage_otsu(task: SimpleNamespace) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(task.image))


def _opencv_otsu(task: SimpleNamespace) -> float:
    import cv2

    cv2.setNumThreads(1)
    flat = task.image.reshape(len(task.image), -1)
    return _otsu_of(cv2.calcHist([flat], [0], None, [65536], [0, 65536]).reshape(-1))


def _simpleitk_otsu(task: SimpleNamespace) -> float:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    otsu = SimpleITK.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(1024)
    otsu.Execute(SimpleITK.GetImageFromArray(task.image))
    return otsu.GetThreshold()


def _same_threshold(task: SimpleNamespace, found: float) -> Check:
    right = _numpy_otsu(task)
    # Bins of scimage are narrower than 1/128 of their value.
    return Check(f"{found:.4g} for {right:.4g}", abs(found - right) <= 0.02 * right)


def _scimage_halved(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import downsample

    sums = downsample.block_sum(task.image, (2, 2, 2))
    return downsample.rounded_mean(sums, task.image.shape, (2, 2, 2), task.image.dtype)


def _numpy_halved(task: SimpleNamespace) -> NDArray[Any]:
    z, y, x = (n // 2 for n in task.image.shape)
    return task.image.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5), dtype=np.float32)


def _skimage_halved(task: SimpleNamespace) -> NDArray[Any]:
    from skimage.transform import downscale_local_mean

    return downscale_local_mean(task.image, (2, 2, 2))


def _simpleitk_halved(task: SimpleNamespace) -> NDArray[Any]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.image)
    return SimpleITK.GetArrayFromImage(SimpleITK.BinShrink(image, (2, 2, 2)))


def _forest(size: Size) -> SimpleNamespace:
    """Five smoothed versions of an image, and a forest that was trained on a bit of them."""
    from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
    from sklearn.ensemble import RandomForestClassifier

    image = nuclei(_FOREST[size], "blosc-lz4")
    data = open_zarr(image.path)[:].astype(np.float32)
    features = [gaussian_filter(data, s) for s in (1, 2, 4)]
    features += [gaussian_gradient_magnitude(data, s) for s in (1, 2)]
    flat = np.stack(features).reshape(len(features), -1)
    bright = (features[1] > np.quantile(features[1], 0.95)).reshape(-1)
    some = np.random.default_rng(0).choice(data.size, 4000, replace=False)
    forest = RandomForestClassifier(50, max_depth=12, random_state=0)
    forest.fit(flat[:, some].T, bright[some])
    return SimpleNamespace(flat=flat, forest=forest, voxels=data.size)


def _scimage_forest(task: SimpleNamespace) -> NDArray[Any]:
    from scimage.kernels import forest

    return forest.probabilities(task.packed, task.flat)[1]


def _packed(size: Size) -> SimpleNamespace:
    from scimage.kernels.forest import pack_forest

    task = _forest(size)
    trees = [e.tree_ for e in task.forest.estimators_]
    counts = [t.node_count for t in trees]
    roots = np.cumsum([0, *counts[:-1]])
    columns = ("feature", "threshold", "children_left", "children_right")
    nodes = [np.concatenate([getattr(t, c) for t in trees]) for c in columns]
    shares = np.concatenate([t.value[:, 0] for t in trees])
    task.packed = pack_forest(*nodes, shares, roots)
    return task


def _sklearn_forest(task: SimpleNamespace) -> NDArray[Any]:
    return task.forest.predict_proba(task.flat.T)[:, 1]


def _same_probability(task: SimpleNamespace, found: NDArray[Any]) -> Check:
    some = slice(None, None, 97)
    off = float(np.abs(task.forest.predict_proba(task.flat.T[some])[:, 1] - found[some]).max())
    return Check("equal" if off < 1e-6 else f"{off:.1g} off at most", off < 1e-6)


def _peer(name: str, package: str, run: Callable[..., Any]) -> Contestant:
    return Contestant(name=name, package=package, run=run)


_MEMORY = Contestant(name="copying to float32", run=_copy, package="numpy", limit=True)

CONTESTS = (
    Contest(
        name="gaussian, sigma 2",
        given=_given,
        check=_near(_scipy_gaussian, 0.05, margin=_REACH),
        contestants=(
            Contestant(name="scimage", run=_scimage_gaussian),
            _MEMORY,
            _peer("scipy", "scipy", _scipy_gaussian),
            _peer("scikit-image", "scikit-image", _skimage_gaussian),
            _peer("SimpleITK recursive", "SimpleITK", _simpleitk_gaussian),
            _peer("OpenCV", "opencv-python-headless", _opencv_gaussian),
            _peer("dask-image", "dask-image", _dask_gaussian),
        ),
    ),
    Contest(
        name="gradient, sigma 2",
        given=_given,
        check=_near(_scipy_gradient, 0.2, margin=_REACH),
        contestants=(
            Contestant(name="scimage", run=_scimage_gradient),
            _MEMORY,
            _peer("scipy", "scipy", _scipy_gradient),
            _peer("SimpleITK recursive", "SimpleITK", _simpleitk_gradient),
        ),
    ),
    Contest(
        name="structure tensor",
        given=_smaller,
        check=_alike,
        contestants=(
            Contestant(name="scimage", run=_scimage_tensor),
            _peer("scipy", "scipy", _scipy_tensor),
            _peer("scikit-image", "scikit-image", _skimage_tensor),
        ),
    ),
    Contest(
        name="watershed",
        given=_landscape,
        check=_basins,
        contestants=(
            Contestant(name="scimage", run=_scimage_watershed),
            _peer("scikit-image", "scikit-image", _skimage_watershed),
            _peer("scipy ift", "scipy", _scipy_watershed),
        ),
    ),
    Contest(
        name="histogram and Otsu",
        given=_given,
        check=_same_threshold,
        contestants=(
            Contestant(name="scimage", run=_scimage_otsu),
            _MEMORY,
            _peer("numpy bincount", "numpy", _numpy_otsu),
            _peer("scikit-image", "scikit-image", _skimage_otsu),
            _peer("OpenCV", "opencv-python-headless", _opencv_otsu),
            _peer("SimpleITK", "SimpleITK", _simpleitk_otsu),
        ),
    ),
    Contest(
        name="downsampling by 2",
        given=_given,
        check=_near(_numpy_halved, 0.05),
        contestants=(
            Contestant(name="scimage", run=_scimage_halved),
            _peer("numpy", "numpy", _numpy_halved),
            _peer("scikit-image", "scikit-image", _skimage_halved),
            _peer("SimpleITK", "SimpleITK", _simpleitk_halved),
        ),
    ),
    Contest(
        name="forest of 50 trees, 5 features",
        given=_forest,
        check=_same_probability,
        contestants=(
            Contestant(
                name="scimage",
                run=_scimage_forest,
                given=_packed,
                requires="sklearn",
            ),
            _peer("scikit-learn", "scikit-learn", _sklearn_forest),
        ),
    ),
)
