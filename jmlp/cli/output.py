"""Where output goes: results to stdout, chatter to stderr."""

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """How a command talks."""

    json: Annotated[bool, Parameter(negative=(), help="Results as JSON on stdout.")] = False
    plain: Annotated[bool, Parameter(negative=(), help="No colour, no boxes, no progress bar.")] = (
        False
    )
    quiet: Annotated[
        bool, Parameter(name=("--quiet", "-q"), negative=(), help="Only results and errors.")
    ] = False
    debug: Annotated[bool, Parameter(negative=(), help="Show the traceback of a bug in jmlp.")] = (
        False
    )

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def console(self, *, stderr: bool = False) -> "Console":
        """A rich console; a stream that is not a terminal gets lines of any length."""
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        coloured = self.moves(stream) or (not self.plain and _wants_colour())
        return Console(
            file=stream,
            markup=False,
            highlight=False,
            emoji=False,
            width=None if stream.isatty() else 10_000,
            # All of it is decided here: rich takes FORCE_COLOR for a terminal whose cursor moves.
            force_terminal=coloured,
            color_system="standard" if coloured and not _takes_escapes() else "auto",
        )

    def moves(self, stream: TextIO) -> bool:
        """Whether a stream is a terminal that may get a bar that moves."""
        return not self.plain and stream.isatty() and _takes_escapes()

    def print_json(self, value: Any) -> None:
        """One JSON value on stdout."""
        import json

        print(json.dumps(value, indent=2, allow_nan=False))


def _wants_colour() -> bool:
    """Whether colour is asked for wherever the output goes: https://force-color.org."""
    forced = os.environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false")
    return forced and not os.environ.get("NO_COLOR")


def _takes_escapes() -> bool:
    """Whether a terminal, if there is one, may get colours and a bar that moves."""
    dumb = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    return not (dumb or os.environ.get("NO_COLOR") or os.environ.get("CI"))
