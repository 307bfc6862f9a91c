"""Text for terminals that know nothing but ASCII: every sign becomes one of the same width."""

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from rich.cells import split_graphemes

_SIGNS = str.maketrans(
    "▁▂▃▄▅▆▇█▀▌▐░▒▓■□▪▫●○◉◌•·…×÷±−–—‐‑‖√≤≥≈≠←→↑↓↔⇧⏎▲▼▶◀△▽▷◁▴▾▸◂⏵⏷✓✔✗✘★☆‘’“”«»‹›µΔθσλ°",
    "_.-=+*%#\"||.:%##***o@.*..x/~-----|V<>~#<>^v-^<^v><^v><^v><>vvvxx**''\"\"<><>uDtsl'",
)
_ANY = re.compile(r"[^\x00-\x7f]+")
_UPPER_DOTS, _LOWER_DOTS = 0b00011011, 0b11100100  # of a braille sign: rows 1 and 2, 3 and 4
_HEAVY = "═║╔╗╚╝╠╣╦╩╬"


def to_ascii(text: str) -> str:
    """The text in ASCII, as many columns wide as before; what has no likeness becomes `?`."""
    return text if text.isascii() else _ANY.sub(lambda found: _run(found[0]), text)


@lru_cache(4096)
def _run(text: str) -> str:
    text = text.translate(_SIGNS)
    if text.isascii():
        return text
    spans, _ = split_graphemes(text)
    return "".join(_sign(text[start:end], width) for start, end, width in spans)


def _sign(text: str, width: int) -> str:
    """One sign, which may be several characters."""
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
    """A sign that draws lines or boxes."""
    if sign in _HEAVY:
        return {"═": "=", "║": "|"}.get(sign, "+")
    name = unicodedata.name(sign)
    across = "HORIZONTAL" in name or "LEFT" in name or "RIGHT" in name
    down = "VERTICAL" in name or "UP" in name or "DOWN" in name
    if across and down:
        return "+"
    return "-" if across else "|" if down else "/"


def wants_ascii(environ: Mapping[str, str]) -> bool:
    """Whether the locale in an environment says that the terminal is not one of UTF-8."""
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    # No locale at all says nothing: so are containers, and shells on other machines.
    return bool(locale) and "utf8" not in locale.lower().replace("-", "")


def is_ascii_wanted() -> bool:
    """The same for this process, whose streams Python may have been told to write otherwise."""
    assert sys.__stderr__ is not None
    other = sys.__stderr__.encoding.lower().replace("-", "") != "utf8"
    return other or wants_ascii(_environ_at_start())


def _environ_at_start() -> Mapping[str, str]:
    """Python sets LC_CTYPE to UTF-8 where it is started in the locale C."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # other systems than Linux do not tell
        return os.environ
    return dict(os.fsdecode(entry).partition("=")[::2] for entry in entries if entry)
