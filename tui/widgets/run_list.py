"""The list of runs: only the lines on the screen are drawn, however many there are."""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.text import fit
from tui.views.runs import BY_KEY, GAP, Order, RunLine, fitted_widths, natural_widths

SELECTED = "●"
MARK = 3  # columns of the terminal for the sign, with the space around it
MUTED = ("number", "run", "study", "ended")
FAR = 1_000_000


class RunList(ScrollView, can_focus=True):
    """Runs, one a line, under the titles of their columns."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "runs--head",
        "runs--ordered",
        "runs--cursor",
        "runs--mark",
        "runs--muted",
        "runs--accent",
        "runs--trouble",
    }
    DEFAULT_CSS = """
    RunList {
        height: 1fr;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .runs--head { color: $secondary; }
        & > .runs--ordered { color: $foreground; }
        & > .runs--cursor { background: $block-cursor-blurred-background; }
        & > .runs--mark { color: $accent; }
        & > .runs--muted { color: $secondary; }
        & > .runs--accent { color: $accent; }
        & > .runs--trouble { color: $error; }
        &:focus > .runs--cursor { background: $block-cursor-background; }
        &:nocolor > .runs--cursor { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", f"move(-{FAR})", "First", show=False),
        Binding("end", f"move({FAR})", "Last", show=False),
        Binding("enter", "open", "Open", show=False, tooltip="Open the run"),
    ]

    class Highlighted(Message):
        """The cursor is on this run, or there is none."""

        def __init__(self, line: RunLine | None) -> None:
            super().__init__()
            self.line = line

    class Opened(Message):
        """A run is to be opened."""

        def __init__(self, line: RunLine) -> None:
            super().__init__()
            self.line = line

    class Marked(Message):
        """The sign of a run was clicked: it is to be selected, or not any more."""

        def __init__(self, line: RunLine) -> None:
            super().__init__()
            self.line = line

    class HeadClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[RunLine] = ()
        self._selected: Collection[str] = ()
        self._order = Order()
        self._natural: Mapping[str, int] = natural_widths(())
        self._widths: Mapping[str, int] = {}
        self._cursor = 0

    # ---- what is shown

    def show(
        self,
        lines: Sequence[RunLine],
        selected: Collection[str],
        order: Order,
        widths: Mapping[str, int],
    ) -> None:
        """Shows these runs. The cursor stays on its run, and that where it is on the screen.

        Args:
            lines: in their order.
            selected: ids of runs.
            order: by which they are ordered, to be marked in the head.
            widths: that the columns would like.
        """
        before, old = self.at_cursor, self._cursor
        self._lines, self._selected, self._order = lines, selected, order
        if widths != self._natural:
            self._natural = widths
            self._fit_columns()
        if before is not None:
            same = (i for i, line in enumerate(lines) if line.run_id == before.run_id)
            self._cursor = next(same, min(old, max(0, len(lines) - 1)))
        size = Size(self.size.width, len(lines) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        if self._cursor != old:
            self.scroll_to(y=self.scroll_offset.y + self._cursor - old, animate=False)
        self._show_cursor()
        self.refresh()
        self._tell(before)

    @property
    def at_cursor(self) -> RunLine | None:
        """The run under the cursor."""
        return self._lines[self._cursor] if self._cursor < len(self._lines) else None

    @property
    def _room(self) -> int:
        return self.size.width - MARK - 1

    def _fit_columns(self) -> None:
        self._widths = fitted_widths(self._natural, self._room)

    def on_resize(self) -> None:
        """Other columns fit; nothing scrolls sideways."""
        self._fit_columns()
        self.virtual_size = Size(self.size.width, len(self._lines) + 1)
        self._show_cursor()

    # ---- the cursor

    def action_move(self, by: int) -> None:
        """Moves the cursor, and the list so that it can be seen."""
        before = self.at_cursor
        self._cursor = max(0, min(self._cursor + by, len(self._lines) - 1))
        self._show_cursor()
        self.refresh()
        self._tell(before)

    def _tell(self, before: RunLine | None) -> None:
        if self.at_cursor != before:
            self.post_message(self.Highlighted(self.at_cursor))

    def action_page(self, pages: int) -> None:
        """As many lines as can be seen."""
        self.action_move(pages * max(1, self.size.height - 2))

    def action_open(self) -> None:
        """Opens the run under the cursor."""
        if (line := self.at_cursor) is not None:
            self.post_message(self.Opened(line))

    def on_click(self, event: events.Click) -> None:
        """On a title: its order. On a run: the cursor, and there opens it; left of it: selects."""
        if event.y == 0:
            if (key := self._column_at(event.x)) is not None:
                self.post_message(self.HeadClicked(key))
            return
        index = event.y - 1 + self.scroll_offset.y
        if index >= len(self._lines):
            return
        again = index == self._cursor
        self.action_move(index - self._cursor)
        if event.x < MARK:
            self.post_message(self.Marked(self._lines[index]))
        elif again:
            self.action_open()

    def _column_at(self, x: int) -> str | None:
        left = MARK
        for key, width in self._widths.items():
            if left <= x < left + width:
                return key
            left += width + GAP
        return None

    def _show_cursor(self) -> None:
        """The head hides the line below it."""
        top, n_seen = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + n_seen:
            self.scroll_to(y=self._cursor - n_seen + 1, animate=False)

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        index = y - 1 + self.scroll_offset.y
        if y == 0:
            segments, base = self._head(), self.rich_style
        elif index < len(self._lines):
            base = self.rich_style
            if index == self._cursor:
                base += self._style("runs--cursor")
            segments = self._run(self._lines[index], base)
        else:
            segments, base = [], self.rich_style
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _head(self) -> list[Segment]:
        base = self.rich_style
        segments = [Segment(" " * MARK, base)]
        for key, width in self._widths.items():
            column = BY_KEY[key]
            title, style = column.head(self._room), "runs--head"
            if key == self._order.key:
                title, style = title + self._order.sign, "runs--ordered"
            segments.append(Segment(fit(title, width, column.align), base + self._style(style)))
            segments.append(Segment(" " * GAP, base))
        return segments

    def _run(self, line: RunLine, base: Style) -> list[Segment]:
        mark = SELECTED if line.run_id in self._selected else " "
        segments = [Segment(f" {mark} ", base + self._style("runs--mark"))]
        for key, width in self._widths.items():
            column, style = BY_KEY[key], base
            if key == "state":
                style += self._style(f"runs--{line.tone}")
            elif key in MUTED:
                style += self._style("runs--muted")
            segments.append(Segment(column.cell(line, width, self._natural[key]), style))
            segments.append(Segment(" " * GAP, base))
        return segments

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)
