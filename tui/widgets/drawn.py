"""Shows the rows of a canvas, each ink in its colour."""

import os
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.charts.canvas import Run
from tui.charts.figure import Look
from tui.charts.glyphs import ASCII, glyphs_of


class Drawn(Widget):
    """The rows of a canvas; a class that inherits it knows the colours."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[list[Run]] = []
        self._styles: dict[tuple[str | None, str | None], Style] = {}  # by ink and fill

    @property
    def look(self) -> Look:
        """What this terminal can show."""
        ascii_only = getattr(self.app.driver_class, "ascii_only", False)
        return Look(ASCII if ascii_only else glyphs_of(os.environ), not self.app.no_color)

    def show_rows(self, rows: Sequence[list[Run]]) -> None:
        """Shows the rows of a canvas, and draws those that have changed."""
        before, self._rows = self._rows, list(rows)
        if len(before) != len(rows):
            self.refresh()
            return
        width = self.size.width
        changed = [y for y, (old, row) in enumerate(zip(before, rows, strict=True)) if old != row]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def colour(self, name: str) -> Color:
        """Returns the colour of an ink."""
        raise NotImplementedError

    def fill(self, name: str) -> Color:
        """Returns the colour of a cell's background."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Draws one row."""
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        segments = [Segment(run.text, self._style(run)) for run in self._rows[y]]
        return Strip(segments).adjust_cell_length(self.size.width, self.visual_style.rich_style)

    def _style(self, run: Run) -> Style:
        """Returns the style of a run, which is computed once for each theme."""
        key = run.ink, run.fill
        if key not in self._styles:
            ink = None if run.ink is None else self.colour(run.ink).rich_color
            fill = None if run.fill is None else self.fill(run.fill).rich_color
            self._styles[key] = self.visual_style.rich_style + Style(color=ink, bgcolor=fill)
        return self._styles[key]

    def notify_style_update(self) -> None:
        """Forgets the colours of the theme before."""
        super().notify_style_update()
        self._styles = {}
