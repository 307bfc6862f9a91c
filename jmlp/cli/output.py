"""Output of commands: results go to stdout, messages to stderr."""

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
    """The options that control a command's output."""

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
        """Prints a message of one line to stderr, unless --quiet is given."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def console(self, *, stderr: bool = False) -> "Console":
        """A rich console; lines are not wrapped if the stream is not a terminal."""
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        coloured = self.moves(stream) or (not self.plain and _wants_colour())
        return Console(
            file=stream,
            markup=False,
            highlight=False,
            emoji=False,
            width=None if stream.isatty() else 10_000,
            # Decided here, because rich takes FORCE_COLOR to mean a terminal with a movable cursor.
            force_terminal=coloured,
            color_system="standard" if coloured and not _takes_escapes() else "auto",
        )

    def moves(self, stream: TextIO) -> bool:
        """Whether a stream is a terminal that can show a moving progress bar."""
        return not self.plain and stream.isatty() and _takes_escapes()

    def print_json(self, value: Any) -> None:
        """Prints one JSON value to stdout."""
        import json

        print(json.dumps(value, indent=2, allow_nan=False))


def _wants_colour() -> bool:
    """Whether colour is forced wherever the output goes: https://force-color.org."""
    forced = os.environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false")
    return forced and not os.environ.get("NO_COLOR")


def _takes_escapes() -> bool:
    """Whether the terminal, if there is one, can show colours and a moving progress bar."""
    dumb = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    return not (dumb or os.environ.get("NO_COLOR") or os.environ.get("CI"))
