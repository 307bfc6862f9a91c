"""Escapes hidden characters in text shown by a report."""

import re

# Control characters and marks of text direction, which a terminal or browser would interpret.
_HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Escapes the hidden characters of a text, except line feeds."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
