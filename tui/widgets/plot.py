"""The plot of textual-plot as the app uses it: it passes mouse events on."""

from collections.abc import Sequence

import numpy as np
from textual import events
from textual.app import RenderResult
from textual.geometry import Region, Size
from textual.message import Message
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import AxisFormatter

from tui.charts.lines import (
    Dots,
    Window,
    inside,
    log_labels,
    log_ticks,
    tick_labels,
    ticks,
)

LEAST_WIDTH, LEAST_HEIGHT = 16, 5  # below that there is no room within the axes
MARGIN_LEFT, MARGIN_BOTTOM = 8, 1
CELLS_PER_TICK = (9, 3)  # columns, rows


class Labels(AxisFormatter):
    """Ticks with labels that were made elsewhere."""

    def __init__(self, ticks: Sequence[float], labels: Sequence[str]) -> None:
        self.ticks, self.labels = list(ticks), list(labels)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """The given ones."""
        return self.ticks

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """The given ones."""
        return self.labels


class Plot(PlotWidget, can_focus=False, inherit_bindings=False):
    """Axes and dots. Its limits are set from outside: the mouse only asks for others."""

    class Resized(Message):
        """There is another number of cells to draw in."""

    class Wheel(Message):
        """Zoom asked for at an epoch."""

        def __init__(self, epoch: float, closer: bool) -> None:
            super().__init__()
            self.epoch, self.closer = epoch, closer

    class Over(Message):
        """The mouse is at an epoch."""

        def __init__(self, epoch: float) -> None:
            super().__init__()
            self.epoch = epoch

    class Dragged(Message):
        """The plane was drawn to the right, by so many epochs."""

        def __init__(self, epochs: float) -> None:
            super().__init__()
            self.epochs = epochs

    def __init__(self) -> None:
        super().__init__(allow_pan_and_zoom=False)  # by itself

    def on_mount(self) -> None:
        """Narrow margins: a terminal is small."""
        self.margin_left, self.margin_top, self.margin_bottom = MARGIN_LEFT, 0, MARGIN_BOTTOM

    @property
    def area(self) -> Size:
        """Cells within the axes."""
        width = max(0, self.size.width - MARGIN_LEFT - 2)
        return Size(width, max(0, self.size.height - MARGIN_BOTTOM - 2))

    # ---- drawing

    def begin(self, window: Window) -> None:
        """Nothing but axes with ticks, for what is drawn in this window from now on."""
        self._window = window
        self.clear()
        self.set_xlimits(window.left, window.right)
        self.set_ylimits(window.bottom, window.top)
        columns, rows = CELLS_PER_TICK
        most = max(2, window.width // 2 // columns)
        x = ticks(window.left, window.right, most, least_step=1.0)
        self.set_xticks(x)
        self.set_x_formatter(Labels(x, tick_labels(x)))
        most = max(2, window.height // 4 // rows)
        choose, name = (log_ticks, log_labels) if window.log else (ticks, tick_labels)
        y = choose(window.bottom, window.top, most)
        self.set_yticks(y)
        self.set_y_formatter(Labels(y, name(y)))

    def dots(self, dots: Dots, style: str) -> None:
        """Some of them may lie outside."""
        seen = inside(dots, self._window.width, self._window.height)
        x, y = self._window.coordinates(seen)
        self.scatter(x, y, marker_style=style, hires_mode=HiResMode.BRAILLE)

    def upright(self, epoch: float, sign: str, style: str) -> None:
        """A line from bottom to top, of one sign in each row."""
        column = int(self._window.column(np.array([epoch]))[0])
        self._signs([(column, row) for row in range(2, self._window.height, 4)], sign, style)

    def point(self, epoch: float, value: float, sign: str, style: str) -> None:
        """A sign where a value is."""
        column = self._window.column(np.array([epoch]))[0]
        row = self._window.row(np.array([value]))[0]
        if np.isfinite(row):
            self._signs([(int(column), int(row))], sign, style)

    def _signs(self, dots: Sequence[tuple[int, int]], sign: str, style: str) -> None:
        """A sign instead of each cell in which one of these dots lies."""
        seen = inside(np.array(dots, np.int64), self._window.width, self._window.height)
        x, y = self._window.coordinates(seen)
        self.scatter(x, y, marker=sign, marker_style=style)

    def render(self) -> RenderResult:
        """Nothing where there is no room."""
        if self.size.width < LEAST_WIDTH or self.size.height < LEAST_HEIGHT:
            return ""
        with self.query_one("#plot", Canvas).batch_refresh():  # else each dot asks for a refresh
            return super().render()

    def on_canvas_resize(self, event: Canvas.Resize) -> None:
        """Draws anew once its canvas has its size."""
        event.stop()
        self.refresh(layout=True)
        self.post_message(self.Resized())

    # ---- the mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer."""
        self._wheel(event, closer=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Farther."""
        self._wheel(event, closer=False)

    def _wheel(self, event: events.MouseEvent, closer: bool) -> None:
        event.stop()
        epoch = self._epoch(event)
        if epoch is not None:
            self.post_message(self.Wheel(epoch, closer))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Reads, or drags with a button held down."""
        event.stop()
        epoch = self._epoch(event)
        if epoch is None:
            return
        if event.button and event.delta_x:
            per_cell = (self._x_max - self._x_min) / max(1, self.area.width)
            self.post_message(self.Dragged(event.delta_x * per_cell))
        elif not event.button:
            self.post_message(self.Over(epoch))

    def _epoch(self, event: events.MouseEvent) -> float | None:
        """Where the mouse is; None outside the axes."""
        canvas = self.query_one("#plot", Canvas)
        inner = Region(*canvas.region.offset, *canvas.region.size).shrink((1, 1, 1, 1))
        if not inner.contains(event.screen_x, event.screen_y):
            return None
        return self.get_coordinate_from_pixel(event.screen_x - canvas.region.x, 1)[0]
