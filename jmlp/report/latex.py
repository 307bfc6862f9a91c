"""The result tables as LaTeX, for the package booktabs."""

import re
from collections.abc import Iterable, Iterator, Sequence

from jmlp.report.document import FIGURE_SPACE, Grid, grids
from jmlp.report.text import visible
from jmlp.results.tables import ExperimentTable

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "–": "--",
    FIGURE_SPACE: r"\phantom{0}",
}
_CHARACTER = re.compile("|".join(map(re.escape, _SPECIAL)))
_SPACE = re.compile(rf"[^\S{FIGURE_SPACE}]+")
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")


def latex(tables: Sequence[ExperimentTable]) -> str:
    """All tables, each as a `tabular` with rules of booktabs, below a comment with its title."""
    return "\n".join(block for table in tables for block in _blocks(table))


def _blocks(table: ExperimentTable) -> Iterator[str]:
    for grid in grids(table):
        title = visible(" ".join(f"{table.title}: {grid.title}".split()))
        yield f"% {title}\n{_tabular(grid)}"


def _tabular(grid: Grid) -> str:
    titles = [column.title for column in grid.columns]
    return latex_table(titles, [column.align == "right" for column in grid.columns], grid.rows)


def latex_table(titles: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> str:
    """A `tabular` with rules of booktabs.

    Args:
        titles: of the columns.
        right: whether each column is aligned right, as numbers are.
        rows: the cells by row.
    """
    alignment = "".join("r" if at_right else "l" for at_right in right)
    lines = [
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _row(titles),
        r"\midrule",
        *map(_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(text: str) -> str:
    escaped = _CHARACTER.sub(lambda found: _SPECIAL[found[0]], visible(_SPACE.sub(" ", text)))
    return _MINUS.sub("$-$", escaped)
