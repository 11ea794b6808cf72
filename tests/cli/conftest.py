"""A small synthetic cord on disk, and a way to call the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scimage.cli import main
from scimage.cli.phantoms import write_phantom


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def scimage_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["scimage", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        text = capsys.readouterr()
        return Outcome(code, text.out, text.err)

    return run


@pytest.fixture(scope="session")
def tiny_cord(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``phantom.ome.zarr`` and ``truth.zarr``; do not write into it."""
    folder = tmp_path_factory.mktemp("tiny")
    write_phantom(folder, "tiny", 1)
    return folder


@pytest.fixture
def cord(tiny_cord: Path, tmp_path: Path) -> Path:
    """A copy of the tiny cord's image that a test may write into."""
    return Path(shutil.copytree(tiny_cord / "phantom.ome.zarr", tmp_path / "cord.ome.zarr"))
