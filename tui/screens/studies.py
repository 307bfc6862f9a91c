"""The first screen: all studies in the store, or how to start if there are none."""

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from tui.copying import Excerpt, Heading, integer, number, plain, sheet
from tui.feed import FeedUpdate, StoreView
from tui.framework.tables import Table, show_rows
from tui.screens.base import JmlpScreen
from tui.text import cell, duration, fit, visible
from tui.views.study import study_state

MIN_LABEL = 14
OTHER_COLUMNS = 46  # their maximum width

WELCOME = """\
Train small neural networks with many seeds,
and see how certain a result is.

  o   The original study, on MNIST, with five seeds:
      which batch size, which drop rate, batch norm or not?

  d   A demo of 20 seconds, on digits drawn by jmlp.

  n   Another study, or your own study file.

Training runs in a process of its own: it continues
when the app is closed, and nothing is lost."""


@dataclass(frozen=True)
class StudyLine:
    """A study in the list."""

    label: str
    state: str
    done: int
    n_runs: int
    remaining: float | None  # seconds
    submitted_at: int


def study_lines(view: StoreView) -> tuple[StudyLine, ...]:
    """Queries all studies in the store, the newest first."""
    if view.store is None:
        return ()
    lines = []
    for row in reversed(view.store.studies()):
        done, n_runs = view.store.counts(row.label)
        held = view.owner is not None and view.owner.study == row.label
        state = study_state(row, held)
        remaining = row.progress.remaining if state == "running" else None
        lines.append(StudyLine(row.label, state, done, n_runs, remaining, row.submitted_at))
    return tuple(lines)


def _cells(line: StudyLine, room: int) -> list[Text]:
    left = duration(line.remaining) if line.remaining is not None else ""
    return [
        cell(fit(line.label, min(room, cell_len(visible(line.label))))),
        cell(line.state),
        cell(f"{line.done}/{line.n_runs}", "right"),
        cell(left, "right"),
    ]


class StudiesScreen(JmlpScreen[None]):
    """All studies in the store, one per line."""

    breadcrumb = "studies"
    store_query = staticmethod(study_lines)
    lines: tuple[StudyLine, ...] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New study", tooltip="Choose a study, change it, start it"),
        Binding("o", "start('original')", "Original", tooltip="Start the original study"),
        Binding("d", "start('demo')", "Demo", tooltip="Start a demo of 20 seconds"),
        Binding("2", "app.switch_mode('runs')", "Runs", tooltip="All runs in the store"),
    ]

    def compose_body(self) -> ComposeResult:
        """Yields the welcome and the list, of which one is shown."""
        with Vertical(id="welcome"):
            yield Static(WELCOME, markup=False)
        table = Table(cursor_type="row", id="studies")
        for title, key in (
            ("study", "study"),
            ("state", "state"),
            ("runs", "runs"),
            ("time left", "left"),
        ):
            table.add_column(cell(title), key=key)
        yield table

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Shows the current studies."""
        self.store_error = ""
        lines: tuple[StudyLine, ...] = event.value
        self.set_class(not lines, "empty")
        self.lines = lines
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        """Fits long names to the new width."""
        del event
        self._show()

    def _show(self) -> None:
        room = max(MIN_LABEL, self.size.width - OTHER_COLUMNS)
        rows = {line.label: _cells(line, room) for line in self.lines}
        table = self.query_one(DataTable)
        show_rows(table, rows)
        if rows and self.focused is None:  # the list was hidden while it was empty
            table.focus()

    @on(DataTable.RowSelected)
    def opened(self, event: DataTable.RowSelected) -> None:
        """Opens the chosen study."""
        self.app.open_study(str(event.row_key.value))

    def excerpt(self) -> Excerpt | None:
        """Returns the studies."""
        titles = ("study", "state", "runs done", "runs", "seconds left")
        headings = [Heading(title, "right" if i > 1 else "left") for i, title in enumerate(titles)]
        rows = [
            [
                plain(line.label),
                plain(line.state),
                integer(line.done),
                integer(line.n_runs),
                number(line.remaining, 0),
            ]
            for line in self.lines
        ]
        return sheet("studies", headings, rows, self.query_one(Table).cursor_row) if rows else None

    def action_new(self) -> None:
        """Opens the form for a new study."""
        self.app.choose_study()

    def action_start(self, source: str) -> None:
        """Starts a built-in study unchanged."""
        self.app.start_study(source)
