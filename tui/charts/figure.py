"""A line plot on a canvas: axes, bands, curves with their marks and names, a cursor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tui.charts import axes
from tui.charts.axes import Axis, Floats, scaled
from tui.charts.canvas import Canvas
from tui.charts.glyphs import ASCII, BRAILLE, Glyphs
from tui.charts.lines import Series, line_dots, spread, value_range
from tui.text import fit

MIN_WIDTH, MIN_HEIGHT = 24, 5  # of a figure; below, there is no room within the axes
MAX_NAME = 24
MIN_LABEL = 4  # of the values, so that plots above each other have their epochs below each other
BELOW = 2  # rows of the horizontal axis and its labels
MARK_GAP = 24  # columns between two marks on a curve, at least

# Inks. Those of curves have the number of their style: `line-0`, `faint-0`, `band-0`.
AXIS, GRID, LABEL, MARK, CURSOR = "axis", "grid", "label", "mark", "cursor"


@dataclass(frozen=True)
class Mark:
    """A labelled position on the x axis."""

    x: float
    text: str


@dataclass(frozen=True)
class Look:
    """What the terminal can show."""

    glyphs: Glyphs = BRAILLE
    colours: bool = True

    @property
    def fills(self) -> bool:
        """Whether there are backgrounds to fill areas with, and blocks for their edges."""
        return self.colours and self.glyphs is not ASCII


@dataclass(frozen=True)
class Shown:
    """What a figure shows apart from its curves."""

    left: float  # first and last position on the x axis
    right: float
    log: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)  # the lowest and highest possible value
    marks: Sequence[Mark] = ()
    cursor: float | None = None
    focus: int | None = None  # index of the curve to emphasise; the others are faint


@dataclass(frozen=True)
class Figure:
    """A plot, and where in it the curves are."""

    canvas: Canvas
    x: Axis
    y: Axis
    left: int  # column of the first cell within the axes
    cut: bool  # whether a band reaches below 0 and was cut there, on a logarithmic axis

    @property
    def width(self) -> int:
        """The number of columns within the axes."""
        return self.x.cells

    @property
    def height(self) -> int:
        """The number of rows within the axes; the first one is row 0 of the canvas."""
        return self.y.cells

    def column(self, x: float) -> int:
        """Returns the column of the canvas at a position on the x axis."""
        return self.left + math.floor(float(self.x.at(x)) + 0.5)

    def position(self, column: int, row: int) -> float | None:
        """Returns the position on the x axis of a cell of the canvas; None outside the axes."""
        inside = 0 <= column - self.left < self.width and 0 <= row < self.height
        return self.x.value(column - self.left) if inside else None


def draw(
    series: Sequence[Series], width: int, height: int, shown: Shown, look: Look = Look()
) -> Figure | None:
    """Draws a plot.

    Args:
        series: the curves.
        width: columns of the canvas.
        height: its rows.
        shown: the window and what else to draw.
        look: what the terminal can show.

    Returns:
        None if there is no room.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return None
    low, high = value_range(series, shown.left, shown.right, shown.log, shown.bounds)
    y = axes.values(low, high, height - BELOW, log=shown.log)
    names = _names(series, width, height - BELOW)
    narrow = width < 2 * MIN_WIDTH
    longest = max((len(label) for _, label in y.ticks), default=0)
    left = (longest if narrow else max(MIN_LABEL, longest)) + 2
    x = axes.positions(shown.left, shown.right, max(2, width - left - names))
    figure = Figure(Canvas(width, height, look.glyphs), x, y, left, _is_cut(series, shown))
    _draw_axes(figure, look)
    _draw_bands(figure, series, shown, look)
    for mark in shown.marks:
        _upright(figure, mark.x, "┊", MARK)
    if shown.cursor is not None:
        _upright(figure, shown.cursor, "│", CURSOR)
    _draw_lines(figure, series, shown)
    if names:
        _draw_names(figure, series, shown, names)
    return figure


def ink(series: Sequence[Series], index: int, shown: Shown) -> str:
    """Returns the ink of a curve."""
    faint = shown.focus is not None and index != shown.focus
    return f"{'faint' if faint else 'line'}-{series[index].style}"


def _names(series: Sequence[Series], width: int, height: int) -> int:
    """Returns the columns for the names at the right; 0 if there is no room for them."""
    series = [one for one in series if np.isfinite(one.values).any()]
    if not series or len(series) > height:
        return 0
    longest = max(len(label_of(one)) for one in series)
    return min(longest, MAX_NAME, width // 3) + 1 if width >= 2 * MIN_WIDTH else 0


def label_of(series: Series) -> str:
    """Returns a curve's name, after its mark unless the name begins with that."""
    begins = series.name.startswith(series.mark)
    return series.name if begins else f"{series.mark} {series.name}"


def _is_cut(series: Sequence[Series], shown: Shown) -> bool:
    lows = [one.low for one in series if one.low is not None and shown.log]
    return any(bool((low <= 0).any()) for low in lows)


def _draw_axes(figure: Figure, look: Look) -> None:
    canvas, (left, width, height) = figure.canvas, (figure.left, figure.width, figure.height)
    for row in range(height):
        canvas.put(left - 1, row, "│", AXIS)
    canvas.write(left - 1, height, "└" + "─" * width, AXIS)
    for cell, label in figure.y.ticks:
        row = height - 1 - cell
        canvas.put(left - 1, row, "┤", AXIS)
        canvas.write(left - 2 - len(label), row, label, LABEL)
        if look.fills:
            canvas.write(left, row, "┈" * width, GRID)
    for cell, label in figure.x.ticks:
        canvas.put(left + cell, height, "┬", AXIS)
        before = (len(label) - 1) // 2
        at = min(left + cell - before, canvas.width - len(label))
        canvas.write(max(0, at), height + 1, label, LABEL)


def _draw_bands(figure: Figure, series: Sequence[Series], shown: Shown, look: Look) -> None:
    """Fills the bands: of the emphasised curve alone, if there is one."""
    columns = figure.x.start + np.arange(figure.width, dtype=np.float64) * figure.x.per_cell
    bands = []
    for index, one in enumerate(series):
        if one.low is None or one.high is None or shown.focus not in (None, index):
            continue
        low, high = (np.clip(bound, *shown.bounds) for bound in (one.low, one.high))
        if shown.log:
            low = np.where(low <= 0, one.values, low)  # there is no place for the rest
        upper, lower = (_rows(figure, one.x, bound, columns) for bound in (high, low))
        bands.append((f"band-{one.style}", upper, lower))
    figure.canvas.areas(figure.left, 0, figure.height, bands, filled=look.fills)


def _rows(figure: Figure, x: Floats, values: Floats, columns: Floats) -> Floats:
    """Interpolates values at the columns; in rows from the upper end of the first one."""
    known = scaled(values, figure.y.log)
    if not len(x):
        return np.full(len(columns), np.nan)
    at = np.interp(columns, x, known, left=np.nan, right=np.nan)
    return figure.height - 0.5 - (at - figure.y.start) / figure.y.per_cell


def _upright(figure: Figure, x: float, sign: str, name: str) -> None:
    if figure.position(figure.column(x), 0) is not None:
        for row in range(figure.height):
            figure.canvas.put(figure.column(x), row, sign, name)


def _draw_lines(figure: Figure, series: Sequence[Series], shown: Shown) -> None:
    """Draws the curves with their marks, the emphasised one on top, and points at the cursor."""
    glyphs = figure.canvas.glyphs
    lines = []
    for one in series:
        seen = _visible(one.x, shown)
        x, y = figure.x.at(one.x[seen]), figure.y.at(one.values[seen])
        rows = (figure.height - 0.5 - y) * glyphs.rows - 0.5
        lines.append(line_dots((x + 0.5) * glyphs.columns - 0.5, rows))
    indices = [i for i in range(len(series)) if i != shown.focus]
    for group in (indices, [] if shown.focus is None else [shown.focus]):
        inked = [(ink(series, i, shown), lines[i]) for i in group]
        figure.canvas.lines(figure.left, 0, figure.width, figure.height, inked)
        for i in group:
            if len(series) > 1:
                _draw_marks(figure, series, i, shown)
    if shown.cursor is not None:
        for i, one in enumerate(series):
            found = one.at(shown.cursor)
            if found is not None:
                _draw_point(figure, shown.cursor, found[0], ink(series, i, shown))


def _draw_point(figure: Figure, x: float, value: float, name: str) -> None:
    row = figure.height - 1 - float(figure.y.at(value))
    column = figure.column(x)
    if math.isfinite(row) and figure.position(column, math.floor(row + 0.5)) is not None:
        figure.canvas.put(column, math.floor(row + 0.5), "●", name)


def _visible(x: Floats, shown: Shown) -> slice:
    """Returns the points in the window, and one more at either side."""
    first = int(np.searchsorted(x, shown.left)) - 1
    last = int(np.searchsorted(x, shown.right, side="right")) + 1
    return slice(max(0, first), last)


def _draw_marks(figure: Figure, series: Sequence[Series], index: int, shown: Shown) -> None:
    """Writes a curve's mark on it at regular intervals, where those of the others are not."""
    one, n = series[index], len(series)
    if not one.mark or not one.x.size:
        return
    gap = max(MARK_GAP, 4 * n)
    columns = np.arange(round((index + 0.5) * gap / n), figure.width, gap)
    positions = figure.x.start + columns.astype(np.float64) * figure.x.per_cell
    rows = np.floor(_rows(figure, one.x, one.values, positions))
    for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
        if math.isfinite(row) and 0 <= row < figure.height:
            figure.canvas.put(figure.left + column, int(row), one.mark, ink(series, index, shown))


def _draw_names(figure: Figure, series: Sequence[Series], shown: Shown, room: int) -> None:
    """Writes each name at the height of its curve's end."""
    ends = {}
    for index, one in enumerate(series):
        seen = np.flatnonzero(np.isfinite(figure.y.at(one.values)) & (one.x <= shown.right))
        if seen.size:
            row = figure.height - 1.0 - float(figure.y.at(one.values[seen[-1]]))
            ends[index] = min(figure.height - 1.0, max(0.0, row))
    rows = spread(list(ends.values()), figure.height)
    for index, row in zip(ends, rows, strict=True):
        name = fit(label_of(series[index]), room - 1).rstrip()
        at = figure.left + figure.width + 1
        figure.canvas.write(at, row, name, ink(series, index, shown))
