"""Lays out a result table for a width: which columns, how wide, and the order of rows.

The cells are the strings of `jmlp.results.tables`. A table that is too wide is split into pages of
columns, each beside the configurations, so that numbers are never truncated. The axes of a grid
have a column each if they are narrow enough; otherwise there is one column of labels.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

from tui.text import Align, fit, visible
from tui.views.result_rows import CONFIGURATION, Joined, Sort, join, order

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable, Row

GAP = 2  # columns of the terminal between two columns of the table
NARROW = 18  # width of the configurations if not all columns fit
MAX_LINES = 3  # of a configuration's name

# Columns by importance; those in one group stay side by side if they fit.
PRIMARY = (("test accuracy %",), ("difference, points",), ("verdict",))
ACCURACIES = ("training accuracy %", "validation accuracy %")
COUNTS = ("diverged", "collapsed")
BLOCKS = (
    *PRIMARY,
    ("seeds",),
    ("original test %",),
    ("simultaneous 95 % interval", "p"),
    ("pairs", "left out"),
    ("prediction interval %", "original is", "seeds below it", "original stopped"),
    ACCURACIES,
    ("best epoch", "stopped epoch"),
    COUNTS,
)

# Typical cells: while runs are missing, columns are wide enough for these, so that they stay put.
PLACEHOLDERS = {
    "seeds": "3 of 5",
    "training accuracy %": "92.31 ± 0.84",
    "validation accuracy %": "92.31 ± 0.84",
    "test accuracy %": "92.31 ± 0.84",
    "best epoch": "45, 34–77",
    "stopped epoch": "45, 34–77",
    "prediction interval %": "89.93 to 94.69",
    "seeds below it": "3 of 5",
    "difference, points": "+0.62",
    "simultaneous 95 % interval": "-0.42 to +1.04",
    "p": "<0.0001",
}


@dataclass(frozen=True)
class ShownColumn:
    """A column of a page."""

    title: str  # as in the table
    header: str  # its lines are padded to the column's width
    align: Align
    width: int


@dataclass(frozen=True)
class Line:
    """A row of a page; the lines of its cells are padded to their columns' widths."""

    label: str
    cells: tuple[str, ...]
    height: int
    is_best: bool


@dataclass(frozen=True)
class Page:
    """The part of a table that is shown at once."""

    number: int  # from 0
    firsts: tuple[str, ...]  # title of the most important column of each page
    aligns: Mapping[str, Align]  # of the columns of all pages, by title
    columns: tuple[ShownColumn, ...]
    lines: tuple[Line, ...]
    header_height: int


# ---- pages


def page(table: "ExperimentTable", width: int, sort: Sort | None = None, at: str = "") -> Page:
    """Lays out one page of a table.

    Args:
        table: the whole table.
        width: the widget's width in columns of the terminal.
        sort: the order of the rows; None, or a column that the table does not have: the plan's.
        at: the title of a column on the page; default: the first page.
    """
    table = form(table, width)
    joined = join(table)
    aligns = {column.title: column.align for column in joined.columns}
    if sort is not None and sort.title not in aligns:
        sort = None
    names = [column.title for column in joined.columns if column.group == CONFIGURATION]
    made = _texts(joined)
    widths = _widths(table, made)
    blocks = _blocks(table, [title for title in made if title not in names])
    if names == [CONFIGURATION]:
        widths[CONFIGURATION] = _first_width(made[CONFIGURATION], widths, blocks, width)
    pages = _pack(blocks, widths, width - sum(widths[name] + GAP for name in names))
    number = next((i for i, titles in enumerate(pages) if at in titles), 0)
    titles = {*names, *(pages[number] if pages else ())}
    shown = [column for column in joined.columns if column.title in titles]
    headers = [fold(marked(c.title, sort), widths[c.title]) for c in shown]
    height = max(map(len, headers))
    columns = []
    for column, header in zip(shown, headers, strict=True):
        low = [""] * (height - len(header)) + header
        header_text = _padded(low, column.align, widths[column.title])
        columns.append(ShownColumn(column.title, header_text, column.align, widths[column.title]))
    lines = [_line(joined.pairs[i].row, i, columns, made) for i in order(joined, sort)]
    firsts = tuple(titles[0] for titles in pages)
    return Page(number, firsts, aligns, tuple(columns), tuple(lines), height)


def form(table: "ExperimentTable", width: int) -> "ExperimentTable":
    """The table as shown at a width: with a column per axis of a grid, or one of labels.

    Labels, which may be folded, are shown if only then the first page has the main columns, or if
    some column does not fit beside those of the axes.
    """
    from jmlp.results.tables import labelled

    joined = join(table)
    names = [column.title for column in joined.columns if column.group == CONFIGURATION]
    if len(names) == 1:
        return table
    widths = {title: width + GAP for title, width in _widths(table, _texts(joined)).items()}
    others = [title for title in widths if title not in names]
    room = width - sum(map(widths.__getitem__, names))
    main = sum(map(widths.__getitem__, _main_columns(_blocks(table, others), others)))
    beside_labels = width - min(NARROW, width // 3) - GAP
    fits = max(map(widths.__getitem__, others)) <= room
    return table if fits and not room < main <= beside_labels else labelled(table)


def _main_columns(blocks: Sequence[Sequence[str]], titles: Sequence[str]) -> list[str]:
    """The columns that the first page should have."""
    primary = [title for block in PRIMARY for title in block if title in titles]
    return primary or [title for block in blocks[:2] for title in block]


def _texts(joined: Joined) -> dict[str, list[str]]:
    """The cells by column, with numbers aligned except in the names of configurations."""
    texts = {}
    for column, cells in zip(joined.columns, joined.cells, strict=True):
        measured = column.align == "right" and column.group != CONFIGURATION
        texts[column.title] = aligned(cells) if measured else cells
    return texts


def _widths(table: "ExperimentTable", texts: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The widths of columns; until all runs have ended, at least those of typical cells."""
    placeholders = {} if table.n_ended == table.n_runs else PLACEHOLDERS
    return {
        title: _width(title, cells, placeholders.get(title, "")) for title, cells in texts.items()
    }


def _width(title: str, cells: Sequence[str], placeholder: str) -> int:
    """Returns the width of the widest cell, the placeholder, or the title's longest word."""
    words = max(map(cell_len, title.split()))
    return max([words, cell_len(placeholder), *map(cell_len, cells)])


def _blocks(table: "ExperimentTable", titles: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the table's groups of columns, the most important ones first."""
    blocks = list(BLOCKS)
    if any(row.diverged or row.collapsed for row in table.rows):
        blocks.remove(COUNTS)
        blocks.insert(len(PRIMARY) + 1, COUNTS)  # show early that runs have failed
    if "test accuracy %" not in titles:
        blocks.remove(ACCURACIES)
        blocks.insert(0, ACCURACIES)
    there = [tuple(title for title in block if title in titles) for block in blocks]
    named = {title for block in there for title in block}
    others = [(title,) for title in titles if title not in named]
    return [block for block in there if block] + others


def _first_width(
    cells: Sequence[str], widths: Mapping[str, int], blocks: Sequence[Sequence[str]], width: int
) -> int:
    """Returns the configurations' width, reduced so that the first page fits the main columns."""
    needed = sum(widths[title] + GAP for title in _main_columns(blocks, list(widths)))
    natural = max([len(CONFIGURATION), *map(cell_len, cells)])
    return min(natural, max(min(NARROW, width // 3), min(width * 2 // 5, width - needed - GAP)))


def _pack(blocks: Sequence[Sequence[str]], widths: Mapping[str, int], room: int) -> list[list[str]]:
    """Puts each group on the first page with room for it; splits groups that fit on none."""

    def needed(titles: Sequence[str]) -> int:
        return sum(widths[title] + GAP for title in titles)

    pages: list[list[str]] = []
    for block in blocks:
        for piece in [block] if needed(block) <= room else [(title,) for title in block]:
            roomy = (titles for titles in pages if needed([*titles, *piece]) <= room)
            if titles := next(roomy, None):
                titles.extend(piece)
            else:
                pages.append(list(piece))
    return pages


def marked(title: str, sort: Sort | None) -> str:
    """Adds an arrow to a column's title if the rows are sorted by it."""
    if sort is None or sort.title != title:
        return title
    return f"{title} {'↓' if sort.descending else '↑'}"


def _line(
    row: "Row", index: int, columns: Sequence[ShownColumn], cells: Mapping[str, list[str]]
) -> Line:
    lines = [fold(cells[column.title][index], column.width) for column in columns]
    if columns[0].title == CONFIGURATION:
        lines[0] = _name(visible(row.label), cells[CONFIGURATION][index], columns[0].width)
    made = tuple(
        _padded(part, column.align, column.width)
        for part, column in zip(lines, columns, strict=True)
    )
    return Line(row.label, made, max(1, *map(len, lines)), row.is_best)


def _name(label: str, cell: str, width: int) -> list[str]:
    """Folds a configuration with its marks; if it is too long, cuts the label, not the marks."""
    lines = fold(cell, width)
    if len(lines) <= MAX_LINES:
        return lines
    marks = cell.removeprefix(label).strip()
    ends = fold(marks, width)[: MAX_LINES - 1] if marks else []
    kept = MAX_LINES - len(ends)
    lines = fold(label, width)
    return [*lines[: kept - 1], fit(" ".join(lines[kept - 1 :]), width), *ends]


def _padded(lines: Sequence[str], align: Align, width: int) -> str:
    return "\n".join(fit(line, width, align) for line in lines)


# ---- texts


def fold(text: str, width: int) -> list[str]:
    """Wraps a text at `width` columns of the terminal; breaks only words that are too long."""
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for word in text.split():
        whole = f"{lines[-1]} {word}" if lines else word
        if cell_len(whole) <= width:
            lines[-1:] = [whole]
        else:
            lines += chop_cells(word, width)
    return lines


def aligned(cells: Sequence[str]) -> list[str]:
    """Aligns the parts of cells such as `92.31 ± 0.84` or `45, 34–77`, all padded to one width."""
    parts = list(map(_parts, cells))
    heads = [head for head, _, _ in parts]
    if any(tail and not sign for _, sign, tail in parts):  # text follows the first number
        wide = max(map(len, heads))
        heads = [head.rjust(wide) for head in heads]
    else:
        heads = _at_point(heads)
    second = max((len(tail) for _, sign, tail in parts if sign), default=0)
    tails = [sign + tail.rjust(second) if sign else tail for _, sign, tail in parts]
    room = max(map(len, tails), default=0)
    return [head + tail.ljust(room) for head, tail in zip(heads, tails, strict=True)]


_WORDS = re.compile(r", | \(")  # where the text after a number begins


def _parts(cell: str) -> tuple[str, str, str]:
    """Splits a cell into its first number, the sign before a second number, and the rest."""
    for sign in (" ± ", " to "):
        head, found, tail = cell.partition(sign)
        if found:
            return head, sign, tail
    words = _WORDS.search(cell)
    end = words.start() if words else len(cell)
    return cell[:end], "", cell[end:]


def _at_point(numbers: Sequence[str]) -> list[str]:
    """Aligns numbers at their decimal points; dashes and empty cells are right-aligned."""
    split = [number.partition(".") for number in numbers]
    left = max((len(whole) for whole, _, _ in split), default=0)
    right = max((len(point + rest) for _, point, rest in split), default=0)
    return [
        whole.rjust(left) + (point + rest).ljust(right)
        if any(c.isdigit() for c in whole)
        else (whole + point + rest).rjust(left + right)
        for whole, point, rest in split
    ]


def sentences(table: "ExperimentTable", width: int) -> Iterator[tuple[str, bool]]:
    """Yields the lines of claims and notes, each with whether it is a heading."""
    claims = [claim.sentence for claim in table.claims]
    if claims:
        yield "What the original says", True
        yield from _listed(claims, width)
    if claims and table.notes:
        yield "", False
    if table.notes:
        yield "Notes", True
        yield from _listed(table.notes, width)


def _listed(texts: Sequence[str], width: int) -> Iterator[tuple[str, bool]]:
    for text in texts:
        for number, line in enumerate(fold(visible(text), max(8, width - 2))):
            yield ("  " if number else "- ") + line, False
