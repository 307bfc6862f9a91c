"""The strip of a drawing: a column for each snapshot, a row for each class, and what they answer.

A line is a sequence of parts, each a text and the kind of its ink.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jmlp.client.texts import MISSING
from jmlp.inspection.answers import Column
from jmlp.training.records import epoch_text
from tui.charts.matrix import shortened
from tui.charts.picture import SHADES
from tui.text import fit

Ink = Literal["", "answer", "chosen"]
Line = list[tuple[str, Ink]]

BEST = "best"
ANSWER, SEEDS = "answer", "seeds"  # the rows below the classes
FEWEST_ROWS = 3
NUMBER = 8  # columns of a probability at the right: ` 100.0 %`
WIDEST_NAME = 6  # of a class, as an answer
LEAST_BAR, MOST_BAR = 4, 32
MOST_CELL = 10


@dataclass(frozen=True)
class Strip:
    """A strip, or as many of its columns as fit."""

    lines: list[Line]
    first: int  # the index of the first column that is drawn
    n: int  # how many are drawn
    start: int  # where the first one begins, in columns of the terminal
    cell: int  # the width of each

    def at(self, x: int) -> int | None:
        """The index of the column of the strip in a column of the terminal."""
        index = (x - self.start) // self.cell
        return self.first + index if 0 <= index < self.n else None

    @property
    def texts(self) -> list[str]:
        """The lines without their inks."""
        return ["".join(text for text, _ in line).rstrip() for line in self.lines]


def title_of(column: Column) -> str:
    """The epoch of a column, with a star if it is the kept one; or `best`."""
    if column.epoch is None:
        return BEST
    return epoch_text(column.epoch) + ("*" if column.is_best else "")


def strip(
    columns: Sequence[Column],
    names: Sequence[str],
    width: int,
    *,
    chosen: int | None = None,
    first: int = 0,
    rows: int | None = None,
    numbers: bool = False,
) -> Strip:
    """Draws a strip.

    Args:
        columns: at least one.
        names: of the classes.
        width: columns of the terminal.
        chosen: the index of the column that is marked, and whose probabilities stand at the right;
            it is among those that are drawn.
        first: the index of the first column, if none is chosen.
        rows: at most so many classes are drawn, those of the highest probabilities.
        numbers: whether each cell has its probability in per cent, and a line below has the seeds;
            else a cell has the number of seeds, if there are several.
    """
    names = shortened(names)
    several = max(column.n_runs for column in columns) > 1
    below = [ANSWER, *([SEEDS] if numbers and several else [])]
    start = max(map(len, (*names, *below))) + 1
    cell = _cell_width(columns, names, several, numbers)
    right = 0 if chosen is None else NUMBER
    n = min(len(columns), max(1, (width - start - right) // cell))
    if chosen is not None:  # in the middle, as far as there are others on both sides
        first = max(0, min(len(columns) - n, chosen - n // 2))
    n = min(n, len(columns) - first)
    drawn = columns[first : first + n]
    if chosen is not None:  # wide terminals have wide cells
        cell += max(0, min(MOST_CELL - cell, (width - start - right - MOST_BAR) // n - cell))
    bar = min(MOST_BAR, width - start - right - n * cell)
    lines: list[Line] = []
    if chosen is not None:
        lines.append(
            [(_pointer(chosen - first, start, cell, first, len(columns) - first - n), "chosen")]
        )
    lines.append([(" " * start, ""), *((fit(title_of(c), cell, "right"), "") for c in drawn)])
    shown = _classes(columns, rows)
    for k in shown:
        line: Line = [(fit(names[k], start - 1, "right") + " ", "")]
        line += [
            (_cell(c, k, cell, several, numbers), "answer" if c.answer == k else "") for c in drawn
        ]
        if chosen is not None:
            line.append(_right(columns[chosen], k, bar))
        lines.append(line)
    if rest := [k for k in range(len(names)) if k not in shown]:
        lines.append([(_omitted(columns, rest), "")])
    answers = [MISSING if c.answer is None else names[c.answer] for c in drawn]
    lines.append(_below(ANSWER, answers, start, cell))
    if SEEDS in below:
        won = [MISSING if c.answer is None else f"{c.counts[c.answer]}/{c.n_runs}" for c in drawn]
        lines.append(_below(SEEDS, won, start, cell))
    return Strip(lines, first, n, start, cell)


def _cell_width(
    columns: Sequence[Column], names: Sequence[str], several: bool, numbers: bool
) -> int:
    most = len(str(max(column.n_runs for column in columns)))
    answers = {column.answer for column in columns}
    texts = [title_of(column) for column in columns]
    texts += [name[:WIDEST_NAME] for k, name in enumerate(names) if k in answers]
    widest = max(map(len, texts))
    inside = 2 * most + 1 if numbers and several else most + 1 if several else 2
    return max(widest, 5 if numbers else 0, inside) + 1


def _cell(column: Column, k: int, width: int, several: bool, numbers: bool) -> str:
    """A cell: a shade, and a number if there is one."""
    p = float(column.probabilities[k])
    if not math.isfinite(p):
        return fit(MISSING, width, "right")
    shade = SHADES[round(p * (len(SHADES) - 1))]
    if numbers:
        text = f"{100 * p:3.0f}"
    elif several:
        text = f"{column.counts[k] or '':>{len(str(column.n_runs))}}"
    else:
        text = ""
    return " " + shade * (width - 1 - len(text)) + text


def _right(column: Column, k: int, room: int) -> tuple[str, Ink]:
    p = float(column.probabilities[k])
    ink: Ink = "answer" if column.answer == k else ""
    if not math.isfinite(p):
        return f"{MISSING:>{NUMBER}}", ink
    halves = round(2 * (room - 1) * p) if room > LEAST_BAR else 0
    bar = "█" * (halves // 2) + "▌" * (halves % 2)
    return f"{100 * p:{NUMBER - 2}.1f} % {bar}", ink


def _pointer(index: int, start: int, cell: int, before: int, beyond: int) -> str:
    """A pointer above the chosen column, with arrows where there are more columns at the sides."""
    left = "‹" if before else " "
    text = left.rjust(start) + fit("▼", (index + 1) * cell, "right")
    return f"{text} ›" if beyond else text


def _below(title: str, texts: Sequence[str], start: int, cell: int) -> Line:
    return [
        (fit(title, start - 1, "right") + " ", ""),
        *((fit(t, cell, "right"), "") for t in texts),
    ]


def _classes(columns: Sequence[Column], rows: int | None) -> list[int]:
    """The classes that are drawn, in their order."""
    n = len(columns[0].probabilities)
    if rows is None or n <= rows:
        return list(range(n))
    rows = max(FEWEST_ROWS, rows - 1)  # one line says what is omitted
    ranked = sorted(range(n), key=lambda k: -_highest(columns, k))
    return sorted(ranked[:rows])


def _highest(columns: Sequence[Column], k: int) -> float:
    finite = [p for c in columns if math.isfinite(p := float(c.probabilities[k]))]
    return max(finite, default=0.0)


def _omitted(columns: Sequence[Column], classes: Sequence[int]) -> str:
    most = max(_highest(columns, k) for k in classes)
    return f"{len(classes)} more classes, none above {100 * most:.1f} %"
