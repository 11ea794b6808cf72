"""A volume in blocks: the grid, what a pass over it is, and what makes its answer one."""

from scimage.blocks.components import (
    BlockComponents,
    Components,
    PackedComponents,
    faces_of,
    merge_components,
)
from scimage.blocks.grid import Block, BlockGrid, Region, Shape
from scimage.blocks.histogram import Histogram, PackedHistogram
from scimage.blocks.labelling import ComponentsPass, WatershedPass
from scimage.blocks.partials import pack, unpack
from scimage.blocks.passes import Pass, Readable, Window, Writable, crop, reach_sum

__all__ = [
    "Block",
    "BlockComponents",
    "BlockGrid",
    "Components",
    "ComponentsPass",
    "Histogram",
    "PackedComponents",
    "PackedHistogram",
    "Pass",
    "Readable",
    "Region",
    "Shape",
    "WatershedPass",
    "Window",
    "Writable",
    "crop",
    "faces_of",
    "merge_components",
    "pack",
    "reach_sum",
    "unpack",
]
