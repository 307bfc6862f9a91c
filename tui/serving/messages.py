"""The messages that a page may send; any other message ends its session."""

import json
from dataclasses import dataclass
from typing import Any

MAX_WIDTH, MAX_HEIGHT = 500, 200  # cells
MAX_BYTES = 64 * 1024  # of one message

DEFAULT_SIZE = (80, 24)


class InvalidMessage(Exception):
    """A message or a size that jmlp's page never sends."""


@dataclass(frozen=True)
class Typed:
    """Input: keys, pasted text and mouse events."""

    data: bytes


@dataclass(frozen=True)
class Resized:
    """The size of the page's terminal has changed."""

    width: int
    height: int


@dataclass(frozen=True)
class Focused:
    """The page has gained or lost the focus."""

    now: bool


@dataclass(frozen=True)
class Pinged:
    """A ping, whose data are to be sent back."""

    data: str


Message = Typed | Resized | Focused | Pinged


def parse(text: str) -> Message:
    """Parses a message.

    Raises:
        InvalidMessage: the text is not a valid message.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessage("not JSON") from None
    match content:
        case ["stdin", str(data)]:
            return Typed(data.encode("utf-8", "replace"))
        case ["resize", {"width": width, "height": height}]:
            return Resized(*_size(width, height))
        case ["focus"]:
            return Focused(True)
        case ["blur"]:
            return Focused(False)
        case ["ping", str(data)]:
            return Pinged(data)
    raise InvalidMessage("unknown message")


def size_of(width: str, height: str) -> tuple[int, int]:
    """Parses a size in cells and clamps it to the limits.

    Args:
        width: the text of the query parameter.
        height: likewise.

    Raises:
        InvalidMessage: one of them is not an integer.
    """
    try:
        if not (width + height).isascii() or "_" in width + height:
            raise ValueError
        return _size(int(width), int(height))
    except ValueError:
        raise InvalidMessage("width and height must be integers") from None


def _size(width: Any, height: Any) -> tuple[int, int]:
    if type(width) is not int or type(height) is not int:  # also rejects bools
        raise InvalidMessage("width and height must be integers")
    return min(max(width, 1), MAX_WIDTH), min(max(height, 1), MAX_HEIGHT)
