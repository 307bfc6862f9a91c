"""A sheet to draw on, with the mouse or with a pen that keys move; and a picture beside it."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.charts.picture import Plane, shrink
from tui.keys import MOVE
from tui.sketch import ERASER, PENS, Pixels, Place, Sketch
from tui.widgets.pixels import picture_lines

RIGHT_BUTTON = 3
FAR = 4  # steps of the pen with shift
UP, DOWN = "+", "●"  # the pen above the sheet, and on it
BORDER = 2  # columns and rows of the border


def _moves() -> list[BindingType]:
    directions = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    return [
        Binding(
            f"{prefix}{key}",
            f"move({x * steps}, {y * steps})",
            show=False,
            tooltip=text,
            group=MOVE,
        )
        for prefix, steps, text in (
            ("", 1, "Move the pen"),
            ("shift+", FAR, f"Move the pen {FAR} steps"),
        )
        for key, (x, y) in directions.items()
    ]


class Sheet(Widget, can_focus=True):
    """Draws light ink on dark paper; two pixels, or more on a small terminal, are one cell."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *_moves(),
        Binding("space", "pen", "Pen", tooltip="Put the pen down, or lift it"),
        Binding("e", "eraser", "Erase", tooltip="Erase, or draw again"),
        Binding("b", "thickness", "Brush", tooltip="A thicker pen, or the thinnest again"),
        Binding("z", "undo", "Undo", tooltip="Undo the last stroke"),
        Binding("delete,backspace", "clear", "Clear", tooltip="Take a new sheet"),
    ]
    DEFAULT_CSS = """
    Sheet { border: round $border; background: $surface; }
    Sheet:focus { border: round $primary; }
    """

    class Changed(Message):
        """Something else is on the sheet."""

    def __init__(self, plane: tuple[int, int]) -> None:
        """Starts with a blank sheet.

        Args:
            plane: height and width of the network's pictures.
        """
        super().__init__()
        self.sketch = Sketch(plane)
        self.factor = 1  # pixels, in each direction, that are averaged to one
        self.place: Place | None = None  # of the pen; None: not known before the size is
        self.is_down = self.erases = False
        self.thickness = 1  # index in `PENS`
        self.by_keys = True  # whether keys move the pen, so that it is shown
        self._drag: tuple[Place, bool] | None = None  # where the mouse was, and whether it erases
        self._drawn: list[Strip] | None = None

    # ---- size

    def fit(self, room: Size) -> Size:
        """Takes the largest size that fits; returns it, with the border."""
        height, width = self.sketch.shape
        self.factor = max(
            1,
            math.ceil(width / max(1, room.width - BORDER)),
            math.ceil(height / (2 * max(1, room.height - BORDER))),
        )
        columns, rows = math.ceil(width / self.factor), math.ceil(height / (2 * self.factor))
        if self.place is None:  # the middle of a cell, as where the mouse draws
            self.place = self._middle(columns // 2, rows // 2)
        self.styles.width, self.styles.height = columns + BORDER, rows + BORDER
        self._redraw()
        return Size(columns + BORDER, rows + BORDER)

    def _middle(self, column: float, row: float) -> Place:
        """The middle of a cell; terminals that know fractions of cells give the exact place."""
        x, y = (n if n % 1 else n + 0.5 for n in (column, row))
        return x * self.factor, y * 2 * self.factor

    # ---- the mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begins a stroke."""
        if event.button not in (1, RIGHT_BUTTON):
            return
        event.stop()
        self.focus()
        self.is_down, self.by_keys = False, False
        self.capture_mouse()
        place = self._place_of(event)
        self._drag = place, event.button == RIGHT_BUTTON or event.shift or self.erases
        self.sketch.begin()
        self._draw(place, place, self._drag[1])

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Continues the stroke."""
        if self._drag is not None:
            event.stop()
            (before, erases), place = self._drag, self._place_of(event)
            self._drag = place, erases
            self._draw(before, place, erases)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Ends the stroke."""
        if self._drag is not None:
            event.stop()
            self._drag = None
            self.release_mouse()

    def _place_of(self, event: events.MouseEvent) -> Place:
        gutter = self.gutter
        return self._middle(event.pointer_x - gutter.left, event.pointer_y - gutter.top)

    # ---- keys

    def action_move(self, right: int, down: int) -> None:
        """Moves the pen by so many pixels as they are shown, and draws if it is down."""
        assert self.place is not None
        height, width = self.sketch.shape
        before = self.place
        self.place = (
            min(max(before[0] + right * self.factor, 0.0), float(width)),
            min(max(before[1] + down * self.factor, 0.0), float(height)),
        )
        self.by_keys = True
        if self.is_down:
            self._draw(before, self.place, self.erases)
        else:
            self._redraw()

    def action_pen(self) -> None:
        """Puts the pen down, which begins a stroke, or lifts it."""
        assert self.place is not None
        self.by_keys = True
        self.is_down = not self.is_down
        if self.is_down:
            self.sketch.begin()
            self._draw(self.place, self.place, self.erases)
        else:
            self._redraw()

    def action_eraser(self) -> None:
        """Switches between the pen and the eraser."""
        self.erases = not self.erases
        self._redraw()

    def action_thickness(self) -> None:
        """Takes the next pen."""
        self.thickness = (self.thickness + 1) % len(PENS)
        self._redraw()

    def action_undo(self) -> None:
        """Takes back the last stroke."""
        self.is_down = False
        self.sketch.undo()
        self._changed()

    def action_clear(self) -> None:
        """Takes a new sheet."""
        self.erases = False
        self.is_down = False
        self.sketch.clear()
        self._changed()

    def put(self, pixels: Pixels, request: dict[str, object], can_continue: bool) -> None:
        """Puts a picture on the sheet, see `Sketch.load`; it has been asked about already."""
        self.is_down = False
        self.sketch.load(pixels, request, can_continue)
        self._redraw()

    def _draw(self, start: Place, end: Place, erase: bool) -> None:
        self.place = end
        self.sketch.line(start, end, ERASER if erase else PENS[self.thickness], erase)
        self._changed()

    def _changed(self) -> None:
        self._redraw()
        self.post_message(self.Changed())

    # ---- drawing

    def _redraw(self) -> None:
        tool = "eraser" if self.erases else f"pen {self.thickness + 1} of {len(PENS)}"
        self.border_title = f"{tool}, down" if self.is_down else tool
        self._drawn = None
        self.refresh()

    def notify_style_update(self) -> None:
        """Redraws in the colours of a new theme."""
        super().notify_style_update()
        self._drawn = None

    def render_line(self, y: int) -> Strip:
        """Draws one line of the sheet."""
        if self._drawn is None:
            self._drawn = self._strips()
        if y >= len(self._drawn):
            return Strip.blank(self.size.width, self.rich_style)
        return self._drawn[y].crop_extend(0, self.size.width, self.rich_style)

    def _strips(self) -> list[Strip]:
        plane = shrink(self.sketch.pixels / 255.0, self.factor)
        base = self.rich_style
        lines = picture_lines(self.app, plane)
        strips = [Strip(Segment.apply_style(line, base)) for line in lines]
        if self.by_keys and self.place is not None:
            row = min(int(self.place[1] / (2 * self.factor)), len(strips) - 1)
            column = min(int(self.place[0] / self.factor), plane.shape[1] - 1)
            variables = self.app.theme_variables
            style = Style(color=variables["background"], bgcolor=variables["primary"], bold=True)
            sign = Strip([Segment(DOWN if self.is_down else UP, style)])
            line = strips[row]
            strips[row] = Strip.join([line.crop(0, column), sign, line.crop(column + 1)])
        return strips


class Seen(Widget):
    """A picture as a network sees it, in the largest size that fits."""

    ALLOW_SELECT = False
    pixels: Pixels | None = None
    _room = Size(0, 0)
    _lines: Sequence[list[Segment]] = ()

    def show(self, pixels: Pixels | None, room: Size) -> None:
        """Shows a picture, or none.

        Args:
            pixels: `(height, width)`.
            room: the columns and rows that it may take.
        """
        self.pixels, self._room, self._lines = pixels, room, ()
        self.display = pixels is not None and min(room) > 0
        if pixels is not None and self.display:
            plane = _scaled(pixels / 255.0, room)
            self._lines = picture_lines(self.app, plane)
            self.styles.width, self.styles.height = plane.shape[1], len(self._lines)
        self.refresh()

    def notify_style_update(self) -> None:
        """Redraws in the colours of a new theme."""
        super().notify_style_update()
        self.show(self.pixels, self._room)

    def render_line(self, y: int) -> Strip:
        """Draws one line of the picture."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        return Strip(Segment.apply_style(self._lines[y], self.rich_style))


def _scaled(plane: Plane, room: Size) -> Plane:
    """A picture enlarged, or else reduced, by a whole number so that it fits into a room."""
    height, width = plane.shape
    larger = min(room.width // width, 2 * room.height // height)
    if larger >= 1:
        return np.repeat(np.repeat(plane, larger, axis=0), larger, axis=1)
    smaller = max(math.ceil(width / room.width), math.ceil(height / (2 * room.height)))
    return shrink(plane, smaller)
