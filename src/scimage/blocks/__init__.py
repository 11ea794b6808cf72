"""A volume in blocks: the grid, what a pass over it is, and what makes its answer one."""

from scimage.blocks.components import (
    BlockComponents,
    Components,
    faces_of,
    merge_components,
)
from scimage.blocks.grid import Block, BlockGrid, Region, Shape
from scimage.blocks.histogram import Histogram, PackedHistogram
from scimage.blocks.passes import (
    Pass,
    Readable,
    Window,
    Writable,
    crop,
    reach_sum,
    run_block,
)

__all__ = [
    "Block",
    "BlockComponents",
    "BlockGrid",
    "Components",
    "Histogram",
    "PackedHistogram",
    "Pass",
    "Readable",
    "Region",
    "Shape",
    "Window",
    "Writable",
    "crop",
    "faces_of",
    "merge_components",
    "reach_sum",
    "run_block",
]
