"""Command-line options: generated from the parameter dataclasses, and the few that all share."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scimage.errors import UsageError
from scimage.parameters import option_name

__all__ = [
    "ImageArgument",
    "Memory",
    "Output",
    "Overwrite",
    "Scheduler",
    "Workers",
    "bytes_of",
    "numbers",
    "spread",
]

ImageArgument = Annotated[Path, typer.Argument(help="An OME-Zarr image.", show_default=False)]
Workers = Annotated[int, typer.Option(help="Processor cores to use.", min=1)]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler, instead of own workers.")
]
Memory = Annotated[str, typer.Option(help="What all workers together may use, for example 8GB.")]
Output = Annotated[
    Path | None, typer.Option(help="Store for the results, instead of the image itself.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.")]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def numbers(option: str, text: str, n: int) -> tuple[float, ...]:
    """Parse ``1,2,3`` into `n` numbers.

    Raises
    ------
    UsageError
        It is something else.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != n:
        raise UsageError(
            option, found=repr(text), expected=f"{n} numbers with commas between them",
            remedy=f"Write for example {option} {','.join(['5', '2', '2'][-n:])}.",
        )  # fmt: skip
    return values


def bytes_of(text: str) -> int:
    """Parse ``8GB`` or ``500 MB`` into bytes.

    Raises
    ------
    UsageError
        It is something else.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?\s*", text.lower())
    if not match:
        raise UsageError(
            "--memory", found=repr(text), expected="a size such as 8GB or 500MB",
            remedy="Write a number and a unit.",
        )  # fmt: skip
    return int(float(match[1]) * _UNITS[match[2]])


def spread(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each field of a parameter dataclass.

    The command receives the validated dataclass as its first argument.
    """
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        options = [_option(field, hints[field.name]) for field in fields]

        @functools.wraps(command)
        def flat(**given: Any) -> None:
            values = {f.name: _parse(f, hints[f.name], given.pop(f.name)) for f in fields}
            command(kind(**values), **given)

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        first = [p for p in keyword if p.default is inspect.Parameter.empty]
        rest = [p for p in keyword if p.default is not inspect.Parameter.empty]
        flat.__signature__ = inspect.Signature([*first, *options, *rest])  # type: ignore[attr-defined]
        flat.__annotations__ = {p.name: p.annotation for p in [*first, *options, *rest]}
        return flat

    return decorate


def _option(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    text = field.metadata["help"]
    if field.metadata["choices"]:
        text += f" One of {', '.join(field.metadata['choices'])}."
    default: Any = field.default
    if default is dataclasses.MISSING:
        default = inspect.Parameter.empty
    elif typing.get_origin(hint) is tuple:
        hint, default = str, ",".join(f"{v:g}" for v in default)
    option = typer.Option(option_name(field.name), help=text)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, option],
    )


def _parse(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        return numbers(option_name(field.name), value, len(typing.get_args(hint)))
    return value
