"""What a screen offers to copy: a row and its cells, a table in several forms, its curves."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from jmlp.client.texts import MISSING
from jmlp.results.drawing import Line, Panel
from tui.text import Align, visible
from tui.views.result_rows import Sort, join, order

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable
    from tui.widgets.curves import Curves

# The forms of a table by the suffixes of their files.
FORMS = {".md": "Markdown", ".csv": "CSV", ".tex": "LaTeX"}

Value = str | int | float | None


class Field(NamedTuple):
    """A cell."""

    text: str  # as it is shown
    value: Value  # with all known digits


class Heading(NamedTuple):
    """A column."""

    title: str
    align: Align = "left"


@dataclass(frozen=True)
class Excerpt:
    """A table that can be copied."""

    name: str  # such as "runs"
    row: Mapping[str, str]  # the cells at the cursor by their columns; empty: there is no row
    forms: Mapping[str, Callable[[], str]]  # the text of the table by suffix; may take a moment


def plain(text: str) -> Field:
    """A cell that is a text."""
    return Field(text, text)


def number(value: float | None, decimals: int, factor: float = 1.0) -> Field:
    """A cell that is a number, shown with fixed decimals.

    Args:
        value: the number.
        decimals: that are shown.
        factor: 100 for per cent.
    """
    if value is None:
        return Field(MISSING, None)
    if factor != 1.0:
        value = float(f"{factor * value:.15g}")  # not 92.10000000000001
    return Field(f"{value:.{decimals}f}", value)


def integer(value: int | None) -> Field:
    """A cell that is an integer."""
    return Field(MISSING if value is None else str(value), value)


def sheet(
    name: str, headings: Sequence[Heading], rows: Sequence[Sequence[Field]], at: int | None
) -> Excerpt:
    """A table as it is shown; its CSV has all known digits.

    Args:
        name: such as "runs".
        headings: of the columns.
        rows: the cells by row.
        at: the index of the row at the cursor, if there is one.
    """
    titles = [heading.title for heading in headings]
    right = [heading.align == "right" for heading in headings]

    def texts() -> list[list[str]]:
        return [[field.text for field in row] for row in rows]

    def markdown() -> str:
        from jmlp.report.markdown import markdown_table

        return markdown_table(titles, right, texts()) + "\n"

    def csv() -> str:
        from jmlp.report.files import csv_text

        return csv_text(titles, [[field.value for field in row] for row in rows])

    def latex() -> str:
        from jmlp.report.latex import latex_table

        return latex_table(titles, right, texts())

    cells = {} if at is None else dict(zip(titles, map(_cell, rows[at]), strict=True))
    return Excerpt(name, cells, {".md": markdown, ".csv": csv, ".tex": latex})


def _cell(field: Field) -> str:
    return "" if field.value is None else visible(str(field.value))


def result_table(table: "ExperimentTable", label: str, sort: Sort | None) -> Excerpt:
    """A result table, as it is in a report, with the rows in the order of the screen.

    Args:
        table: the table of an experiment.
        label: the configuration at the cursor; empty: none.
        sort: the order of the rows.
    """
    joined = join(table)
    places = order(joined, sort)
    pairs = [joined.pairs[place] for place in places]
    differences = tuple(pair.difference for pair in pairs if pair.difference is not None)
    tables = [replace(table, rows=tuple(pair.row for pair in pairs), differences=differences)]

    def markdown() -> str:
        from jmlp.report.markdown import markdown_tables

        return markdown_tables(tables)

    def csv() -> str:
        from jmlp.report.files import tables_csv

        return tables_csv(tables)

    def latex() -> str:
        from jmlp.report.latex import latex

        return latex(tables)

    at = next((i for i, pair in enumerate(joined.pairs) if pair.row.label == label), None)
    titles = [column.title for column in joined.columns]
    cells = [] if at is None else [texts[at] for texts in joined.cells]
    row = dict(zip(titles, cells, strict=True)) if cells else {}
    return Excerpt(f"results {table.name}", row, {".md": markdown, ".csv": csv, ".tex": latex})


# ---- curves


def curves_table(curves: "Sequence[Curves]") -> Excerpt:
    """The values of plots that have the same x axis, one row for each position.

    Args:
        curves: one or more plots.
    """
    unit = curves[0].unit
    headings, columns = [Heading(unit, "right")], []
    positions = sorted({x for one in curves for series in one.series for x in series.x.tolist()})
    for one in curves:
        for series in one.series:
            parts = [("", series.values), (", low", series.low), (", high", series.high)]
            for what, values in parts:
                if values is not None:
                    headings.append(Heading(f"{one.title}, {series.name}{what}", "right"))
                    known = dict(zip(series.x.tolist(), values.tolist(), strict=True))
                    columns.append((known, one.decimals))
    rows = [
        [_position(x), *(number(_finite(known.get(x)), decimals) for known, decimals in columns)]
        for x in positions
    ]
    at = curves[0].view.read_at
    return sheet("curves", headings, rows, positions.index(at) if at in positions else None)


def _position(x: float) -> Field:
    whole = int(x) if x.is_integer() else x
    return Field(str(whole), whole)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def panel_of(curves: "Curves") -> Panel:
    """A plot as it is shown, to be drawn: its series, the part of the x axis, the scale."""
    left, right = curves.view.shown
    lines = tuple(
        Line(
            series.name,
            series.style,
            tuple(series.x.tolist()),
            tuple(series.values.tolist()),
            None if series.low is None else tuple(series.low.tolist()),
            None if series.high is None else tuple(series.high.tolist()),
        )
        for series in curves.series
    )
    marks = tuple((mark.x, mark.text) for mark in curves.marks)
    x_title = "epoch" if curves.unit == "epoch" else "updates"
    return Panel(curves.title, x_title, lines, left, right, curves.log_scale, curves.bounds, marks)
