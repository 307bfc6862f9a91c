"""The curves of cost and accuracy: of one configuration's runs, or of all configurations."""

import math
from collections.abc import Sequence

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import var

from tui.charts.lines import Series, letter
from tui.charts.sparkline import Point
from tui.text import abbreviated
from tui.views.run import SeenRun, accuracy_series, cost_series
from tui.views.study import ConfigurationLine
from tui.widgets.curves import Curves, Mark, XUnit

# Rows of the panel that two plots need above each other, and columns that they need side by side.
MIN_STACKED, MIN_BESIDE = 26, 90
LONGEST_NAME = 20  # of a configuration at its curve, beyond which only the values are shown


class CurvesPanel(Vertical):
    """A plot of cost and one of accuracy: above each other, side by side, or one of them."""

    DEFAULT_CSS = """
    CurvesPanel { height: 1fr; }
    CurvesPanel Curves { width: 1fr; }
    """

    first = var("cost", init=False)  # the plot that is shown if only one fits

    def __init__(
        self, cost: str = "cost, nats", accuracy: str = "accuracy, %", *, id: str | None = None
    ) -> None:
        """Initialises empty plots.

        Args:
            cost: the title of the plot of costs.
            accuracy: the title of the other one.
            id: the panel's id.
        """
        super().__init__(id=id)
        self.cost = Curves(cost, bounds=(0.0, math.inf), id="cost")
        self.accuracy = Curves(accuracy, bounds=(0.0, 100.0), decimals=2, id="accuracy")

    def compose(self) -> ComposeResult:
        """Yields the plots, cost first."""
        yield self.cost
        yield self.accuracy

    def on_resize(self) -> None:
        """Shows both plots if they fit."""
        self.watch_first()

    def watch_first(self) -> None:
        """Shows the first plot, and the other one if it fits."""
        stacked = self.size.height >= MIN_STACKED
        beside = not stacked and self.size.width >= MIN_BESIDE
        # Not a class, for which all styles within the panel would be computed again.
        self.styles.layout = "horizontal" if beside else "vertical"
        for curves in (self.cost, self.accuracy):
            curves.display = stacked or beside or curves.id == self.first

    def swap(self) -> None:
        """Switches to the other plot."""
        self.first = "accuracy" if self.first == "cost" else "cost"

    def focus_first(self) -> None:
        """Focuses the current plot."""
        (self.cost if self.first == "cost" else self.accuracy).focus()

    @property
    def shown(self) -> list[Curves]:
        """The plots that are shown."""
        return [curves for curves in self.query(Curves) if curves.display]

    @on(Curves.Moved)
    def moved(self, event: Curves.Moved) -> None:
        """Shows the same part in the other plot."""
        event.stop()
        for curves in (self.cost, self.accuracy):
            if curves is not event.curves:
                curves.follow(event.curves.view)

    def show_runs(
        self, runs: Sequence[SeenRun], log: bool, marks: Sequence[Mark], unit: XUnit
    ) -> None:
        """Draws the means over the runs that have begun; `log` affects only the cost."""
        runs = [run for run in runs if run.points]
        self.cost.show(cost_series(runs, unit), log, marks, unit)
        self.accuracy.show(accuracy_series(runs, unit), False, marks, unit)

    def show_configurations(
        self, lines: Sequence[ConfigurationLine], current: str, log: bool
    ) -> None:
        """Draws the medians of configurations over each other.

        Args:
            lines: the configurations of one experiment.
            current: the label of the one that stands out.
            log: whether the scale of the cost is logarithmic.
        """
        begun = (i for i, line in enumerate(lines) if line.label == current and line.curve)
        emphasis = next(begun, None)
        costs = [_series(i, line, line.curve, 1.0) for i, line in enumerate(lines)]
        self.cost.show(costs, log, emphasis=emphasis)
        accuracies = [_series(i, line, line.accuracy_curve, 100.0) for i, line in enumerate(lines)]
        self.accuracy.show(accuracies, emphasis=emphasis)


def _series(index: int, line: ConfigurationLine, curve: Sequence[Point], factor: float) -> Series:
    """Returns a configuration's curve; its letter and its colour are those of its list."""
    points = np.array(curve, np.float64).reshape(-1, 2)
    x, values = points[:, 0], factor * points[:, 1]
    name = abbreviated(line.label, LONGEST_NAME)
    return Series(name, x, values, None, None, index, letter(index))
