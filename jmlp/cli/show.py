"""Result tables on the terminal."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from jmlp.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from jmlp.tables import Column, DifferenceRow, ExperimentTable, Row


def show_tables(tables: "Sequence[ExperimentTable]", out: Output) -> None:
    """Prints every table, its differences, claims and notes."""
    console = out.console()
    for table in tables:
        _heading(console, f"{table.name}: {table.title}" if table.title else table.name)
        _grid(console, table.columns, table.rows, out)
        if table.differences:
            _heading(console, "Differences to the baseline")
            _grid(console, table.difference_columns, table.differences, out)
        if table.claims:
            _heading(console, "What the original says")
            _list(console, [claim.sentence for claim in table.claims])
        if table.notes:
            _heading(console, "Notes")
            _list(console, table.notes)
        print()


def _heading(console: "Console", text: str) -> None:
    console.print(f"\n{text}", style="bold")


def _list(console: "Console", sentences: "Sequence[str]") -> None:
    """Each sentence from a dash on, folded where a terminal ends."""
    for sentence in sentences:
        print(textwrap.fill(f"- {sentence}", console.width, subsequent_indent="  "))


def print_without_fill(console: "Console", renderable: Any) -> None:
    """Without the spaces that fill lines up to the width."""
    with console.capture() as capture:
        console.print(renderable)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _grid(
    console: "Console",
    columns: "Sequence[Column]",
    rows: "Sequence[Row] | Sequence[DifferenceRow]",
    out: Output,
) -> None:
    """One table where it fits; else one for each group of columns, the first column in each."""
    whole = _table(columns, [row.cells for row in rows], out)
    if console.measure(whole).maximum <= console.width:
        print_without_fill(console, whole)
        return
    first, *others = range(len(columns))
    parts: list[list[int]] = []
    for _, members in groupby(others, key=lambda index: columns[index].group):
        part = list(members)
        joined = [first, *(parts[-1] if parts else []), *part]
        if parts and _fits(console, columns, rows, joined, out):
            parts[-1] += part
        else:
            parts.append(part)
    for part in parts:
        chosen = [first, *part]
        cells = [[row.cells[index] for index in chosen] for row in rows]
        print_without_fill(console, _table([columns[index] for index in chosen], cells, out))


def _fits(
    console: "Console", columns: "Sequence[Column]", rows: Any, chosen: Sequence[int], out: Output
) -> bool:
    cells = [[row.cells[index] for index in chosen] for row in rows]
    table = _table([columns[index] for index in chosen], cells, out)
    return console.measure(table).maximum <= console.width


def _table(columns: "Sequence[Column]", rows: Sequence[Sequence[str]], out: Output) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None if out.plain else box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column.title), justify=column.align, no_wrap=out.plain)
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells))
    return table
