"""The rows of a result table: configurations with their differences, and how to sort them."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tui.text import Align, natural_key, visible

if TYPE_CHECKING:
    from jmlp.results.tables import Column, DifferenceRow, ExperimentTable, Row
    from jmlp.study.config import Value

MARK = "mark"  # the title of the column with the marks of a grid's rows
CONFIGURATION = "configuration"  # the group of the columns that name one, and a column's title


class Pair(NamedTuple):
    """A configuration, and its difference to the baseline."""

    row: "Row"
    difference: "DifferenceRow | None"  # None for the baseline, and without a test set


class Joined(NamedTuple):
    """The table of configurations and the table of differences, joined."""

    columns: "list[Column]"
    pairs: list[Pair]
    cells: list[list[str]]  # by column; empty where there is no difference


def join(table: "ExperimentTable") -> Joined:
    """Joins the tables, with the original's accuracy beside ours and its other figures last."""
    by_label = {row.label: row for row in table.differences}
    pairs = [Pair(row, by_label.get(row.label)) for row in table.rows]
    rows = [(c, [p.row.cells[i] for p in pairs]) for i, c in enumerate(table.columns)]
    differences = [
        (c, [p.difference.cells[i] if p.difference else "" for p in pairs])
        for i, c in enumerate(table.difference_columns)
        if c.group != CONFIGURATION
    ]
    ours = [column for column in rows if column[0].group != "original"]
    original = [column for column in rows if column[0].group == "original"]
    after = next((i + 1 for i, (c, _) in enumerate(ours) if c.title == "test accuracy %"), 0)
    placed = [*ours[:after], *original[:1], *ours[after:], *differences, *original[1:]]
    cells = [list(map(visible, texts)) for _, texts in placed]
    return Joined([column for column, _ in placed], pairs, cells)


class Sort(NamedTuple):
    """The column that rows are sorted by."""

    title: str
    descending: bool


def next_sort(sort: Sort | None, title: str, align: Align) -> Sort | None:
    """Returns the next order: descending (for text, ascending), then reversed, then as planned.

    Args:
        sort: the current order.
        title: the title of the column that was clicked.
        align: the column's alignment: "right" for numbers.
    """
    first = Sort(title, descending=align == "right")
    if sort is None or sort.title != title:
        return first
    return Sort(title, not first.descending) if sort == first else None


def order(joined: Joined, sort: Sort | None) -> list[int]:
    """Returns the rows' indices in the order to show; rows without a value come last."""
    places = list(range(len(joined.pairs)))
    if sort is None:
        return places
    values = [sort_value(sort.title, pair) for pair in joined.pairs]
    known = [i for i in places if values[i] is not None]
    known.sort(key=values.__getitem__, reverse=sort.descending)
    return known + [i for i in places if values[i] is None]


# The attribute of a `Pair` behind each column.
VALUES: Mapping[str, str] = {
    "seeds": "row.n",
    "training accuracy %": "row.training_accuracy.mean",
    "validation accuracy %": "row.validation_accuracy.mean",
    "test accuracy %": "row.test_accuracy.mean",
    "best epoch": "row.best_epoch.median",
    "stopped epoch": "row.stopped_epoch.median",
    "diverged": "row.diverged",
    "collapsed": "row.collapsed",
    "difference, points": "difference.comparison.mean",
    "simultaneous 95 % interval": "difference.comparison.low",
    "p": "difference.comparison.p",
    "pairs": "difference.comparison.n",
    "left out": "difference.left_out",
    "original test %": "row.original.test_accuracy",
    "prediction interval %": "row.original.interval",
    "seeds below it": "row.original.seeds_below",
    "original stopped": "row.original.stopped",
}
VERDICTS = ("lower", "not settled", "within", "higher")  # all others mean that there is none
PLACES = ("below", "inside", "above")


def sort_value(title: str, pair: Pair) -> Any:
    """Returns a row's sort key in a column; None if the row has no value."""
    if title == CONFIGURATION:
        return natural_key(pair.row.label)
    if title == MARK:
        return pair.row.is_best, pair.row.is_baseline
    if hasattr(pair.row.hyperparams, name := title.replace(" ", "_")):
        return _natural(getattr(pair.row.hyperparams, name))
    if title == "original is":
        place = _follow(pair, "row.original.place")
        return None if place is None else PLACES.index(place)
    if title == "verdict":
        return _verdict(pair)
    return _follow(pair, VALUES[title])


def _natural(value: "Value") -> Any:
    """A sort key of a hyperparameter's value, among those of its axis."""
    if isinstance(value, int | float):
        return ((0, float(value), ""),)
    return natural_key(str(value))


def _verdict(pair: Pair) -> tuple[int, float] | None:
    comparison = _follow(pair, "difference.comparison")
    if comparison is None or comparison.verdict not in VERDICTS:
        return None
    seeds = comparison.seeds_to_settle
    return VERDICTS.index(comparison.verdict), math.inf if seeds is None else seeds


def _follow(value: Any, path: str) -> Any:
    """Follows a path of attributes; None if one on the way is None."""
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value
