"""The version of scimage, and how a result was made."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

__all__ = ["__version__", "provenance"]

__version__ = version("scimage")


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
