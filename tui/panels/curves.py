"""The cost and accuracy curves."""

import math
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import var

from tui.views.run import SeenRun, accuracy_series, cost_series
from tui.widgets.curves import Curves, Mark, XUnit

MIN_FOR_BOTH = 26  # rows of the panel that both plots need


class CurvesPanel(Vertical):
    """The plots of cost and accuracy, or one of them if there is no room for both."""

    DEFAULT_CSS = """
    CurvesPanel { height: 1fr; }
    """

    first = var("cost", init=False)  # the plot that is shown if only one fits

    def compose(self) -> ComposeResult:
        """Yields the plots, cost above accuracy."""
        yield Curves("cost, nats", bounds=(0.0, math.inf), id="cost")
        yield Curves("accuracy, %", bounds=(0.0, 100.0), decimals=2, id="accuracy")

    def on_resize(self) -> None:
        """Shows both plots if they fit."""
        self.watch_first()

    def watch_first(self) -> None:
        """Shows the first plot, and the other one if it fits."""
        for curves in self.query(Curves):
            curves.display = self.size.height >= MIN_FOR_BOTH or curves.id == self.first

    def swap(self) -> None:
        """Switches to the other plot."""
        self.first = "accuracy" if self.first == "cost" else "cost"
        self.focus_first()

    def focus_first(self) -> None:
        """Focuses the current plot."""
        self.query_one(f"#{self.first}", Curves).focus()

    def show(self, runs: Sequence[SeenRun], log: bool, marks: Sequence[Mark], unit: XUnit) -> None:
        """Draws the means over the runs that have begun; `log` affects only the cost."""
        runs = [run for run in runs if run.points]
        self.query_one("#cost", Curves).show(cost_series(runs, unit), log, marks, unit)
        self.query_one("#accuracy", Curves).show(accuracy_series(runs, unit), False, marks, unit)

    @property
    def shown(self) -> list[Curves]:
        """The plots that are shown."""
        return [curves for curves in self.query(Curves) if curves.display]

    @on(Curves.Moved)
    def moved(self, event: Curves.Moved) -> None:
        """Shows the same part in the other plot."""
        event.stop()
        for curves in self.query(Curves):
            if curves is not event.curves:
                curves.follow(event.curves.view)
