"""The screen of one study: its configurations, its result tables, and keys that steer it."""

from typing import ClassVar, Literal

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.reactive import var
from textual.widgets import DataTable, Static, Tab, Tabs

from jmlp.client import exports, steering
from jmlp.client.texts import MISSING
from jmlp.results.drawing import Drawing
from jmlp.store import Action, Store
from jmlp.system.clock import now
from jmlp.training.records import epoch_text
from tui.charts.sparkline import bar
from tui.copying import Excerpt, panel_of
from tui.feed import FeedUpdate
from tui.framework.texts import show_text
from tui.glossary import mentioned
from tui.screens.base import JmlpScreen
from tui.text import duration
from tui.views import excerpts
from tui.views.activity import Activity, two_lines
from tui.views.study import ConfigurationLine, StudyQuery, StudyView
from tui.widgets.configurations import ConfigurationList
from tui.widgets.preview import Preview
from tui.widgets.result_tables import ResultTables

BAR = 20  # columns
Page = Literal["training", "results"]
Room = Literal["dashboard", "preview", "list"]
# What is shown, by the columns and rows that it needs.
ROOMS: dict[Room, tuple[int, int]] = {"dashboard": (180, 50), "preview": (118, 34), "list": (0, 0)}
TICK_SECONDS = 1.0  # between two drawings of the clocks, and two looks at the worker
# Actions that are not always possible.
STEERING = ("pause", "resume", "stop", "start_worker", "write_report")


def room_of(size: Size) -> Room:
    """Returns what a terminal of this size has room for."""
    return next(room for room, (w, h) in ROOMS.items() if size.width >= w and size.height >= h)


class StudyScreen(JmlpScreen[None]):
    """A study, whether it is in training or has ended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", tooltip="Pause the training"),
        Binding("space", "resume", "Resume", tooltip="Continue the paused training"),
        Binding("s", "stop", "Stop", tooltip="Stop the training; everything is saved"),
        Binding("r", "start_worker", "Resume", tooltip="Resume where it was interrupted"),
        Binding(
            "n",
            "change",
            "Change",
            show=False,
            tooltip="Change the study, and start it as a new one",
        ),
        Binding(
            "tab", "other_tab", "Page", tooltip="Switch between training and results", priority=True
        ),
        Binding("v", "curves", "Curves", tooltip="Curves of all configurations over each other"),
        Binding("y", "log", "Log", show=False, tooltip="Logarithmic scale of the cost"),
        Binding("a", "swap", "Accuracy", show=False, tooltip="Curves of cost or accuracy"),
        Binding("w", "write_report", "Report", tooltip="Write the report"),
        Binding("escape", "back", "Back", tooltip="Back to all studies"),
    ]

    page: var[Page] = var("training", init=False)
    room: var[Room] = var("list", init=False)
    # Changes with the keys that make sense: refreshing the footer more often makes it flicker.
    offered: var[tuple[bool | None, ...]] = var((), bindings=True)

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.breadcrumb = f"studies › {label}"
        self.store_query = StudyQuery(label)
        self.view: StudyView | None = None

    def compose_body(self) -> ComposeResult:
        """Yields a summary, the two tabs, and the configuration at the cursor beside or below."""
        # Known before the first layout, or everything would be styled and laid out twice.
        self.set_reactive(StudyScreen.room, room_of(self.app.size))
        self.set_class(self.room == "dashboard", "dashboard")
        yield Static("reading …", id="summary", markup=False)
        yield Tabs(Tab("Training", id="training"), Tab("Results", id="results"))
        with Horizontal(id="pages"):
            with Vertical(id="lists"):
                yield ConfigurationList(id="configurations")
                yield ResultTables(id="tables")
            yield Preview(id="preview")
        yield Static(id="detail", markup=False)

    def on_mount(self) -> None:
        """Restores the scale, and focuses the list."""
        self.query_one(Tabs).can_focus = False
        log = self.app.settings.choices.study_log
        self.query_one(ConfigurationList).log_scale = self.query_one(Preview).log_scale = log
        self._lay_out()
        self.set_interval(TICK_SECONDS, self.tick)

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Draws the new state of the study."""
        self.store_error = ""
        view: StudyView | None = event.value
        before, self.view = self.view, view
        if view is None:
            return
        self._show_activity(view.activity)
        if before is not None and view.experiments is before.experiments:
            return  # only the worker's process was looked at again
        with self.app.batch_update():
            self.query_one(ConfigurationList).show(view.experiments, view.n_classes)
            self.query_one(ResultTables).show(view.tables)
        # One after the other, so that no picture keeps a key waiting for all of them.
        self.call_after_refresh(self._show_preview)
        self.offered = tuple(self.check_action(action, ()) for action in STEERING)

    def tick(self) -> None:
        """Lets the clocks advance while a worker trains the study; the rest is not drawn again."""
        if self.view is not None and self.view.activity.is_live and self.is_current:
            self._show_activity(self.view.activity)
            self.app.feed.look_again(self)

    def _show_activity(self, activity: Activity) -> None:
        self.query_one(Preview).show_activity(activity)
        line = self.query_one("#summary", Static)
        text = summary(activity, self.size.width - 2, self.app.theme_variables["accent"])
        show_text(line, text)

    @property
    def terms(self) -> list[str]:
        """The state of the study."""
        return ["study", *mentioned(self.view.state if self.view else "")]

    @on(ConfigurationList.Highlighted)
    def highlighted(self, event: ConfigurationList.Highlighted[ConfigurationLine]) -> None:
        """Shows everything about the configuration at the cursor, even what the columns omit."""
        if event.line is None:
            return
        scale = self.query_one(ConfigurationList).scale_text
        self.query_one("#detail", Static).update(detail(event.line, scale), layout=False)
        self._show_preview()

    def on_descendant_focus(self) -> None:
        """Shows the configuration at the cursor of what has got the focus."""
        self._show_preview()

    @on(DataTable.RowHighlighted)
    def row_highlighted(self) -> None:
        """Shows the configuration of the row at the cursor of a result table."""
        self._show_preview()

    def _show_preview(self) -> None:
        if self.view is not None and self.is_there:
            self.query_one(Preview).show(self.view, self._at_cursor())

    def _at_cursor(self) -> ConfigurationLine | None:
        """Returns the configuration at the cursor, of the list or of the table with the focus."""
        if self._in_tables and (row := self.query_one(ResultTables).at_cursor) is not None:
            return self._line_of(*row)
        return self.query_one(ConfigurationList).at_cursor

    @property
    def _in_tables(self) -> bool:
        """Whether the result tables are used, rather than the list."""
        if self.room == "dashboard":
            return self.query_one(ResultTables).has_focus_within
        return self.page == "results"

    def _line_of(self, experiment: str, label: str) -> ConfigurationLine | None:
        for shown in self.view.experiments if self.view else ():
            for line in shown.lines:
                if (line.experiment, line.label) == (experiment, label):
                    return line
        return None

    @on(ConfigurationList.Opened)
    def opened(self, event: ConfigurationList.Opened[ConfigurationLine]) -> None:
        """Opens the runs of a configuration."""
        self._open(event.line)

    @on(ResultTables.Chosen)
    def row_chosen(self, event: ResultTables.Chosen) -> None:
        """Opens the runs of a row in a result table."""
        if (line := self._line_of(event.experiment, event.label)) is not None:
            self._open(line)

    def _open(self, line: ConfigurationLine) -> None:
        if line.run_ids:
            self.app.open_runs(line.run_ids, f"{self.label} › {line.label}")

    # ---- tabs

    @on(Tabs.TabActivated)
    def tab_activated(self, event: Tabs.TabActivated) -> None:
        """Shows the tab's page."""
        self.page = "training" if event.tab.id == "training" else "results"

    def action_other_tab(self) -> None:
        """Switches between training and results."""
        self.query_one(Tabs).active = "results" if self.page == "training" else "training"

    def on_resize(self, event: events.Resize) -> None:
        """Uses the room for a preview, or for everything at once; fits the summary to the width."""
        self.room = room_of(event.size)
        if self.view is not None:
            self._show_activity(self.view.activity)

    def _lay_out(self) -> None:
        """Shows what fits, and focuses the page: in a dashboard, both pages are shown."""
        training, everything = self.page == "training", self.room == "dashboard"
        beside = everything or (self.room == "preview" and training)
        configurations, tables = self.query_one(ConfigurationList), self.query_one(ResultTables)
        preview = self.query_one(Preview)
        with self.app.batch_update():
            self.set_class(everything, "dashboard")
            self.query_one(Tabs).display = not everything
            configurations.display = training or everything
            tables.display = not training or everything
            preview.display = beside
            self.query_one("#detail").display = training and not beside
        if beside:
            self._show_preview()
        else:
            preview.pause()
        (configurations if training else tables).focus()

    watch_page = watch_room = _lay_out

    def action_log(self) -> None:
        """Switches between a logarithmic and a linear scale."""
        configurations, preview = self.query_one(ConfigurationList), self.query_one(Preview)
        configurations.log_scale = preview.log_scale = not configurations.log_scale
        self.app.settings.keep(study_log=configurations.log_scale)

    def action_swap(self) -> None:
        """Switches the preview between cost and accuracy."""
        self.query_one(Preview).swap()

    def action_curves(self) -> None:
        """Shows the curves of all configurations of an experiment over each other."""
        from tui.screens.experiment import ExperimentScreen

        line = self._at_cursor()
        if line is not None and self.store_query is not None:
            self.app.push_screen(ExperimentScreen(self.label, self.store_query, line))

    def action_back(self) -> None:
        """Returns to the list of studies."""
        self.dismiss()

    # ---- copying

    def excerpt(self) -> Excerpt | None:
        """Returns the configurations, or the result table of the current experiment."""
        if self.view is None:
            return None
        if self._in_tables:
            return self.query_one(ResultTables).excerpt()
        at_cursor = self.query_one(ConfigurationList).at_cursor
        return excerpts.configurations(self.view.experiments, at_cursor)

    def drawing(self) -> Drawing | None:
        """Returns the curves of the preview."""
        preview = self.query_one(Preview)
        if self.view is None or not preview.display:
            return None
        return Drawing(self.breadcrumb, tuple(map(panel_of, preview.shown)))

    def replayed(self) -> tuple[str, str] | None:
        """Returns the study, if a run of it has ended."""
        if self.view is None or not self.view.n_done:
            return None
        return self.label, exports.file_name(self.label) or "study"

    # ---- steering

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides keys that make no sense now."""
        if action == "log":
            return any(shown.display for shown in self.query(ConfigurationList))
        if action not in STEERING:
            return True
        if self.view is None:
            return False
        view = self.view
        in_hand = view.held and view.row.state in ("running", "paused")
        if action in ("pause", "resume"):
            return in_hand and (view.row.state == "paused") == (action == "resume")
        if action == "stop":
            return in_hand or view.row.state == "queued"
        if action == "start_worker":
            unfinished = view.row.state not in ("done", "queued") or view.n_done < view.n_runs
            return unfinished and not in_hand and view.row.state != "queued"
        return view.n_done > 0

    def action_pause(self) -> None:
        """Pauses the training."""
        self._command("pause")

    def action_resume(self) -> None:
        """Continues the paused training."""
        self._command("resume")

    def action_stop(self) -> None:
        """Stops the training; everything is saved."""
        if self.view is not None and not self.view.held:
            self.app.perform(f"stop {self.label}", self._stop_unowned)
        else:
            self._command("stop")

    def _command(self, action: Action) -> None:
        def send() -> None:
            with Store(self.app.folder) as store:
                steering.command(store, store.study(self.label), action)

        self.query_one("#summary", Static).update(f"{action} …", layout=False)
        self.app.perform(f"{action} {self.label}", send)

    def _stop_unowned(self) -> None:
        with Store(self.app.folder) as store:
            steering.stop_without_worker(store, store.study(self.label))

    def action_start_worker(self) -> None:
        """Has a new worker train the remaining runs."""
        if self.view is not None:
            self.app.resume_study(self.view.row)

    def action_change(self) -> None:
        """Opens the form to start a changed copy of this study."""
        if self.view is not None:
            self.app.choose_study(row=self.view.row)

    def action_write_report(self) -> None:
        """Writes the report."""
        folder = self.app.folder
        output = exports.default_folder(folder, self.label, served=self.app.served)
        self.app.perform(
            f"report of {self.label}",
            lambda: exports.write_report(folder, self.label, output),
            lambda written: self.app.toast(f"report: {written}"),
        )


def summary(activity: Activity, width: int, accent: str) -> Text:
    """Summarises the activity of a study in two lines.

    Args:
        activity: what the study is doing.
        width: columns of the terminal.
        accent: the colour of the progress bar.
    """
    first, second = two_lines(activity, (width, width - BAR - 1), now())
    state = Text(first)
    state.stylize("bold", 0, len(activity.state))
    return Text("\n").join([state, Text.assemble((bar(activity.share, BAR), accent), f" {second}")])


def detail(line: ConfigurationLine, scale: str) -> Text:
    """Returns a configuration's name, state and numbers, and the legend of the sparklines."""
    spread = f"{line.range[0]:.4f} to {line.range[1]:.4f}" if line.range else MISSING
    numbers = [
        ("epoch", f"{epoch_text(line.epoch)} of {line.limit}"),
        ("accuracy %", number(line.validation_accuracy, 100, 2)),
        ("validation cost over seeds", spread),
        ("training cost", number(line.training_cost)),
    ]
    if line.left is not None:
        numbers.insert(1, ("left", f"≈ {duration(line.left)}"))
    head = Text.assemble((line.label, "bold"), f"   {line.state}")
    if line.is_baseline:
        head.append("   baseline")
    lines = [head, Text("   ".join(f"{name} {value}" for name, value in numbers)), Text(scale)]
    return Text("\n").join(lines)


def number(value: float | None, times: float = 1, decimals: int = 4) -> str:
    """Formats a number with fixed decimals; a dash for None."""
    return MISSING if value is None else f"{times * value:.{decimals}f}"
