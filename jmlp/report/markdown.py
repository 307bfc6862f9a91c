"""The report as Markdown. Text from files and runs is escaped, so that it is shown literally."""

import re
from collections.abc import Iterable, Iterator, Sequence

from jmlp.report.document import Document, Grid, Plot, Section, grids
from jmlp.report.text import visible
from jmlp.results.tables import ExperimentTable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")
# Starts a list at the beginning of a line, and has no meaning elsewhere.
_LIST = re.compile(r"^(\d*)([-+.)])")


def markdown(document: Document, plots: str) -> str:
    """The text of `report.md`; `plots` is the folder of the plots beside it."""
    return "\n\n".join(_blocks(document, plots)) + "\n"


def _blocks(document: Document, plots: str) -> Iterator[str]:
    yield f"# {_inline(document.title)}"
    yield from map(_paragraph, document.study.notes)
    yield f"{_inline(document.summary)} Made at {document.created:%Y-%m-%d %H:%M} UTC by"
    yield _code(document.command)
    yield (
        "In this folder: [results.json](results.json) holds every run with its costs, "
        "[results.csv](results.csv) one row per run, [tables.json](tables.json) and "
        "[tables.csv](tables.csv) every number of the tables, [study.toml](study.toml) the study."
    )
    for section in document.sections:
        yield from _section(section, plots)
    yield "## How it was made"
    facts = [f"{fact.name}: {'; '.join(fact.lines)}" for fact in document.facts]
    yield _items(facts)


def _section(section: Section, plots: str) -> Iterator[str]:
    table = section.table
    yield f"## {_inline(table.title)}"
    for grid in section.grids:
        yield f"### {grid.title}"
        yield _table(grid)
    if table.claims:
        yield "### Claims of the original"
        yield _items([answer.sentence for answer in table.claims])
    if section.plots:
        yield "### Plots"
        for plot in section.plots:
            yield _image(plot, plots)
    if table.notes:
        yield "### Notes"
        yield _items(table.notes)


def _image(plot: Plot, plots: str) -> str:
    picture = f"![{_inline(plot.title)}]({plots}/{plot.name}.png)"
    return f"{picture}\n\n{_paragraph(plot.caption)} ([SVG]({plots}/{plot.name}.svg))"


def markdown_tables(tables: Sequence[ExperimentTable]) -> str:
    """All tables, each below a heading with its title."""
    blocks = (
        f"**{_inline(f'{table.title}: {grid.title}')}**\n\n{_table(grid)}\n"
        for table in tables
        for grid in grids(table)
    )
    return "\n".join(blocks)


def _table(grid: Grid) -> str:
    titles = [column.title for column in grid.columns]
    return markdown_table(titles, [column.align == "right" for column in grid.columns], grid.rows)


def markdown_table(
    titles: Sequence[str], right: Sequence[bool], cells: Iterable[Sequence[str]]
) -> str:
    """A table whose columns are aligned in the raw text as well.

    Args:
        titles: of the columns.
        right: whether each column is aligned right, as numbers are.
        cells: the rows.
    """
    rows = [[_inline(text) for text in row] for row in [titles, *cells]]
    # The rule below the header needs at least three characters.
    widths = [max(3, *map(len, cells)) for cells in zip(*rows, strict=True)]

    def line(cells: list[str]) -> str:
        each = zip(cells, widths, right, strict=True)
        padded = [cell.rjust(width) if r else cell.ljust(width) for cell, width, r in each]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return "\n".join(map(line, [rows[0], rule, *rows[1:]]))


def _items(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_paragraph(text)}" for text in texts)


def _code(text: str) -> str:
    text = visible(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _inline(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", visible(" ".join(text.split())))


def _paragraph(text: str) -> str:
    return _LIST.sub(r"\1\\\2", _inline(text))
