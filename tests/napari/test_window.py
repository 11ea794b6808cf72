"""A researcher opens a result in napari: image, lesion and cells lie on each other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from scimage.cli.phantoms import write_phantom
from scimage.graft import GraftParameters, count_grafts
from scimage.image import open_image

pytestmark = pytest.mark.display


@pytest.mark.skipif(
    not os.environ.get("DISPLAY"), reason="no display: run under xvfb-run (see make test)"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(240)
def test_image_labels_and_cells_are_drawn_in_one_frame(tmp_path: Path) -> None:
    from qtpy.QtWidgets import QApplication

    import napari

    made = write_phantom(tmp_path, "tiny", 1)
    image = open_image(made.image_path)
    cells = count_grafts(image, GraftParameters(nuclei="human_nuclei"))
    viewer = napari.Viewer(show=True)
    try:
        layers = viewer.open(str(made.image_path), plugin="napari-ome-zarr")
        names = [layer.name.rpartition(": ")[2] for layer in layers[:4]]
        assert names == [c.name for c in image.channels]
        assert tuple(layers[0].scale[-3:]) == pytest.approx(image.spacing_um)
        viewer.add_points(cells.positions_um(), size=8, name="cells")
        # The cells lie on bright pixels of the layer that napari itself opened.
        nuclei = np.asarray(layers[2].data[0])
        world = cells.positions_um()
        index = [tuple(round(v) for v in layers[2].world_to_data(p)) for p in world]
        assert np.mean([nuclei[i] for i in index]) > 1.5 * np.median(nuclei)
        viewer.reset_view()
        QApplication.processEvents()
        shot = viewer.screenshot(canvas_only=True, flash=False)
        assert len(np.unique(shot.reshape(-1, shot.shape[-1]), axis=0)) > 50
    finally:
        viewer.close()
