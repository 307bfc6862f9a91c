"""A list with a cursor that draws only the lines on the screen, however many there are."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Line = TypeVar("Line")
T = TypeVar("T")  # in a message, which cannot share the list's

FAR = 1_000_000


class LineList(ScrollView, Generic[Line], can_focus=True):
    """Lines that can be opened, and what stands between them; subclasses draw both."""

    HEAD = 0  # or 1: lines above the others, which do not scroll
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--accent",
        "list--cursor",
        "list--muted",
        "list--trouble",
    }
    DEFAULT_CSS = """
    LineList {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .list--accent { color: $accent; }
        & > .list--cursor { background: $block-cursor-blurred-background; }
        & > .list--muted { color: $secondary; }
        & > .list--trouble { color: $error; }
        &:focus > .list--cursor { background: $block-cursor-background; }
        &:nocolor > .list--cursor { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", f"move(-{FAR})", "First", show=False),
        Binding("end", f"move({FAR})", "Last", show=False),
    ]

    @dataclass
    class Highlighted(Message, Generic[T]):
        """What is at the cursor may be another line, or the same with other numbers."""

        line: T | None

    @dataclass
    class Opened(Message, Generic[T]):
        """A line is to be opened."""

        line: T

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[Any] = ()  # lines, and what stands between them
        self._places: Sequence[int] = range(0)  # of the lines among the rows
        self._cursor = 0  # among the lines

    # ---- what subclasses say

    def key_of(self, line: Line) -> Hashable:
        """By which a line is known again when its numbers have changed."""
        raise NotImplementedError

    def draw_head(self) -> list[Segment]:
        """What stands above the rows, where `HEAD` says that there is a line for it."""
        return []

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """A row, in the style that it has at or away from the cursor."""
        raise NotImplementedError

    @property
    def page_size(self) -> int:
        """How many lines the cursor moves by a page."""
        return max(1, self.size.height - self.HEAD - 1)

    # ---- what is shown

    def show_rows(self, rows: Sequence[Any], places: Sequence[int]) -> None:
        """Shows these rows. The cursor stays on its line, and that where it is on the screen.

        Args:
            rows: from top to bottom.
            places: indices of those that are lines, rising.
        """
        before, y = self.at_cursor, self._y
        self._rows, self._places = rows, places
        if before is not None:
            key, last = self.key_of(before), max(0, len(places) - 1)
            same = (i for i, place in enumerate(places) if self.key_of(rows[place]) == key)
            self._cursor = next(same, min(self._cursor, last))
        self.virtual_size = Size(self.size.width, self.HEAD + len(rows))
        if before is not None and self._y != y:
            self.scroll_to(y=self.scroll_offset.y + self._y - y, animate=False)
        self._changed()

    def on_resize(self) -> None:
        """Keeps all as wide as the list, so that nothing scrolls sideways."""
        self.virtual_size = Size(self.size.width, self.HEAD + len(self._rows))

    # ---- the cursor

    @property
    def at_cursor(self) -> Line | None:
        """The line under the cursor."""
        return self._rows[self._y] if self._places else None

    @property
    def _y(self) -> int:
        return self._places[self._cursor] if self._places else 0

    def _changed(self) -> None:
        self.refresh()
        self.post_message(self.Highlighted(self.at_cursor))

    def action_move(self, by: int) -> None:
        """Moves the cursor, and the list so that it can be seen."""
        self._cursor = max(0, min(self._cursor + by, len(self._places) - 1))
        self.show_cursor()
        self._changed()

    def action_page(self, pages: int) -> None:
        """Moves the cursor by many lines."""
        self.action_move(pages * self.page_size)

    def action_open(self) -> None:
        """Opens the line under the cursor."""
        if (line := self.at_cursor) is not None:
            self.post_message(self.Opened(line))

    def show_cursor(self) -> None:
        """Scrolls as little as need be; to what stands above the first line, too."""
        top, n_seen = self.scroll_offset.y, max(1, self.size.height - self.HEAD)
        if (wanted := self._y if self._cursor else 0) < top:
            self.scroll_to(y=wanted, animate=False)
        elif self._y >= top + n_seen:
            self.scroll_to(y=self._y - n_seen + 1, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor there, and where it is there already opens the line."""
        index = self.index_at(event.y)
        if index == self._cursor:
            self.action_open()
        elif index is not None:
            self.action_move(index - self._cursor)

    def index_at(self, y: int) -> int | None:
        """Which line is at a row of the screen."""
        place = y - self.HEAD + self.scroll_offset.y
        known = y >= self.HEAD and place in self._places
        return self._places.index(place) if known else None

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        base, index = self.rich_style, y - self.HEAD + self.scroll_offset.y
        segments: list[Segment] = []
        if y < self.HEAD:
            segments = self.draw_head()
        elif index < len(self._rows):
            if self._places and index == self._y:
                base += self.style("list--cursor")
            segments = self.draw_row(self._rows[index], base)
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def style(self, name: str) -> Style:
        """Of a component class, to be laid over another one."""
        return self.get_component_rich_style(name, partial=True)
