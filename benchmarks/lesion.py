"""A lesion from an image on disk to its volume: smooth, Otsu, closing, fill, label, measure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Shape, cached, cached_array, lesion, open_zarr, scratch
from benchmarks.harness import Check, Contest, Contestant, Size
from benchmarks.reading import reading_alone

__all__ = ["CONTESTS", "segment"]

SHAPES: dict[Size, Shape] = {
    "full": (256, 512, 1024),
    "crop": (96, 256, 256),
    "quick": (64, 128, 128),
    "tiny": (64, 96, 96),
}
_SMOOTHING_UM, _GAP_UM, _DARK = 10.0, 20.0, 50.0

Mask = NDArray[np.bool_]


def segment(task: SimpleNamespace, *, workers: int = 2, **parameters: Any) -> Any:
    """Labels and tables from scimage, written."""
    import scimage

    return scimage.segment_lesion(
        scimage.open_image(task.path),
        scimage.LesionParameters(
            gfap="0", smoothing_um=_SMOOTHING_UM, gap_um=_GAP_UM, min_lesion_mm3=0, **parameters
        ),
        output=scratch("lesion.zarr"),
        execution=scimage.Execution(workers=workers),
    )


def _full_resolution(workers: int, task: SimpleNamespace) -> Mask:
    return segment(task, workers=workers, working_um=task.spacing_um[0])


def _read(task: SimpleNamespace) -> NDArray[Any]:
    return open_zarr(task.path)[:]


def _numbers(task: SimpleNamespace) -> tuple[float, float]:
    """Sigma and radius of the closing, in voxels."""
    return _SMOOTHING_UM / task.spacing_um[0], _GAP_UM / task.spacing_um[0]


def _largest(labels: NDArray[Any]) -> Mask:
    """The largest part, and its measures: what a script would print."""
    from scipy.ndimage import center_of_mass

    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    mask = labels == sizes.argmax()
    center_of_mass(mask)
    return mask


def _otsu(smoothed: NDArray[np.float32]) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(smoothed[smoothed > _DARK]))


def _skimage(task: SimpleNamespace) -> Mask:
    from scipy.ndimage import binary_fill_holes
    from skimage.filters import gaussian
    from skimage.measure import label
    from skimage.morphology import isotropic_closing

    sigma, radius = _numbers(task)
    smoothed = gaussian(_read(task).astype(np.float32), sigma, preserve_range=True)
    border = isotropic_closing(smoothed > _otsu(smoothed), radius)
    return _largest(label(binary_fill_holes(border) & ~border, connectivity=1))


def _simpleitk(task: SimpleNamespace) -> Mask:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sigma, radius = _numbers(task)
    image = SimpleITK.GetImageFromArray(_read(task).astype(np.float32))
    smoothed = SimpleITK.SmoothingRecursiveGaussian(image, sigma)
    otsu = SimpleITK.OtsuThresholdImageFilter()
    otsu.SetMaskValue(1)
    otsu.Execute(smoothed, SimpleITK.Cast(smoothed > _DARK, SimpleITK.sitkUInt8))
    border = SimpleITK.BinaryMorphologicalClosing(
        smoothed > otsu.GetThreshold(), [round(radius)] * 3
    )
    core = SimpleITK.And(SimpleITK.BinaryFillhole(border), SimpleITK.Not(border))
    labels = SimpleITK.RelabelComponent(SimpleITK.ConnectedComponent(core))
    SimpleITK.LabelShapeStatisticsImageFilter().Execute(labels)
    return SimpleITK.GetArrayFromImage(labels) == 1


def _best_of_breed(task: SimpleNamespace) -> Mask:
    import cc3d
    import edt
    import fill_voids

    sigma, radius = _numbers(task)
    return _fastest(
        _read(task), sigma, radius,
        partial(edt.edt, parallel=1), fill_voids.fill,
        lambda mask: cc3d.connected_components(mask, connectivity=6),
    )  # fmt: skip


def _scipy_binned(task: SimpleNamespace) -> Mask:
    """Half the resolution along each axis, and the answer brought back."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt, label

    sigma, radius = _numbers(task)
    data = _read(task)
    z, y, x = (n // 2 for n in data.shape)
    binned = data.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5), dtype=np.float32)
    mask = _fastest(
        binned, sigma / 2, radius / 2,
        distance_transform_edt, binary_fill_holes, lambda mask: label(mask)[0],
    )  # fmt: skip
    return mask.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _fastest(
    data: NDArray[Any],
    sigma: float,
    radius: float,
    distance: Callable[..., Any],
    fill: Callable[..., Any],
    label: Callable[..., Any],
) -> Mask:
    from scipy.ndimage import gaussian_filter

    smoothed = gaussian_filter(data, sigma, output=np.float32, truncate=3)
    border = smoothed > _otsu(smoothed)
    border = distance(distance(~border) <= radius) > radius
    return _largest(label(fill(border) & ~border))


def _given(size: Size) -> SimpleNamespace:
    return lesion(SHAPES[size])


def _with_pyramid(size: Size) -> SimpleNamespace:
    import scimage

    task = lesion(SHAPES[size])

    def make(path: Any) -> None:
        # An image that scimage writes has the name of its last place.
        scimage.convert(task.path, path.with_suffix(".ome.zarr"))
        path.with_suffix(".ome.zarr").rename(path)

    task.path = cached(f"{task.name}-pyramid", make)
    return task


def _inside(task: SimpleNamespace, answer: Any) -> Check:
    from scimage.review import dice

    core = cached_array(f"{task.name}-core", task.core)
    if isinstance(answer, np.ndarray):
        found = answer
    else:
        from scimage.lesion import LabelValue

        found = np.isin(answer.labels(), (LabelValue.LESION_CORE, LabelValue.CAVITY))
    step = [round(n / m) for n, m in zip(core.shape, found.shape, strict=True)]
    value = dice(core[tuple(slice(s // 2, None, s) for s in step)], found)
    return Check(f"Dice {value:.3f}", value > 0.8)


def _level_twice(task: SimpleNamespace) -> None:
    """The limit at the working resolution: to read the level that is used two times."""
    import scimage

    image = scimage.open_image(task.path)
    level = image.level_near(10.0).index
    for _ in range(2):
        image.read(0, level=level)


def _peer(name: str, package: str, run: Callable[..., Any], crop: bool) -> Contestant:
    return Contestant(name=name, package=package, run=run, crop=crop)


CONTESTS = (
    Contest(
        name="lesion, full resolution",
        given=_given,
        check=_inside,
        contestants=(
            Contestant(name="scimage, defaults (10 um), 2 workers", run=segment, cores=2),
            Contestant(
                name="scimage at 5 um, 2 workers", run=partial(_full_resolution, 2), cores=2
            ),
            Contestant(name="scimage at 5 um, 1 worker", run=partial(_full_resolution, 1)),
            reading_alone(2),
            _peer("scikit-image", "scikit-image", _skimage, crop=True),
            _peer("SimpleITK", "SimpleITK", _simpleitk, crop=True),
            _peer("best of breed: scipy, edt, fill_voids, cc3d", "edt", _best_of_breed, crop=True),
            _peer("scipy, binned", "scipy", _scipy_binned, crop=False),
        ),
    ),
    Contest(
        name="lesion, default resolution",
        given=_with_pyramid,
        check=_inside,
        contestants=(
            Contestant(name="scimage, 2 workers", run=segment, cores=2),
            Contestant(name="reading its level twice", run=_level_twice, cores=2, limit=True),
        ),
    ),
)
