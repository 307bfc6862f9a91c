"""Shows the figure of a line plot, and posts mouse events in terms of its x axis."""

from dataclasses import dataclass

from textual import events
from textual.color import Color
from textual.message import Message

from tui.charts.canvas import PAPER
from tui.charts.figure import Figure
from tui.theme import N_CURVES
from tui.widgets.drawn import Drawn

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


class Plot(Drawn):
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

    def show(self, new: Figure | None) -> None:
        """Shows a figure, or nothing."""
        self.figure = new
        self.show_rows([] if new is None else list(new.canvas.rows()))

    # ---- drawing

    def colour(self, name: str) -> Color:
        """Returns the colour of an ink."""
        paper, whole = self.background_colors[1], name
        name, _, style = name.partition("-")
        if name == PAPER:
            return paper
        if name == "band":
            return self.fill(whole)
        full = self._full(name, style)
        return paper.blend(full, FAINT) if name == "faint" else full

    def fill(self, name: str) -> Color:
        """Returns the colour of an area, or of several that overlap."""
        paper = self.background_colors[1]
        for band in name.split("+"):
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
