"""Closing with a ball, and distances, in memory; one core each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Shape, blobs, cached_array
from benchmarks.harness import Check, Contest, Contestant, Size

__all__ = ["CONTESTS"]

SHAPES: dict[Size, Shape] = {
    "full": (128, 256, 256),
    "crop": (64, 128, 128),
    "quick": (64, 128, 128),
    "tiny": (24, 48, 48),
}
_LIMIT_UM = 20.0


def _given(radius_um: float, spacing_um: tuple[float, ...], size: Size) -> SimpleNamespace:
    shape = SHAPES[size]
    radius_um = float(min(radius_um, shape[0] // 5))
    # Bodies that are thin against the ball, and far enough apart that not all is closed.
    mask = blobs(shape, sigma=max(2.0, radius_um / 4), above=1.6)
    # Peers treat what lies beyond the faces in different ways; those voxels are not compared.
    reach = [int(2 * radius_um / s) for s in spacing_um]
    inner = tuple(slice(r, max(n - r, r + 1)) for r, n in zip(reach, shape, strict=True))
    text = "-".join(f"{v:g}" for v in (*shape, radius_um, *spacing_um))
    return SimpleNamespace(
        mask=mask, radius_um=radius_um, spacing_um=spacing_um, voxels=mask.size, inner=inner,
        name=f"closed-{text}",
    )  # fmt: skip


def _scimage(task: SimpleNamespace) -> NDArray[np.bool_]:
    from scimage.kernels import distance

    return distance.closing(task.mask, task.spacing_um, task.radius_um)


def _edt(task: SimpleNamespace) -> NDArray[np.bool_]:
    import edt

    apart = partial(edt.edt, anisotropy=task.spacing_um, parallel=1)
    grown = apart(~task.mask) <= task.radius_um
    return apart(grown) > task.radius_um


def _scipy_distance(task: SimpleNamespace) -> NDArray[np.bool_]:
    from scipy.ndimage import distance_transform_edt

    grown = distance_transform_edt(~task.mask, task.spacing_um) <= task.radius_um
    return distance_transform_edt(grown, task.spacing_um) > task.radius_um


def _skimage_isotropic(task: SimpleNamespace) -> NDArray[np.bool_]:
    from skimage.morphology import isotropic_closing

    return isotropic_closing(task.mask, task.radius_um, spacing=task.spacing_um)


def _ball(task: SimpleNamespace) -> NDArray[np.bool_]:
    reach = [int(task.radius_um / s) for s in task.spacing_um]
    axes = [np.arange(-r, r + 1) * s for r, s in zip(reach, task.spacing_um, strict=True)]
    z, y, x = (a**2 for a in axes)
    return z[:, None, None] + y[:, None] + x <= task.radius_um**2


def _scipy(task: SimpleNamespace) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_closing

    return binary_closing(task.mask, _ball(task))


def _skimage_sequence(task: SimpleNamespace) -> NDArray[np.bool_]:
    from skimage.morphology import ball, closing

    return closing(task.mask, ball(round(task.radius_um), decomposition="sequence"))


def _simpleitk(task: SimpleNamespace) -> NDArray[np.bool_]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reach = [int(task.radius_um / s) for s in task.spacing_um][::-1]
    image = SimpleITK.GetImageFromArray(task.mask.view(np.uint8))
    return SimpleITK.GetArrayFromImage(SimpleITK.BinaryMorphologicalClosing(image, reach)).view(
        bool
    )


def _dask_image(task: SimpleNamespace) -> NDArray[np.bool_]:
    import dask
    import dask.array
    from dask_image.ndmorph import binary_closing

    closed = binary_closing(dask.array.from_array(task.mask, chunks=(64, 128, 128)), _ball(task))
    with dask.config.set(scheduler="synchronous"):
        return closed.compute()


def _near(task: SimpleNamespace, closed: NDArray[np.bool_]) -> Check:
    from scimage.review import dice

    right = cached_array(task.name, lambda: _scipy_distance(task))
    # The balls of SimpleITK and of sequences are not quite all voxels within the radius.
    wrong = int((right != closed)[task.inner].sum())
    value = dice(right[task.inner], closed[task.inner])
    return Check(f"Dice {value:.4f}" if wrong else "equal", value > 0.8)


def _distance_given(size: Size) -> SimpleNamespace:
    return _given(20, (1.0, 1.0, 1.0), size)


def _scimage_distance(task: SimpleNamespace) -> NDArray[np.float32]:
    from scimage.kernels import distance

    return distance.distance_within(task.mask, task.spacing_um, _LIMIT_UM)


def _edt_distance(task: SimpleNamespace) -> NDArray[np.float32]:
    import edt

    return edt.edt(~task.mask, anisotropy=task.spacing_um, parallel=1)


def _scipy_edt(task: SimpleNamespace) -> NDArray[np.float32]:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~task.mask, task.spacing_um).astype(np.float32)


def _simpleitk_distance(task: SimpleNamespace) -> NDArray[np.float32]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.mask.view(np.uint8))
    image.SetSpacing(task.spacing_um[::-1])
    apart = SimpleITK.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return np.maximum(SimpleITK.GetArrayViewFromImage(apart), 0)


def _same_distance(task: SimpleNamespace, found: NDArray[np.float32]) -> Check:
    right = cached_array(f"{task.name}-distance", lambda: _scipy_edt(task))
    within = right <= _LIMIT_UM - 0.01
    off = float(np.abs(right[within] - found[within]).max())
    return Check("equal" if off < 1e-4 else f"{off:.2g} um off at most", off < 1e-3)


def _closing(
    name: str,
    radius_um: float,
    spacing_um: tuple[float, ...],
    *peers: tuple[str, str, Callable[..., Any], bool],
) -> Contest:
    return Contest(
        name=f"closing, {name}",
        given=partial(_given, radius_um, spacing_um),
        check=_near,
        contestants=(
            Contestant(name="scimage", run=_scimage),
            *(Contestant(name=n, package=p, run=run, crop=c) for n, p, run, c in peers),
        ),
    )


def _with_holes(size: Size) -> SimpleNamespace:
    mask = ~blobs(SHAPES[size], sigma=2.0, above=1.2)
    text = "-".join(map(str, mask.shape))
    return SimpleNamespace(mask=mask, voxels=mask.size, name=f"filled-{text}")


def _scimage_fill(task: SimpleNamespace) -> NDArray[np.bool_]:
    from scimage.kernels import distance

    return distance.fill_holes(task.mask)


def _scipy_fill(task: SimpleNamespace) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(task.mask)


def _fill_voids(task: SimpleNamespace) -> NDArray[np.bool_]:
    import fill_voids

    return fill_voids.fill(task.mask)


def _simpleitk_fill(task: SimpleNamespace) -> NDArray[np.bool_]:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.GetImageFromArray(task.mask.view(np.uint8))
    return SimpleITK.GetArrayFromImage(SimpleITK.BinaryFillhole(image)).view(bool)


def _same_fill(task: SimpleNamespace, filled: NDArray[np.bool_]) -> Check:
    wrong = int((cached_array(task.name, lambda: _scipy_fill(task)) != filled).sum())
    return Check(f"{wrong} voxels differ" if wrong else "equal", wrong == 0)


_ANY = (
    ("edt", "edt", _edt, False),
    ("scikit-image isotropic", "scikit-image", _skimage_isotropic, False),
    ("scipy distance", "scipy", _scipy_distance, False),
)
_SMALL = (
    ("scipy", "scipy", _scipy, True),
    ("dask-image", "dask-image", _dask_image, True),
)
_ITK = ("SimpleITK", "SimpleITK", _simpleitk, False)

CONTESTS = (
    _closing("radius 20", 20, (1.0, 1.0, 1.0), *_ANY, _ITK),
    _closing("radius 20, anisotropic", 20, (2.0, 1.0, 1.0), *_ANY),
    _closing(
        "radius 5", 5, (1.0, 1.0, 1.0), *_ANY, _ITK,
        ("scikit-image sequence", "scikit-image", _skimage_sequence, False), *_SMALL,
    ),
    _closing("radius 5, anisotropic", 5, (2.0, 1.0, 1.0), *_ANY, *_SMALL),
    Contest(
        name="filling holes",
        given=_with_holes,
        check=_same_fill,
        contestants=(
            Contestant(
                name="scimage", run=_scimage_fill, requires="scimage.kernels.distance:fill_holes"
            ),
            Contestant(name="scipy", run=_scipy_fill, package="scipy"),
            Contestant(name="fill_voids", run=_fill_voids, package="fill-voids"),
            Contestant(name="SimpleITK", run=_simpleitk_fill, package="SimpleITK"),
        ),
    ),
    Contest(
        name="distance up to 20",
        given=_distance_given,
        check=_same_distance,
        contestants=(
            Contestant(name="scimage", run=_scimage_distance),
            Contestant(name="edt", run=_edt_distance, package="edt"),
            Contestant(name="scipy", run=_scipy_edt, package="scipy"),
            Contestant(name="SimpleITK", run=_simpleitk_distance, package="SimpleITK"),
        ),
    ),
)  # fmt: skip
