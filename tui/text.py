"""Texts for widgets: whatever a file or a person wrote is shown as it is, never read as markup."""

import re
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

Align = Literal["left", "right"]

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d+)?)")


def cell(text: str, align: Align = "left", style: str = "") -> Text:
    """A table's cell: one line, no markup, control characters written out."""
    return Text(visible(text), style=style, justify=align, no_wrap=True, overflow="ellipsis")


def fit(text: str, width: int, align: Align = "left") -> str:
    """A text in exactly so many columns of the terminal: cut with `…`, or filled with spaces."""
    text = visible(text)
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    space = " " * (width - cell_len(text))
    return space + text if align == "right" else text + space


def visible(text: str) -> str:
    """On one line, with control characters and lone surrogates written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def duration(seconds: float) -> str:
    """`0:07`, `3:10`, `1:02:03`: a time left or passed."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def count(n: int, what: str) -> str:
    """`1 run`, `1,200 runs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def shortened(configuration: str) -> str:
    """`batch no, drop 0.5`: of every hyperparameter the first word and the value."""
    parts = [part.split(" ") for part in configuration.split(", ")]
    return ", ".join(" ".join(dict.fromkeys((part[0], part[-1]))) for part in parts)


def natural_key(text: str) -> tuple[tuple[int, float, str], ...]:
    """Sorts `batch size 8` before `batch size 64`: by its words and its numbers in turn."""
    parts = _NUMBER.split(text.casefold())
    return tuple(
        (0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)
    )
