"""Small images on disk, and results in a form in which equal means bit-identical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scimage import (
    Execution,
    GraftParameters,
    LesionParameters,
    count_grafts,
    segment_lesion,
)
from scimage.engine.clusters import threads_cluster
from scimage.image import Channel, NewImage, open_image, write_image


@dataclass(frozen=True)
class Arrays:
    arrays: tuple[Any, ...]

    def read(self, channel, z, y, x):
        return self.arrays[channel][z, y, x]


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """Store arrays (z, y, x) by channel name and open the image."""
    folder = tmp_path_factory.mktemp("images")

    def store(name, arrays, spacing_um):
        first = next(iter(arrays.values()))
        new = NewImage(
            (len(arrays), *first.shape), first.dtype, spacing_um, "test",
            tuple(Channel(channel) for channel in arrays),
        )  # fmt: skip
        target = folder / f"{name}.ome.zarr"
        if not target.exists():
            write_image(target, new, Arrays(tuple(arrays.values())), {})
        return open_image(target)

    return store


@pytest.fixture(scope="session")
def schedulers():
    """Dask in this process, by number of threads; None is the serial executor."""
    with threads_cluster(1) as one, threads_cluster(2) as two:
        yield {
            "serial": None,
            "dask-1": one.scheduler_address,
            "dask-2": two.scheduler_address,
        }


def bits(table):
    """All values of a table, NaN and the sign of zero included."""
    return {
        name: (
            str(column.type),
            [v.hex() if isinstance(v, float) else v for v in column.to_pylist()],
        )
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """Count grafts and give all that was found, bit by bit."""

    def run(image, parameters: GraftParameters, block, scheduler=None):
        output = tmp_path_factory.mktemp("out") / "result.ome.zarr"
        execution = Execution(workers=1, block=block, scheduler=scheduler)
        result = count_grafts(image, parameters, output=output, execution=execution)
        assert bits(result.store.table("graft_cells")) == bits(result.cells)
        return bits(result.cells), result.noise.hex(), result.threshold.hex()

    return run


@pytest.fixture(scope="session")
def segmented(tmp_path_factory):
    """Segment a lesion and give all that was found, bit by bit."""

    def run(image, parameters: LesionParameters, block, scheduler=None):
        output = tmp_path_factory.mktemp("out") / "result.ome.zarr"
        execution = Execution(workers=1, block=block, scheduler=scheduler)
        result = segment_lesion(image, parameters, output=output, execution=execution)
        labels = result.labels()
        return (
            np.bincount(labels.ravel(), minlength=10).tolist(),
            labels.tobytes(),
            bits(result.store.table("lesion_measurements")),
            bits(result.store.table("lesion_profile")),
        )

    return run


SPACING_UM = (2.5, 1.5, 1.5)
# On faces, edges and corners of blocks of 12, 20, 22, on the border and in the volume's corners.
NUCLEI = (
    (12, 20, 22), (11, 19, 8), (6, 20, 36), (12, 8, 22), (17, 30, 22), (5, 5, 5), (18, 33, 36),
    (0, 0, 0), (23, 39, 43), (0, 20, 30), (14, 0, 14), (20, 20, 43), (6.5, 31.5, 10.5),
)  # fmt: skip


@pytest.fixture(scope="session")
def nuclei():
    """Paint nuclei of 8 um into noise; (nuclei, glow), of which some nuclei have both."""

    def paint(shape=(24, 40, 44), dtype=np.uint16):
        r = np.random.default_rng(0)
        place = [np.arange(n) * s for n, s in zip(shape, SPACING_UM, strict=True)]
        z, y, x = np.meshgrid(*place, indexing="ij")
        signal, glow = np.zeros(shape), np.zeros(shape)
        for i, nucleus in enumerate(NUCLEI):
            cz, cy, cx = np.array(nucleus) * SPACING_UM
            away = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
            ball = np.clip((8 / 2 - away) / 1.5 + 0.5, 0, 1)
            signal = np.maximum(signal, ball * (400 + 30 * i))
            if i % 4 == 3:
                glow = np.maximum(glow, ball * 500)
        base = -50 if dtype == np.int16 else 200
        noisy = [base + a + r.normal(0, 12, shape) for a in (signal, glow)]
        if dtype == np.float32:
            noisy[0][3, 4, 5] = np.nan
        if dtype == np.uint8:
            noisy = [np.clip(a / 3, 0, 255) for a in noisy]
        return {name: a.astype(dtype) for name, a in zip(("nuclei", "glow"), noisy, strict=True)}

    return paint


@pytest.fixture(scope="session")
def lesion():
    """A hollow ball of GFAP with a gap, in a cylinder of tissue that has a canal."""

    def paint(shape=(24, 40, 44), dtype=np.uint16, spacing_um=20.0):
        r = np.random.default_rng(1)
        z, y, x = (np.indices(shape).T - (np.array(shape) - 1) / 2).T * spacing_um
        tissue = np.hypot(y, x) < 370
        ball = np.sqrt(z**2 + y**2 + x**2)
        canal = np.hypot(y - 260, x) < 25
        hollow = ball < 60
        tissue &= ~canal & ~hollow
        shell = tissue & (ball > 130) & (ball < 200) & ~((np.abs(y) < 15) & (x > 0))
        gfap = 100 + 100 * tissue - 60 * (ball <= 130) + 500 * shell
        glow = 150 + 300 * tissue
        noisy = [a + r.normal(0, 15, shape) for a in (gfap, glow)]
        if dtype == np.float32:
            noisy[0][2, 3, 4] = np.nan
        return {name: a.astype(dtype) for name, a in zip(("gfap", "glow"), noisy, strict=True)}

    return paint
