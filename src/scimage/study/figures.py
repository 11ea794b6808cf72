"""Pictures of results: what a reader of the paper, and the lab itself, wants to see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.image import Image, Level, ResultStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cells_figure", "lesion_figure", "profile_figure"]

# Voxels along the longest axis of a picture.
_PIXELS = 700
# (axis across the picture, title, axis down, axis right); z runs along the cord.
_View = tuple[int, str, int, int]
_TRANSVERSE: _View = (0, "transverse", 1, 2)
_SAGITTAL: _View = (2, "sagittal", 1, 0)
_CORONAL_LONG: _View = (1, "coronal", 2, 0)
_CORONAL_FLAT: _View = (1, "coronal", 0, 2)
_OUTLINED = ("lesion_core", "cavity", "astroglial_border")
_CELL_COLOR, _CELL_EDGE = "#ff4fd8", "#3a0030"


def lesion_figure(
    image: Image, store: ResultStore, channel: str | int, path: Path | None = None
) -> Figure:
    """Three sections through the lesion's centroid, with the outlines of its compartments.

    Parameters
    ----------
    image
        The image that was segmented.
    store
        Where its label ``lesion`` is.
    channel
        What to show under the outlines, usually GFAP.
    path
        Where to save it as PNG, if anywhere.
    """
    label = store.label("lesion")
    labels = label.read(0)
    frame = label.levels[0]
    row = {k: v[0] for k, v in store.table("lesion_measurements").to_pydict().items()}
    centre = _centroid_um(row, frame)
    level = _shown_level(image)
    pixels = image.read(channel, level=level.index)
    classes = [c for c in store.label_classes("lesion") if c.name in _OUTLINED]
    figure, views = _three_views(level)
    for axis, (across, title, down, right) in views:
        plane = np.take(pixels, _index(level, across, centre), axis=across)
        _show(axis, _oriented(plane, down, right), level, down, right, title)
        section = np.take(labels, _index(frame, across, centre), axis=across)
        for c in classes:
            _outline(axis, _oriented(section == c.value, down, right), frame, down, right, c.rgba)
    mm3 = row["lesion_mm3"]
    epicentre = row["epicentre_um"]
    where = "" if epicentre is None else f", epicentre at {epicentre:.0f} µm"
    figure.suptitle(f"{image.name}: lesion {mm3:.4g} mm³{where}", x=0.01, ha="left", fontsize=11)
    handles = [_legend_line(tuple(v / 255 for v in c.rgba), c.name) for c in classes]
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False, fontsize=9)
    return _saved(figure, path)


def cells_figure(
    image: Image, store: ResultStore, channel: str | int, path: Path | None = None
) -> Figure:
    """Maximum projections along three axes, with every kept cell on them."""
    level = _shown_level(image)
    pixels = image.read(channel, level=level.index)
    table = store.table("graft_cells")
    kept = np.array(table["class"].to_pylist(), dtype=object) == "kept"
    places = [table[f"{a}_um"].to_numpy()[kept] for a in "zyx"]
    figure, views = _three_views(level)
    # Rings that stay apart when there are many and can be seen when there are few.
    ring = min(40.0, max(6.0, 10_000 / max(1, len(places[0]))))
    for axis, (across, title, down, right) in views:
        plane = pixels.max(axis=across)
        _show(axis, _oriented(plane, down, right), level, down, right, f"{title} projection")
        axis.scatter(
            places[right] / 1000, places[down] / 1000, s=ring, facecolors="none",
            edgecolors=_CELL_COLOR, linewidths=0.7, rasterized=True,
        )  # fmt: skip
    rejected = int((~kept).sum())
    figure.suptitle(
        f"{image.name}: {int(kept.sum())} graft cells ({rejected} rejected)",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return _saved(figure, path)


def profile_figure(store: ResultStore, path: Path | None = None) -> Figure:
    """Areas along the cord, and where the grafted cells are, from rostral to caudal."""
    from matplotlib.figure import Figure

    table = store.table("lesion_profile").to_pydict()
    relative = table["rostrocaudal_position_um"]
    known = bool(relative) and relative[0] is not None
    x = np.array(relative if known else table["position_um"], dtype=float) / 1000
    cells = "graft_cells" in store.table_names()
    figure = Figure(figsize=(8, 5.2 if cells else 3.4), layout="constrained")
    rows = figure.subplots(2 if cells else 1, 1, sharex=True, squeeze=False)[:, 0]
    top = rows[0]
    top.fill_between(x, table["cord_mm2"], color="#d9dee6", label="cord")
    colors = {c.name: tuple(v / 255 for v in c.rgba) for c in store.label_classes("lesion")}
    top.fill_between(x, table["lesion_mm2"], color=colors["lesion_core"], label="lesion")
    top.fill_between(x, table["cavity_mm2"], color=colors["cavity"], label="cavity")
    top.set_ylabel("area (mm²)")
    top.legend(frameon=False, ncols=3, fontsize=9, loc="upper right")
    top.set_ylim(0, 1.2 * max(table["cord_mm2"], default=1.0) or 1.0)
    if cells:
        _cell_histogram(rows[1], store, table, x)
    rows[-1].set_xlabel(
        "position from epicentre (mm), rostral negative" if known else "position (mm)"
    )
    for axis in rows:
        axis.spines[["top", "right"]].set_visible(False)
    return _saved(figure, path)


def _cell_histogram(
    axis: Axes, store: ResultStore, profile: dict[str, list[Any]], x: NDArray[np.float64]
) -> None:
    """Cells in bins of 100 um along the axis that the profile runs along."""
    about = store.table_attributes("lesion_profile")["scimage"]["parameters"]
    along = about["rostrocaudal_axis"]
    table = store.table("graft_cells")
    kept = np.array(table["class"].to_pylist(), dtype=object) == "kept"
    position = table[f"{along}_um"].to_numpy()[kept]
    order = np.argsort(profile["position_um"])
    place = np.interp(position, np.array(profile["position_um"])[order], x[order])
    span = float(x.max() - x.min()) if x.size > 1 else 1.0
    bins = max(1, round(span / 0.1))
    axis.hist(place, bins=bins, range=(float(x.min()), float(x.min()) + span), color=_CELL_COLOR)
    axis.set_ylabel("graft cells per 100 µm")


def _shown_level(image: Image) -> Level:
    fitting = [v for v in image.levels if max(v.shape) <= _PIXELS]
    return fitting[0] if fitting else image.levels[-1]


def _centroid_um(row: dict[str, Any], frame: Level) -> list[float]:
    """The lesion's centroid, or the middle of the image where there is none."""
    spacing = frame.spacing_um or (1.0, 1.0, 1.0)
    middle = [
        t + s * (n - 1) / 2
        for t, s, n in zip(frame.translation_um, spacing, frame.shape, strict=True)
    ]
    found = [row[f"centroid_{a}_um"] for a in "zyx"]
    return middle if None in found else found


def _index(level: Level, axis: int, centre_um: Sequence[float]) -> int:
    spacing = level.spacing_um or (1.0, 1.0, 1.0)
    i = round((centre_um[axis] - level.translation_um[axis]) / spacing[axis])
    return min(max(i, 0), level.shape[axis] - 1)


def _oriented(plane: NDArray[Any], down: int, right: int) -> NDArray[Any]:
    """`np.take` leaves the lower axis first; a picture has `down` first."""
    return plane if down < right else plane.T


def _extent_mm(level: Level, down: int, right: int) -> tuple[float, float, float, float]:
    spacing = level.spacing_um or (1.0, 1.0, 1.0)
    low = [(t - s / 2) / 1000 for t, s in zip(level.translation_um, spacing, strict=True)]
    high = [a + n * s / 1000 for a, n, s in zip(low, level.shape, spacing, strict=True)]
    return low[right], high[right], high[down], low[down]


def _three_views(level: Level) -> tuple[Figure, list[tuple[Axes, _View]]]:
    """Transverse and sagittal side by side, coronal below the one that it shares an axis with."""
    from matplotlib.figure import Figure

    spacing = level.spacing_um or (1.0, 1.0, 1.0)
    z, y, x = (n * s for n, s in zip(level.shape, spacing, strict=True))
    long = z >= x
    below = x if long else z
    width = 11.0
    height = width * (y + below) / (x + z) + 1.2
    figure = Figure(figsize=(width, min(height, 14.0)), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(x, z), height_ratios=(y, below))
    transverse, sagittal = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    coronal = figure.add_subplot(grid[1, 1 if long else 0])
    return figure, [
        (transverse, _TRANSVERSE),
        (sagittal, _SAGITTAL),
        (coronal, _CORONAL_LONG if long else _CORONAL_FLAT),
    ]


def _show(axis: Axes, plane: NDArray[Any], level: Level, down: int, right: int, title: str) -> None:
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane.ravel()
    low, high = np.percentile(finite, [1, 99.7]) if finite.size else (0.0, 1.0)
    axis.imshow(
        plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), aspect="equal",
        extent=_extent_mm(level, down, right), interpolation="nearest",
    )  # fmt: skip
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(f"{'zyx'[right]} (mm)", fontsize=8)
    axis.set_ylabel(f"{'zyx'[down]} (mm)", fontsize=8)
    axis.tick_params(labelsize=7)


def _outline(
    axis: Axes,
    mask: NDArray[np.bool_],
    level: Level,
    down: int,
    right: int,
    rgba: tuple[int, int, int, int],
) -> None:
    if mask.any() and not mask.all() and min(mask.shape) > 1:
        spacing = level.spacing_um or (1.0, 1.0, 1.0)
        across, along = (
            (level.translation_um[a] + spacing[a] * np.arange(level.shape[a])) / 1000
            for a in (right, down)
        )
        color = tuple(v / 255 for v in rgba)
        axis.contour(across, along, mask, levels=[0.5], colors=[color], linewidths=1.1)


def _legend_line(color: Any, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=name.replace("_", " "))


def _saved(figure: Figure, path: Path | None) -> Figure:
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure
