"""Text for widgets: text from files and users is shown as it is, never parsed as markup."""

import re
from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

Align = Literal["left", "right"]

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d+)?)")


def cell(text: str, align: Align = "left", style: str = "") -> Text:
    """Returns a table cell: one line without markup, with control characters escaped."""
    return Text(visible(text), style=style, justify=align, no_wrap=True, overflow="ellipsis")


def fit(text: str, width: int, align: Align = "left") -> str:
    """Cuts a text with `…`, or pads it with spaces, to exactly `width` columns of the terminal."""
    text = visible(text)
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    space = " " * (width - cell_len(text))
    return space + text if align == "right" else text + space


def visible(text: str) -> str:
    """Escapes newlines, other control characters and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def flowed(parts: Sequence[Text], width: int) -> list[Text]:
    """Puts texts on as few lines as fit, three spaces apart, without breaking any of them."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 3 + part.cell_len <= width:
            lines[-1].append("   ").append_text(part)
        else:
            lines.append(part.copy())
    return lines


def duration(seconds: float) -> str:
    """Formats seconds: `0:07`, `3:10`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def count(n: int, what: str) -> str:
    """Formats a number with its noun: `1 run`, `1,200 runs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def shortened(configuration: str) -> str:
    """Keeps each hyperparameter's first word and value: `batch no, drop 0.5`."""
    parts = [part.split(" ") for part in configuration.split(", ")]
    return ", ".join(" ".join(dict.fromkeys((part[0], part[-1]))) for part in parts)


def values_only(configuration: str) -> str:
    """Keeps only the values, in the order of the axes: `no, 0.5`."""
    return ", ".join(part.rpartition(" ")[2] for part in configuration.split(", "))


def abbreviated(configuration: str, width: int) -> str:
    """Abbreviates a name for a width: first words and values, or if they do not fit the values."""
    name = shortened(configuration)
    return name if cell_len(name) <= width else values_only(configuration)


def natural_key(text: str) -> tuple[tuple[int, float, str], ...]:
    """Returns a sort key that compares numbers by value: `batch size 8` before `batch size 64`."""
    parts = _NUMBER.split(text.casefold())
    return tuple(
        (0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)
    )
