"""An OME-Zarr image: read by regions, written whole, with its labels and tables."""

from scimage.image.convert import convert
from scimage.image.metadata import Channel
from scimage.image.reader import Image, Level, Region, Volume, open_image
from scimage.image.results import LabelClass, ResultStore
from scimage.image.scratch import Scratch, ScratchVolume, scratch_beside
from scimage.image.storage import naming_storage
from scimage.image.summary import summarize
from scimage.image.tiff_export import write_ome_tiff
from scimage.image.writer import NewImage, PixelSource, write_image

__all__ = [
    "Channel",
    "Image",
    "LabelClass",
    "Level",
    "NewImage",
    "PixelSource",
    "Region",
    "ResultStore",
    "Scratch",
    "ScratchVolume",
    "Volume",
    "convert",
    "naming_storage",
    "open_image",
    "scratch_beside",
    "summarize",
    "write_image",
    "write_ome_tiff",
]
