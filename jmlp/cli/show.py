"""Result tables on the terminal."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from jmlp.cli.output import Output, as_written

if TYPE_CHECKING:
    from rich.console import Console

    from jmlp.tables import Column, DifferenceRow, ExperimentTable, Row

NARROW = 18  # of the first column where all columns do not fit side by side


def show_tables(tables: "Sequence[ExperimentTable]", out: Output) -> None:
    """Prints every table, its differences, claims and notes."""
    console = out.console()
    for table in tables:
        title = "" if table.title == table.name else f": {table.title}"
        _heading(console, f"{table.name}{title}")
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
    print("\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n"))


def _grid(
    console: "Console",
    columns: "Sequence[Column]",
    rows: "Sequence[Row] | Sequence[DifferenceRow]",
    out: Output,
) -> None:
    """One table where it fits; else as few as can be, groups of columns whole where they fit."""
    titles = [as_written(column.title) for column in columns]
    cells = [tuple(map(as_written, row.cells)) for row in rows]
    everything = list(range(len(columns)))

    def table(chosen: Sequence[int]) -> Any:
        shown = [[row[index] for index in chosen] for row in cells]
        aligns = [columns[index].align for index in chosen]
        return _table([titles[index] for index in chosen], aligns, shown, out)

    parts = [everything]
    if not _fits(console, table(everything)):
        titles = list(map(_fold_title, titles, zip(*cells, strict=True)))
    if not _fits(console, table(everything)):
        cells = [(textwrap.fill(row[0], NARROW), *row[1:]) for row in cells]
        parts = [[0]]
        for _, members in groupby(everything[1:], key=lambda index: columns[index].group):
            group = list(members)
            whole = _fits(console, table([0, *group]))
            for piece in [group] if whole else [[index] for index in group]:
                if parts[-1] == [0] or _fits(console, table(parts[-1] + piece)):
                    parts[-1] += piece
                else:
                    parts.append([0, *piece])
    for number, part in enumerate(parts):
        if number:
            print()
        print_table(console, table(part))


def _fold_title(title: str, cells: Sequence[str]) -> str:
    """On as many lines as it takes to be no wider than its cells, words left whole."""
    return textwrap.fill(title, max(map(len, [*cells, *title.split()])), break_on_hyphens=False)


def _fits(console: "Console", table: Any) -> bool:
    unlimited = console.options.update(max_width=10_000)  # measured by itself it would always fit
    return console.measure(table, options=unlimited).maximum <= console.width


def _table(
    titles: Sequence[str], aligns: Sequence[Any], cells: Sequence[Sequence[str]], out: Output
) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None if out.plain else box.SIMPLE_HEAD, pad_edge=False)
    for title, align in zip(titles, aligns, strict=True):
        table.add_column(Text(title), justify=align, no_wrap=True, vertical="bottom")
    for row in cells:
        table.add_row(*map(Text, row))
    return table
