"""Command-line options: generated from the parameter dataclasses, and the few that all share."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scimage.errors import UsageError
from scimage.parameters import option_name

__all__ = [
    "ImageArgument",
    "LogJson",
    "Output",
    "Overwrite",
    "Verbose",
    "Workers",
    "numbers",
    "spread",
]

ImageArgument = Annotated[
    str, typer.Argument(help="An OME-Zarr image: a folder, s3:// or https://.", show_default=False)
]
Workers = Annotated[int, typer.Option(help="Processor cores to use.", min=1)]
Output = Annotated[
    Path | None, typer.Option(help="Store for the results, instead of the image itself.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more: times of each sweep.")]
LogJson = Annotated[
    Path | None, typer.Option(help="Also write progress and messages to this file, as JSON lines.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.")]


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


def spread(*kinds: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each field of some parameter dataclasses.

    The command receives the validated dataclasses as its first arguments.
    """
    hints = {kind: typing.get_type_hints(kind) for kind in kinds}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[len(kinds) :]
        options = [
            _option(field, hints[kind][field.name])
            for kind in kinds
            for field in dataclasses.fields(kind)
        ]

        @functools.wraps(command)
        def flat(**given: Any) -> None:
            made = [
                kind(**{
                    f.name: _parse(f, hints[kind][f.name], given.pop(f.name))
                    for f in dataclasses.fields(kind)
                })
                for kind in kinds
            ]  # fmt: skip
            command(*made, **given)

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        first = [p for p in keyword if p.default is inspect.Parameter.empty]
        rest = [p for p in keyword if p.default is not inspect.Parameter.empty]
        flat.__signature__ = inspect.Signature([*first, *options, *rest])  # type: ignore[attr-defined]
        flat.__annotations__ = {p.name: p.annotation for p in [*first, *options, *rest]}
        return flat

    return decorate


def _tuple_of(hint: Any) -> tuple[Any, ...]:
    """Element types of a field that is a tuple, or a tuple or None; else empty."""
    for kind in (hint, *typing.get_args(hint)):
        if typing.get_origin(kind) is tuple:
            return typing.get_args(kind)
    return ()


def _option(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    text = field.metadata["help"]
    if field.metadata["choices"]:
        text += f" One of {', '.join(field.metadata['choices'])}."
    default: Any = field.default
    if default is dataclasses.MISSING:
        default = inspect.Parameter.empty
    elif _tuple_of(hint):
        hint = str if default is not None else str | None
        default = default and ",".join(f"{v:g}" for v in default)
    option = typer.Option(option_name(field.name), help=text)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, option],
    )


def _parse(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    kinds = _tuple_of(hint)
    if not kinds or value is None:
        return value
    given = numbers(option_name(field.name), value, len(kinds))
    return tuple(kind(n) for kind, n in zip(kinds, given, strict=True))
