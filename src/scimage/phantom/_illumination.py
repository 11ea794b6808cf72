"""What the microscope does to light on its way: depth, shading, stripes, mosaic seams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scimage.phantom._anatomy import Anatomy
from scimage.phantom._camera import lattice_noise
from scimage.phantom._parameters import MICROSCOPES, PhantomParameters
from scimage.phantom._streams import generator, stream_key

# Section 5: shading 20%, stripes 2%, gain of mosaic tiles 3%.
_SHADING, _STRIPES, _GAIN = 0.20, 0.02, 0.03
# Field of view of one mosaic tile (convention): several in every preset of the whole cord.
_MOSAIC_UM = 1_150.0
_MOSAIC_TILES = 64

Gains = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def gains(
    parameters: PhantomParameters,
    anatomy: Anatomy,
    first: tuple[int, ...],
    shape: tuple[int, ...],
) -> Gains:
    """Factors of a tile as three planes (z, y), (z, x) and (y, x), to be multiplied.

    Parameters
    ----------
    parameters, anatomy
        The phantom.
    first, shape
        Index of the tile's first voxel and its size (z, y, x).
    """
    microscope = MICROSCOPES[parameters.microscope]
    optical = "zyx".index(parameters.optical_axis)
    axes = [
        np.arange(b, b + n, dtype=np.float64) * step
        for b, n, step in zip(first, shape, microscope.spacing_um, strict=True)
    ]
    # Light travels through medium until it meets the cord; a section is imaged from its face.
    surface = (0.0, anatomy.y_mid - anatomy.cord_y, anatomy.x_mid - anatomy.cord_x)[optical]
    depth = np.maximum(axes[optical] - surface, 0.0)
    loss = np.exp(-depth / microscope.attenuation_length_um)

    planes = {pair: np.ones((shape[pair[0]], shape[pair[1]])) for pair in ((0, 1), (0, 2), (1, 2))}
    for a, b in planes:
        if optical not in (a, b):
            planes[a, b] *= _mosaic(parameters.seed, axes[a], axes[b])
    # Shadows of the sheet run along the illumination: x, or z when x is the optical axis.
    a, b = (1, 2) if optical == 2 else (0, 1)
    key = stream_key(parameters.seed, "stripes")
    planes[a, b] *= 1.0 + _STRIPES * lattice_noise(key, first[a], first[b], shape[a], shape[b])
    planes[a, b] *= loss[:, np.newaxis] if optical == a else loss
    zy, zx, yx = (plane.astype(np.float32) for plane in planes.values())
    return zy, zx, yx


def _mosaic(seed: int, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    table = generator(seed, "mosaic").normal(1.0, _GAIN, (_MOSAIC_TILES, _MOSAIC_TILES))
    tiles, shades = [], []
    for position in (a, b):
        tile, within = np.divmod(position / _MOSAIC_UM, 1.0)
        tiles.append(tile.astype(np.int64) % _MOSAIC_TILES)
        # Half of the loss from each axis: the corners lose all of it.
        shades.append(1.0 - 0.5 * _SHADING * (2.0 * within - 1.0) ** 2)
    product: NDArray[np.float64] = table[np.ix_(*tiles)] * np.outer(*shades)
    return product
