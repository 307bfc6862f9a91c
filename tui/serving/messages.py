"""What a page may say to the server; anything else ends its session."""

import json
from dataclasses import dataclass
from typing import Any

MAX_WIDTH, MAX_HEIGHT = 500, 200  # cells
MAX_BYTES = 64 * 1024  # of one message

DEFAULT_SIZE = (80, 24)


class InvalidMessage(Exception):
    """A message, or a size, that no page of ours sends."""


@dataclass(frozen=True)
class Typed:
    """Keys, pasted text, and what the mouse does."""

    data: bytes


@dataclass(frozen=True)
class Resized:
    """The page shows so many cells."""

    width: int
    height: int


@dataclass(frozen=True)
class Focused:
    """The page has the keyboard, or has it no longer."""

    now: bool


@dataclass(frozen=True)
class Pinged:
    """To be sent back."""

    data: str


Message = Typed | Resized | Focused | Pinged


def parse(text: str) -> Message:
    """A message of the page.

    Raises:
        InvalidMessage: it is none.
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
    """Width and height in cells, within what is allowed.

    Args:
        width: as given in an address.
        height: likewise.

    Raises:
        InvalidMessage: one is no integer.
    """
    try:
        if not (width + height).isascii() or "_" in width + height:
            raise ValueError
        return _size(int(width), int(height))
    except ValueError:
        raise InvalidMessage("width and height must be integers") from None


def _size(width: Any, height: Any) -> tuple[int, int]:
    if type(width) is not int or type(height) is not int:  # nor a bool
        raise InvalidMessage("width and height must be integers")
    return min(max(width, 1), MAX_WIDTH), min(max(height, 1), MAX_HEIGHT)
