"""An OME-Zarr image: read by regions, written whole, with its labels and tables."""

from scimage.image.binning import BinnedVolume, volume_at
from scimage.image.convert import convert
from scimage.image.durable import digest_of, digest_of_file, write_file
from scimage.image.leftovers import Leftover, leftovers
from scimage.image.metadata import Channel
from scimage.image.reader import Image, Level, Region, Volume, open_image
from scimage.image.results import LabelClass, NewResults, ResultStore
from scimage.image.staging import exclusive
from scimage.image.storage import naming_storage
from scimage.image.summary import summarize
from scimage.image.tiff_export import write_ome_tiff
from scimage.image.workspace import ScratchVolume, Workspace, free_bytes, unfinished_beside
from scimage.image.writer import NewImage, PixelSource, write_image

__all__ = [
    "BinnedVolume",
    "Channel",
    "Image",
    "LabelClass",
    "Leftover",
    "Level",
    "NewImage",
    "NewResults",
    "PixelSource",
    "Region",
    "ResultStore",
    "ScratchVolume",
    "Volume",
    "Workspace",
    "convert",
    "digest_of",
    "digest_of_file",
    "exclusive",
    "free_bytes",
    "leftovers",
    "naming_storage",
    "open_image",
    "summarize",
    "unfinished_beside",
    "volume_at",
    "write_file",
    "write_image",
    "write_ome_tiff",
]
