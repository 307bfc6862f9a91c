"""The standard streams of a process: what cannot be written is dropped, and never ends the work.

A stream fails where its disk is full, its reader or its terminal has gone, or it cannot be written
to. After its first failure all that is written to it is dropped, and `failure` has the reason.
"""

import codecs
import contextlib
import io
import os
import select
import sys
from typing import IO, Any

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


class _File(io.FileIO):
    """Takes whatever is written, for as long as that works and also after it."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Writes some of the bytes, or drops all of them; how many."""
        if self.failure is None:
            try:
                while (written := super().write(data)) is None:  # a pipe that must not block
                    select.select((), (self,), ())
                return written
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def make_safe() -> None:
    """Makes `sys.stdout` and `sys.stderr` such that writing to them never fails.

    Signs that a stream's encoding lacks are written in ASCII. Whatever keeps a stream, such as a
    console of rich, must be made after this. May be called again.
    """
    _open_closed()
    # Python has None where a stream was closed.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    # Only those that Python started with: what else is there, such as a test's, is not a file.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _safe(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _safe(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="jmlp")


def failure(stream: IO[str]) -> OSError | None:
    """Why what was written to a stream is not where it belongs; None: all of it is.

    Args:
        stream: `sys.stdout` or `sys.stderr`, after `make_safe`.
    """
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _File) else None


def as_written(text: str) -> str:
    """What becomes of a text on stdout, so that columns are as wide as what is written."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "jmlp").decode(encoding)


def say_error(text: str) -> None:
    """An error, on stderr; control characters of whatever it quotes are shown, not obeyed."""
    lines = text.splitlines() or [""]
    for index, line in enumerate(lines):
        print(f"jmlp: error: {shown(line)}" if index == 0 else f"  {shown(line)}", file=sys.stderr)


def shown(text: str) -> str:
    """A text on one line, its control characters written out and so not obeyed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _safe(stream: Any) -> IO[str]:
    """Another stream to the same place."""
    with contextlib.suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_File(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_closed() -> None:
    """Opens what is closed of descriptors 0 to 2: a file must not take the place of a stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    bad = error.object[error.start : error.end]
    return "".join(ASCII.get(c, "?") for c in bad), error.end


codecs.register_error("jmlp", _in_ascii)
