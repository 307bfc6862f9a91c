"""A line plot with bands, zoom, a cursor that shows the values, and marks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from jmlp.client.texts import MISSING
from jmlp.training.records import epoch_text
from tui.charts.figure import Figure, Mark, Shown, draw, ink, label_of
from tui.charts.lines import Series, XUnit
from tui.charts.view import View
from tui.framework.texts import FittedText, show_text
from tui.glossary import mentioned
from tui.keys import MOVE
from tui.text import fit, flowed
from tui.widgets.plot import Plot

__all__ = ["Curves", "Mark", "Series", "XUnit"]

SAMPLE = "━━"


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
    DEFAULT_CSS = """
    Curves { layout: vertical; height: 1fr; }
    Curves .head, Curves .reading { height: auto; max-height: 3; padding: 0 1; }
    Curves .head { height: 1; padding: 0; color: $secondary; }
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
        self.emphasis: int | None = None
        self.view = View()

    def compose(self) -> ComposeResult:
        """Yields the title with the marks, the plot, and the values."""
        yield Static(classes="head", markup=False)
        yield Plot()
        yield FittedText(classes="reading", markup=False)

    def show(
        self,
        series: Sequence[Series],
        log: bool = False,
        marks: Sequence[Mark] = (),
        unit: XUnit = "epoch",
        emphasis: int | None = None,
    ) -> None:
        """Draws these curves; window and cursor stay where they are, unless the unit changes.

        Args:
            series: the curves, each with a style and a mark of its own.
            log: whether the scale of the values is logarithmic.
            marks: positions to mark.
            unit: of the x axis.
            emphasis: index of the curve that stands out, and whose values alone are read.
        """
        if unit != self.unit:
            self.unit = unit
            self.view.reset()
        self.series, self.log_scale, self.marks = series, log, marks
        self.emphasis = emphasis
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

    def on_plot_resized(self, event: Plot.Resized) -> None:
        """Redraws the plot in its new size."""
        event.stop()
        self._draw()

    def notify_style_update(self) -> None:
        """Shows the values beside samples in the colours of a new theme."""
        super().notify_style_update()
        if self.is_mounted and self.size:
            self._read()

    # ---- drawing

    @property
    def shown(self) -> Shown:
        """What is drawn apart from the curves."""
        left, right = self.view.shown
        return Shown(
            left,
            right,
            self.log_scale,
            self.bounds,
            tuple(self.marks),
            self.view.cursor,
            self.emphasis,
        )

    def _draw(self) -> None:
        if not self.is_mounted or not self.size:  # the plot's first resize will draw
            return
        self._read()
        plot = self.query_one(Plot)
        figure = draw(self.series, plot.size.width, plot.size.height, self.shown, plot.look)
        plot.show(figure)
        show_text(self.query_one(".head", Static), self._head(figure))

    def _head(self, figure: Figure | None) -> Text:
        """Returns the title, and the texts of the marks above their positions."""
        title = f"{self.title}, log" if self.log_scale else self.title
        if figure is not None and figure.cut:
            title += ", intervals cut at 0"
        line = [*fit(f" {title}", max(len(title) + 2, self.size.width))]
        for mark in sorted(self.marks, key=lambda mark: mark.x):
            if figure is not None and figure.position(figure.column(mark.x), 0) is not None:
                at = figure.column(mark.x) - len(mark.text) // 2
                at = max(len(title) + 3, min(at, len(line) - len(mark.text)))
                line[at : at + len(mark.text)] = mark.text
        text = Text("".join(line), no_wrap=True)
        text.stylize("bold", 0, len(title) + 1)
        return text

    @property
    def _read_at(self) -> float | None:
        """The position whose values are shown: the cursor, or the last of the curve to read."""
        if self.view.cursor is None and self.emphasis is not None:
            series = self.series[self.emphasis]
            known = series.x[np.isfinite(series.values)]
            return float(known[-1]) if known.size else None
        return self.view.read_at

    def _read(self) -> None:
        """Shows the values at the cursor, or else at the last evaluation."""
        reading, x = self.query_one(".reading", Static), self._read_at
        if x is None:
            reading.update("no evaluation yet", layout=False)
            return
        parts = [Text(f"{self.unit} {epoch_text(int(x) if x.is_integer() else x)}")]
        plot, shown = self.query_one(Plot), self.shown
        for index, series in enumerate(self.series):
            if self.emphasis not in (None, index):
                continue
            found = series.at(x)
            value = MISSING if found is None else f"{found[0]:.{self.decimals}f}"
            if found is not None and math.isfinite(found[1]):
                value += f" ± {found[1]:.{self.decimals}f}"
            colour = plot.colour(ink(self.series, index, shown)).rich_color.name
            parts.append(Text.assemble((SAMPLE, colour), f" {label_of(series)} {value}"))
        text = Text("\n").join(flowed(parts, self.size.width - 2))  # its padding
        other_height = len(text.split()) != reading.content_size.height
        reading.update(text, layout=other_height)
