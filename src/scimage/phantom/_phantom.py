"""A cord whose pixels are computed where they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scimage.errors import ChannelError, UsageError
from scimage.phantom._anatomy import plan
from scimage.phantom._parameters import (
    CHANNEL_COLOURS,
    CHANNELS,
    MICROSCOPES,
    PhantomParameters,
)

if TYPE_CHECKING:
    from scimage.phantom._scene import Scene

__all__ = ["Phantom"]

Index = tuple[int, int, int]
Region = tuple[slice, slice, slice]

_TILE = (32, 128, 128)
_CACHE_BYTES = 256 * 2**20
_LABELS = "labels"


class Phantom:
    """A synthetic injured spinal cord with known truth.

    Arrays are (z, y, x): z rostro-caudal with the rostral end first, y from dorsal to
    ventral, x from left to right. Pixels and labels are computed in fixed tiles of the
    image, so that they are the same whatever regions are asked for; regions that are
    whole multiples of `tile_shape` compute nothing twice.

    Parameters
    ----------
    parameters
        What to make; see also `PRESETS`.
    cache_bytes
        Memory for tiles that a later region may need again; 256 MiB holds a section of a
        mouse cord at light-sheet-lo in four channels.

    Attributes
    ----------
    parameters : PhantomParameters
    shape : tuple[int, int, int]
        Voxels (z, y, x).
    spacing_um, psf_sigma_um : tuple[float, float, float]
        Voxel size, and standard deviation of the blur, micrometres (z, y, x).
    channels : tuple[str, ...]
    channel_colours : Mapping[str, str]
        RRGGBB by channel.
    tile_shape : tuple[int, int, int]
        Voxels (z, y, x).
    epicentre_um : float
        z of the lesion's centre from the centre of the first voxel.
    largest_count : int
        Count at which the camera saturates.
    """

    def __init__(self, parameters: PhantomParameters, cache_bytes: int = _CACHE_BYTES) -> None:
        microscope = MICROSCOPES[parameters.microscope]
        self.parameters = parameters
        self.spacing_um = microscope.spacing_um
        self.psf_sigma_um = microscope.psf_sigma_um
        self.channels: tuple[str, ...] = CHANNELS
        self.channel_colours: Mapping[str, str] = CHANNEL_COLOURS
        self.tile_shape = _TILE
        self.largest_count = 2**microscope.bits - 1
        self._anatomy, self.shape = plan(parameters)
        self.epicentre_um = self._anatomy.z_mid
        self._cache_bytes = cache_bytes
        self._tiles: OrderedDict[tuple[object, ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._scene_once: Scene | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Phantom, (self.parameters, self._cache_bytes)

    def __repr__(self) -> str:
        return f"Phantom({self.parameters!r})"

    def render(self, channel: str, region: Region) -> NDArray[np.uint16]:
        """Pixels of one channel as the microscope would record them.

        Parameters
        ----------
        channel
            One of `channels`.
        region
            Slices (z, y, x) within `shape`, of step 1.

        Returns
        -------
        NDArray[np.uint16]
            Counts (z, y, x); equal for equal parameters, whatever was asked before.

        Raises
        ------
        ChannelError
            There is no such channel.
        UsageError
            The region is not inside the image.
        """
        if channel not in self.channels:
            raise ChannelError(
                "phantom channel",
                found=repr(channel),
                expected="one of " + ", ".join(self.channels),
                remedy="Choose one of those.",
            )
        out = np.empty(self._size(region), np.uint16)
        self._assemble(channel, region, out)
        return out

    def labels(self, region: Region) -> NDArray[np.uint8]:
        """True label at each voxel's centre; values as in `LABELS`.

        Parameters
        ----------
        region
            Slices (z, y, x) within `shape`, of step 1.

        Returns
        -------
        NDArray[np.uint8]
            (z, y, x).

        Raises
        ------
        UsageError
            The region is not inside the image.
        """
        out = np.empty(self._size(region), np.uint8)
        self._assemble(_LABELS, region, out)
        return out

    def cells(self) -> dict[str, NDArray[Any]]:
        """True human nuclei whose centre is in the image, ordered by z, y, x.

        Returns
        -------
        dict[str, NDArray]
            Columns of equal length: `cell_id` from 1; `z_um`, `y_um`, `x_um` from the
            centre of the first voxel; `diameter_um` of the sphere of equal volume;
            `axis_ratio`; `brightness` relative to the mean; `kind`, one of graft (inside
            label 6), tail (migrated along the cord) and meningeal (on its surface).
        """
        return self._scene().table(self.shape)

    def volumes_mm3(self) -> dict[str, float]:
        """True volumes inside the image, by name of label.

        With `lesion_total` (core, cavity and graft) and `cord` (everything inside the
        outline). Closed forms: `cord`; `lesion_total`, `cavity`, `graft` and
        `lesion_core` where the image holds the whole lesion. Quadrature by midpoints,
        with 5 points across the fissure: the spared tissues, the border, canal and
        fissure, and everything in an image shorter than the lesion.
        """
        from scimage.phantom._volumes import true_volumes_mm3

        return true_volumes_mm3(self._anatomy, self.shape, self.spacing_um)

    def _size(self, region: Region) -> tuple[int, ...]:
        if len(region) != 3:
            raise UsageError(
                "phantom region",
                found=f"{len(region)} slices",
                expected="three slices (z, y, x)",
                remedy="Give a slice for each axis.",
            )
        for axis, part, size in zip("zyx", region, self.shape, strict=True):
            start, stop, step = part.start or 0, part.stop, part.step
            stop = size if stop is None else stop
            if step not in (None, 1) or not 0 <= start < stop <= size:
                raise UsageError(
                    f"phantom region {axis}",
                    found=str(part),
                    expected=f"a slice of step 1 that is not empty, within 0 to {size}",
                    remedy="Ask for a region inside the image.",
                )
        return tuple(
            len(range(*part.indices(n))) for part, n in zip(region, self.shape, strict=True)
        )

    def _assemble(self, what: str, region: Region, out: NDArray[Any]) -> None:
        begin = [part.indices(n)[0] for part, n in zip(region, self.shape, strict=True)]
        end = [b + n for b, n in zip(begin, out.shape, strict=True)]
        tiles = [
            range(b // t, -(-e // t)) for b, e, t in zip(begin, end, self.tile_shape, strict=True)
        ]
        for index in ((i, j, k) for i in tiles[0] for j in tiles[1] for k in tiles[2]):
            tile = self._tile(what, index)
            source, target = [], []
            for i, t, n, b, e in zip(index, self.tile_shape, tile.shape, begin, end, strict=True):
                low, high = max(i * t, b), min(i * t + n, e)
                source.append(slice(low - i * t, high - i * t))
                target.append(slice(low - b, high - b))
            out[tuple(target)] = tile[tuple(source)]

    def _tile(self, what: str, index: Index) -> NDArray[Any]:
        found = self._remembered((what, *index))
        if found is not None:
            return found
        scene = self._scene()
        z, y, x = (i * t for i, t in zip(index, self.tile_shape, strict=True))
        first = z, y, x
        z, y, x = (
            min(t, n - b) for t, n, b in zip(self.tile_shape, self.shape, first, strict=True)
        )
        shape = z, y, x
        nodes = self._remembered(("nodes", *index))
        if nodes is None:
            nodes = scene.nodes(first, shape)
            self._remember(("nodes", *index), nodes)
        if what == _LABELS:
            tile: NDArray[Any] = scene.labels(nodes, first, shape)
        else:
            tile = scene.expose(what, nodes, first, shape, self.shape)
        self._remember((what, *index), tile)
        return tile

    def _remembered(self, key: tuple[object, ...]) -> NDArray[Any] | None:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def _remember(self, key: tuple[object, ...], tile: NDArray[Any]) -> None:
        with self._lock:
            self._tiles[key] = tile
            held = sum(kept.nbytes for kept in self._tiles.values())
            while held > self._cache_bytes:
                held -= self._tiles.popitem(last=False)[1].nbytes

    def _scene(self) -> Scene:
        # Numba and SciPy load with the first pixel, not with the parameters.
        from scimage.phantom._scene import Scene

        with self._lock:
            if self._scene_once is None:
                self._scene_once = Scene(self.parameters, self._anatomy)
            return self._scene_once
