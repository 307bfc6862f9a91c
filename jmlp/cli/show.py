"""Prints tables to the terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from jmlp.cli.output import Output
from jmlp.system.streams import as_written

if TYPE_CHECKING:
    from rich.console import Console

    from jmlp.results.tables import ExperimentTable

NARROW = 18  # width of the first column if the columns do not all fit side by side


class AnyColumn(Protocol):
    """A column of any table; a table that is too wide is split between groups of columns."""

    @property
    def title(self) -> str:
        """The text in the header."""

    @property
    def align(self) -> Literal["left", "right"]:
        """The alignment of the cells."""

    @property
    def group(self) -> str:
        """The name of its group; columns of a group stay side by side, if they fit."""


@dataclass(frozen=True)
class Column:
    """A column of a table that only the command line shows."""

    title: str
    align: Literal["left", "right"] = "left"
    group: str = ""


def show_tables(tables: "Sequence[ExperimentTable]", out: Output) -> None:
    """Prints every table, its differences, claims and notes."""
    console = out.console()
    for table in tables:
        title = "" if table.title == table.name else f": {table.title}"
        heading(console, f"{table.name}{title}")
        _print_part(console, table, "rows", out)
        if table.differences:
            heading(console, "Differences to the baseline")
            _print_part(console, table, "differences", out)
        if table.claims:
            heading(console, "What the original says")
            _list(console, [claim.sentence for claim in table.claims])
        if table.notes:
            heading(console, "Notes")
            _list(console, table.notes)
        print()


def _print_part(
    console: "Console", table: "ExperimentTable", part: Literal["rows", "differences"], out: Output
) -> None:
    """Prints one part of a table, with one column of labels if the axes leave too little room."""
    from jmlp.results.tables import labelled, name_columns

    for shown in (table, labelled(table)):
        columns = shown.columns if part == "rows" else shown.difference_columns
        cells = [row.cells for row in (shown.rows if part == "rows" else shown.differences)]
        grid = layout(console, columns, cells, out, n_names=len(name_columns(columns)))
        if max(lines.width for lines in grid) <= console.width:
            break
    _print(console, grid)


def heading(console: "Console", text: str) -> None:
    """Prints a heading after an empty line."""
    console.print(f"\n{text}", style="bold")


def _list(console: "Console", sentences: "Sequence[str]") -> None:
    """Prints each sentence as a list item, wrapped to the terminal's width."""
    for sentence in sentences:
        print(textwrap.fill(f"- {sentence}", console.width, subsequent_indent="  "))


def print_table(console: "Console", table: Any) -> None:
    """Prints a rich table without trailing spaces and surrounding blank lines."""
    with console.capture() as capture:
        console.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n"))


def print_grid(
    console: "Console", columns: Sequence[AnyColumn], rows: Sequence[Sequence[str]], out: Output
) -> None:
    """Prints a table whose first column names its rows, in several parts if it is too wide."""
    _print(console, layout(console, columns, rows, out))


def layout(
    console: "Console",
    columns: Sequence[AnyColumn],
    rows: Sequence[Sequence[str]],
    out: Output,
    n_names: int = 1,
) -> "list[_Table]":
    """Lays out one table if it fits; else as few as possible, without splitting groups that fit.

    Args:
        console: the terminal.
        columns: the columns.
        rows: the cells of each row.
        out: how to print.
        n_names: number of first columns that name the row, which each table repeats.
    """
    titles = [as_written(column.title) for column in columns]
    cells = [tuple(map(as_written, row)) for row in rows]
    everything = list(range(len(columns)))
    names, others = everything[:n_names], everything[n_names:]

    def table(chosen: Sequence[int]) -> _Table:
        shown = [[row[index] for index in chosen] for row in cells]
        aligns = [columns[index].align for index in chosen]
        return _table([titles[index] for index in chosen], aligns, shown, out)

    def fits(chosen: Sequence[int]) -> bool:
        return table(chosen).width <= console.width

    made = [table(everything)]
    if made[0].width > console.width:
        titles = list(map(_fold_title, titles, zip(*cells, strict=True)))
        made = [table(everything)]
    if made[0].width > console.width:
        if n_names == 1:
            cells = [(textwrap.fill(row[0], NARROW), *row[1:]) for row in cells]
        parts = [list(names)]
        for _, members in groupby(others, key=lambda index: columns[index].group):
            group = list(members)
            whole = fits([*names, *group])
            for piece in [group] if whole else [[index] for index in group]:
                if parts[-1] == names or fits(parts[-1] + piece):
                    parts[-1] += piece
                else:
                    parts.append([*names, *piece])
        made = list(map(table, parts))
    return made


def _print(console: "Console", parts: "Sequence[_Table]") -> None:
    for number, part in enumerate(parts):
        if number:
            print()
        console.print("\n".join(part.head), style="bold", soft_wrap=True)
        print("\n".join(part.body))


def _fold_title(title: str, cells: Sequence[str]) -> str:
    """Wraps a title between words so that it is no wider than its cells, if possible."""
    return textwrap.fill(title, max(map(len, [*cells, *title.split()])), break_on_hyphens=False)


class _Table(NamedTuple):
    """A table as lines of text."""

    width: int
    head: list[str]
    body: list[str]


def _table(
    titles: Sequence[str], aligns: Sequence[str], cells: Sequence[Sequence[str]], out: Output
) -> _Table:
    """Lays out aligned columns with a rule below their titles; cells are aligned at the bottom.

    Does not use rich, which takes a second for a table of 1,000 rows.
    """
    from rich.cells import cell_len

    rows = [[cell.split("\n") for cell in row] for row in (titles, *cells)]
    widths = [
        max(cell_len(line) for cell in column for line in cell)
        for column in zip(*rows, strict=True)
    ]
    margin, gap = ("", "  ") if out.plain else (" ", "   ")

    def padded(line: str, width: int, align: str) -> str:
        space = " " * (width - cell_len(line))
        return space + line if align == "right" else line + space

    def lines(row: Sequence[list[str]]) -> Iterator[str]:
        height = max(map(len, row))
        raised = [[""] * (height - len(cell)) + cell for cell in row]
        for parts in zip(*raised, strict=True):
            texts = map(padded, parts, widths, aligns)
            yield (margin + gap.join(texts)).rstrip()

    width = len(margin) + sum(widths) + len(gap) * (len(widths) - 1)
    rule = [] if out.plain else [margin + as_written("─") * (width - len(margin))]
    head, *body = (list(lines(row)) for row in rows)
    return _Table(width, head, [*rule, *(line for row in body for line in row)])
