"""One page that shows results: tables and pictures in a single HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scimage.image import naming_storage
from scimage.version import __version__

__all__ = ["Picture", "Section", "write_report"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence, a table, pictures; all but the heading may be empty."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[Picture] = ()


def write_report(
    path: Path, title: str, sections: Sequence[Section], facts: Mapping[str, str]
) -> None:
    """Write a self-contained HTML page; text is escaped, pictures are embedded.

    `facts` is printed at the foot: parameters, versions, sources.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scimage.study", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = _embedded
    page = environment.get_template("report.html.j2").render(
        title=title, sections=sections, facts=facts, version=__version__
    )
    partial = path.with_name(f".{path.name}.partial")
    with naming_storage(path):
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
