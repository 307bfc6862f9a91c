"""A grid of characters for a plot: lines of dots, filled areas, and text, each with an ink.

An ink is a name, such as `axis` or `line-2`; the widget that shows the canvas knows its colour.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tui.charts.glyphs import Glyphs

Dots = NDArray[np.int64]  # (n, 2): column and row, from the top left
Floats = NDArray[np.float64]

EIGHTHS = "▁▂▃▄▅▆▇"  # how much of a cell is filled, from the bottom
PAPER = "paper"  # the ink of the background
SHARED = 3  # cells in a row that one of several lines through them takes in turn


@dataclass(frozen=True)
class Run:
    """Neighbouring characters of one style."""

    text: str
    ink: str | None  # None: the ink of ordinary text
    fill: str | None  # of the background


@lru_cache(4096)
def _halves(codes: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Approximates a cell by two colours, one above the other.

    Args:
        codes: the areas in each eighth of the cell, from the top; a bit for each area.

    Returns:
        How many eighths the lower colour has, 0 to 7; the areas above and below; and those in the
        largest part of the cell. A thin line of an area, for which two colours are too few, is
        moved to the nearer edge of the cell.
    """
    most = Counter(codes).most_common(1)[0][0]
    best = (-1, 0, 0, 0)
    for share in range(8):
        above, below = codes[: 8 - share], codes[8 - share :]
        (upper, n_upper), *_ = Counter(above).most_common(1)
        (lower, n_lower), *_ = Counter(below).most_common(1) or [(upper, 0)]
        best = max(best, (n_upper + n_lower, share, upper, lower), key=lambda made: made[0])
    _, share, upper, lower = best
    if upper == lower and any(code != upper for code in codes):
        thin = [i for i, code in enumerate(codes) if code != upper]
        first, last = thin[0], thin[-1]
        if first + last >= 7:
            return last - first + 1, upper, codes[first], most
        return 7 - (last - first), codes[first], upper, most
    return share if upper != lower else 0, upper, lower, most


def _joined(names: Sequence[str], code: int) -> str | None:
    """Returns the name of the areas whose bits are set; None if there is none."""
    return "+".join(name for i, name in enumerate(names) if code >> i & 1) or None


class Canvas:
    """The grid. Later drawings cover earlier ones, except that lines keep an area's fill."""

    def __init__(self, width: int, height: int, glyphs: Glyphs) -> None:
        """Starts with an empty grid.

        Args:
            width: columns of the terminal.
            height: rows.
            glyphs: how dots are drawn.
        """
        self.width, self.height, self.glyphs = width, height, glyphs
        self._signs = [[" "] * width for _ in range(height)]
        self._inks: list[list[str | None]] = [[None] * width for _ in range(height)]
        self._fills: list[list[str | None]] = [[None] * width for _ in range(height)]
        self._areas: dict[tuple[int, int], str | None] = {}  # that cover most of a cell

    # ---- drawing

    def put(self, x: int, y: int, sign: str, ink: str | None) -> None:
        """Draws one character, if it is on the grid."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._signs[y][x], self._inks[y][x] = sign, ink

    def write(self, x: int, y: int, text: str, ink: str | None) -> None:
        """Draws characters of one column each; what is beyond the grid is cut."""
        for i, sign in enumerate(text):
            self.put(x + i, y, sign, ink)

    def areas(
        self,
        left: int,
        top: int,
        height: int,
        bands: Sequence[tuple[str, Floats, Floats]],
        *,
        filled: bool,
    ) -> None:
        """Fills areas, each between two edges.

        Args:
            left: the column of the first values.
            top: the row from whose upper end the edges are counted.
            height: the number of rows to which the areas are clipped.
            bands: the name of each area, and its upper and lower edge for each column, in rows;
                NaN where there is no area. Where areas overlap, their names are joined by `+`.
            filled: whether areas can be shown by the colour of the background.
        """
        if not bands:
            return
        eighths = (np.arange(8 * height) + 0.5)[:, None] / 8
        codes = np.zeros((len(eighths), len(bands[0][1])), np.int64)
        for i, (_, upper, lower) in enumerate(bands):  # a bit for each area
            codes |= ((upper <= eighths) & (eighths <= lower)).astype(np.int64) << i
        names = [name for name, _, _ in bands]
        cells = codes.reshape(height, 8, -1).transpose(0, 2, 1)
        for y, x in np.argwhere(cells.any(axis=2)).tolist():
            share, above, below, most = _halves(tuple(cells[y, x].tolist()))
            self._areas[left + x, top + y] = _joined(names, most) if filled else None
            if not filled:
                if most:
                    sign = self.glyphs.halftone[(x + y) % 2]
                    self.put(left + x, top + y, sign, _joined(names, most))
                continue
            self._fills[top + y][left + x] = _joined(names, above)
            if share:
                ink = _joined(names, below) or PAPER
                self.put(left + x, top + y, EIGHTHS[share - 1], ink)

    def halves(
        self, left: int, top: int, above: Sequence[Sequence[str]], below: Sequence[Sequence[str]]
    ) -> None:
        """Fills cells with two colours each; what is drawn over them keeps the lower one.

        Args:
            left: the column of the first cell.
            top: its row.
            above: by row and column, the ink of the upper half of each cell.
            below: that of the lower half.
        """
        for y, inks in enumerate(zip(above, below, strict=True), start=top):
            for x, (upper, lower) in enumerate(zip(*inks, strict=True), start=left):
                self.put(x, y, *(("▀", upper) if upper != lower else (" ", None)))
                self._fills[y][x] = lower

    def lines(
        self, left: int, top: int, width: int, height: int, lines: Sequence[tuple[str, Dots]]
    ) -> None:
        """Draws lines of dots; those that share cells take turns, so that all can be seen.

        Args:
            left: the column of the cell with the first dots.
            top: its row.
            width: columns within which dots are drawn.
            height: rows within which they are drawn.
            lines: the ink of each line and its dots.
        """
        columns, rows = self.glyphs.columns, self.glyphs.rows
        bits = np.array(self.glyphs.bits)
        patterns = np.zeros((len(lines), height, width), np.int64)
        for pattern, (_, dots) in zip(patterns, lines, strict=True):
            inside = (dots >= 0).all(axis=1) & (dots < (columns * width, rows * height)).all(axis=1)
            at, row = dots[inside].T
            place = row // rows, at // columns
            np.bitwise_or.at(pattern, place, bits[row % rows, at % columns])
        joined = np.bitwise_or.reduce(patterns) if len(lines) else patterns
        for y, x in np.argwhere(joined).tolist():
            through = np.flatnonzero(patterns[:, y, x]).tolist()
            owner = through[x // SHARED % len(through)]
            self.put(left + x, top + y, self.glyphs.signs[joined[y, x]], lines[owner][0])
            # Where the line crosses the edge of an area, the nearer whole cell is filled.
            if (left + x, top + y) in self._areas:
                self._fills[top + y][left + x] = self._areas[left + x, top + y]

    # ---- reading

    def rows(self) -> Iterator[list[Run]]:
        """Yields the rows, each as runs of one style."""
        for signs, inks, fills in zip(self._signs, self._inks, self._fills, strict=True):
            styles = groupby(zip(signs, inks, fills, strict=True), key=lambda cell: cell[1:])
            yield [Run("".join(sign for sign, *_ in run), *style) for style, run in styles]

    def text(self) -> list[str]:
        """Returns the rows as text, without spaces at their ends."""
        return ["".join(signs).rstrip() for signs in self._signs]
