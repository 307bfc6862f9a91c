"""Where output goes: results to stdout, chatter to stderr, nothing that a stream cannot take."""

import codecs
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console

# What the signs in our texts become on a stream that is not UTF-8.
ASCII = {
    "±": "+/-",
    "–": "-",
    "−": "-",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "·": "|",
    "…": "...",
    "█": "#",
    "─": "-",
}


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
        return Console(
            file=stream,
            markup=False,
            highlight=False,
            emoji=False,
            width=None if stream.isatty() else 10_000,
            force_terminal=False if self.plain or not _takes_escapes() else None,
        )

    def print_json(self, value: Any) -> None:
        """One JSON value on stdout."""
        import json

        print(json.dumps(value, indent=2, allow_nan=False))


def _takes_escapes() -> bool:
    """Whether a terminal, if there is one, may get colours and a bar that moves."""
    dumb = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    return not (dumb or os.environ.get("NO_COLOR") or os.environ.get("CI"))


def say_error(text: str) -> None:
    """An error, on stderr; control characters of whatever it quotes are shown, not obeyed."""
    lines = text.splitlines() or [""]
    for index, line in enumerate(lines):
        print(f"jmlp: error: {shown(line)}" if index == 0 else f"  {shown(line)}", file=sys.stderr)


def shown(text: str) -> str:
    """A text on one line, its control characters written out and so not obeyed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def leave_terminal() -> None:
    """What is written to a terminal that was closed goes nowhere from now on: it is no error."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def make_streams_safe() -> None:
    """Signs that a stream's encoding lacks are written in ASCII instead of ending the command."""
    # Python has None where a stream was closed, and would print what is meant for it elsewhere.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="jmlp")


def as_written(text: str) -> str:
    """What becomes of a text on stdout, so that columns are as wide as what is written."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "jmlp").decode(encoding)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    bad = error.object[error.start : error.end]
    return "".join(ASCII.get(c, "?") for c in bad), error.end


codecs.register_error("jmlp", _in_ascii)
