"""A canvas with axes and dots, which posts mouse events in terms of the x axis."""

from dataclasses import dataclass
from math import ceil, floor
from typing import ClassVar

import numpy as np
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual_hires_canvas import Canvas

from tui.charts.lines import Dots, Window, inside, log_labels, log_ticks, tick_labels, ticks

MIN_WIDTH, MIN_HEIGHT = 16, 5  # below which there is no room within the axes
MARGIN_LEFT, MARGIN_BOTTOM = 8, 1
CELLS_PER_TICK = (9, 3)  # columns, rows
UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
LINES = " ╹╺┗╻┃┏┣╸┛━┻┓┫┳╋"  # indexed by the sum of their arms


class Plot(Canvas):
    """Axes and dots. The mouse does not move the window: the parent does, by the messages."""

    ALLOW_SELECT = False  # dragging moves the window
    COMPONENT_CLASSES: ClassVar[set[str]] = {"plot--axis", "plot--tick"}
    DEFAULT_CSS = """
    Plot {
        width: 1fr;
        height: 1fr;
        & > .plot--axis { color: $border; }
        & > .plot--tick { color: $secondary; }
    }
    """

    _window = Window(0.0, 1.0, 0.0, 1.0, 0, 0, log=False)

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

    @property
    def area(self) -> Size:
        """The size within the axes in cells; zero if there is no room."""
        if self.size.width < MIN_WIDTH or self.size.height < MIN_HEIGHT:
            return Size(0, 0)
        return Size(self.size.width - MARGIN_LEFT - 2, self.size.height - MARGIN_BOTTOM - 2)

    # ---- drawing

    def begin(self, window: Window) -> None:
        """Clears the canvas, and draws the axes and ticks of a window."""
        self._window = window
        self.reset(self.size)
        self._axis = str(self.get_component_rich_style("plot--axis"))
        right, bottom = self.size.width - 1, self.size.height - 1 - MARGIN_BOTTOM
        self.draw_rectangle_box(MARGIN_LEFT, 0, right, bottom, thickness=2, style=self._axis)
        self._draw_positions(bottom)
        self._draw_values(right)

    def _draw_positions(self, bottom: int) -> None:
        window, (width, _) = self._window, self.area
        found = ticks(window.left, window.right, max(2, width // CELLS_PER_TICK[0]), least_step=1.0)
        for tick, label in zip(found, tick_labels(found), strict=True):
            if not window.left <= tick <= window.right:
                continue
            share = (tick - window.left) * width / (window.right - window.left)
            x = MARGIN_LEFT + 1 + floor(share) - (tick == window.left)  # an end is on the frame
            self._add_arm(x, 0, UP)
            self._add_arm(x, bottom, DOWN)
            before = len(label) - 1 if tick == window.right else (len(label) - 1) // 2
            self._write(x - before, bottom + 1, label)

    def _draw_values(self, right: int) -> None:
        window, (_, height) = self._window, self.area
        choose, name = (log_ticks, log_labels) if window.log else (ticks, tick_labels)
        found = choose(window.bottom, window.top, max(2, height // CELLS_PER_TICK[1]))
        for tick, label in zip(found, name(found), strict=True):
            if not window.bottom <= tick <= window.top:
                continue
            share = (tick - window.bottom) * height / (window.top - window.bottom)
            y = ceil(height - share) + (tick == window.bottom)
            self._add_arm(MARGIN_LEFT, y, LEFT)
            self._add_arm(right, y, RIGHT)
            text = label[: MARGIN_LEFT - 1]
            self._write(MARGIN_LEFT - 1 - len(text), y, text)

    def _add_arm(self, x: int, y: int, arm: int) -> None:
        """Adds a tick to the frame."""
        joined = LINES.index(self.get_pixel(x, y)[0]) | arm
        self.set_pixel(x, y, LINES[joined], self._axis)

    def _write(self, x: int, y: int, text: str) -> None:
        style = str(self.get_component_rich_style("plot--tick"))
        for i, sign in enumerate(text):
            self.set_pixel(x + i, y, sign, style)

    def dots(self, dots: Dots, style: str) -> None:
        """Draws the dots that lie in the window."""
        seen = inside(dots, self._window.width, self._window.height)
        cells = (seen + 0.5) / (2, 4) + (MARGIN_LEFT + 1, 1)
        self.set_hires_pixels(cells.tolist(), style=style)

    def upright(self, x: float, sign: str, style: str) -> None:
        """Draws a vertical line of one character per row."""
        column = int(self._window.column(np.array([x]))[0])
        for row in range(0, self._window.height, 4):
            self._sign(column, row, sign, style)

    def point(self, x: float, value: float, sign: str, style: str) -> None:
        """Draws a character at a value."""
        column = self._window.column(np.array([x]))[0]
        row = self._window.row(np.array([value]))[0]
        if np.isfinite(row):
            self._sign(int(column), int(row), sign, style)

    def _sign(self, column: int, row: int, sign: str, style: str) -> None:
        """Draws a character in the cell of a dot."""
        if 0 <= column < self._window.width and 0 <= row < self._window.height:
            self.set_pixel(MARGIN_LEFT + 1 + column // 2, 1 + row // 4, sign, style)

    # ---- the mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Asks to zoom in."""
        self._wheel(event, closer=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Asks to zoom out."""
        self._wheel(event, closer=False)

    def _wheel(self, event: events.MouseEvent, closer: bool) -> None:
        event.stop()
        x = self._position(event)
        if x is not None:
            self.post_message(self.Wheel(x, closer))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Reports the position under the mouse, or a drag if a button is held down."""
        event.stop()
        x = self._position(event)
        if x is None:
            return
        if event.button and event.delta_x:
            self.post_message(self.Dragged(event.delta_x * self._per_cell))
        elif not event.button:
            self.post_message(self.Over(x))

    @property
    def _per_cell(self) -> float:
        """The width of a cell on the x axis."""
        return (self._window.right - self._window.left) / self.area.width

    def _position(self, event: events.MouseEvent) -> float | None:
        """Returns the position under the mouse; None outside the axes."""
        column, row = event.x - MARGIN_LEFT - 1, event.y - 1
        if not (0 <= column < self.area.width and 0 <= row < self.area.height):
            return None
        return self._window.left + (column + 0.5) * self._per_cell
