"""Text for ASCII terminals: every character is replaced by ASCII of the same width."""

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from rich.cells import split_graphemes

_SIGNS = str.maketrans(
    "▁▂▃▄▅▆▇█▀▌▐░▒▓■□▪▫●○◉◌•·…×÷±−–—‐‑‖√≤≥≈≠←→↑↓↔⇧⏎▲▼▶◀△▽▷◁▴▾▸◂⏵⏷✓✔✗✘★☆‘’“”«»‹›µΔθσλΣημ°",
    "_.-=+*%#\"||.:%##***o@.*..x/~-----|V<>~#<>^v-^<^v><^v><^v><>vvvxx**''\"\"<><>uDtslSnm'",
)
_ANY = re.compile(r"[^\x00-\x7f]+")
_UPPER_DOTS, _LOWER_DOTS = 0b00011011, 0b11100100  # rows 1 and 2, 3 and 4 of a braille character
_HEAVY = "═║╔╗╚╝╠╣╦╩╬"


def to_ascii(text: str) -> str:
    """Converts a text to ASCII of the same width; characters without a likeness become `?`."""
    return text if text.isascii() else _ANY.sub(lambda found: _run(found[0]), text)


@lru_cache(4096)
def _run(text: str) -> str:
    text = text.translate(_SIGNS)
    if text.isascii():
        return text
    spans, _ = split_graphemes(text)
    return "".join(_sign(text[start:end], width) for start, end, width in spans)


def _sign(text: str, width: int) -> str:
    """Converts one grapheme, which may be several characters."""
    code = ord(text[0])
    if 0x2500 <= code < 0x2580:
        return _line(text[0])
    if 0x2800 <= code < 0x2900:
        dots = code - 0x2800
        upper, lower = bool(dots & _UPPER_DOTS), bool(dots & _LOWER_DOTS)
        return {(False, False): " ", (True, False): "'", (False, True): "."}.get(
            (upper, lower), ":"
        )
    if text.isspace():
        return " " * width
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return plain if plain.isprintable() and len(plain) == width else "?" * width


def _line(sign: str) -> str:
    """Converts a box-drawing character."""
    if sign in _HEAVY:
        return {"═": "=", "║": "|"}.get(sign, "+")
    name = unicodedata.name(sign)
    across = "HORIZONTAL" in name or "LEFT" in name or "RIGHT" in name
    down = "VERTICAL" in name or "UP" in name or "DOWN" in name
    if across and down:
        return "+"
    return "-" if across else "|" if down else "/"


def wants_ascii(environ: Mapping[str, str]) -> bool:
    """Returns whether the locale in an environment has another encoding than UTF-8."""
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    # Containers and remote shells often have no locale, which proves nothing about the terminal.
    return bool(locale) and "utf8" not in locale.lower().replace("-", "")


def is_ascii_wanted() -> bool:
    """Returns whether this process needs ASCII, by its locale or the encoding of stderr."""
    assert sys.__stderr__ is not None
    other = sys.__stderr__.encoding.lower().replace("-", "") != "utf8"
    return other or wants_ascii(_environ_at_start())


def _environ_at_start() -> Mapping[str, str]:
    """Returns the original environment: in the locale C, Python sets LC_CTYPE to UTF-8."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # only Linux has it
        return os.environ
    return dict(os.fsdecode(entry).partition("=")[::2] for entry in entries if entry)
