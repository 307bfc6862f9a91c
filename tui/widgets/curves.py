"""A line plot with bands, zoom, a cursor that shows the values, and marks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.css.scalar import Scalar
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from jmlp.client.texts import MISSING
from jmlp.training.records import epoch_text
from tui.charts.lines import (
    KINDS,
    Dots,
    Series,
    Window,
    XUnit,
    band_dots,
    line_dots,
    spread,
    value_range,
)
from tui.charts.view import View
from tui.glossary import mentioned
from tui.keys import MOVE
from tui.text import fit
from tui.widgets.plot import MARGIN_LEFT, Plot

__all__ = ["Curves", "Mark", "Series", "XUnit"]

N_COLOURS = 6
FAINT = 0.4
MAX_NAME = 16
BETWEEN = "   "


@dataclass(frozen=True)
class Mark:
    """A labelled position on the x axis."""

    x: float
    text: str


class Curves(Widget, can_focus=True):
    """Curves with their names at the right and their values at the cursor below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left",
            "step(-1)",
            "Cursor",
            show=False,
            group=MOVE,
            tooltip="Read the previous evaluation",
        ),
        Binding(
            "right", "step(1)", "Cursor", show=False, group=MOVE, tooltip="Read the next evaluation"
        ),
        Binding(
            "home", "first", "First", show=False, group=MOVE, tooltip="Read the first evaluation"
        ),
        Binding("end", "last", "Last", show=False, group=MOVE, tooltip="Read the last evaluation"),
        Binding("plus,equals_sign", "zoom(True)", "Zoom in", show=False, tooltip="Zoom in"),
        Binding("minus", "zoom(False)", "Zoom out", show=False, tooltip="Zoom out"),
        Binding("0", "all", "All", show=False, tooltip="Show the whole curves"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"curves--{i}" for i in range(N_COLOURS)),
        "curves--cursor",
        "curves--mark",
    }
    DEFAULT_CSS = """
    Curves { layout: vertical; height: 1fr; }
    Curves > .curves--0 { color: $accent; }
    Curves > .curves--1 { color: $foreground; }
    Curves > .curves--2 { color: $success; }
    Curves > .curves--3 { color: $warning; }
    Curves > .curves--4 { color: $error; }
    Curves > .curves--5 { color: $secondary; }
    Curves > .curves--cursor { color: $foreground; }
    Curves > .curves--mark { color: $secondary; }
    Curves .head, Curves .reading { height: auto; max-height: 3; padding: 0 1; }
    Curves .head { height: 1; padding: 0; }
    Curves .names { width: 11; height: 1fr; }
    """

    @dataclass
    class Moved(Message):
        """The window or the cursor has moved."""

        curves: "Curves"

        @property
        def control(self) -> "Curves":
            """The sender, for the selectors of `@on`."""
            return self.curves

    def __init__(
        self,
        title: str,
        *,
        bounds: tuple[float, float] = (-math.inf, math.inf),
        decimals: int = 4,
        id: str | None = None,
    ) -> None:
        """Initialises an empty plot.

        Args:
            title: the name and unit of the values.
            bounds: the lowest and highest possible value.
            decimals: of the values at the cursor.
            id: the widget's id.
        """
        super().__init__(id=id)
        self.title, self.bounds, self.decimals = title, bounds, decimals
        self.series: Sequence[Series] = ()
        self.marks: Sequence[Mark] = ()
        self.log_scale = False
        self.unit: XUnit = "epoch"
        self.view = View()

    def compose(self) -> ComposeResult:
        """Yields the title with the marks, the plot with the names, and the values."""
        yield Static(classes="head", markup=False)
        with Horizontal():
            yield Plot()
            yield Static(classes="names", markup=False)
        yield Static(classes="reading", markup=False)

    def show(
        self,
        series: Sequence[Series],
        log: bool = False,
        marks: Sequence[Mark] = (),
        unit: XUnit = "epoch",
    ) -> None:
        """Draws these curves; window and cursor stay where they are, unless the unit changes.

        Args:
            series: a few curves, each with a style of its own.
            log: whether the scale of the values is logarithmic.
            marks: positions to mark.
            unit: of the x axis.
        """
        if unit != self.unit:
            self.unit = unit
            self.view.reset()
        self.series, self.log_scale, self.marks = series, log, marks
        known = [one.x[np.isfinite(one.values)] for one in series]
        self.view.x = np.unique(np.concatenate(known)) if known else np.empty(0)
        self._draw()

    @property
    def terms(self) -> list[str]:
        """The quantity, its curves and marks, and the unit of the x axis."""
        names = [*(one.name for one in self.series), *(mark.text for mark in self.marks)]
        banded = ["band"] if any(one.low is not None for one in self.series) else []
        scale = ["log"] if self.log_scale else []
        return [self.title, *mentioned(" · ".join(names)), *banded, self.unit, *scale]

    def follow(self, view: View) -> None:
        """Copies another plot's window and cursor, without posting `Moved`."""
        if self.view.follow(view):
            self._draw()

    # ---- window and cursor

    def action_step(self, by: int) -> None:
        """Moves the cursor to the next or previous evaluation."""
        self.view.step(by)
        self._moved()

    def action_first(self) -> None:
        """Moves the cursor to the first evaluation."""
        self.view.point_near(-math.inf)
        self._moved()

    def action_last(self) -> None:
        """Makes the cursor follow the last evaluation."""
        self.view.point(None)
        self._moved()

    def action_zoom(self, closer: bool) -> None:
        """Zooms around the cursor, or else the middle."""
        self.view.zoom(closer)
        self._moved()

    def action_all(self) -> None:
        """Shows everything, and removes the cursor."""
        self.view.reset()
        self._moved()

    def _moved(self) -> None:
        self._draw()
        self.post_message(self.Moved(self))

    # ---- the mouse

    def on_plot_wheel(self, event: Plot.Wheel) -> None:
        """Zooms around the mouse."""
        event.stop()
        self.view.zoom(event.closer, event.x)
        self._moved()

    def on_plot_over(self, event: Plot.Over) -> None:
        """Moves the cursor to the mouse."""
        event.stop()
        before = self.view.cursor
        self.view.point_near(event.x)
        if self.view.cursor != before:
            self._moved()

    def on_plot_dragged(self, event: Plot.Dragged) -> None:
        """Moves the window."""
        event.stop()
        self.view.shift(-event.by)
        self._moved()

    def on_canvas_resize(self, event: Plot.Resize) -> None:
        """Redraws the plot in its new size."""
        event.stop()
        self._draw()

    def notify_style_update(self) -> None:
        """Redraws the plot in the colours of a new theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._draw()

    # ---- drawing

    def _style(self, name: object) -> str:
        return str(self.get_component_rich_style(f"curves--{name}", partial=True))

    def _colour(self, series: Series) -> str:
        return self._style(series.style % N_COLOURS)

    def _faint(self, series: Series) -> str:
        """Returns the colour of a band: its line's, blended with the background."""
        colour = self.get_component_styles(f"curves--{series.style % N_COLOURS}").color
        return str(self.background_colors[1].blend(colour, FAINT).rich_color.name)

    def _draw(self) -> None:
        if not self.is_mounted or not self.size:  # the plot's first resize will draw
            return
        self._read()
        plot = self.query_one(Plot)
        area = plot.area
        if not area:
            plot.reset()
            return
        left, right = self.view.shown
        bottom, top = value_range(self.series, left, right, self.log_scale, self.bounds)
        window = Window(left, right, bottom, top, 2 * area.width, 4 * area.height, self.log_scale)
        with plot.batch_refresh():  # else each dot requests a refresh
            self._draw_plot(plot, window)
        self.query_one(".head", Static).update(self._head(window), layout=False)
        self._names(window)

    def _draw_plot(self, plot: Plot, window: Window) -> None:
        cursor = self.view.cursor
        plot.begin(window)
        for series in reversed(self.series):  # the first curve's band is on top
            plot.dots(self._band(window, series), self._faint(series))
        for mark in self.marks:
            plot.upright(mark.x, "┊", self._style("mark"))
        if cursor is not None:
            plot.upright(cursor, "│", self._style("cursor"))
        for series in self.series:
            x, y = window.column(series.x), window.row(series.values)
            dots = line_dots(x, y, KINDS[series.style % len(KINDS)][1])
            plot.dots(dots, self._colour(series))
        if cursor is not None:
            for series in self.series:
                found = series.at(cursor)
                if found is not None:
                    plot.point(cursor, found[0], "●", self._colour(series))

    def _band(self, window: Window, series: Series) -> Dots:
        if series.low is None or series.high is None:
            return np.empty((0, 2), np.int64)
        low, high = (np.clip(bound, *self.bounds) for bound in (series.low, series.high))
        if window.log:  # clip what has no logarithm to the bottom
            low = np.where(low <= 0, 10.0**window.bottom, low)
        x = window.column(series.x)
        return band_dots(x, window.row(low), window.row(high), window.height)

    def _head(self, window: Window) -> Text:
        """Returns the title, and the texts of the marks above their positions."""
        title = f"{self.title}, log" if self.log_scale else self.title
        line = [*fit(f" {title}", max(len(title) + 2, self.size.width))]
        for mark in sorted(self.marks, key=lambda mark: mark.x):
            if window.left <= mark.x <= window.right:
                column = int(window.column(np.array([mark.x]))[0]) // 2
                at = MARGIN_LEFT + 1 + column - len(mark.text) // 2
                at = max(len(title) + 3, min(at, len(line) - len(mark.text)))
                line[at : at + len(mark.text)] = mark.text
        text = Text("".join(line), style=self._style("mark"), no_wrap=True)
        text.stylize("bold", 0, len(title) + 1)
        return text

    def _names(self, window: Window) -> None:
        """Shows each name at the height of its curve's end."""
        names = self.query_one(".names", Static)
        height = window.height // 4
        ends = []
        for series in self.series:
            seen = np.flatnonzero(
                np.isfinite(window.row(series.values)) & (series.x <= window.right)
            )
            row = window.row(series.values[seen[-1:]])[0] / 4 if seen.size else height - 1
            ends.append((min(height - 1.0, max(0.0, row)), series))
        ends = ends[:height]
        width = min(MAX_NAME, max((len(s.name) for _, s in ends), default=0))
        lines = [Text()] * height
        rows = spread([row for row, _ in ends], height)
        for row, (_, series) in zip(rows, ends, strict=True):
            lines[row] = Text(fit(series.name, width), style=self._colour(series))
        if names.styles.width != (space := Scalar.from_number(width + 1)):
            names.styles.width = space
        names.update(Text("\n").join([Text(), *lines]), layout=False)

    def _read(self) -> None:
        """Shows the values at the cursor, or else at the last evaluation."""
        reading, x = self.query_one(".reading", Static), self.view.read_at
        if x is None:
            reading.update("no evaluation yet", layout=False)
            return
        parts = [Text(f"{self.unit} {epoch_text(int(x) if x.is_integer() else x)}")]
        for series in self.series:
            found = series.at(x)
            value = MISSING if found is None else f"{found[0]:.{self.decimals}f}"
            if found is not None and math.isfinite(found[1]):
                value += f" ± {found[1]:.{self.decimals}f}"
            sample = KINDS[series.style % len(KINDS)][0]
            parts.append(Text.assemble((sample, self._colour(series)), f" {series.name} {value}"))
        text = _lines_of(parts, self.size.width - 2)  # its padding
        other_height = len(text.split()) != reading.content_size.height
        reading.update(text, layout=other_height)


def _lines_of(parts: Sequence[Text], width: int) -> Text:
    """Joins the parts on as few lines as fit, without breaking any part."""
    lines = [parts[0].copy()]
    for part in parts[1:]:
        if lines[-1].cell_len + len(BETWEEN) + part.cell_len <= width:
            lines[-1].append(BETWEEN).append_text(part)
        else:
            lines.append(part.copy())
    return Text("\n").join(lines)
