"""The screen that compares a few runs: their curves, and what they differ in."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.widgets import DataTable, Static

from jmlp.client.differences import numbers_text, same_numbers
from jmlp.results.drawing import Drawing
from tui.copying import Excerpt, panel_of
from tui.feed import FeedUpdate
from tui.framework.selection import SelectableTable
from tui.framework.tables import show_rows
from tui.screens.base import JmlpScreen
from tui.text import cell, count, fit, visible
from tui.views import excerpts
from tui.views.comparison import (
    QUANTITIES,
    ComparedRun,
    CompareQuery,
    Comparison,
    Quantity,
    Table,
)
from tui.views.run import x_of
from tui.widgets.curves import Curves, Series, XUnit

MAX_TEXT = 24  # columns of the terminal for a value
SAME = "The runs do not differ."


class CompareScreen(JmlpScreen[None]):
    """A comparison of runs, whether they are in training or have ended."""

    CSS = """
    CompareScreen {
        #curves { height: 3fr; }
        #said { height: auto; max-height: 2; padding: 0 1; background: $surface; }
        #differences { height: 2fr; }
        #differences > .datatable--fixed { background: $background; }
        &.short #curves { height: 1fr; }
        &.short #differences { height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "quantity", "Cost/accuracy", tooltip="Switch between costs and accuracies"),
        Binding("y", "toggle('log_scale')", "Log", tooltip="Logarithmic scale of the cost"),
        Binding(
            "x", "toggle('by_updates')", "Updates", show=False, tooltip="Against epochs or updates"
        ),
        Binding(
            "a", "toggle('shows_all')", "All rows", tooltip="All rows, or only those that differ"
        ),
        Binding("escape", "back", "Back", tooltip="Back to the runs"),
    ]

    quantity: var[Quantity] = var(QUANTITIES[0], init=False, bindings=True)
    log_scale = var(False, init=False)
    by_updates = var(False, init=False)
    shows_all = var(False, init=False)

    def __init__(self, run_ids: Sequence[str]) -> None:
        """Initialises the screen.

        Args:
            run_ids: the ids of two to eight runs.
        """
        super().__init__()
        self.run_ids = tuple(run_ids)
        self.store_query = CompareQuery(self.run_ids)
        self.breadcrumb = f"runs › {count(len(run_ids), 'run')} compared"
        self.comparison: Comparison | None = None
        self._compared: list[tuple[str, int]] = []  # ids and attempts whose numbers were compared
        self._numbers = ""  # the sentence with the result

    def compose_body(self) -> ComposeResult:
        """Yields the curves, a sentence and the table."""
        yield Curves(self.quantity.title, bounds=(0.0, math.inf), id="curves")
        yield Static(id="said", markup=False)
        yield SelectableTable(cursor_type="none", fixed_columns=1, id="differences")

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Draws the new comparison."""
        self.store_error = ""
        if event.value is None or event.value == self.comparison:
            return
        self.comparison = event.value
        self._compare_numbers()
        self.draw()

    @property
    def terms(self) -> list[str]:
        """The rows of the table."""
        shown = self._table_shown()
        return [name for names in shown.values() for name in names]

    def _compare_numbers(self) -> None:
        """Compares all numbers once all runs have ended, in a thread since that reads files."""
        assert self.comparison is not None
        runs = [(run.run_id, run.attempt) for run in self.comparison.runs]
        if not self.comparison.have_ended:
            self._compared, self._numbers = [], ""
        elif runs != self._compared:
            self._compared = runs
            folder = self.app.folder
            self.app.perform(
                "compare numbers",
                lambda: same_numbers(folder, self.run_ids),
                lambda same: self._show_numbers(runs, same),
            )

    def _show_numbers(self, compared: "list[tuple[str, int]]", same: bool | None) -> None:
        if self.is_there and compared == self._compared:
            self._numbers = numbers_text(same)
            self._show_sentence()

    # ---- drawing

    def draw(self) -> None:
        """Draws the curves, the sentence and the table."""
        if self.comparison is None:
            return
        curves = self.query_one(Curves)
        curves.title, curves.bounds = self.quantity.title, (0.0, self.quantity.most)
        log = self.log_scale and self.quantity.is_cost
        unit: XUnit = "update" if self.by_updates else "epoch"
        series = [self._series(i, run, unit) for i, run in enumerate(self.comparison.runs)]
        curves.show(series, log, unit=unit)
        self._show_sentence()
        self._show_table(self.comparison)

    watch_quantity = draw

    def on_mount(self) -> None:
        """Restores the axes and rows."""
        kept = self.app.settings.choices
        self.set_reactive(CompareScreen.log_scale, kept.curves_log)
        self.set_reactive(CompareScreen.by_updates, kept.curves_by_updates)
        self.set_reactive(CompareScreen.shows_all, kept.compare_all_rows)

    def _redraw(self) -> None:
        """Draws with the axes and rows that were chosen, and keeps the choice."""
        self.app.settings.keep(
            curves_log=self.log_scale,
            curves_by_updates=self.by_updates,
            compare_all_rows=self.shows_all,
        )
        self.draw()

    watch_log_scale = watch_by_updates = watch_shows_all = _redraw

    def _series(self, index: int, run: ComparedRun, unit: XUnit) -> Series:
        x = np.array([x_of(p, unit) for p in run.points], np.float64)
        values = np.array([self.quantity.value(p) for p in run.points], np.float64)
        return Series(run.letter, x, values, None, None, index, run.letter)

    def _show_sentence(self) -> None:
        if self.comparison is not None:
            text = f"{self.comparison.first_difference} {self._numbers}"
            if not self.comparison.differing:
                text = f"{SAME} {text}"
            for sentence in self.query("#said").results(Static):  # none once the screen is closed
                sentence.update(text)

    def _show_table(self, comparison: Comparison) -> None:
        table: DataTable[Text] = self.query_one("#differences", DataTable)
        if not table.columns:
            table.add_column(cell(""), key="name")
            for run in comparison.runs:
                title = cell(f"{run.letter} {run.short_id}", "right")
                table.add_column(title, key=run.letter)
        rows = {}
        for section, names in self._table_shown().items():
            rows[section] = [cell(section, style="bold"), *(cell("") for _ in comparison.runs)]
            for name, texts in names.items():
                values = (cell(_cut(text), "right") for text in texts)
                rows[f"{section}/{name}"] = [cell(f"  {name}"), *values]
        show_rows(table, rows)

    def _table_shown(self) -> Table:
        if self.comparison is None:
            return {}
        return self.comparison.everything if self.shows_all else self.comparison.differing

    def excerpt(self) -> Excerpt | None:
        """Returns the rows of the table that are shown."""
        if self.comparison is None:
            return None
        return excerpts.comparison(self.comparison, self.shows_all)

    def drawing(self) -> Drawing | None:
        """Returns the curves."""
        if self.comparison is None:
            return None
        panel = panel_of(self.query_one(Curves))
        names = {run.letter: f"{run.letter} {run.short_id}" for run in self.comparison.runs}
        lines = tuple(replace(line, name=names[line.name]) for line in panel.lines)
        return Drawing(self.breadcrumb, (replace(panel, lines=lines),))

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers the logarithmic scale only for costs."""
        del action
        return parameters != ("log_scale",) or self.quantity.is_cost

    def action_quantity(self) -> None:
        """Shows the next quantity."""
        at = QUANTITIES.index(self.quantity)
        self.quantity = QUANTITIES[(at + 1) % len(QUANTITIES)]

    def action_back(self) -> None:
        """Returns to the runs."""
        self.dismiss()


def _cut(text: str) -> str:
    text = visible(text)
    return fit(text, MAX_TEXT) if len(text) > MAX_TEXT else text
