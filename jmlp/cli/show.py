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


def print_table(console: "Console", table: Any) -> None:
    """Without the spaces that fill lines up to the width, and without blank lines around it."""
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().strip("\n").splitlines():
        print(line.rstrip())


def _grid(
    console: "Console",
    columns: "Sequence[Column]",
    rows: "Sequence[Row] | Sequence[DifferenceRow]",
    out: Output,
) -> None:
    """One table where it fits; else one for each group of columns, the first column in each."""
    everything = range(len(columns))
    table = _table(columns, rows, everything, out, fold_titles=False)
    if not _fits(console, table):
        table = _table(columns, rows, everything, out)
    if _fits(console, table):
        print_table(console, table)
        return
    parts: list[list[int]] = []
    for _, members in groupby(everything[1:], key=lambda index: columns[index].group):
        part = list(members)
        joined = [*(parts[-1] if parts else [0]), *part]
        if parts and _fits(console, _table(columns, rows, joined, out)):
            parts[-1] = joined
        else:
            parts.append([0, *part])
    for number, part in enumerate(parts):
        if number:
            print()
        print_table(console, _table(columns, rows, part, out))


def _fits(console: "Console", table: Any) -> bool:
    unlimited = console.options.update(max_width=10_000)  # measured by itself it would always fit
    return console.measure(table, options=unlimited).maximum <= console.width


def _table(
    columns: "Sequence[Column]",
    rows: "Sequence[Row] | Sequence[DifferenceRow]",
    chosen: Sequence[int],
    out: Output,
    fold_titles: bool = True,
) -> Any:
    """The chosen columns; where space is short, only the first one breaks its lines."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None if out.plain else box.SIMPLE_HEAD, pad_edge=False)
    for index in chosen:
        title, align = columns[index].title, columns[index].align
        if fold_titles:
            words = [*title.split(), *(row.cells[index] for row in rows)]
            title = textwrap.fill(title, max(map(len, words)), break_on_hyphens=False)
        table.add_column(Text(title), justify=align, no_wrap=index > 0, vertical="bottom")
    for row in rows:
        table.add_row(*(Text(row.cells[index]) for index in chosen))
    return table
