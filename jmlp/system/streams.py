"""Standard streams that never raise: output that cannot be written is discarded.

A stream fails if its disk is full, its reader or its terminal has gone, or it is not writable.
After its first failure all further output is discarded, and `failure` returns the reason.
"""

import codecs
import contextlib
import io
import os
import select
import sys
from typing import IO, Any

# Replacements for the symbols in our texts on a stream that is not UTF-8.
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
    """A raw file that accepts all writes, and discards them after the first failure."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Writes some of the bytes, or discards all of them; returns their number."""
        if self.failure is None:
            try:
                while (written := super().write(data)) is None:  # a full non-blocking pipe
                    select.select((), (self,), ())
                return written
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def make_safe() -> None:
    """Replaces `sys.stdout` and `sys.stderr` by streams to which writing never fails.

    Symbols that a stream's encoding lacks are written in ASCII. Objects that keep a stream, such as
    a rich console, have to be created after this. May be called repeatedly.
    """
    _open_closed()
    # Python sets a closed stream to None.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    # Only the streams that Python started with: others, such as those of a test, are not files.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _safe(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _safe(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="jmlp")


def failure(stream: IO[str]) -> OSError | None:
    """Why output to a stream was lost; None if all of it was written.

    Args:
        stream: `sys.stdout` or `sys.stderr`, after `make_safe`.
    """
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _File) else None


def as_written(text: str) -> str:
    """A text as it appears on stdout, so that columns can be as wide as what is written."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "jmlp").decode(encoding)


def say_error(text: str) -> None:
    """Prints an error to stderr, with control characters in it escaped."""
    lines = text.splitlines() or [""]
    for index, line in enumerate(lines):
        print(f"jmlp: error: {shown(line)}" if index == 0 else f"  {shown(line)}", file=sys.stderr)


def shown(text: str) -> str:
    """A text with control characters and line breaks escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _safe(stream: Any) -> IO[str]:
    """A stream to the same file descriptor that never raises."""
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
    """Opens /dev/null on closed descriptors 0 to 2, so that no other file gets one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    bad = error.object[error.start : error.end]
    return "".join(ASCII.get(c, "?") for c in bad), error.end


codecs.register_error("jmlp", _in_ascii)
