"""What the study screen shows beside its list: curves, settings, layers and events."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.widgets import Static

from jmlp.client.texts import time_text
from jmlp.system.clock import now
from tui.feed import FeedFailed, FeedUpdate
from tui.framework.texts import FittedText, show_text
from tui.panels.curves import CurvesPanel
from tui.text import duration, flowed, visible
from tui.views.activity import Activity, activity_lines
from tui.views.details import columns, layer_texts, setting_texts
from tui.views.run import RunQuery, SeenRun
from tui.views.study import ConfigurationLine, StudyView
from tui.widgets.curves import Curves

if TYPE_CHECKING:
    from tui.app import JmlpApp

N_EVENTS = 8
TIME = slice(11, None)  # of a timestamp, without the date


class Preview(Vertical):
    """The configuration at the cursor, beside the others of its experiment."""

    DEFAULT_CSS = """
    Preview {
        width: 5fr;
        border-left: solid $border;
        & > .about { height: auto; padding: 0 1; border-top: solid $border; }
        & > .about > Static { height: auto; }
        & > .about > .settings { width: 1fr; }
        & > .about > .layers { width: auto; margin-left: 3; text-wrap: nowrap; }
        & > .news { display: none; height: 9; padding: 0 1; border-top: solid $border; }
        & > .news > Static { width: 1fr; height: 8; text-wrap: nowrap; text-overflow: ellipsis; }
        & > .news > .activity { display: none; margin-right: 3; }
        & > .news > .activity.live { display: block; }
        &.narrow > .about { layout: vertical; }
        &.narrow > .about > .layers { margin-left: 0; }
    }
    """

    log_scale = var(False, init=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.line: ConfigurationLine | None = None
        self.view: StudyView | None = None
        self._runs: Sequence[SeenRun] = ()
        self._drawn: object = None  # identifies the curves of the experiment that are drawn
        self._subscribed: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Yields the curves of the experiment and of the configuration, and the texts."""
        yield CurvesPanel(id="all")
        yield CurvesPanel(id="one")
        with Horizontal(classes="about"):
            yield FittedText(classes="settings", markup=False)
            yield FittedText(classes="layers", markup=False)
        with Horizontal(classes="news"):
            yield Static(classes="activity", markup=False)
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

    @property
    def shown(self) -> list[Curves]:
        """The plots that are shown."""
        return [curves for panel in self.query(CurvesPanel) for curves in panel.shown]

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
        if experiment is None:
            return
        # Curves without new points are the same objects, which makes this comparison quick.
        curves = tuple((one.label, one.curve, one.accuracy_curve) for one in experiment.lines)
        shown = experiment.name, line.label, self.log_scale, curves
        if shown != self._drawn:
            self._drawn = shown
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
        live = [
            *([f"learning rate now {line.learning_rate}"] if line.learning_rate else ()),
            *([f"batch cost now {line.batch_cost:.4f}"] if line.batch_cost is not None else ()),
            *([f"{line.epochs_per_second:.2g} epochs/s"] if line.epochs_per_second else ()),
            *([f"≈ {duration(line.left)} left"] if line.left is not None else ()),
        ]
        # The line stays between two trainings, so that the plots keep their size.
        moving = flowed(list(map(Text, live)), room) or [Text()] * view.activity.is_live
        text = Text("\n").join([title, *flowed(parts, room), *moving])
        shown = self.query_one(".settings", Static)
        before = shown.content
        fits = isinstance(before, Text) and _lines(before) == _lines(text)
        show_text(shown, text, layout=not fits)
        # Its width is that of the text.
        show_text(self.query_one(".layers", Static), Text("\n".join(layers)), layout=True)
        lines = [f"{time_text(e.at)[TIME]}  {visible(e.text)}" for e in view.events[:N_EVENTS]]
        show_text(self.query_one(".events", Static), "\n".join(lines))

    def show_activity(self, activity: Activity) -> None:
        """Shows what the study is doing, while a worker trains it."""
        block = self.query_one(".activity", Static)
        block.set_class(activity.is_live, "live")
        if activity.is_live and block.size:
            lines = activity_lines(activity, block.size.width, now())
            show_text(block, "\n".join(columns(lines)))

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


def _lines(text: Text) -> int:
    return text.plain.count("\n")
