"""What importing scimage costs, and what it offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scimage

HEAVY = {
    *("numba", "dask", "distributed", "zarr", "skimage", "scipy", "matplotlib", "pyarrow"),
    *("tifffile", "imagecodecs", "nibabel", "yaozarrs", "jinja2"),
}


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running `code`."""
    listing = "import sys; print('MODULES', sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES "))
    return set(ast.literal_eval(line.removeprefix("MODULES ")))


def test_import_scimage_loads_no_heavy_library() -> None:
    modules = imported_by("import scimage")
    assert "scimage" in modules
    assert not modules & (HEAVY | {"numpy", "typer", "rich"})


@pytest.mark.parametrize("arguments", [["--help"], ["grafts", "--help"], ["lesion", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['scimage', *{arguments!r}]\n"
        "from scimage.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code in (0, None), stop.code\n"
    )
    modules = imported_by(code)
    assert "typer" in modules
    assert modules.isdisjoint(HEAVY), modules & HEAVY


def test_every_public_name_can_be_had() -> None:
    for name in scimage.__all__:
        assert getattr(scimage, name) is not None
    assert set(scimage.__all__) <= set(dir(scimage))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scimage.nothing  # type: ignore[attr-defined]


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(scimage.__file__).parent / "py.typed").exists()
