"""Text selection by mouse in widgets that draw line by line."""

from typing import TypeVar, cast

from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import DataTable

CellType = TypeVar("CellType")


class SelectableLines:
    """A mixin that makes the lines of a widget selectable; it must precede the widget's class.

    Textual selects only in widgets that render text. In one that draws its lines itself, dragging
    selects the whole widget, invisibly, and there is no text to copy. (The mixin is no widget
    itself: Textual looks for a widget's styles in its first base that is one.)
    """

    ALLOW_SELECT = True

    @property
    def n_lines(self) -> int:
        """The number of lines of the content, including those that are scrolled away."""
        raise NotImplementedError

    def line_text(self, line: int) -> str:
        """Returns the text of a line of the content."""
        raise NotImplementedError

    def selectable(self, strip: Strip, line: int) -> Strip:
        """Marks a drawn line as a line of the content, and highlights what is selected of it."""
        widget = cast(Widget, self)
        selection = widget.text_selection
        span = None if selection is None else selection.get_span(line)
        if span is not None:
            style = widget.screen.get_component_rich_style("screen--selection")
            strip = _highlighted(strip, *span, style)
        return strip.apply_offsets(0, line)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Returns the text that is selected, and what separates it from the next widget's."""
        start, end = selection.start, selection.end
        first = 0 if start is None else start.y
        last = self.n_lines - 1 if end is None else min(end.y, self.n_lines - 1)
        lines = [self.line_text(line) for line in range(first, last + 1)]
        if end is not None and last == end.y and lines:
            lines[-1] = lines[-1][: end.x]
        if start is not None and lines:
            lines[0] = lines[0][start.x :]
        return "\n".join(lines), "\n"

    def text_select_all(self) -> None:
        """Does nothing: a double click opens a line, and must not select all of them."""


class SelectableTable(SelectableLines, DataTable[CellType]):
    """A table whose lines can be selected; Textual forbids it in tables."""

    @property
    def n_lines(self) -> int:
        """The number of lines, including the header's."""
        return self._total_row_height + (self.header_height if self.show_header else 0)

    def line_text(self, line: int) -> str:
        """Returns a line as it is shown now."""
        left = self.scroll_offset.x
        return self._render_line(line, left, left + self.size.width, self.rich_style).text

    def render_line(self, y: int) -> Strip:
        """Draws a line with its selection."""
        in_header = self.show_header and y < self.header_height
        line = y if in_header else y + self.scroll_offset.y
        return self.selectable(super().render_line(y), line)


def _highlighted(strip: Strip, start: int, end: int, style: Style) -> Strip:
    """Highlights the characters from `start` to before `end`; an `end` of -1 is that of the line.

    Spaces after the last character are padding, and stay as they are.
    """
    last = len(strip.text.rstrip())
    end = last if end < 0 else min(end, last)
    segments, at = [], 0
    for text, own, control in strip:
        cuts = [0, *(min(max(0, cut - at), len(text)) for cut in (start, max(start, end)))]
        for left, right, chosen in zip(cuts, [*cuts[1:], len(text)], (0, 1, 0), strict=True):
            if right > left:
                both = (own + style if own else style) if chosen else own
                segments.append(Segment(text[left:right], both, control))
        at += len(text)
    return Strip(segments, strip.cell_length)
