"""The plane of two inputs, with a point that keys and the mouse move over the grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.message import Message

from tui.charts.canvas import PAPER
from tui.charts.plane import N_LEVELS, Examples, PlaneFigure, Surface, UnitLine, draw
from tui.keys import MOVE
from tui.theme import N_CURVES
from tui.widgets.drawn import Drawn

WEAKEST, STRONGEST = 0.12, 0.62  # shares of a class's colour
# Variables of the theme by ink.
COLOURS = {
    "axis": "secondary",
    "label": "secondary",
    "cursor": "foreground",
    "example": "foreground",
    "wrong": "error",
    "unit": "foreground",
    "share": "warning",
}


class Plane(Drawn, can_focus=True):
    """Draws a surface with examples and lines. The point is at a point of the grid, or nowhere."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left", "move(-1, 0)", "Point", show=False, group=MOVE, tooltip="Move the point left"
        ),
        Binding(
            "right", "move(1, 0)", "Point", show=False, group=MOVE, tooltip="Move the point right"
        ),
        Binding("up", "move(0, 1)", "Point", show=False, group=MOVE, tooltip="Move the point up"),
        Binding(
            "down", "move(0, -1)", "Point", show=False, group=MOVE, tooltip="Move the point down"
        ),
        Binding("0", "remove", "No point", show=False, tooltip="Remove the point"),
    ]
    DEFAULT_CSS = "Plane { width: 1fr; height: 1fr; }"

    @dataclass
    class Moved(Message):
        """The point has moved, or was removed."""

        plane: "Plane"

        @property
        def control(self) -> "Plane":
            """The sender, for the selectors of `@on`."""
            return self.plane

    class Resized(Message):
        """The plane has another size, and so other pixels."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.figure: PlaneFigure | None = None
        self.point: tuple[int, int] | None = None  # indices in x and y
        self._surface: Surface | None = None
        self._over: tuple[Sequence[str], Examples | None, Sequence[UnitLine]] = ((), None, ())

    def show(
        self,
        surface: Surface,
        names: Sequence[str],
        examples: Examples | None,
        lines: Sequence[UnitLine],
    ) -> None:
        """Draws a surface, and the point where it is; see `tui.charts.plane.draw`."""
        self._surface, self._over = surface, (names, examples, lines)
        if self.point is not None:
            ix, iy = self.point
            self.point = min(ix, len(surface.x) - 1), min(iy, len(surface.y) - 1)
        self._draw()

    def _draw(self) -> None:
        if self._surface is None:
            return
        names, examples, lines = self._over
        point = None
        if self.point is not None:
            point = float(self._surface.x[self.point[0]]), float(self._surface.y[self.point[1]])
        width, height = self.size
        self.figure = draw(self._surface, names, width, height, examples, lines, point, self.look)
        self.show_rows([] if self.figure is None else list(self.figure.canvas.rows()))

    # ---- the point

    def action_move(self, right: int, up: int) -> None:
        """Moves the point by a cell; the first time, puts it in the middle."""
        surface, figure = self._surface, self.figure
        if surface is None or figure is None:
            return
        if self.point is None:
            self._put(len(surface.x) // 2, len(surface.y) // 2)
            return
        by_x = max(1, round(len(surface.x) / figure.x.cells))
        by_y = max(1, round(len(surface.y) / figure.y.cells))
        self._put(self.point[0] + right * by_x, self.point[1] + up * by_y)

    def action_remove(self) -> None:
        """Removes the point."""
        self.point = None
        self._draw()
        self.post_message(self.Moved(self))

    def on_click(self, event: events.Click) -> None:
        """Moves the point to the place under the mouse."""
        place = None if self.figure is None else self.figure.place(event.x, event.y)
        if place is not None and self._surface is not None:
            event.stop()
            x, y = self._surface.x, self._surface.y
            self._put(
                *(
                    round(float((value - values[0]) / (values[1] - values[0])))
                    for value, values in zip(place, (x, y), strict=True)
                )
            )

    def _put(self, ix: int, iy: int) -> None:
        assert self._surface is not None
        last = len(self._surface.x) - 1, len(self._surface.y) - 1
        self.point = min(last[0], max(0, ix)), min(last[1], max(0, iy))
        self._draw()
        self.post_message(self.Moved(self))

    # ---- drawing

    def on_resize(self) -> None:
        """Draws other pixels."""
        self._draw()
        self.post_message(self.Resized())

    def colour(self, name: str) -> Color:
        """Returns the colour of an ink, or of a pixel."""
        paper = self.background_colors[1]
        if name == PAPER:
            return paper
        what, *numbers = name.split("-")
        variables = self.app.theme_variables
        if what == "class":
            label, level = map(int, numbers)
            full = Color.parse(variables[f"curve-{label % N_CURVES}"])
            return paper.blend(full, WEAKEST + (STRONGEST - WEAKEST) * level / N_LEVELS)
        full = Color.parse(variables[COLOURS[what]])
        if what == "share":
            return paper.blend(full, STRONGEST * int(numbers[0]) / N_LEVELS)
        return full

    fill = colour
