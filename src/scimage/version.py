"""The version of scimage, and how a result was made."""

from __future__ import annotations

import datetime
import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["__version__", "code_identity", "provenance"]

__version__ = version("scimage")


@functools.cache
def code_identity() -> dict[str, str]:
    """Versions of all code that decides a result; `code` is the digest of scimage's own files."""
    digest, root = hashlib.sha256(), Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    others = {name: version(name) for name in ("numba", "numpy", "scipy")}
    return {"scimage": __version__, "code": digest.hexdigest()[:16], **others}


def provenance(analysis: str, parameters: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What is kept beside every result: what made it, from what, when, with which parameters."""
    return {
        "analysis": analysis,
        "scimage": __version__,
        "numba": version("numba"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "source": source,
        "created_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "parameters": {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()},
    }
