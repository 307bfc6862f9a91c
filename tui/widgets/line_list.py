"""A list with a cursor that draws only the visible lines."""

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

from tui.framework.selection import SelectableLines

Line = TypeVar("Line")
T = TypeVar("T")  # for messages: a nested class cannot share the type variable of the list

FAR = 1_000_000


class LineList(SelectableLines, ScrollView, Generic[Line], can_focus=True):
    """A list of rows, of which some are lines that can be opened; subclasses draw the rows."""

    HEAD = 0  # 1 for a header line, which does not scroll
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
        """The cursor has moved, or the line under it has changed."""

        line: T | None

    @dataclass
    class Opened(Message, Generic[T]):
        """The user has opened a line."""

        line: T

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[Any] = ()  # lines, and others such as headings
        self._places: Sequence[int] = range(0)  # indices of the lines in `_rows`
        self._cursor = 0  # index in `_places`

    # ---- for subclasses

    def key_of(self, line: Line) -> Hashable:
        """Returns a key that identifies a line even after its content has changed."""
        raise NotImplementedError

    def draw_head(self) -> list[Segment]:
        """Draws the header, if `HEAD` is 1."""
        return []

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws a row; `base` includes the cursor's style if it is on this row."""
        raise NotImplementedError

    @property
    def page_size(self) -> int:
        """How many lines page up and page down move the cursor."""
        return max(1, self.size.height - self.HEAD - 1)

    # ---- what is shown

    def show_rows(self, rows: Sequence[Any], places: Sequence[int]) -> None:
        """Shows these rows; the cursor stays on its line, and the line where it is on the screen.

        Args:
            rows: from top to bottom.
            places: indices of the rows that are lines, ascending.
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
        """Keeps the content as wide as the list, so that it never scrolls sideways."""
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
        """Moves the cursor by so many lines, and scrolls to it."""
        self._cursor = max(0, min(self._cursor + by, len(self._places) - 1))
        self.show_cursor()
        self._changed()

    def action_page(self, pages: int) -> None:
        """Moves the cursor by so many pages."""
        self.action_move(pages * self.page_size)

    def action_open(self) -> None:
        """Opens the line under the cursor."""
        if (line := self.at_cursor) is not None:
            self.post_message(self.Opened(line))

    def show_cursor(self) -> None:
        """Scrolls to the cursor; at the first line, also to the headings above it."""
        top, n_seen = self.scroll_offset.y, max(1, self.size.height - self.HEAD)
        if (wanted := self._y if self._cursor else 0) < top:
            self.scroll_to(y=wanted, animate=False)
        elif self._y >= top + n_seen:
            self.scroll_to(y=self._y - n_seen + 1, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor to the clicked line, or opens that if the cursor is there already."""
        index = self.index_at(event.y)
        if index == self._cursor:
            self.action_open()
        elif index is not None:
            self.action_move(index - self._cursor)

    def index_at(self, y: int) -> int | None:
        """Returns the index of the line at a row of the widget; None if there is none."""
        place = y - self.HEAD + self.scroll_offset.y
        known = y >= self.HEAD and place in self._places
        return self._places.index(place) if known else None

    # ---- drawing

    @property
    def n_lines(self) -> int:
        """The number of lines, including the header."""
        return self.HEAD + len(self._rows)

    def line_text(self, line: int) -> str:
        """Returns the text of a line of the content; line 0 is the header, if there is one."""
        return "".join(segment.text for segment in self._draw(line, self.visual_style.rich_style))

    def render_line(self, y: int) -> Strip:
        """Draws the header or a row."""
        base, line = self.visual_style.rich_style, y if y < self.HEAD else y + self.scroll_offset.y
        if self._places and line == self.HEAD + self._y:
            base += self.style("list--cursor")
        strip = Strip(self._draw(line, base)).adjust_cell_length(self.size.width, base)
        return self.selectable(strip, line)

    def _draw(self, line: int, base: Style) -> list[Segment]:
        if line < self.HEAD:
            return self.draw_head()
        index = line - self.HEAD
        return self.draw_row(self._rows[index], base) if index < len(self._rows) else []

    def style(self, name: str) -> Style:
        """Returns the style of a component class, to be combined with a base style."""
        return self.get_component_rich_style(name, partial=True)
