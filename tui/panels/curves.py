"""Cost and accuracy over the epochs."""

import math
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import var

from tui.views.run import SeenRun, accuracy_series, cost_series
from tui.widgets.curves import Curves, Mark

MIN_FOR_BOTH = 26  # rows of the panel from which on both are shown


class CurvesPanel(Vertical):
    """One large plot, or both where there is room."""

    DEFAULT_CSS = """
    CurvesPanel { height: 1fr; }
    """

    first = var("cost", init=False)  # the plot that is shown where there is room for one

    def compose(self) -> ComposeResult:
        """Cost above accuracy."""
        yield Curves("cost, nats", bounds=(0.0, math.inf), id="cost")
        yield Curves("accuracy, %", bounds=(0.0, 100.0), decimals=2, id="accuracy")

    def on_resize(self) -> None:
        """Shows both where they fit."""
        self.watch_first()

    def watch_first(self) -> None:
        """Shows the other one, unless both are shown."""
        for curves in self.query(Curves):
            curves.display = self.size.height >= MIN_FOR_BOTH or curves.id == self.first

    def swap(self) -> None:
        """Shows the other one alone, or gives it the keys."""
        self.first = "accuracy" if self.first == "cost" else "cost"
        self.focus_first()

    def focus_first(self) -> None:
        """Gives the keys to the plot that was chosen."""
        self.query_one(f"#{self.first}", Curves).focus()

    def show(self, runs: Sequence[SeenRun], log: bool, marks: Sequence[Mark]) -> None:
        """Draws the means over those of the runs that have begun; a log scale is for costs."""
        runs = [run for run in runs if run.points]
        self.query_one("#cost", Curves).show(cost_series(runs), log, marks)
        self.query_one("#accuracy", Curves).show(accuracy_series(runs), False, marks)

    @on(Curves.Moved)
    def moved(self, event: Curves.Moved) -> None:
        """Shows the same epochs in the other one."""
        event.stop()
        for curves in self.query(Curves):
            if curves is not event.curves:
                curves.follow(event.curves.view)
