"""The first screen: all studies in the store, or how to start if there are none."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from jmlp.client.texts import minute_text
from tui.charts.sparkline import bar
from tui.copying import Excerpt, Heading, integer, number, plain, sheet
from tui.feed import FeedUpdate, StoreView
from tui.framework.tables import Table, show_rows
from tui.glossary import mentioned
from tui.screens.base import JmlpScreen
from tui.text import Align, cell, duration, fit, visible
from tui.views.activity import study_state, work_share

MIN_LABEL = 14
GAP = 2  # columns of the terminal between two columns of the table
BAR = 10
# Columns in their order, with their widths; the name gets what is left, up to its length.
COLUMNS: Mapping[str, tuple[str, int]] = {
    "study": ("study", 0),
    "title": ("title", 44),
    "data": ("data", 14),
    "state": ("state", 15),
    "bar": ("work", BAR),
    "runs": ("runs", 11),
    "left": ("time left", 9),
    "submitted": ("submitted (UTC)", 16),
}
DROPPED = ("data", "submitted", "title", "bar")  # without room, in this order

WELCOME = """\
Train small neural networks with many seeds,
and see how certain a result is.

  o   The original study, on MNIST, with five seeds:
      which batch size, which drop rate, batch norm or not?

  d   A demo of 20 seconds, on digits drawn by jmlp.

  n   Another study, or your own study file.

  b   A mistake on purpose, beside the right network.

Training runs in a process of its own: it continues
when the app is closed, and nothing is lost."""


@dataclass(frozen=True)
class StudyLine:
    """A study in the list."""

    label: str
    title: str
    data: str
    state: str
    done: int
    n_runs: int
    share: float  # of all work, from 0 to 1
    remaining: float | None  # seconds
    submitted_at: int  # UTC, milliseconds

    def texts(self) -> dict[str, str]:
        """The text of each column."""
        return {
            "study": self.label,
            "title": self.title,
            "data": self.data,
            "state": self.state,
            "bar": bar(self.share, BAR),
            "runs": f"{self.done}/{self.n_runs}",
            "left": "" if self.remaining is None else duration(self.remaining),
            "submitted": minute_text(self.submitted_at),
        }


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
        title, data = _described(row.toml)
        lines.append(
            StudyLine(
                label=row.label,
                title=title,
                data=data,
                state=state,
                done=done,
                n_runs=n_runs,
                share=work_share(row, state, done, n_runs),
                remaining=remaining,
                submitted_at=row.submitted_at,
            )
        )
    return tuple(lines)


@lru_cache(1024)
def _described(toml: str) -> tuple[str, str]:
    """Returns a study's title and data, as its file states them."""
    table = tomllib.loads(toml)
    return str(table.get("title", "")), str(table.get("data", "mnist"))


def fitting(width: int, longest: int) -> dict[str, int]:
    """Returns the columns that fit in a width, each with the largest width of its cells.

    Args:
        width: columns of the terminal.
        longest: the length of the longest name.
    """
    widths = {key: wide for key, (_, wide) in COLUMNS.items()}
    for key in (*DROPPED, None):
        room = width - sum(widths.values()) - GAP * len(widths)
        if room >= max(MIN_LABEL, min(longest, width // 3)) or key is None:
            break
        del widths[key]
    return {**widths, "study": max(MIN_LABEL, room)}


def prefetch() -> None:
    """Imports what the next screen needs, so that it opens at once."""
    import tui.screens.study  # noqa: F401


def _cells(line: StudyLine, widths: Mapping[str, int]) -> list[Text]:
    texts = line.texts()
    aligns: dict[str, Align] = {"runs": "right", "left": "right"}
    return [
        cell(fit(texts[key], min(width, cell_len(visible(texts[key])))), aligns.get(key, "left"))
        for key, width in widths.items()
    ]


class StudiesScreen(JmlpScreen[None]):
    """All studies in the store, one per line."""

    breadcrumb = "studies"
    store_query = staticmethod(study_lines)
    lines: tuple[StudyLine, ...] = ()
    _prefetched = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New study", tooltip="Choose a study, change it, start it"),
        Binding("o", "start('original')", "Original", tooltip="Start the original study"),
        Binding("d", "start('demo')", "Demo", tooltip="Start a demo of 20 seconds"),
        Binding("2", "app.switch_mode('runs')", "Runs", tooltip="All runs in the store"),
        Binding("i", "inside", "Inside", tooltip="Every number of a tiny fresh network"),
        Binding("b", "break", "Break it", tooltip="Choose a mistake, see it, train it"),
    ]

    def compose_body(self) -> ComposeResult:
        """Yields the welcome and the list, of which one is shown."""
        with Vertical(id="welcome"):
            yield Static(WELCOME, markup=False)
        yield Table(cursor_type="row", id="studies")

    def on_mount(self) -> None:
        """Welcomes a new user with the first picture, before the store is read."""
        self.set_class(not os.path.lexists(self.app.folder), "empty")

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Shows the current studies."""
        self.store_error = ""
        lines: tuple[StudyLine, ...] = event.value
        self.set_class(not lines, "empty")
        if lines and not self._prefetched:
            self._prefetched = True
            self.app.perform("load the screen of a study", prefetch, self.app.prefetched)
        self.lines = lines
        self._show()

    @property
    def terms(self) -> list[str]:
        """The state of the study at the cursor, and the columns."""
        if not self.lines:
            return mentioned(WELCOME)
        row = self.query_one(DataTable).cursor_row
        return [
            *mentioned(self.lines[min(row, len(self.lines) - 1)].state),
            *(title for title, _ in COLUMNS.values()),
        ]

    def on_resize(self, event: events.Resize) -> None:
        """Fits long names to the new width."""
        del event
        self._show()

    def _show(self) -> None:
        longest = max((cell_len(visible(line.label)) for line in self.lines), default=0)
        widths = fitting(self.size.width, longest)
        table: DataTable[Text] = self.query_one(DataTable)
        if [str(key.value) for key in table.columns] != list(widths):
            table.clear(columns=True)
            for key in widths:
                table.add_column(cell(COLUMNS[key][0]), key=key)
        rows = {line.label: _cells(line, widths) for line in self.lines}
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

    def action_inside(self) -> None:
        """Opens the first update of a network with two inputs, two units and two classes."""
        from jmlp.inspection.views import Where
        from tui.screens.inside import InsideScreen

        self.app.push_screen(InsideScreen(Where(), "a fresh network"))

    def action_break(self) -> None:
        """Opens the mistakes."""
        self.app.choose_mistake()

    def action_start(self, source: str) -> None:
        """Starts a built-in study unchanged."""
        self.app.start_study(source)
