"""The command line: one thin function a verb. It parses, calls one function, prints."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; errors raised on purpose are one line on standard error."""
    from scimage.cli.commands import app
    from scimage.errors import ScimageError

    try:
        app()
    except ScimageError as error:
        print(f"scimage: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
