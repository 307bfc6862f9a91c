"""The list of all runs: filter, sort, select; compare, tag, export and delete the selected ones."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import var
from textual.widgets import Input, Static

from jmlp.errors import ConfigError
from tui.copying import Excerpt
from tui.dialogs import Choose
from tui.feed import FeedUpdate
from tui.screens import run_actions
from tui.screens.base import JmlpScreen
from tui.text import count, visible
from tui.views import excerpts
from tui.views.run_filter import HINT, NUMBERS, TEXTS, Filter, parse
from tui.views.runs import BY_KEY, COLUMNS, Order, RunLine, RunsView, ordered, runs_view
from tui.widgets.run_list import RunList

LABELS = {
    "number": "number",
    "run": "id",
    "study": "study",
    "configuration": "configuration",
    "seed": "seed",
    "state": "state",
    "epoch": "epoch",
    "cost": "validation cost",
    "accuracy": "test accuracy",
    "ended": "end time",
    "tags": "tags",
}
NO_RUNS = "There are no runs yet. Start a study (key 1, then n)."
NO_MATCH = "No run matches the filter. Escape clears it."
MAX_COMPARED = 8


class RunsScreen(JmlpScreen[None]):
    """All runs of the store, one per line."""

    breadcrumb = "runs"
    store_query = staticmethod(runs_view)
    CSS = """
    RunsScreen {
        #count { height: 1; padding: 0 1; color: $secondary; }
        #find { display: none; height: 1; padding: 0 1; background: $surface; }
        #find Static { width: 2; color: $accent; }
        #filter { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
        #hint { display: none; height: auto; max-height: 4; padding: 0 1; color: $secondary; }
        #hint { background: $surface; }
        #hint.wrong { color: $warning; }
        #nothing { display: none; height: 1fr; padding: 1 3; color: $secondary; }
        #about { height: 1; padding: 0 1; background: $surface; }
        #count, #about { text-wrap: nowrap; text-overflow: ellipsis; }
        &.finding #find { display: block; }
        &.finding #hint { display: block; }
        &.nothing #nothing { display: block; }
        &.nothing #runs { display: none; }
        &.narrow #about { height: 2; text-wrap: wrap; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "select", "Select", tooltip="Select or deselect the run"),
        Binding("slash", "find", "Filter", key_display="/", tooltip="Show only matching runs"),
        Binding("o", "sort", "Sort", tooltip="Choose the order; the same again reverses it"),
        Binding("X", "select_all", "All", show=False, tooltip="Select all runs shown, or none"),
        Binding("c", "compare", "Compare", tooltip="Compare the selected runs"),
        Binding("g", "tag", "Tag", tooltip="Tag the selected runs"),
        Binding("w", "export", "Export", tooltip="Export the selected runs to files"),
        Binding("delete", "delete", "Delete", tooltip="Delete the selected runs for good"),
        Binding("escape", "clear_filter", "All runs", tooltip="Clear the filter"),
        Binding("down", "to_list", "To the list", show=False),
    ]

    view = var(RunsView(), init=False, always_update=True)
    order = var(Order(), init=False)
    filter = var(Filter(), init=False)
    selected: var[frozenset[str]] = var(frozenset(), init=False)
    shown: Sequence[RunLine] = ()

    def compose_body(self) -> ComposeResult:
        """Yields a summary, the filter, the list, and a line about the run at the cursor."""
        yield Static(id="count", markup=False)
        with Horizontal(id="find"):
            yield Static("/", markup=False)
            yield Input(id="filter", max_length=1000, select_on_focus=False)
        yield Static(HINT, id="hint", markup=False)
        yield RunList(id="runs")
        yield Static(id="nothing", markup=False)
        yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        """Restores the order, and focuses the list."""
        kept = self.app.settings.choices
        if kept.runs_by in BY_KEY:
            self.set_reactive(RunsScreen.order, Order(kept.runs_by, kept.runs_descending))
        self.query_one(RunList).focus()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Shows the current runs."""
        self.store_error = ""
        self.selected &= {line.run_id for line in event.value.lines}
        self.view = event.value

    @property
    def terms(self) -> list[str]:
        """What can be filtered by."""
        return ["filter", *TEXTS, *NUMBERS]

    @on(RunList.Highlighted)
    def highlighted(self, event: RunList.Highlighted[RunLine]) -> None:
        """Shows everything about the run at the cursor, including what the columns leave out."""
        self.query_one("#about", Static).update(event.line.about if event.line else "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers to clear the filter only while it is shown."""
        del parameters
        return action != "clear_filter" or self.has_class("finding")

    def draw(self) -> None:
        """Shows the matching runs in the current order."""
        matching = [line for line in self.view.lines if self.filter.matches(line)]
        self.shown = ordered(matching, self.order)
        self.query_one(RunList).show(self.shown, self.selected, self.order, self.view.widths)
        self.set_class(not self.shown, "nothing")
        if not self.shown:
            text = NO_MATCH if self.view.lines else NO_RUNS
            self.query_one("#nothing", Static).update(text)
        self.query_one("#count", Static).update(self._summary())

    watch_view = watch_order = watch_filter = watch_selected = draw

    def _summary(self) -> str:
        n_all, n_shown = len(self.view.lines), len(self.shown)
        of = "" if n_shown == n_all else f"{n_shown:,} of "
        parts = [f"{of}{count(n_all, 'run')}"]
        if self.selected:
            hidden = len(self.selected) - self._n_selected_shown
            more = f", {hidden:,} of them not shown" if hidden else ""
            parts.append(f"{len(self.selected):,} selected{more}")
        parts.append(f"by {LABELS[self.order.key]} {self.order.sign}")
        studies = {line.studies for line in self.view.lines}
        if len(studies) == 1:  # the list then has no column for it
            parts += next(iter(studies))
        return visible(" · ".join(parts))

    @property
    def _n_selected_shown(self) -> int:
        return sum(line.run_id in self.selected for line in self.shown)

    # ---- filter and order

    def action_find(self) -> None:
        """Shows and focuses the filter."""
        self.add_class("finding")
        self.refresh_bindings()
        self.query_one(Input).focus()

    def action_clear_filter(self) -> None:
        """Clears and hides the filter."""
        self.remove_class("finding")
        self.refresh_bindings()
        self.query_one(Input).value = ""
        self._filter_by("")
        self.query_one(RunList).focus()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Filters while the user types."""
        self._filter_by(event.value)

    @on(Input.Submitted)
    def action_to_list(self) -> None:
        """Moves from the filter to the list."""
        self.query_one(RunList).focus()

    def _filter_by(self, text: str) -> None:
        line = self.query_one("#hint", Static)
        try:
            made = parse(text)
        except ConfigError as error:
            line.update(str(error))
            line.add_class("wrong")
            return
        line.update(HINT)
        line.remove_class("wrong")
        if made.text != self.filter.text:
            self.filter = made

    def action_sort(self) -> None:
        """Asks for an order."""
        options = [
            (c.key, LABELS[c.key] + (f"  {self.order.sign}" if c.key == self.order.key else ""))
            for c in COLUMNS
        ]
        self.app.push_screen(Choose("Sort by (the same again: reverse)", options), self._sort)

    @on(RunList.HeadClicked)
    def head_clicked(self, event: RunList.HeadClicked) -> None:
        """Sorts by the clicked column, or reverses the order."""
        self._sort(event.key)

    def _sort(self, key: str | None) -> None:
        if key is not None:
            self.order = self.order.by(key)
            self.app.settings.keep(runs_by=self.order.key, runs_descending=self.order.descending)

    # ---- selection

    def action_select(self) -> None:
        """Selects or deselects the run at the cursor, and moves to the next one."""
        runs = self.query_one(RunList)
        if self.shown and (line := runs.at_cursor) is not None:
            self.selected ^= {line.run_id}
            runs.action_move(1)

    @on(RunList.Marked)
    def marked(self, event: RunList.Marked) -> None:
        """Selects or deselects the clicked run."""
        self.selected ^= {event.line.run_id}

    def action_select_all(self) -> None:
        """Selects all runs shown, or deselects them if all are selected."""
        shown = {line.run_id for line in self.shown}
        if shown <= self.selected:
            self.selected -= shown
        else:
            self.selected |= shown

    def _chosen(self) -> list[RunLine]:
        """Returns the selected runs in order of submission, or else the one at the cursor."""
        if self.selected:
            return [line for line in self.view.lines if line.run_id in self.selected]
        line = self.query_one(RunList).at_cursor if self.shown else None
        return [] if line is None else [line]

    # ---- actions

    def excerpt(self) -> Excerpt | None:
        """Returns the runs that are shown."""
        at_cursor = self.query_one(RunList).at_cursor
        return excerpts.runs(self.shown, at_cursor) if self.shown else None

    def replayed(self) -> tuple[str, str] | None:
        """Returns the run at the cursor."""
        line = self.query_one(RunList).at_cursor if self.shown else None
        return None if line is None else (line.run_id, line.short_id)

    @on(RunList.Opened)
    def opened(self, event: RunList.Opened[RunLine]) -> None:
        """Opens a run."""
        from tui.screens.run import RunScreen

        line = event.line
        study = line.studies[0] if line.studies else line.short_id
        self.app.push_screen(RunScreen([line.run_id], f"{study} › {line.title}"))

    def action_compare(self) -> None:
        """Compares the selected runs."""
        from tui.screens.compare import CompareScreen

        n = len(self.selected)
        if n < 2:
            self.app.toast("select two or more runs (x), then compare them")
        elif n > MAX_COMPARED:
            self.app.toast(f"at most {MAX_COMPARED} runs can be compared, and {n:,} are selected")
        else:
            self.app.push_screen(CompareScreen([line.run_id for line in self._chosen()]))

    def action_tag(self) -> None:
        """Tags the selected runs."""
        run_actions.tag(self.app, self._chosen())

    def action_export(self) -> None:
        """Exports the selected runs."""
        run_actions.export(self.app, self._chosen())

    def action_delete(self) -> None:
        """Deletes the selected runs."""
        n_hidden = len(self.selected) - self._n_selected_shown
        run_actions.delete(self.app, self._chosen(), n_hidden)
