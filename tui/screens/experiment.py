"""The curves of all configurations of an experiment, over each other."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.widgets import Static

from jmlp.results.drawing import Drawing
from tui.copying import Excerpt, curves_table, panel_of
from tui.feed import FeedUpdate, Query
from tui.panels.curves import CurvesPanel
from tui.screens.base import JmlpScreen
from tui.views.study import ConfigurationLine, ExperimentLines, StudyView


class ExperimentScreen(JmlpScreen[None]):
    """An experiment's curves; one of them stands out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", "Other", key_display="↑↓", tooltip="Emphasise another curve"),
        Binding("down,j", "choose(1)", "Next", show=False, system=True),
        Binding("enter", "open", "Open", tooltip="Open the runs of this configuration"),
        Binding("e", "experiment", "Experiment", tooltip="The next experiment"),
        Binding("y", "toggle('log_scale')", "Log", tooltip="Logarithmic scale of the cost"),
        Binding("a", "swap", "Accuracy", tooltip="Curves of cost or accuracy"),
        Binding("escape", "back", "Back", tooltip="Back to the study"),
    ]
    DEFAULT_CSS = """
    ExperimentScreen #about { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    log_scale = var(False, init=False)

    def __init__(self, label: str, query: Query, line: ConfigurationLine) -> None:
        """Initialises the screen.

        Args:
            label: the study's label.
            query: the query of the study's screen, which has read the study already.
            line: the configuration that stands out at first.
        """
        super().__init__()
        self.label = label
        self.breadcrumb = f"studies › {label} › curves"
        self.store_query = query
        self.name_shown, self.current = line.experiment, line.label
        self.experiments: tuple[ExperimentLines, ...] = ()

    def compose_body(self) -> ComposeResult:
        """Yields a line about the curve that stands out, and the plots."""
        yield Static(id="about", markup=False)
        yield CurvesPanel("validation cost, medians over seeds", "validation accuracy, %")

    def on_mount(self) -> None:
        """Focuses the plot."""
        self.query_one(CurvesPanel).focus_first()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Draws the new curves."""
        self.store_error = ""
        view: StudyView | None = event.value
        if view is not None:
            self.experiments = view.experiments
            self._draw()

    @property
    def lines(self) -> tuple[ConfigurationLine, ...]:
        """The configurations of the experiment."""
        return next((e.lines for e in self.experiments if e.name == self.name_shown), ())

    @property
    def line(self) -> ConfigurationLine | None:
        """The configuration that stands out."""
        return next((line for line in self.lines if line.label == self.current), None)

    def _draw(self) -> None:
        line = self.line
        if line is not None:
            about = f"{self.name_shown}   {line.label}   {line.state}"
            self.query_one("#about", Static).update(about, layout=False)
            self.query_one(CurvesPanel).show_configurations(
                self.lines, self.current, self.log_scale
            )

    watch_log_scale = _draw

    def excerpt(self) -> Excerpt | None:
        """Returns the values of the curves."""
        return curves_table(self.query_one(CurvesPanel).shown) if self.lines else None

    def drawing(self) -> Drawing | None:
        """Returns the curves that are shown."""
        if not self.lines:
            return None
        curves = self.query_one(CurvesPanel).shown
        return Drawing(f"{self.breadcrumb}   {self.name_shown}", tuple(map(panel_of, curves)))

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the key for the next experiment if there is only one."""
        del parameters
        return action != "experiment" or len(self.experiments) > 1

    def action_choose(self, by: int) -> None:
        """Emphasises the next or previous curve."""
        labels = [line.label for line in self.lines]
        if self.current in labels:
            self.current = labels[(labels.index(self.current) + by) % len(labels)]
            self._draw()

    def action_experiment(self) -> None:
        """Shows the next experiment."""
        names = [experiment.name for experiment in self.experiments]
        if self.name_shown in names:
            self.name_shown = names[(names.index(self.name_shown) + 1) % len(names)]
            self.current = self.lines[0].label
            self._draw()

    def action_open(self) -> None:
        """Opens the runs of the configuration that stands out."""
        if self.line is not None and self.line.run_ids:
            self.app.open_runs(self.line.run_ids, f"{self.label} › {self.line.label}")

    def action_swap(self) -> None:
        """Switches between cost and accuracy."""
        panel = self.query_one(CurvesPanel)
        panel.swap()
        panel.focus_first()

    def action_back(self) -> None:
        """Returns to the study."""
        self.dismiss()
