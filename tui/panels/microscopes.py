"""Microscopes on a run's dropout, its batch norm and its next step, at one snapshot."""

import threading
from typing import Any, ClassVar, Generic, TypeVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from jmlp.inspection.client import Inspector
from jmlp.inspection.microscope import texts
from jmlp.inspection.microscope.views import BatchNormView, DropoutView, StepView
from jmlp.inspection.records import Inspection
from jmlp.study.config import Hyperparams, per_layer
from tui.charts.figure import draw
from tui.copying import Excerpt
from tui.inspections import Failure
from tui.questions import Questions, Say
from tui.screens.base import JmlpScreen
from tui.views import excerpts
from tui.views.microscopes import dropout_text, norm_text, step_series, step_shown
from tui.widgets.plot import Plot

V = TypeVar("V")
Key = tuple[str, float]  # run id, epoch of the snapshot
MARGIN = 3  # columns of the padding and the scrollbar


class MicroscopePanel(VerticalScroll, Generic[V], can_focus=True):
    """What the helper process measures at a snapshot, kept while the screen is open.

    It computes one snapshot at a time, see `tui.questions`.
    """

    do: ClassVar[str]  # the name of the view in a request
    kind: ClassVar[type[Any]]
    terms: ClassVar[tuple[str, ...]]

    DEFAULT_CSS = """
    MicroscopePanel { padding: 0 1; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    MicroscopePanel Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    MicroscopePanel Plot { height: 11; display: none; }
    """

    class Changed(Message):
        """A snapshot was measured, or could not be."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._found: dict[Key, V | Failure] = {}
        self._shown: Key | None = None

    def compose(self) -> ComposeResult:
        """Yields the text."""
        yield Static(classes="text", markup=False)

    def on_mount(self) -> None:
        """Prepares the questions."""
        self._questions: Questions[Key, V] = Questions(
            cast("JmlpScreen[Any]", self.screen),
            "look through a microscope",
            self._look,
            self._arrived,
            self._said,
        )

    def on_unmount(self) -> None:
        """Stops what is being computed."""
        self._questions.close()

    @staticmethod
    def applies(hp: Hyperparams) -> bool:
        """Whether runs with these hyperparameters have what is looked at."""
        raise NotImplementedError

    def draw(self, view: V, width: int) -> Text:
        """The text of a view in this many columns."""
        raise NotImplementedError

    def table(self, view: V) -> Excerpt:
        """The main numbers of a view as a table that can be copied."""
        raise NotImplementedError

    def excerpt(self) -> Excerpt | None:
        """Returns the table of what is shown, if it is known."""
        view = self.view
        return None if view is None else self.table(view)

    def show(self, inspection: Inspection, e: int) -> None:
        """Shows the snapshot at index `e`, once it is computed."""
        self._shown = inspection.run_id, inspection.epochs[e]
        self._show()

    @property
    def has_failed(self) -> bool:
        """Whether the snapshot that is shown could not be measured."""
        return self._shown is not None and isinstance(self._found.get(self._shown), Failure)

    def retry(self) -> None:
        """Measures the snapshot that is shown again."""
        if self._shown is not None:
            self._found.pop(self._shown, None)
            self._show()

    @property
    def view(self) -> V | None:
        """What is shown, if it is known."""
        found = None if self._shown is None else self._found.get(self._shown)
        return None if isinstance(found, Failure) else found

    def _show(self) -> None:
        key = self._shown
        if key is None:
            return
        found = self._found.get(key)
        if found is None:
            self.write_text(Text("computing…"))
            self._questions.ask(key)
        elif isinstance(found, Failure):
            self.write_text(Text(f"{found.text}\n\nu: try again"))
        else:
            self.write_text(self.draw(found, self.app.size.width - MARGIN))

    def write_text(self, text: Text) -> None:
        """Shows a text in place of what was shown."""
        self.query_one(".text", Static).update(text)

    def _look(self, key: Key, say: Say, stop: threading.Event) -> V | None:
        """Has the helper measure a snapshot; called in a thread."""
        run_id, epoch = key
        inspector: Inspector = self.app.inspector  # type: ignore[attr-defined]
        return inspector.view(self.kind, self.do, say, stop, run_id=run_id, epoch=epoch)

    def _said(self, line: str) -> None:
        if self.view is None:
            self.write_text(Text(line))

    def _arrived(self, key: Key, found: V | Failure) -> None:
        self._found[key] = found
        self._show()
        self.post_message(self.Changed())


class DropoutPanel(MicroscopePanel[DropoutView]):
    """Which units are dropped, and the mean over keys against no dropout."""

    do, kind = "dropout", DropoutView
    terms = ("dropout", "dropout key", "mask")

    @staticmethod
    def applies(hp: Hyperparams) -> bool:
        """Whether anything is dropped."""
        return bool(hp.input_drop_rate) or any(per_layer(hp.drop_rate, hp.hidden))

    def draw(self, view: DropoutView, width: int) -> Text:
        """The masks and the probabilities."""
        colours = self.app.theme_variables
        return dropout_text(view, width, colours["accent"], colours["secondary"])

    def table(self, view: DropoutView) -> Excerpt:
        """The probabilities with and without dropout."""
        return excerpts.dropout(view)


class BatchNormPanel(MicroscopePanel[BatchNormView]):
    """The statistics of the batch, the running ones, and those of a large sample."""

    do, kind = "batch norm", BatchNormView
    terms = ("batch norm", "running statistics", "variance ratio")

    @staticmethod
    def applies(hp: Hyperparams) -> bool:
        """Whether there is batch norm."""
        return bool(hp.batch_norm)

    def draw(self, view: BatchNormView, width: int) -> Text:
        """The statistics over the snapshots, and those of each unit."""
        colours = self.app.theme_variables
        return norm_text(view, width, colours["accent"], colours["secondary"])

    def table(self, view: BatchNormView) -> Excerpt:
        """The statistics over the snapshots."""
        return excerpts.batch_norm(view)


class StepPanel(MicroscopePanel[StepView]):
    """The cost along the next step, its sharpness and its noise."""

    do, kind = "step quality", StepView
    terms = ("step", "sharpness", "gradient noise scale", "signal-to-noise ratio")

    def compose(self) -> ComposeResult:
        """Yields the title, the plot and the text."""
        yield Static(classes="title", markup=False)
        yield Plot()
        yield Static(classes="text", markup=False)

    @staticmethod
    def applies(hp: Hyperparams) -> bool:
        """Every run has a next step."""
        del hp
        return True

    def write_text(self, text: Text) -> None:
        """Shows a text, below the plot if there is one."""
        view, plot = self.view, self.query_one(Plot)
        plot.display = view is not None
        self.query_one(".title", Static).display = view is not None
        super().write_text(text)
        self._plot()

    def draw(self, view: StepView, width: int) -> Text:
        """Sharpness and noise; the plot is beside."""
        del width
        first, *more = texts.step_about(view)
        title = Text.assemble(("Cost, nats", "bold"), f"  {first.removeprefix('cost ')}")
        for line in more:
            title.append(f"\n{line}")
        self.query_one(".title", Static).update(title)
        return Text("\n").join(map(Text, texts.quality_lines(view)))

    def table(self, view: StepView) -> Excerpt:
        """The costs along the step."""
        return excerpts.step(view)

    @on(Plot.Resized)
    def _plot(self) -> None:
        view, plot = self.view, self.query_one(Plot)
        if view is not None and plot.size.width:
            figure = draw(
                step_series(view), plot.size.width, plot.size.height, step_shown(view), plot.look
            )
            plot.show(figure)


MICROSCOPES: dict[str, type[MicroscopePanel[Any]]] = {
    "dropout": DropoutPanel,
    "batch norm": BatchNormPanel,
    "step": StepPanel,
}
