"""What the study screen shows beside its list: curves, settings, layers and events."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.widgets import Static

from jmlp.client.texts import time_text
from tui.feed import FeedFailed, FeedUpdate
from tui.panels.curves import CurvesPanel
from tui.text import flowed, visible
from tui.views.details import columns, layer_texts, setting_texts
from tui.views.run import RunQuery, SeenRun
from tui.views.study import ConfigurationLine, StudyView

if TYPE_CHECKING:
    from tui.app import JmlpApp

TIME = slice(11, None)  # of a timestamp, without the date


class Preview(Vertical):
    """The configuration at the cursor, beside the others of its experiment."""

    DEFAULT_CSS = """
    Preview {
        width: 1fr;
        border-left: solid $border;
        & > .about { height: auto; padding: 0 1; border-top: solid $border; }
        & > .about > Static { height: auto; }
        & > .about > .settings { width: 1fr; }
        & > .about > .layers { width: auto; margin-left: 3; text-wrap: nowrap; }
        & > .events { display: none; height: 8; padding: 0 1; border-top: solid $border; }
        &.narrow > .about { layout: vertical; }
        &.narrow > .about > .layers { margin-left: 0; }
        &.full > .events { display: block; }
    }
    """

    log_scale = var(False, init=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.line: ConfigurationLine | None = None
        self.view: StudyView | None = None
        self._runs: Sequence[SeenRun] = ()
        self._subscribed: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Yields the curves of the experiment and of the configuration, and the texts."""
        yield CurvesPanel(id="all")
        yield CurvesPanel(id="one")
        with Horizontal(classes="about"):
            yield Static(classes="settings", markup=False)
            yield Static(classes="layers", markup=False)
        yield Static(classes="events", markup=False)

    # ---- what is shown

    def show(self, view: StudyView, line: ConfigurationLine | None) -> None:
        """Shows a configuration of a study."""
        self.view, self.line = view, line
        if not self.display or line is None:
            return
        self._subscribe(line.run_ids)
        self._draw_all()
        self._draw_texts(view, line)

    def on_resize(self) -> None:
        """Lays out the texts in the new width."""
        self.set_class(self.size.width < 90, "narrow")
        if self.view is not None and self.line is not None:
            self.show(self.view, self.line)

    def watch_log_scale(self) -> None:
        """Redraws the curves."""
        self._draw_all()
        self._draw_one()

    def swap(self) -> None:
        """Switches from cost to accuracy where only one of them has room, or back."""
        for panel in self.query(CurvesPanel):
            panel.swap()

    def _draw_all(self) -> None:
        view, line = self.view, self.line
        if view is None or line is None:
            return
        panel = self.query_one("#all", CurvesPanel)
        experiment = next((e for e in view.experiments if e.name == line.experiment), None)
        if experiment is not None:
            panel.cost.title = f"{visible(experiment.title)}: validation cost, medians"
            panel.accuracy.title = f"{visible(experiment.title)}: validation accuracy, %"
            panel.show_configurations(experiment.lines, line.label, self.log_scale)

    def _draw_one(self) -> None:
        line = self.line
        if line is not None:
            panel = self.query_one("#one", CurvesPanel)
            panel.cost.title = f"{visible(line.label)}: cost, nats"
            panel.accuracy.title = f"{visible(line.label)}: accuracy, %"
            panel.show_runs(self._runs, self.log_scale, (), "epoch")

    def _draw_texts(self, view: StudyView, line: ConfigurationLine) -> None:
        settings = setting_texts(line.hyperparams, view.data, line.n_seeds, line.axes)
        parts = [
            Text.assemble((f"{s.name} ", "dim"), (visible(s.value), "bold" if s.varied else ""))
            for s in settings
        ]
        title = Text.assemble((visible(line.label), "bold"), f"   {line.state}")
        if line.is_baseline:
            title.append("   baseline")
        room = max(20, self.size.width - 4)
        layers = columns(layer_texts(line.hyperparams, view.n_in, view.n_classes), right=(1, 2))
        if not self.has_class("narrow"):
            room -= 3 + max(map(len, layers))
        text = Text("\n").join([title, *flowed(parts, room)])
        self.query_one(".settings", Static).update(text)
        self.query_one(".layers", Static).update("\n".join(layers))
        lines = [f"{time_text(e.at)[TIME]}  {visible(e.text)}" for e in view.events[:7]]
        events = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        self.query_one(".events", Static).update(events, layout=False)

    # ---- the runs of the configuration

    def _subscribe(self, run_ids: tuple[str, ...]) -> None:
        if run_ids != self._subscribed:
            self._subscribed = run_ids
            app = cast("JmlpApp", self.app)
            app.feed.subscribe(self, RunQuery(run_ids))

    def pause(self) -> None:
        """Stops reading the runs."""
        self._subscribed = ()
        cast("JmlpApp", self.app).feed.unsubscribe(self)

    def on_unmount(self) -> None:
        """Stops reading the runs."""
        self.pause()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Draws the runs' new state."""
        self._runs = event.value
        self._draw_one()

    def on_feed_failed(self, event: FeedFailed) -> None:
        """Leaves the error to the screen, which reads the same store."""
        event.stop()
