"""Figures show what the tables say; the page holds them and escapes what it is given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scimage import image as images
from scimage.errors import UsageError
from scimage.graft import GraftParameters, count_grafts
from scimage.image import Image, ResultStore
from scimage.lesion import LesionParameters, segment_lesion
from scimage.study import (
    Picture,
    Section,
    cells_figure,
    lesion_figure,
    profile_figure,
    write_report,
)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, ResultStore]:
    """A block of tissue with a hollow GFAP shell and five bright nuclei."""
    folder = tmp_path_factory.mktemp("study")
    z, y, x = np.ogrid[:40, :60, :60]
    r = 10.0 * np.sqrt((z - 20.0) ** 2 + (y - 30.0) ** 2 + (x - 30.0) ** 2)
    gfap = np.where(r < 110, 50, np.where(r < 180, 800, 200))
    nuclei = np.full(gfap.shape, 100)
    for place in ((20, 30, 30), (18, 27, 33), (22, 34, 28), (5, 10, 10), (33, 50, 48)):
        nuclei[place] += 3000
    rng = np.random.default_rng(0)
    stack = rng.poisson(np.stack([gfap, np.full(gfap.shape, 300), nuclei])).astype(np.uint16)
    stack[1, :, :4] = 10
    path = folder / "stack.ome.tif"
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata={"axes": "CZYX"})
    image = images.convert(
        path, folder / "cord.ome.zarr", spacing_um=(10, 10, 10), channels=["GFAP", "AF", "HNA"]
    )
    segment_lesion(image, LesionParameters(gfap="GFAP", tissue="AF", min_lesion_mm3=0.0001))
    cells = GraftParameters(nuclei="HNA", diameter_um=(10, 14), diameter_slack=5)
    assert count_grafts(image, cells).n_kept == 5
    return image, ResultStore(image.path)


def test_the_lesion_figure_outlines_what_was_found(analysed, tmp_path: Path) -> None:
    image, store = analysed
    figure = lesion_figure(image, store, "GFAP", tmp_path / "lesion.png")
    row = store.table("lesion_measurements").to_pylist()[0]
    assert f"{row['lesion_mm3']:.4g}" in figure.get_suptitle()
    assert [a.get_title(loc="left") for a in figure.axes] == ["transverse", "sagittal", "coronal"]
    for axis in figure.axes:
        # An image, and an outline of core and of border.
        assert len(axis.images) == 1
        assert len(axis.collections) == 2
    assert (tmp_path / "lesion.png").read_bytes().startswith(b"\x89PNG")


def test_outlines_lie_where_the_lesion_is(analysed) -> None:
    image, store = analysed
    transverse = lesion_figure(image, store, "GFAP").axes[0]
    outline = np.concatenate([p.vertices for p in transverse.collections[0].get_paths()])
    centre = outline.mean(axis=0)
    assert centre == pytest.approx([0.3, 0.3], abs=0.02)
    radius = np.hypot(*(outline - centre).T).mean()
    assert radius == pytest.approx(0.11, abs=0.015)


def test_the_cells_figure_shows_each_kept_cell_in_each_view(analysed) -> None:
    image, store = analysed
    figure = cells_figure(image, store, "HNA")
    assert "5 graft cells" in figure.get_suptitle()
    for axis in figure.axes:
        assert len(axis.collections[0].get_offsets()) == 5


def test_the_profile_has_its_epicentre_at_zero_and_all_cells(analysed) -> None:
    _, store = analysed
    top, bottom = profile_figure(store).axes
    assert top.get_ylabel() == "area (mm²)"
    low, high = bottom.get_xlim()
    assert low < 0 < high
    assert sum(bar.get_height() for bar in bottom.patches) == 5


def test_the_page_embeds_pictures_and_escapes_text(analysed, tmp_path: Path) -> None:
    image, store = analysed
    lesion_figure(image, store, "GFAP", tmp_path / "a.png")
    section = Section(
        "A <b>title</b>", "5 < 6", ("name", "value"), [("x & y", "1")],
        [Picture(tmp_path / "a.png", 'a "caption"')],
    )  # fmt: skip
    write_report(tmp_path / "page.html", "Page", [section], {"seed": "<1>"})
    page = (tmp_path / "page.html").read_text()
    assert "A &lt;b&gt;title&lt;/b&gt;" in page
    assert "x &amp; y" in page
    assert "&lt;1&gt;" in page
    assert len(re.findall(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', page)) == 1
    assert "http" not in page


def test_a_figure_without_its_table_says_what_to_run(analysed, tmp_path: Path) -> None:
    image, _ = analysed
    with pytest.raises(UsageError, match="Run scimage lesion or grafts first"):
        cells_figure(image, ResultStore(tmp_path / "empty.zarr"), "HNA")
