"""Parameters, each declared once: default, unit, bounds, help, and where the default comes from.

The command line and the documentation are generated from these declarations.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from scimage.errors import UsageError

__all__ = ["check", "option_name", "parameter"]


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    origin: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare a field of a parameter dataclass.

    Parameters
    ----------
    default
        Its default; left out for a required one.
    help
        What it does, in a sentence; the unit is in the name.
    origin
        Where the default comes from: a paper, a convention, a measurement.
    low, high
        Bounds, inclusive; they hold for each element of a tuple.
    choices
        The allowed texts.
    """
    about = {"help": help, "origin": origin, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=about)


def option_name(field: str) -> str:
    """The command-line option of a field."""
    return "--" + field.replace("_", "-")


def check(parameters: Any) -> None:
    """Validate a parameter dataclass against its declarations.

    Raises
    ------
    UsageError
        A value is not finite, out of bounds, or none of the choices.
    """
    for field in dataclasses.fields(parameters):
        about: Mapping[str, Any] = field.metadata
        value = getattr(parameters, field.name)
        for element in value if isinstance(value, tuple) else (value,):
            _check_one(option_name(field.name), element, about)


def _check_one(option: str, value: Any, about: Mapping[str, Any]) -> None:
    if about.get("choices") and value not in about["choices"]:
        raise UsageError(
            option, found=repr(value), expected=f"one of {', '.join(about['choices'])}",
            remedy="Choose one of these.",
        )  # fmt: skip
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    low, high = about.get("low"), about.get("high")
    too_low, too_high = low is not None and value < low, high is not None and value > high
    if not math.isfinite(value) or too_low or too_high:
        bounds = (
            f"{'-inf' if low is None else f'{low:g}'} to {'inf' if high is None else f'{high:g}'}"
        )
        raise UsageError(
            option, found=f"{value:g}", expected=f"a number from {bounds}",
            remedy="Give a value inside these bounds.",
        )  # fmt: skip
