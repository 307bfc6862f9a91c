"""The list of runs: the text of each line, its columns and their widths, and the sort order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.cells import cell_len

from jmlp.client.texts import (
    MISSING,
    configuration_texts,
    cost_text,
    minute_text,
    percent_text,
    short_ids,
    state_text,
    time_text,
)
from jmlp.store import Owner, RunRow
from jmlp.training.records import epoch_text
from tui.feed import StoreView
from tui.text import Align, abbreviated, fit, natural_key, visible

Tone = Literal["", "muted", "trouble", "accent"]


@dataclass(frozen=True)
class RunLine:
    """One run in the list."""

    number: int
    run_id: str
    short_id: str
    studies: tuple[str, ...]
    configuration: str
    seed: int
    state: str  # as it is stored
    state_text: str  # as it is shown
    epoch: float | None
    cost: float | None  # on the validation part, in nats
    accuracy: float | None  # on the test part, 0 to 1
    ended_at: int | None  # UTC, milliseconds
    tags: tuple[str, ...]
    words: str  # that the filter searches

    @property
    def title(self) -> str:
        """The run's title on its own screen."""
        return f"{self.configuration}, seed {self.seed}"

    @property
    def about(self) -> str:
        """Everything about the run, including what the columns leave out."""
        parts = [
            self.title,
            self.state_text,
            self.short_id,
            f"#{self.number}",
            *self.studies,
            *([f"ended {time_text(self.ended_at)} UTC"] if self.ended_at is not None else ()),
            *([f"tags: {', '.join(self.tags)}"] if self.tags else ()),
        ]
        return " · ".join(map(visible, parts))

    @property
    def tone(self) -> Tone:
        """The colour of its state."""
        if self.state in ("diverged", "failed") or "collapsed" in self.state_text:
            return "trouble"
        return "accent" if self.state == "running" else "muted"


@dataclass(frozen=True)
class RunsView:
    """All runs of the store, in order of submission."""

    lines: tuple[RunLine, ...] = ()
    widths: Mapping[str, int] = field(
        default_factory=lambda: natural_widths(())
    )  # that the columns would take if there were room


def runs_view(view: StoreView) -> RunsView:
    """Queries the runs and the widths of their columns."""
    lines = run_lines(view)
    return RunsView(lines, natural_widths(lines))


def run_lines(view: StoreView) -> tuple[RunLine, ...]:
    """Returns all runs of the store, in order of submission."""
    if view.store is None:
        return ()
    rows = view.store.runs()
    ids, texts = short_ids([row.run_id for row in rows]), configuration_texts(rows)
    return tuple(_line(row, ids[row.run_id], texts[row.run_id], view.owner) for row in rows)


def _line(row: RunRow, short_id: str, configuration: str, owner: Owner | None) -> RunLine:
    state = run_state(row, owner)
    found_in = (row.run_id, *row.studies, configuration, state, *row.tags)
    return RunLine(
        number=row.number,
        run_id=row.run_id,
        short_id=short_id,
        studies=row.studies,
        configuration=configuration,
        seed=row.seed,
        state=row.state,
        state_text=state,
        epoch=row.epoch,
        cost=None if row.result is None else row.result.validation_cost,
        accuracy=None if row.result is None else row.result.test_accuracy,
        ended_at=row.ended_at,
        tags=row.tags,
        words="\n".join(found_in).casefold(),
    )


def run_state(row: RunRow, owner: Owner | None) -> str:
    """Returns a run's state as it is shown, without its epoch.

    Args:
        row: the run.
        owner: the worker that holds the store; if it trains another study, or there is none, the
            worker of a running run has died.
    """
    held = owner is not None and (owner.study is None or owner.study in row.studies)
    if row.state == "running":
        return "running" if held else "its worker died"
    return state_text(row)


# ---- columns


@dataclass(frozen=True)
class Column:
    """A column of the list, and the sort order by it."""

    key: str
    title: str
    align: Align
    text: Callable[[RunLine], str]
    order: Callable[[RunLine], Any]  # sort key; None comes last either way
    enough: int = 0  # width to which it may be cut before others are dropped; 0: never cut
    least: int = 0  # width to which it may be cut once no other column can be dropped
    descending: bool = False  # whether it is first sorted with the highest on top
    short: str = ""  # title in a narrow list
    # Abbreviates texts that do not fit into a width.
    shorten: Callable[[str, int], str] = lambda text, width: text

    def cell(self, line: RunLine, width: int, natural: int) -> str:
        """Returns a run's cell, exactly `width` columns of the terminal wide.

        Args:
            line: the run.
            width: the column's width.
            natural: the width of the column's widest text, so that all are abbreviated or none.
        """
        text = self.text(line)
        return fit(self.shorten(text, width) if natural > width else text, width, self.align)

    def head(self, width: int) -> str:
        """Returns the column's title in a list of this width."""
        return self.short if width < NARROW and self.short else self.title


COLUMNS = (
    Column("number", "#", "right", lambda line: str(line.number), lambda line: line.number),
    Column("run", "run", "left", lambda line: line.short_id, lambda line: line.run_id),
    Column(
        "study",
        "study",
        "left",
        lambda line: ", ".join(line.studies) or MISSING,
        lambda line: natural_key(", ".join(line.studies)) if line.studies else None,
        enough=12,
    ),
    Column(
        "configuration",
        "configuration",
        "left",
        lambda line: line.configuration,
        lambda line: natural_key(line.configuration),
        enough=22,
        least=18,
        shorten=abbreviated,
    ),
    Column("seed", "seed", "right", lambda line: str(line.seed), lambda line: line.seed),
    Column(
        "state",
        "state",
        "left",
        lambda line: line.state_text,
        lambda line: natural_key(line.state_text),
        enough=13,
        least=9,
    ),
    Column(
        "epoch",
        "epoch",
        "right",
        lambda line: epoch_text(line.epoch),
        lambda line: line.epoch,
        descending=True,
    ),
    Column(
        "cost",
        "val. cost",
        "right",
        lambda line: cost_text(line.cost),
        lambda line: line.cost,
        short="cost",
    ),
    Column(
        "accuracy",
        "test %",
        "right",
        lambda line: percent_text(line.accuracy),
        lambda line: line.accuracy,
        descending=True,
    ),
    Column(
        "ended",
        "ended (UTC)",
        "left",
        lambda line: MISSING if line.ended_at is None else minute_text(line.ended_at),
        lambda line: line.ended_at,
        descending=True,
    ),
    Column(
        "tags",
        "tags",
        "left",
        lambda line: ", ".join(line.tags),
        lambda line: natural_key(", ".join(line.tags)) if line.tags else None,
        enough=8,
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}
CUT = ("state", "configuration")  # are cut if no column can be dropped any more
FILL = ("state", "configuration", "tags", "study")  # get the spare width, in this order
NARROW = 70  # width below which titles are short
DROP_ORDER = ("ended", "number", "epoch", "tags", "study", "run")
MAX_WIDTH = 60  # of a column
GAP = 2


def natural_widths(lines: Sequence[RunLine]) -> dict[str, int]:
    """Returns each column's natural width, without tags if there are none, or a single study."""
    widths = {}
    for column in COLUMNS:
        texts = {column.text(line) for line in lines}
        widest = max((cell_len(visible(text)) for text in texts), default=0)
        widths[column.key] = min(widest, MAX_WIDTH)
    if not widths["tags"]:
        del widths["tags"]
    if len({line.studies for line in lines}) == 1:
        del widths["study"]
    return widths


def fitted_widths(natural: Mapping[str, int], width: int) -> dict[str, int]:
    """Returns the columns that fit in a width, and the width of each.

    Columns are cut to `enough` before any is dropped.
    """
    wanted = {key: max(n, len(BY_KEY[key].head(width)) + 1) for key, n in natural.items()}
    fitted = {key: min(n, BY_KEY[key].enough or n) for key, n in wanted.items()}
    for key in DROP_ORDER:
        if _total(fitted) <= width:
            break
        fitted.pop(key, None)
    for key in CUT:
        spare = fitted[key] - BY_KEY[key].least
        fitted[key] -= max(0, min(spare, _total(fitted) - width))
    for key in FILL:
        if key in fitted:
            fitted[key] += max(0, min(wanted[key] - fitted[key], width - _total(fitted)))
    return fitted


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * max(0, len(widths) - 1)


# ---- order


@dataclass(frozen=True)
class Order:
    """A sort order: a column and a direction."""

    key: str = "number"
    descending: bool = False

    def by(self, key: str) -> "Order":
        """Returns the order by a column; by the same column again, in the other direction."""
        if key == self.key:
            return Order(key, not self.descending)
        return Order(key, BY_KEY[key].descending)

    @property
    def sign(self) -> str:
        """The arrow beside the column's title."""
        return "↓" if self.descending else "↑"


def ordered(lines: Iterable[RunLine], order: Order) -> list[RunLine]:
    """Sorts runs; equal ones stay in order of submission, and those without a value come last."""
    value = BY_KEY[order.key].order
    lines = sorted(lines, key=lambda line: line.number)
    known = [line for line in lines if value(line) is not None]
    known.sort(key=value, reverse=order.descending)
    return known + [line for line in lines if value(line) is None]
