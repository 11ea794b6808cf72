"""Several TIFF files as one image: a plane a file, or a channel a file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from scimage.errors import FormatError
from scimage.image.sources._base import Description, PlaneSource, unique_names
from scimage.image.sources._boundary import refuse
from scimage.image.sources._filenames import Arrangement, arrange
from scimage.image.sources._planes import Plane
from scimage.image.sources._spacing import Spacing
from scimage.image.sources._tiff import TiffSource, open_tiff

__all__ = ["open_stack"]

# Where planes lie in a file takes a few kilobytes; a whole folder of it does not stay.
_KNOWN_MEMBERS = 64


class _StackSource(PlaneSource):
    """Files arranged by channel and plane, opened when they are read."""

    def __init__(
        self, description: Description, arrangement: Arrangement, inputs: Sequence[Path]
    ) -> None:
        super().__init__(description, inputs)
        self._files = arrangement.files
        self._known: OrderedDict[Path, TiffSource] = OrderedDict()
        self._lock = threading.Lock()

    def plane(self, channel: int, z: int) -> Plane:
        """Find a plane, in the file that holds it."""
        group = self._files[0] if len(self._files) == 1 else self._files[channel]
        inner_channel = channel if len(self._files) == 1 else 0
        one_file = len(group) == 1
        member = self._member(group[0] if one_file else group[z])
        expected = (self.shape[1] if one_file else 1, *self.shape[2:])
        if member.shape[1:] != expected or member.dtype != self.dtype:
            raise refuse(member.path, "a file that changed while it was read", "the same file")
        return member.plane(inner_channel, z if one_file else 0)

    def _member(self, path: Path) -> TiffSource:
        with self._lock:
            member = self._known.pop(path, None) or open_tiff(path)
            self._known[path] = member
            if len(self._known) > _KNOWN_MEMBERS:
                self._known.popitem(last=False)
        return member


def open_stack(paths: Sequence[Path], subject: str) -> PlaneSource:
    """Open several TIFF files as one image.

    Parameters
    ----------
    paths
        The files, in any order: their names tell channel and plane.
    subject
        Folder or pattern, for messages.

    Raises
    ------
    FormatError
        A file is not like the others, or the names do not tell where it belongs.
    """
    if len(paths) == 1:
        return open_tiff(paths[0])
    members = {path: _opened(path) for path in paths}
    usual = _usual(members)
    for path, member in members.items():
        _check_alike(path, member, usual, members)
    channels, depth, *_ = usual.shape
    arrangement = arrange(paths, subject, stacks=depth > 1)
    groups = len(arrangement.files)
    if groups > 1 and channels > 1:
        raise refuse(
            subject,
            f"{groups} channels by file name, of {channels} channels each",
            "one channel in each file, or all channels in each plane",
        )
    ordered = [path for group in arrangement.files for path in group]
    names = usual.channel_names
    colors = usual.channel_colors
    if groups > 1:
        firsts = [members[group[0]] for group in arrangement.files]
        stated = [member.channel_names[0] for member in firsts]
        names = tuple(stated) if len(set(stated)) == groups else unique_names(arrangement.labels)
        colors = tuple(member.channel_colors[0] for member in firsts)
    planes = len(arrangement.files[0]) * depth
    description = Description(
        path=subject,
        format="TIFF stacks" if depth > 1 else "TIFF planes",
        shape=(max(groups, channels), planes, *usual.shape[2:]),
        dtype=usual.dtype,
        spacing=_common_spacing(list(members.values())),
        channel_names=names,
        channel_colors=colors,
        preferred_chunk=usual.preferred_chunk,
    )
    return _StackSource(description, arrangement, ordered)


def _opened(path: Path) -> Description:
    source = open_tiff(path)
    if len(source.inputs) > 1:
        raise FormatError(
            path,
            found=f"an OME-TIFF of {len(source.inputs)} files",
            expected="files that are complete in themselves",
            remedy=f"Open {path.name} alone: it names the other files of its image.",
        )
    return source.description


def _usual(members: dict[Path, Description]) -> Description:
    kinds = [(member.shape, member.dtype) for member in members.values()]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    best = max(counts.values())
    return next(m for m in members.values() if counts[m.shape, m.dtype] == best)


def _check_alike(
    path: Path, member: Description, usual: Description, members: dict[Path, Description]
) -> None:
    if (member.shape, member.dtype) != (usual.shape, usual.dtype):
        raise FormatError(
            path,
            found=f"(c, z, y, x) = {member.shape} of {member.dtype}",
            expected=f"{usual.shape} of {usual.dtype}, as in the other {len(members) - 1} files",
            remedy="Remove this file from the folder, or export it like the others.",
        )


def _common_spacing(members: Sequence[Description]) -> Spacing:
    spacings = [member.spacing for member in members]
    if any(spacing.um != spacings[0].um for spacing in spacings):
        return Spacing(None, "the files state different voxel sizes")
    return spacings[0]
