"""Lists of named values as text: the values of a row, and weights with a bar on either side of 0.

A line is a sequence of parts, each a text and the sign of its ink: 1, -1, or 0 for plain text.
"""

import math
from collections.abc import Sequence

from rich.cells import cell_len

from jmlp.client.texts import MISSING
from tui.text import fit, visible

Line = list[tuple[str, int]]

LONGEST_NAME = 24  # columns
LONGEST_VALUE = 20
BAR = 4  # columns on each side of 0
AXIS = "│"
ABSENT = "(missing)"


def name_width(names: Sequence[str]) -> int:
    """The columns that names take; longer ones than `LONGEST_NAME` are cut."""
    return min(LONGEST_NAME, max((cell_len(visible(name)) for name in names), default=0))


def value_texts(values: Sequence[str | None]) -> list[str]:
    """The texts of the values of a row; one that is None is said to be missing."""
    return [ABSENT if value is None else value for value in values]


def value_width(texts: Sequence[str]) -> int:
    """The columns that values take; longer ones than `LONGEST_VALUE` are cut."""
    return min(LONGEST_VALUE, max((cell_len(visible(text)) for text in texts), default=0))


def value_lines(names: Sequence[str], texts: Sequence[str], widths: tuple[int, int]) -> list[Line]:
    """Draws one name with its value per line.

    Args:
        names: of the columns.
        texts: of their values.
        widths: columns of the names and of the values.
    """
    return [
        [(f"{fit(name, widths[0])} {fit(text, widths[1], 'right')}", 0)]
        for name, text in zip(names, texts, strict=True)
    ]


def decimals_of(scale: float) -> int:
    """The decimals with which numbers up to `scale` have three digits."""
    if not (math.isfinite(scale) and scale > 0):
        return 2
    return max(0, 2 - math.floor(math.log10(scale)))


def weight_width(scale: float) -> int:
    """The columns of a line of `weight_lines` after the name."""
    return 1 + 2 * BAR + 1 + 1 + len(f"{-abs(scale):+.{decimals_of(scale)}f}")


def weight_lines(
    names: Sequence[str], weights: Sequence[float], width: int, scale: float
) -> list[Line]:
    """Draws one name with its weight per line, as a bar from the axis and as a number.

    Args:
        names: of the inputs.
        weights: of one unit.
        width: columns of the names.
        scale: the weight of a full bar, at least as large as all of them.
    """
    decimals, numbers = decimals_of(scale), weight_width(scale) - 2 * BAR - 3
    lines: list[Line] = []
    for name, weight in zip(names, weights, strict=True):
        known = math.isfinite(weight)
        halves = round(2 * BAR * min(1.0, abs(weight) / scale)) if known and scale > 0 else 0
        full, half = divmod(halves, 2)
        below = ("▐" * half + "█" * full) if weight < 0 else ""
        above = ("█" * full + "▌" * half) if weight > 0 else ""
        number = f"{weight:+.{decimals}f}" if known else MISSING
        lines.append(
            [
                (f"{fit(name, width)} ", 0),
                (below.rjust(BAR), -1),
                (AXIS, 0),
                (above.ljust(BAR), 1),
                (f" {number.rjust(numbers)}", 0),
            ]
        )
    return lines
