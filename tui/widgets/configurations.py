"""The configurations of a study: one line each, with the sparkline of its validation cost."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from jmlp.client.texts import MISSING
from tui.charts.sparkline import Scale, sparkline
from tui.text import duration, fit, shortened
from tui.views.study import ConfigurationLine, ExperimentLines

GAP = "  "
BASELINE = "·"  # before the baseline's name
LEAST_LABEL, LEAST_SPARK, MOST_SPARK = 14, 10, 100


@dataclass(frozen=True)
class Columns:
    """Which columns there are, and how wide the two are that take what is left."""

    label: int
    spark: int
    state: int
    training: bool = False
    spread: bool = False  # the range over seeds
    accuracy: bool = True
    epoch: bool = True
    left: bool = False

    @classmethod
    def for_width(cls, width: int, longest: int, shortest: int) -> "Columns":
        """What fits into so many columns of the terminal.

        Args:
            width: of the list.
            longest: of the configurations' names.
            shortest: the longest one when all are shortened.
        """
        made = cls(
            label=0,
            spark=0,
            state=26 if width >= 130 else 20 if width >= 90 else 16 if width >= 72 else 14,
            training=width >= 104,
            spread=width >= 144,
            accuracy=width >= 72,
            epoch=width >= 72,
            left=width >= 116,
        )
        room = width - len(made.numbers_head()) - made.state - 6
        # Names may take three fifths of it, and more only as far as they cannot be shortened.
        label = min(longest, max(shortest, room * 3 // 5), max(LEAST_LABEL, room - LEAST_SPARK))
        spark = max(LEAST_SPARK, min(MOST_SPARK, room - label))
        return replace(made, label=label, spark=spark)

    def numbers_head(self) -> str:
        """The titles of the columns of numbers."""
        return self._join("train. cost", "val. cost", "range", "acc. %", "epoch", "seeds", "left")

    def numbers(self, line: ConfigurationLine) -> str:
        """The numbers of a configuration, as wide as their titles."""
        spread = f"{line.range[0]:.4f}–{line.range[1]:.4f}" if line.range else MISSING
        accuracy = line.validation_accuracy
        return self._join(
            _cost(line.training_cost),
            _cost(line.validation_cost),
            spread,
            MISSING if accuracy is None else f"{100 * accuracy:.2f}",
            MISSING if line.epoch is None else str(line.epoch),
            f"{line.n_done}/{line.n_seeds}",
            "" if line.left is None else f"≈ {duration(line.left)}",
        )

    def _join(
        self,
        training: str,
        cost: str,
        spread: str,
        accuracy: str,
        epoch: str,
        seeds: str,
        left: str,
    ) -> str:
        parts = [
            *([training.rjust(11)] if self.training else ()),
            cost.rjust(9),
            *([spread.rjust(15)] if self.spread else ()),
            *([accuracy.rjust(6)] if self.accuracy else ()),
            *([epoch.rjust(5)] if self.epoch else ()),
            seeds.rjust(5),
            *([left.rjust(8)] if self.left else ()),
        ]
        return (GAP if self.left else " ").join(parts)


def _longest(names: Iterable[str]) -> int:
    return max(map(cell_len, names), default=0)


def _name(label: str, width: int) -> str:
    """A configuration's name in its column, shortened where it is too long."""
    return fit(label if cell_len(label) <= width else shortened(label), width)


def _cost(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


class ConfigurationList(ScrollView, can_focus=True):
    """Configurations under the names of their experiments."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--heading",
        "list--title",
        "list--cursor",
        "list--spark",
        "list--muted",
        "list--trouble",
    }
    DEFAULT_CSS = """
    ConfigurationList {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .list--heading { color: $secondary; }
        & > .list--title { text-style: bold; }
        & > .list--cursor { background: $block-cursor-blurred-background; }
        & > .list--spark { color: $accent; }
        & > .list--muted { color: $secondary; }
        & > .list--trouble { color: $error; }
        &:focus > .list--cursor { background: $block-cursor-background; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Up ten", show=False),
        Binding("pagedown", "move(10)", "Down ten", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("enter", "choose", "Open", tooltip="Open the runs of this configuration"),
    ]

    class Highlighted(Message):
        """The cursor is on another configuration, or its numbers have changed."""

        def __init__(self, line: ConfigurationLine) -> None:
            super().__init__()
            self.line = line

    class Chosen(Message):
        """A configuration is to be opened."""

        def __init__(self, line: ConfigurationLine) -> None:
            super().__init__()
            self.line = line

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.log_scale = False
        self._lines: list[ConfigurationLine] = []
        self._cap = math.inf
        self._rows: list[ExperimentLines | ConfigurationLine | None] = []
        self._cursor = 0  # among the configurations
        self._scale = Scale(0.0, 1.0)
        self._last_epoch = 0
        self._lengths = 0, 0  # of the longest name, as it is and shortened

    # ---- what is shown

    def show(self, experiments: Sequence[ExperimentLines], n_classes: int) -> None:
        """Shows these configurations; the cursor stays where it is."""
        self._lines = [line for experiment in experiments for line in experiment.lines]
        self._cap = math.log(max(2, n_classes))
        self._rows = []
        for experiment in experiments:
            self._rows += [None] if self._rows else []
            self._rows += [experiment, *experiment.lines]
        lines = self._lines
        self._cursor = max(0, min(self._cursor, len(lines) - 1))
        self._last_epoch = max((line.curve[-1][0] for line in lines if line.curve), default=0)
        names = [line.label for line in lines]
        self._lengths = _longest(names), _longest(map(shortened, names))
        self._rescale()
        self.virtual_size = Size(self.size.width, len(self._rows))
        self.refresh()
        if lines:
            self.post_message(self.Highlighted(lines[self._cursor]))

    def set_log(self, log: bool) -> None:
        """A logarithmic scale, or a linear one."""
        self.log_scale = log
        self._rescale()
        self.refresh()

    @property
    def scale_text(self) -> str:
        """What the blocks mean: `▁ 0.2034 to █ 2.3026 (ln of the classes), ▲ above`."""
        scale = self._scale
        if not any(line.curve for line in self._lines):
            return ""
        capped = scale.high == self._cap
        top = f"█ {scale.high:.4f}" + (" = ln(classes), ▲ above" if capped else "")
        return f"cost from ▁ {scale.low:.4f} to {top}{', log' if scale.log else ''}"

    def _rescale(self) -> None:
        values = [value for line in self._lines for _, value in line.curve]
        self._scale = Scale.of(values, self._cap, log=self.log_scale)

    # ---- the cursor

    def action_move(self, by: int) -> None:
        """Moves the cursor, and the list so that it can be seen."""
        lines = self._lines
        if lines:
            self._cursor = max(0, min(self._cursor + by, len(lines) - 1))
            y = self._y_of_cursor()
            top = 0 if self._cursor == 0 else y
            self.scroll_to_region(Region(0, top, 1, y - top + 1), animate=False)
            self.refresh()
            self.post_message(self.Highlighted(lines[self._cursor]))

    def action_choose(self) -> None:
        """Opens the configuration under the cursor."""
        if lines := self._lines:
            self.post_message(self.Chosen(lines[self._cursor]))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor there; on the cursor it opens."""
        y = event.y + self.scroll_offset.y
        row = self._rows[y] if y < len(self._rows) else None
        if isinstance(row, ConfigurationLine):
            index = next(i for i, line in enumerate(self._lines) if line is row)
            if index == self._cursor:
                self.action_choose()
            else:
                self.action_move(index - self._cursor)

    def _y_of_cursor(self) -> int:
        line = self._lines[self._cursor]
        return next(y for y, row in enumerate(self._rows) if row is line)

    # ---- drawing

    def on_resize(self) -> None:
        """As wide as there is room, so that nothing scrolls sideways."""
        self.virtual_size = Size(self.size.width, len(self._rows))

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        y += self.scroll_offset.y
        width = self.size.width
        row = self._rows[y] if y < len(self._rows) else None
        if row is None:
            return Strip.blank(width, self.rich_style)
        columns = Columns.for_width(width, *self._lengths)
        segments = (
            self._heading(row, columns)
            if isinstance(row, ExperimentLines)
            else self._configuration(row, columns)
        )
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _heading(self, experiment: ExperimentLines, columns: Columns) -> list[Segment]:
        muted = self._style("list--heading")
        curve = "cost by epoch" if columns.spark > len("cost by epoch") else "by epoch"
        return [
            Segment(" " + fit(experiment.title, columns.label), self._style("list--title")),
            Segment(GAP + fit(curve, columns.spark), muted),
            Segment(" " + columns.numbers_head(), muted),
            Segment(GAP + fit("state", columns.state), muted),
        ]

    def _configuration(self, line: ConfigurationLine, columns: Columns) -> list[Segment]:
        at_cursor = self._lines[self._cursor] is line
        cursor = self.get_component_rich_style("list--cursor")
        # Its colours stay those of the columns; without colours the line is reversed.
        base = Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse) if at_cursor else Style()
        mark = BASELINE if line.is_baseline else " "
        curve = sparkline(line.curve, columns.spark, self._last_epoch, self._scale)
        troubled = any(word in line.state for word in ("diverged", "failed", "collapsed"))
        state_style = self._style("list--trouble" if troubled else "list--muted", base)
        return [
            Segment(mark + _name(line.label, columns.label) + GAP, self.rich_style + base),
            Segment(curve, self._style("list--spark", base)),
            Segment(" " + columns.numbers(line), self.rich_style + base),
            Segment(GAP + fit(line.state, columns.state) + " " * 200, state_style),
        ]

    def _style(self, name: str, over: Style | None = None) -> Style:
        style = self.get_component_rich_style(name, partial=True)
        return self.rich_style + style + (over or Style())
