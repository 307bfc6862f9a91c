"""The plane of two inputs on a canvas: a class at each place, examples, lines of units, a point.

With colours a cell has two pixels, each in the colour of its class, the stronger the more probable
it is. Without, a cell has one of the two signs of its class: the second one where the network is
sure. Examples are letters, one per class: capital if they are classified as that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.inspection.boundary_records import UNKNOWN, line_across
from tui.charts import axes
from tui.charts.axes import Axis, Floats
from tui.charts.canvas import PAPER, Canvas
from tui.charts.figure import AXIS, BELOW, CURSOR, LABEL, Look
from tui.charts.lines import letter, line_dots
from tui.charts.picture import SHADES

MIN_WIDTH, MIN_HEIGHT = 24, 7  # of the canvas; below, there is no room within the axes
ABOVE = 1  # rows of the names of the columns
N_LEVELS = 8  # of a colour: few enough to cache a style for each pair
SURE = 0.5  # strength from which the second sign of a class is drawn
SIGNS = (",;", "-=", "+*", "~&", "^%", "_|", "/\\", "<>")  # of classes, again from the ninth on
N_LETTERS = 26
POINT = "◉"
AWAY = 2, 1  # columns and rows from a unit's line to its number, at most
GOLDEN = 0.618  # of the way along a line from one unit's number to the next one's

# Inks. Those of a class have its number and a level: `class-0-7`; shares have a level: `share-7`.
EXAMPLE, WRONG, UNIT = "example", "wrong", "unit"


@dataclass(frozen=True, eq=False)
class Surface:
    """What is known at each point of a grid. Y values by X values, both evenly spaced."""

    x: Floats  # (X,), increasing
    y: Floats  # (Y,), increasing
    classes: NDArray[np.integer[Any]]  # (Y, X): the class, or UNKNOWN; empty for shares
    strength: Floats  # (Y, X): 0 to 1, how sure the class is; or a share, 0 to 1

    @property
    def is_shares(self) -> bool:
        """Whether it has a share at each point, and no class."""
        return self.classes.size == 0


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of the data."""

    places: Floats  # (N, 2)
    labels: NDArray[np.integer[Any]]  # (N,): their classes
    wrong: NDArray[np.bool_]  # (N,): whether they are classified as another


@dataclass(frozen=True)
class UnitLine:
    """The line on which a unit's pre-activation a x + b y + c is 0."""

    unit: int
    line: tuple[float, float, float]


@dataclass(frozen=True)
class PlaneFigure:
    """A drawing of the plane, and where in it the axes are."""

    canvas: Canvas
    x: Axis
    y: Axis
    left: int  # column of the first cell within the axes
    top: int  # row of the first one

    @property
    def height(self) -> int:
        """The number of rows within the axes."""
        return self.y.cells

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Returns the column and row of the canvas at a place."""
        column, row = round(float(self.x.at(x))), round(float(self.y.at(y)))
        return self.left + column, self.top + self.height - 1 - row

    def place(self, column: int, row: int) -> tuple[float, float] | None:
        """Returns the values at the centre of a cell of the canvas; None outside the axes."""
        at, up = column - self.left, self.top + self.height - 1 - row
        if not (0 <= at < self.x.cells and 0 <= up < self.height):
            return None
        return self.x.value(at), self.y.value(up)


def strength(probability: NDArray[np.floating[Any]]) -> Floats:
    """Returns how sure the most probable class is, `(...)`, given probabilities `(..., C)`.

    It is 0 if all classes are equally probable, and 1 if one is certain.
    """
    least = 1 / probability.shape[-1]
    return np.asarray(np.clip((probability.max(axis=-1) - least) / (1 - least), 0, 1))


def draw(
    surface: Surface,
    names: Sequence[str],
    width: int,
    height: int,
    examples: Examples | None = None,
    lines: Sequence[UnitLine] = (),
    point: tuple[float, float] | None = None,
    look: Look = Look(),  # noqa: B008 - frozen
) -> PlaneFigure | None:
    """Draws the plane.

    Args:
        surface: what is known at each point of the grid.
        names: of the two columns.
        width: columns of the canvas.
        height: its rows.
        examples: to draw over it; misclassified ones are on top.
        lines: of units of the first layer, each with its number on the side where Z > 0.
        point: a place to mark.
        look: what the terminal can show.

    Returns:
        None if there is no room.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return None
    y = axes.fitted(*_ends(surface.y), height - ABOVE - BELOW, upright=True)
    left = max((len(label) for _, label in y.ticks), default=0) + 2
    x = axes.fitted(*_ends(surface.x), width - left)
    figure = PlaneFigure(Canvas(width, height, look.glyphs), x, y, left, ABOVE)
    _draw_axes(figure, names)
    _draw_surface(figure, surface, look)
    _draw_lines(figure, lines)
    if examples is not None:
        _draw_examples(figure, examples)
    if point is not None:
        figure.canvas.put(*figure.cell(*point), POINT, CURSOR)
    return figure


def mark(label: int, *, wrong: bool = False) -> str:
    """Returns the letter of an example of a class: small if it is classified as another."""
    sign = letter(label % N_LETTERS)
    return sign.lower() if wrong else sign


def signs_of(label: int) -> str:
    """Returns the two signs of a class, which are drawn where there are no colours."""
    return SIGNS[label % len(SIGNS)]


def _ends(values: Floats) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _draw_axes(figure: PlaneFigure, names: Sequence[str]) -> None:
    canvas, left, bottom = figure.canvas, figure.left, figure.top + figure.height
    canvas.write(left - 1, 0, f"↑ {names[1]}   → {names[0]}", LABEL)
    for row in range(figure.top, bottom):
        canvas.put(left - 1, row, "│", AXIS)
    canvas.write(left - 1, bottom, "└" + "─" * figure.x.cells, AXIS)
    for cell, label in figure.y.ticks:
        row = bottom - 1 - cell
        canvas.put(left - 1, row, "┤", AXIS)
        canvas.write(left - 2 - len(label), row, label, LABEL)
    for cell, label in figure.x.ticks:
        canvas.put(left + cell, bottom, "┬", AXIS)
        at = min(left + cell - (len(label) - 1) // 2, canvas.width - len(label))
        canvas.write(max(0, at), bottom + 1, label, LABEL)


def _draw_surface(figure: PlaneFigure, surface: Surface, look: Look) -> None:
    """Draws the point of the grid that is nearest to each pixel."""
    per_cell = 2 if look.fills else 1
    columns = _nearest(surface.x, figure.x.cells)
    rows = _nearest(surface.y, per_cell * figure.height)[::-1]
    level = surface.strength[np.ix_(rows, columns)].tolist()
    classes = None if surface.is_shares else surface.classes[np.ix_(rows, columns)].tolist()
    if not look.fills:
        for y, values in enumerate(level):
            for x, value in enumerate(values):
                sign = _sign(value, None if classes is None else classes[y][x])
                figure.canvas.put(figure.left + x, figure.top + y, sign, None)
        return
    inks = [
        [_ink(value, None if classes is None else classes[y][x]) for x, value in enumerate(values)]
        for y, values in enumerate(level)
    ]
    figure.canvas.halves(figure.left, figure.top, inks[0::2], inks[1::2])


def _nearest(values: Floats, cells: int) -> NDArray[np.int64]:
    """Returns the indices of the evenly spaced values that are nearest to the cells' centres."""
    at = (np.arange(cells) + 0.5) / cells * (len(values) - 1)
    return np.floor(at + 0.5).astype(np.int64)


def _ink(value: float, label: int | None) -> str:
    if not np.isfinite(value) or label == UNKNOWN:
        return PAPER
    level = round(value * N_LEVELS)
    return f"share-{level}" if label is None else f"class-{label}-{level}"


def _sign(value: float, label: int | None) -> str:
    if not np.isfinite(value) or label == UNKNOWN:
        return "?"
    if label is None:
        return SHADES[round(value * (len(SHADES) - 1))]
    return signs_of(label)[value >= SURE]


def _draw_lines(figure: PlaneFigure, lines: Sequence[UnitLine]) -> None:
    """Draws the lines, then the numbers of their units, where the pre-activation is positive."""
    glyphs, x, y = figure.canvas.glyphs, figure.x, figure.y
    seen = []
    for one in lines:
        ends = line_across(one.line, _dots(x, glyphs.columns), _dots(y, glyphs.rows))
        if ends is not None:
            at = x.at(np.array([end[0] for end in ends]))
            up = y.at(np.array([end[1] for end in ends]))
            seen.append((one, at, figure.height - 1 - up))
    dots = [
        (
            UNIT,
            line_dots(
                (columns + 0.5) * glyphs.columns - 0.5,
                (rows + 0.5) * glyphs.rows - 0.5,
            ),
        )
        for _, columns, rows in seen
    ]
    figure.canvas.lines(figure.left, figure.top, x.cells, figure.height, dots)
    for one, columns, rows in seen:
        along = 0.2 + 0.6 * (one.unit * GOLDEN % 1)
        column, row = (float(ends[0] + along * (ends[1] - ends[0])) for ends in (columns, rows))
        a, b, _ = one.line
        step = a * x.per_cell, -b * y.per_cell  # in which Z grows
        scale = max(abs(step[0]) / AWAY[0], abs(step[1]) / AWAY[1])
        text = f"{one.unit}+"
        start = round(column + step[0] / scale - (len(text) - 1) / 2)
        start = min(x.cells - len(text), max(0, start))
        down = min(figure.height - 1, max(0, round(row + step[1] / scale)))
        figure.canvas.write(figure.left + start, figure.top + down, text, UNIT)


def _dots(axis: Axis, per_cell: int) -> tuple[float, float]:
    """Returns the values at the first and the last dot."""
    edge = 0.5 - 0.5 / per_cell  # from the centre of a cell to its outer dot
    return axis.value(-edge), axis.value(axis.cells - 1 + edge)


def _draw_examples(figure: PlaneFigure, examples: Examples) -> None:
    for wrong in (False, True):
        of_kind = examples.wrong == wrong
        labels = examples.labels[of_kind].tolist()
        for (x, y), label in zip(examples.places[of_kind].tolist(), labels, strict=True):
            figure.canvas.put(
                *figure.cell(x, y), mark(label, wrong=wrong), WRONG if wrong else EXAMPLE
            )
