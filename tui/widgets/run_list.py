"""The list of runs, one per line, below the titles of its columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.glossary import mentioned
from tui.text import fit
from tui.views.runs import BY_KEY, GAP, Order, RunLine, fitted_widths, natural_widths
from tui.widgets.line_list import LineList

SELECTED = "●"
MARK = 3  # width of the selection mark with the spaces around it
MUTED = ("number", "run", "study", "ended")


class RunList(LineList[RunLine]):
    """A list of runs with as many columns as fit; a mark shows which are selected."""

    HEAD = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {"list--ordered"}
    DEFAULT_CSS = """
    RunList > .list--ordered { color: $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", show=False, tooltip="Open the run"),
    ]

    @dataclass
    class Marked(Message):
        """The selection mark of a run was clicked."""

        line: RunLine

    @dataclass
    class HeadClicked(Message):
        """The title of a column was clicked."""

        key: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._selected: Collection[str] = ()
        self._order = Order()
        self._natural: Mapping[str, int] = natural_widths(())
        self._widths: Mapping[str, int] = {}

    # ---- what is shown

    def show(
        self,
        lines: Sequence[RunLine],
        selected: Collection[str],
        order: Order,
        widths: Mapping[str, int],
    ) -> None:
        """Shows these runs.

        Args:
            lines: the runs in order.
            selected: ids of the selected runs.
            order: the sort order, shown in the header.
            widths: the natural widths of the columns.
        """
        self._selected, self._order = selected, order
        if widths != self._natural:
            self._natural = widths
            self._fit_columns()
        self.show_rows(lines, range(len(lines)))
        self.show_cursor()

    @property
    def terms(self) -> list[str]:
        """The state and the hyperparameters of the run at the cursor, and the columns."""
        line = self.at_cursor
        words = mentioned(f"{line.state_text} · {line.configuration}") if line else []
        return [*words, *(BY_KEY[key].title for key in self._widths), "selected"]

    def key_of(self, line: RunLine) -> str:
        """Identifies a run by its id."""
        return line.run_id

    @property
    def _room(self) -> int:
        return self.size.width - MARK - 1

    def _fit_columns(self) -> None:
        self._widths = fitted_widths(self._natural, self._room)

    def on_resize(self) -> None:
        """Shows the columns that fit now."""
        self._fit_columns()
        self.show_cursor()

    def on_click(self, event: events.Click) -> None:
        """Posts clicks on titles and selection marks; other clicks move the cursor or open."""
        if event.y < self.HEAD:
            if (key := self._column_at(event.x)) is not None:
                self.post_message(self.HeadClicked(key))
        elif event.x < MARK and (index := self.index_at(event.y)) is not None:
            event.prevent_default()
            self.action_move(index - self._cursor)
            self.post_message(self.Marked(self._rows[index]))

    def _column_at(self, x: int) -> str | None:
        left = MARK
        for key, width in self._widths.items():
            if left <= x < left + width:
                return key
            left += width + GAP
        return None

    # ---- drawing

    def draw_head(self) -> list[Segment]:
        """Draws the titles of the columns."""
        base = self.visual_style.rich_style
        segments = [Segment(" " * MARK, base)]
        for key, width in self._widths.items():
            column = BY_KEY[key]
            title, style = column.head(self._room), "list--muted"
            if key == self._order.key:
                title, style = title + self._order.sign, "list--ordered"
            segments.append(Segment(fit(title, width, column.align), base + self.style(style)))
            segments.append(Segment(" " * GAP, base))
        return segments

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws a run."""
        line: RunLine = row
        mark = SELECTED if line.run_id in self._selected else " "
        segments = [Segment(f" {mark} ", base + self.style("list--accent"))]
        for key, width in self._widths.items():
            column, style = BY_KEY[key], base
            if key == "state":
                style += self.style(f"list--{line.tone}")
            elif key in MUTED:
                style += self.style("list--muted")
            segments.append(Segment(column.cell(line, width, self._natural[key]), style))
            segments.append(Segment(" " * GAP, base))
        return segments
