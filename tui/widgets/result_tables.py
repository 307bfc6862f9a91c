"""The result tables of a study, one experiment at a time; they fill as runs end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Static

from tui.copying import Excerpt, result_table
from tui.dialogs import Choose, TextDialog
from tui.text import visible
from tui.views.result_rows import Sort, next_sort
from tui.views.results import marked, page, sentences
from tui.widgets.result_grid import PageTurned, ResultGrid

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable

NOTHING = "There are no results yet. They appear here as runs end."
MIN_GRID = 6  # lines of a table, including its header
MIN_TEXT = 5  # lines for the experiments, a blank line, claims and notes


class ExperimentName(Static):
    """The name of an experiment; a click shows its table."""

    DEFAULT_CSS = """
    ExperimentName {
        width: auto;
        height: 1;
        margin-right: 2;
        color: $secondary;
        &.current { color: $foreground; text-style: bold; }
    }
    """

    @dataclass
    class Picked(Message):
        """The name was clicked."""

        index: int

    def __init__(self, index: int) -> None:
        super().__init__(markup=False)
        self.index = index

    def draw(self, table: "ExperimentTable", current: bool) -> None:
        """Shows the name, how many of its runs have ended, and a mark if it is the current one."""
        mark = "▸" if current else " "
        self.update(f"{mark}{visible(table.name)} {table.n_ended}/{table.n_runs}")
        self.set_class(current, "current")

    def on_click(self) -> None:
        """Posts `Picked`."""
        self.post_message(self.Picked(self.index))


class ExperimentView(Widget):
    """One experiment's table, above its claims and notes."""

    DEFAULT_CSS = """
    ExperimentView {
        height: 1fr;
        & > VerticalScroll { height: 1fr; margin-top: 1; scrollbar-size-vertical: 1; }
        & > VerticalScroll > Static { padding: 0 1; }
    }
    """

    def __init__(self, table: "ExperimentTable") -> None:
        super().__init__()
        self.table = table
        self.sort: Sort | None = None
        self.at = ""  # a column on the current page
        self.page = page(table, 80)
        self._grid = ResultGrid()
        self._notes = Static(markup=False)

    def compose(self) -> ComposeResult:
        """Yields the table and the texts, which scroll."""
        yield self._grid
        with VerticalScroll(can_focus=False):
            yield self._notes

    def draw(self, width: int, height: int) -> None:
        """Draws the table and the texts.

        Args:
            width: the width of `ResultTables`.
            height: the height of `ResultTables`.
        """
        self._grid.styles.max_height = max(MIN_GRID, height - MIN_TEXT)
        self.page = page(self.table, width - 1, self.sort, self.at)  # 1 for the scrollbar
        if self.sort and self.sort.title not in self.page.aligns:
            self.sort = None  # the columns of a grid have changed
        self._grid.draw(self.page)
        lines = sentences(self.table, width - 3)
        texts = [Text(line, style="bold" if heading else "") for line, heading in lines]
        self._notes.update(Text("\n").join(texts))

    def focus(self, scroll_visible: bool = True) -> "ExperimentView":
        """Focuses the table."""
        self._grid.focus(scroll_visible)
        return self

    @property
    def label_at_cursor(self) -> str:
        """The configuration under the cursor, or an empty string."""
        return self._grid.label_at_cursor

    @property
    def columns_text(self) -> str:
        """The sort order and the number of the page."""
        n = len(self.page.firsts)
        parts = [f"columns {self.page.number + 1}/{n}"] if n > 1 else []
        if self.sort is not None:
            parts.insert(0, f"by {marked(self.sort.title, self.sort)}")
        return " · ".join(parts)


class ResultTables(Widget, can_focus=True):
    """All experiments of a study, one at a time."""

    DEFAULT_CSS = """
    ResultTables {
        height: 1fr;
        & > .line { height: 1; }
        & > .line > .names { width: 1fr; height: 1; overflow: hidden hidden; }
        & > .line > .columns { width: auto; height: 1; padding: 0 1; color: $secondary; }
        & > .nothing { padding: 1 2; color: $secondary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "experiment", "Experiment", tooltip="Show the next experiment's table"),
        Binding("g", "turn(1)", "Columns", tooltip="Show the next columns; so do left and right"),
        Binding("o", "sort", "Sort", tooltip="Choose the column to sort by"),
        Binding("c", "claims", "Claims", tooltip="Read the claims and notes"),
    ]

    @dataclass
    class Chosen(Message):
        """The user wants to see the runs of a configuration."""

        experiment: str
        label: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tables: tuple[ExperimentTable, ...] = ()
        self._views: list[ExperimentView] = []
        self._names: list[ExperimentName] = []
        self._current = 0
        self._columns = Static(markup=False, classes="columns")

    def compose(self) -> ComposeResult:
        """Yields the line of experiments; the tables are mounted with the first results."""
        with Horizontal(classes="line"):
            yield Horizontal(classes="names")
            yield self._columns
        yield Static(NOTHING, markup=False, classes="nothing")

    def on_mount(self) -> None:
        """Shows the tables that were set before."""
        self._build()

    # ---- what is shown

    def show(self, tables: "Sequence[ExperimentTable]") -> None:
        """Shows these tables; experiment, columns, order, cursor and scroll position stay."""
        new = tuple(tables)
        if new == self._tables:
            return
        old, self._tables = self._tables, new
        if not self.is_mounted:
            return
        if [table.name for table in old] != [table.name for table in new]:
            self._build()
            return
        for view, before, table in zip(self._views, old, new, strict=True):
            if before != table:
                view.table = table
                view.draw(*self._space)
        self._draw_names()

    def _build(self) -> None:
        """Replaces the views when the experiments have changed."""
        had_focus = self.has_focus or self.has_focus_within
        for widget in (*self._views, *self._names):
            widget.remove()
        self._current = 0
        self._views = [ExperimentView(table) for table in self._tables]
        self._names = [ExperimentName(index) for index in range(len(self._tables))]
        self.query_one(".nothing").display = not self._tables
        self.query_one(".line").display = bool(self._tables)
        self.query_one(".names").mount_all(self._names)
        self.mount_all(self._views)
        for view in self._views:
            view.draw(*self._space)
        self._draw_names()
        if had_focus:
            self.focus()

    @property
    def _space(self) -> tuple[int, int]:
        return self.size if self.size.area else (80, 24)  # before the first layout

    def _draw_names(self) -> None:
        """Draws the line of experiments."""
        for index, table in enumerate(self._tables):
            current = index == self._current
            self._names[index].draw(table, current)
            self._views[index].display = current
        view = self._view
        self._columns.update(view.columns_text if view else "")
        self.refresh_bindings()

    @property
    def at_cursor(self) -> tuple[str, str] | None:
        """The experiment and the configuration of the row at the cursor."""
        view = self._view
        return None if view is None else (view.table.name, view.label_at_cursor)

    @property
    def _view(self) -> ExperimentView | None:
        return self._views[self._current] if self._views else None

    def focus(self, scroll_visible: bool = True) -> "ResultTables":
        """Focuses the current table."""
        if view := self._view:
            view.focus(scroll_visible)
        else:
            super().focus(scroll_visible)
        return self

    def on_focus(self) -> None:
        """Focuses the table, after a click beside it."""
        if view := self._view:
            view.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Shows as many columns as fit now."""
        for view in self._views:
            view.draw(*event.size)
        self._draw_names()

    def excerpt(self) -> Excerpt | None:
        """Returns the current table in its order, to be copied; None if there are no results."""
        view = self._view
        return None if view is None else result_table(view.table, view.label_at_cursor, view.sort)

    # ---- keys and the mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides keys that would do nothing now."""
        del parameters
        if action == "experiment":
            return len(self._views) > 1
        view = self._view
        if action == "turn":
            return view is not None and len(view.page.firsts) > 1
        return view is not None or action not in ("sort", "claims")

    def action_experiment(self) -> None:
        """Shows the next experiment."""
        self._pick((self._current + 1) % len(self._views))

    @on(ExperimentName.Picked)
    def picked(self, event: ExperimentName.Picked) -> None:
        """Shows the experiment that was clicked."""
        self._pick(event.index)

    def _pick(self, index: int) -> None:
        self._current = index
        self._draw_names()
        self._names[index].scroll_visible(animate=False)
        self.focus()

    @on(PageTurned)
    def turn_page(self, event: PageTurned) -> None:
        """Shows other columns on left and right."""
        self.action_turn(event.by)

    def action_turn(self, by: int) -> None:
        """Shows the next or previous columns."""
        view = self._view
        if view is not None and view.page.firsts:
            firsts = view.page.firsts
            view.at = firsts[(view.page.number + by) % len(firsts)]
            self._redraw(view)

    def action_sort(self) -> None:
        """Asks for a column to sort by."""
        if view := self._view:
            options = [(title, marked(title, view.sort)) for title in view.page.aligns]
            question = "Sort by (again: reverse, then the plan's order)"
            self.app.push_screen(Choose(question, options), self._sort_by)

    @on(DataTable.HeaderSelected)
    def header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sorts by the column whose title was clicked."""
        event.stop()
        self._sort_by(event.column_key.value)

    def _sort_by(self, title: str | None) -> None:
        view = self._view
        if title is None or view is None or title not in view.page.aligns:
            return  # the columns may have changed while the question was open
        view.sort = next_sort(view.sort, title, view.page.aligns[title])
        self._redraw(view)

    def _redraw(self, view: ExperimentView) -> None:
        view.draw(*self._space)
        self._draw_names()

    def action_claims(self) -> None:
        """Shows all claims and notes in a dialog."""
        if view := self._view:
            width = max(20, self.app.size.width * 9 // 10 - 8)
            text = "\n".join(line for line, _ in sentences(view.table, width))
            self.app.push_screen(TextDialog(visible(view.table.title), text))

    @on(DataTable.RowSelected)
    def row_selected(self, event: DataTable.RowSelected) -> None:
        """Opens a configuration on enter or a second click."""
        event.stop()
        label = event.row_key.value
        if label is not None:
            self.post_message(self.Chosen(self._tables[self._current].name, label))
