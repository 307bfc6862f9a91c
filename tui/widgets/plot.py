"""Shows the figure of a line plot, and posts mouse events in terms of its x axis."""

import os
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.charts.canvas import PAPER, Run
from tui.charts.figure import Figure, Look
from tui.charts.glyphs import ASCII, glyphs_of
from tui.theme import N_CURVES

FAINT, BAND = 0.55, 0.25  # shares of a curve's colour
# Variables of the theme. As component classes, Textual would compute the styles of each at every
# change of any plot's style.
COLOURS = {
    "axis": "secondary",
    "grid": "border",
    "label": "secondary",
    "mark": "secondary",
    "cursor": "foreground",
    **{str(i): f"curve-{i}" for i in range(N_CURVES)},
}


class Plot(Widget):
    """A figure. The mouse does not move its window: the parent does, by the messages."""

    ALLOW_SELECT = False  # dragging moves the window
    DEFAULT_CSS = "Plot { width: 1fr; height: 1fr; }"

    @dataclass
    class Wheel(Message):
        """The mouse wheel was turned at a position."""

        x: float
        closer: bool

    @dataclass
    class Over(Message):
        """The mouse is at a position."""

        x: float

    @dataclass
    class Dragged(Message):
        """The plot was dragged to the right by so much."""

        by: float

    class Resized(Message):
        """The plot has another size."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.figure: Figure | None = None
        self._rows: list[list[Run]] = []
        self._styles: dict[tuple[str | None, str | None], Style] = {}  # by ink and fill

    @property
    def look(self) -> Look:
        """What this terminal can show."""
        ascii_only = getattr(self.app.driver_class, "ascii_only", False)
        return Look(ASCII if ascii_only else glyphs_of(os.environ), not self.app.no_color)

    def show(self, new: Figure | None) -> None:
        """Shows a figure, or nothing."""
        rows = [] if new is None else list(new.canvas.rows())
        self.figure = new
        before, self._rows = self._rows, rows
        if len(before) != len(rows):
            self.refresh()
            return
        width = self.size.width
        changed = [y for y, (old, row) in enumerate(zip(before, rows, strict=True)) if old != row]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    # ---- drawing

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
            paper = self.background_colors[1]
            ink = None if run.ink is None else self.colour(run.ink).rich_color
            fill = None if run.fill is None else self._fill(run.fill, paper).rich_color
            self._styles[key] = self.visual_style.rich_style + Style(color=ink, bgcolor=fill)
        return self._styles[key]

    def notify_style_update(self) -> None:
        """Forgets the colours of the theme before."""
        super().notify_style_update()
        self._styles = {}

    def colour(self, ink: str) -> Color:
        """Returns the colour of an ink."""
        paper = self.background_colors[1]
        name, _, style = ink.partition("-")
        if ink == PAPER:
            return paper
        if name == "band":
            return self._fill(ink, paper)
        full = self._full(name, style)
        return paper.blend(full, FAINT) if name == "faint" else full

    def _fill(self, bands: str, paper: Color) -> Color:
        """Returns the colour of an area, or of several that overlap."""
        for band in bands.split("+"):
            paper = paper.blend(self._full("band", band.partition("-")[2]), BAND)
        return paper

    def _full(self, name: str, style: str) -> Color:
        """Returns the colour of something without a style, or of a curve with one."""
        variable = COLOURS[str(int(style) % N_CURVES) if style else name]
        return Color.parse(self.app.theme_variables[variable])

    # ---- the mouse

    def on_resize(self) -> None:
        """Asks for a figure of the new size."""
        self.post_message(self.Resized())

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Asks to zoom in."""
        self._wheel(event, closer=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Asks to zoom out."""
        self._wheel(event, closer=False)

    def _wheel(self, event: events.MouseEvent, closer: bool) -> None:
        x = self._position(event)
        if x is not None:
            event.stop()
            self.post_message(self.Wheel(x, closer))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Reports the position under the mouse, or a drag if a button is held down."""
        event.stop()
        x = self._position(event)
        if x is None or self.figure is None:
            return
        if event.button and event.delta_x:
            self.post_message(self.Dragged(event.delta_x * self.figure.x.per_cell))
        elif not event.button:
            self.post_message(self.Over(x))

    def _position(self, event: events.MouseEvent) -> float | None:
        """Returns the position under the mouse; None outside the axes."""
        return None if self.figure is None else self.figure.position(event.x, event.y)
