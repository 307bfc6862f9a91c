"""A table of numbers with a cursor on one cell, of which only the visible rows are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.text import fit
from tui.widgets.line_list import LineList

GAP = 2
MOST_NAME = 24  # columns of a row's name


@dataclass(frozen=True)
class Row:
    """A row: its name, and a text per column; empty where there is no number."""

    index: int
    name: str
    cells: tuple[str, ...]


class NumberGrid(LineList[Row]):
    """Rows of numbers below the titles of their columns; the first columns that fit are shown."""

    HEAD = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--cell"}
    DEFAULT_CSS = """
    NumberGrid > .grid--cell { background: $surface; text-style: bold; }
    NumberGrid:focus > .grid--cell {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
    }
    NumberGrid > .list--cursor { background: $background; }
    NumberGrid:focus > .list--cursor { background: $surface; }
    NumberGrid:nocolor > .list--cursor { text-style: none; }
    NumberGrid:nocolor > .grid--cell { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "column(-1)", "Left", show=False),
        Binding("right,l", "column(1)", "Right", show=False),
        Binding("enter", "open", "Open", show=False, tooltip="Open the number to its sum"),
    ]

    @dataclass
    class Moved(Message):
        """The user has moved the cursor."""

    @dataclass
    class CellOpened(Message):
        """The user has opened the cell at the cursor."""

    def action_open(self) -> None:
        """Opens the cell at the cursor."""
        self.post_message(self.CellOpened())

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.column = 0
        self.titles: Sequence[str] = ()
        self.corner = ""
        self._widths: list[int] = []
        self._muted_from = 0

    def show(
        self, corner: str, titles: Sequence[str], rows: Sequence[Row], muted_from: int
    ) -> None:
        """Shows a table; the cursor stays at its row and column.

        Args:
            corner: the title of the rows' names.
            titles: of the columns.
            rows: from top to bottom.
            muted_from: the first column of derivatives, which have another colour.
        """
        self.corner, self.titles, self._muted_from = corner, titles, muted_from
        name = max((len(row.name) for row in rows), default=0)
        self._widths = [min(MOST_NAME, max(name, len(corner)))]
        for k, title in enumerate(titles):
            self._widths.append(max(len(title), *(len(row.cells[k]) for row in rows), 0))
        self.column = max(0, min(self.column, len(titles) - 1))
        self.show_rows(rows, range(len(rows)))
        self.show_cursor()

    @property
    def rows(self) -> Sequence[Row]:
        """The rows from top to bottom."""
        return self._rows

    def key_of(self, line: Row) -> int:
        """Identifies a row by its place."""
        return line.index

    def go_to(self, row: int, column: int) -> None:
        """Moves the cursor, without a message."""
        self.column = max(0, min(column, len(self.titles) - 1))
        self._cursor = max(0, min(row, len(self._places) - 1))
        self.show_cursor()
        self.refresh()

    def _changed(self) -> None:
        self.refresh()  # only what the user does is a message

    def action_move(self, by: int) -> None:
        """Moves the cursor to another row."""
        super().action_move(by)
        self.post_message(self.Moved())

    def action_column(self, by: int) -> None:
        """Moves the cursor to another column."""
        self.column = max(0, min(self.column + by, len(self.titles) - 1))
        self.refresh()
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor to the clicked cell."""
        if not self._widths:
            return
        left = 1 + self._widths[0]
        for k in self._shown:
            left += GAP + self._widths[k + 1]
            if event.x < left:
                if k != self.column:
                    event.prevent_default()
                    index = self.index_at(event.y)
                    self.column = k
                    self.action_move(0 if index is None else index - self._cursor)
                return

    # ---- drawing

    @property
    def _shown(self) -> range:
        """The columns that fit, among them the one at the cursor."""
        room = self.size.width - 2 - self._widths[0]
        first = 0
        while first < self.column and self._needed(first, self.column + 1) > room:
            first += 1
        last = self.column + 1
        while last < len(self.titles) and self._needed(first, last + 1) <= room:
            last += 1
        return range(first, last)

    def _needed(self, first: int, last: int) -> int:
        return sum(GAP + width for width in self._widths[first + 1 : last + 1])

    def draw_head(self) -> list[Segment]:
        """Draws the titles of the columns."""
        if not self._widths:
            return []
        base = self.visual_style.rich_style
        muted, accent = base + self.style("list--muted"), base + self.style("list--accent")
        shown = self._shown
        before = "‹" if shown.start else " "
        segments = [Segment(before + fit(self.corner, self._widths[0]), muted)]
        for k in shown:
            style = accent if k >= self._muted_from else muted
            title = self.titles[k].rjust(self._widths[k + 1])
            segments.append(Segment(" " * GAP + title, style))
        if shown.stop < len(self.titles):
            segments.append(Segment("›", muted))
        return segments

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws a row; the cell at the cursor stands out."""
        found: Row = row
        is_at_cursor = found is self.at_cursor
        muted = base + self.style("list--muted")
        segments = [Segment(" " + fit(found.name, self._widths[0]), muted)]
        for k in self._shown:
            style = base
            if is_at_cursor and k == self.column:
                style = base + self.style("grid--cell")
            segments.append(Segment(" " * GAP, base))
            segments.append(Segment(found.cells[k].rjust(self._widths[k + 1]), style))
        return segments
