"""Everything in the cord, drawn tile by tile in the order that physics has it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scimage.phantom._anatomy import Anatomy
from scimage.phantom._bodies import add_scattered, add_spheroids, cover_tubes
from scimage.phantom._camera import blur, expose, gaussian_taps, photon_tables
from scimage.phantom._cells import KINDS, human_nuclei, vessels
from scimage.phantom._fields import lattice
from scimage.phantom._illumination import gains
from scimage.phantom._parameters import LABELS, MICROSCOPES, PhantomParameters
from scimage.phantom._streams import stream_key
from scimage.phantom._tissue import Stain, emit_tissue, paint_labels

Index = tuple[int, int, int]

# Photons (section 5): background 30 is glare 8 plus tissue 22, peak 120 above it; read
# noise 1.6 electrons. GFAP border : intact : core is 8 : 2 : 0.5, above the background.
_GLARE = 8.0
_READ_NOISE = 1.6
_PEAK = 120.0
_BACK = 22.0

# Distance between nodes: small against every curvature, and the grain of the tissue.
_NODE_UM = 8.0
# Beyond these a nucleus or a vessel's segment (half of 35 um, and its radius) cannot touch.
_NUCLEUS_REACH_UM = 12.0
_VESSEL_REACH_UM = 35.0


class _Channel(NamedTuple):
    """Photons of everything that shows in a channel (levels of distractors: convention)."""

    tissue: Stain
    human: float
    host: float
    macrophage: float
    vessel: float
    precipitate: float


_INTACT, _CORE, _BORDER = _PEAK * 2 / 8, _PEAK * 0.5 / 8, _PEAK
_CHANNELS = {
    "GFAP": _Channel(
        Stain(
            _BACK + _INTACT,
            _BACK + _INTACT,
            2.0,
            _BACK + _CORE,
            _BACK + _CORE,
            2.0,
            _BACK + _BORDER,
            0.3,
        ),
        0.0,
        0.0,
        50.0,
        25.0,
        0.0,
    ),
    "DNA": _Channel(
        Stain(_BACK, _BACK, 2.0, _BACK, _BACK, 2.0, 0.0, 0.1), 100.0, 110.0, 50.0, 25.0, 0.0
    ),
    "human_nuclei": _Channel(
        Stain(14.0, 14.0, 2.0, 16.0, 16.0, 2.0, 0.0, 0.15), _PEAK, 0.0, 90.0, 40.0, 800.0
    ),
    "autofluorescence": _Channel(
        Stain(44.0, 36.0, 2.0, 52.0, 44.0, 2.0, 0.0, 0.15), 0.0, 0.0, _PEAK, 70.0, 0.0
    ),
}


class _Scatter(NamedTuple):
    """Bodies on a jittered lattice: density per mm3 by label, diameters in micrometres."""

    per_mm3: dict[str, float]
    diameters_um: tuple[float, float, float, float]
    spread: float


# Section 5; host nuclei of border and graft, their diameters, and precipitates: convention.
_HOST = _Scatter(
    {
        "spared_white": 6e4,
        "spared_grey": 1.2e5,
        "lesion_core": 2e5,
        "astroglial_border": 1.2e5,
        "graft": 5e4,
    },
    (7.0, 0.8, 5.0, 9.5),
    0.25,
)
_MACROPHAGES = _Scatter({"lesion_core": 1e4}, (12.5, 1.2, 10.0, 15.0), 0.3)
_PRECIPITATES = _Scatter(
    dict.fromkeys(("spared_white", "spared_grey", "lesion_core", "astroglial_border"), 3e3),
    (1.5, 0.25, 1.0, 2.0),
    0.3,
)


class Scene:
    """The phantom's content; stateless once made.

    Parameters
    ----------
    parameters, anatomy
        From `plan`.
    """

    def __init__(self, parameters: PhantomParameters, anatomy: Anatomy) -> None:
        microscope = MICROSCOPES[parameters.microscope]
        self._parameters = parameters
        self._anatomy = anatomy
        self._microscope = microscope
        self._spacing = microscope.spacing_um
        self._samples = math.ceil(self._spacing[0] / self._spacing[2] - 0.5)
        node_um = min(_NODE_UM, parameters.canal_diameter_um / 8.0)
        self._step: Index = _powers_of_two(node_um, self._spacing)
        z, y, x = (
            gaussian_taps(sigma, step)
            for sigma, step in zip(microscope.psf_sigma_um, self._spacing, strict=True)
        )
        self._taps = (z, y, x)
        self._halo = (z.size - 1, y.size - 1, x.size - 1)
        self._centres, self._shapes, self._kinds = human_nuclei(parameters, anatomy)
        # Vessels that begin beyond the image may run into it.
        self._vessels = vessels(parameters, anatomy, parameters.imaged_length_um + 1_000.0)

    def table(self, image_shape: Index) -> dict[str, NDArray[Any]]:
        """Columns of `Phantom.cells`."""
        voxel = np.floor(self._centres / self._spacing + 0.5)
        inside = ((voxel >= 0) & (voxel < image_shape)).all(axis=1)
        centres, shapes = self._centres[inside], self._shapes[inside]
        return {
            "cell_id": np.arange(1, len(centres) + 1),
            "z_um": centres[:, 0].copy(),
            "y_um": centres[:, 1].copy(),
            "x_um": centres[:, 2].copy(),
            "diameter_um": shapes[:, 0].copy(),
            "axis_ratio": shapes[:, 1].copy(),
            "brightness": shapes[:, 5].copy(),
            "kind": np.array(KINDS)[self._kinds[inside]],
        }

    def nodes(self, first: Index, shape: Index) -> NDArray[np.float32]:
        """Lattice of distances that covers a tile and its halo."""
        begin = self._first_node(first)
        size = _index(
            (b + n + h) // s + 2 - i
            for b, n, h, s, i in zip(first, shape, self._halo, self._step, begin, strict=True)
        )
        z, y, x = (s * d for s, d in zip(self._step, self._spacing, strict=True))
        key = stream_key(self._parameters.seed, "texture")
        return lattice(begin, size, (z, y, x), self._anatomy, key)

    def labels(self, nodes: NDArray[np.float32], first: Index, shape: Index) -> NDArray[np.uint8]:
        """Truth of a tile."""
        out = np.empty(shape, np.uint8)
        paint_labels(out, nodes, self._shift(first, first), self._step, self._anatomy.border)
        return out

    def expose(
        self, channel: str, nodes: NDArray[np.float32], first: Index, shape: Index, image: Index
    ) -> NDArray[np.uint16]:
        """Pixels of a tile: shapes, blur, loss and illumination, photons, camera."""
        content = _CHANNELS[channel]
        start = _index(b - h for b, h in zip(first, self._halo, strict=True))
        light = np.zeros(
            _index(n + 2 * h for n, h in zip(shape, self._halo, strict=True)), np.float32
        )
        emit_tissue(
            light,
            nodes,
            self._shift(first, start),
            self._step,
            self._samples,
            self._spacing[2],
            content.tissue,
            self._anatomy.border,
            self._anatomy.shell,
        )
        self._draw(content, light, start)
        blurred = blur(light, *self._taps)
        zy, zx, yx = gains(self._parameters, self._anatomy, first, shape)
        return expose(
            blurred,
            zy,
            zx,
            yx,
            _GLARE,
            photon_tables(_READ_NOISE),
            stream_key(self._parameters.seed, f"noise of {channel}"),
            first,
            image,
            self._microscope.counts_per_electron,
            self._microscope.offset_counts,
            2**self._microscope.bits - 1,
        )

    def _draw(self, content: _Channel, light: NDArray[np.float32], start: Index) -> None:
        low = np.array(start) * self._spacing
        high = low + np.array(light.shape) * self._spacing
        vessel = self._vessels
        middle, reach = 0.5 * (vessel[:, :3] + vessel[:, 3:6]), _VESSEL_REACH_UM
        near = ((middle > low - reach) & (middle < high + reach)).all(axis=1)
        if near.any():
            covered = np.zeros_like(light)
            cover_tubes(covered, start, self._spacing, self._samples, vessel[near])
            covered *= np.float32(content.vessel)
            light += covered
        for scatter, name, photons in (
            (_HOST, "host nuclei", content.host),
            (_MACROPHAGES, "macrophages", content.macrophage),
            (_PRECIPITATES, "precipitates", content.precipitate),
        ):
            if photons:
                self._scatter(light, start, scatter, name, photons)
        if content.human:
            reach = _NUCLEUS_REACH_UM
            near = ((self._centres > low - reach) & (self._centres < high + reach)).all(axis=1)
            add_spheroids(
                light,
                start,
                self._spacing,
                self._samples,
                self._centres[near],
                self._shapes[near],
                content.human,
            )

    def _scatter(
        self, light: NDArray[np.float32], start: Index, scatter: _Scatter, name: str, photons: float
    ) -> None:
        densest = max(scatter.per_mm3.values())
        chance = np.zeros(9)
        for label, density in scatter.per_mm3.items():
            chance[LABELS[label]] = density / densest
        add_scattered(
            light,
            start,
            self._spacing,
            self._samples,
            stream_key(self._parameters.seed, name),
            1e3 / densest ** (1.0 / 3.0),
            chance,
            scatter.diameters_um,
            photons,
            scatter.spread,
            self._anatomy,
        )

    def _first_node(self, first: Index) -> Index:
        # Supersampling in z looks up to half a voxel ahead of the first one.
        pad = (1, 0, 0)
        return _index(
            (b - h - p) // s for b, h, p, s in zip(first, self._halo, pad, self._step, strict=True)
        )

    def _shift(self, first: Index, start: Index) -> Index:
        return _index(
            b - i * s for b, i, s in zip(start, self._first_node(first), self._step, strict=True)
        )


def _index(numbers: Any) -> Index:
    z, y, x = numbers
    return z, y, x


def _powers_of_two(length_um: float, spacing_um: tuple[float, float, float]) -> Index:
    """Most voxels, as powers of two, that fit into a length on each axis."""
    return _index(1 << max(int(math.log2(length_um / step)), 0) for step in spacing_um)
