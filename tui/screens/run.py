"""The screen of one configuration's runs, or one run: curves, and inspections of its networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.timer import Timer
from textual.widgets import ContentSwitcher, Static, Tab, Tabs

from jmlp.client.texts import SHORT_ID, percent_text, state_text
from jmlp.inspection.boundary_records import Boundary
from jmlp.inspection.records import Inspection, Part
from jmlp.results.curves import FEWEST_FOR_BAND
from jmlp.results.drawing import Drawing
from jmlp.store import RunRow
from jmlp.training.records import epoch_text
from tui.copying import Excerpt, curves_table, panel_of
from tui.feed import FeedUpdate
from tui.inspections import Failure, Inspections, Key, Pending, State
from tui.panels.boundary import BoundaryPanel
from tui.panels.confusion import ConfusionPanel
from tui.panels.curves import CurvesPanel
from tui.panels.layers import LayersPanel
from tui.panels.microscopes import MICROSCOPES, MicroscopePanel
from tui.panels.pictures import MistakesPanel, WeightsPanel
from tui.screens.base import JmlpScreen
from tui.views import boundary, excerpts
from tui.views.run import RunQuery, SeenRun
from tui.widgets.curves import Mark, XUnit
from tui.widgets.scrubber import Scrubber

PANELS = ("curves", "layers", "weights", "confusion", "mistakes", *MICROSCOPES, "boundary")
PLAY_SECONDS = 0.4  # from one snapshot to the next
HAVE_MEANS = ("curves", "boundary")  # panels that can show several seeds at once
ALL_DIVERGED = "All seeds have diverged: m shows one of them."
# The tables of panels that can be copied.
TABLES: Mapping[str, Callable[[Inspection, int], Excerpt | None]] = {
    "layers": excerpts.layers,
    "weights": excerpts.weights,
    "confusion": excerpts.confusion,
    "mistakes": excerpts.mistakes,
}


class RunScreen(JmlpScreen[None]):
    """The seeds of one configuration, whether they are in training or have ended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "panel(1)", "Panel", tooltip="Next panel", priority=True),
        Binding("shift+tab", "panel(-1)", "Panel", show=False, tooltip="Previous panel"),
        Binding(
            "left_square_bracket",
            "scrub(-1)",
            "Snapshot",
            key_display="[ ]",
            tooltip="Previous snapshot",
        ),
        Binding("right_square_bracket", "scrub(1)", show=False, tooltip="Next snapshot"),
        Binding("space", "play", "Play", show=False, tooltip="Play the snapshots, or stop"),
        Binding("comma", "seed(-1)", "Seed", key_display=", .", tooltip="Previous seed"),
        Binding("full_stop", "seed(1)", show=False, tooltip="Next seed"),
        Binding("m", "mean", "Mean", tooltip="The mean of the seeds, or one; where they disagree"),
        Binding("v", "part", "Test", tooltip="Validation or test examples"),
        Binding("y", "log", "Log", tooltip="Logarithmic scale of the cost"),
        Binding("x", "unit", "Updates", show=False, tooltip="Curves against epochs or updates"),
        Binding("a", "swap", "Accuracy", tooltip="Curves of cost or accuracy"),
        Binding("u", "update", "Update", tooltip="Inspect the newest checkpoint"),
        Binding("i", "inside", "Inside", tooltip="Every number of the next update, step by step"),
        Binding("d", "draw", "Draw", tooltip="Draw a digit, and ask all snapshots and seeds"),
        Binding("escape", "back", "Back", tooltip="Back to the previous screen"),
    ]

    DEFAULT_CSS = """
    RunScreen #about { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    RunScreen #notice { padding: 1 2; }
    RunScreen #pages { height: 1fr; }
    """

    panel = var("curves", init=False)
    chosen = var(0, init=False)  # index of the run that is inspected
    together = var(False, init=False)  # whether curves are means
    part: var[Part] = var("validation", init=False)
    epoch: var[float | None] = var(None, init=False)  # of the snapshot; None: the best one
    mode: var[boundary.Mode] = var("seed", init=False)  # of the boundary
    log_scale = var(False, init=False)
    unit: var[XUnit] = var("epoch", init=False)  # of the x axis of the curves
    # Changes with the keys that make sense: refreshing the footer more often makes it flicker.
    offered: var[object] = var(None, bindings=True)

    def __init__(self, run_ids: Sequence[str], title: str) -> None:
        """Initialises the screen.

        Args:
            run_ids: the ids of one or more runs.
            title: the breadcrumb.
        """
        super().__init__()
        self.breadcrumb = title
        self._runs_query = RunQuery(run_ids)
        self.runs: tuple[SeenRun, ...] = ()
        self.set_reactive(RunScreen.together, len(run_ids) > 1)
        self._drawn: object = None  # identifies the part of an inspection that is drawn
        self._outdated: set[str] = set()  # runs that have been trained on since their boundary
        self._timer: Timer | None = None  # that plays the snapshots
        self._steps = 0  # from panel to panel, while it is not known which ones there are

    def compose_body(self) -> ComposeResult:
        """Yields the tabs, a line about the run, the panels and the snapshots."""
        yield Tabs(*(_tab(name) for name in self.panels))
        yield Static(id="about", markup=False)
        with ContentSwitcher(initial="curves", id="pages"):
            yield CurvesPanel(id="curves-page")
            yield LayersPanel(id="layers-page")
            yield WeightsPanel(id="weights-page")
            yield ConfusionPanel(id="confusion-page")
            yield MistakesPanel(id="mistakes-page")
            yield BoundaryPanel(id="boundary-page")
            for name, panel in MICROSCOPES.items():
                yield panel(id=f"{_id(name)}-page")
            yield Static(id="notice", markup=False)
        yield Scrubber()

    def on_mount(self) -> None:
        """Restores the axes, and subscribes to the store once all panels are mounted."""
        kept = self.app.settings.choices
        self.set_reactive(RunScreen.log_scale, kept.curves_log)
        self.set_reactive(RunScreen.unit, "update" if kept.curves_by_updates else "epoch")
        self.inspections = Inspections(self.app, self._show)
        self.query_one(Tabs).can_focus = False
        # Nested pages are mounted later than their screen.
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.app.settings.choices.curves_accuracy:
            self.query_one(CurvesPanel).first = "accuracy"
        self._focus()
        self.store_query = self._runs_query
        if self.is_current:
            self.on_screen_resume()

    def on_unmount(self) -> None:
        """Cancels a running inspection."""
        self.inspections.cancel()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Draws the new state of the runs."""
        self.store_error = ""
        before = {seen.row.run_id: seen for seen in self.runs}
        self.runs = event.value
        for seen in self.runs:
            known = before.get(seen.row.run_id)
            if known is not None and version_of(known.row) != version_of(seen.row):
                self.inspections.discard(seen.row.run_id)  # its networks have changed
            elif known is not None and known.row.epoch != seen.row.epoch:
                self._outdated.add(seen.row.run_id)
        for name in self.panels:
            if not self.query(f"#{_id(name)}"):
                self.query_one(Tabs).add_tab(_tab(name))
        self._show()
        if self.runs and self._steps:
            steps, self._steps = self._steps, 0
            self.action_panel(steps)

    @property
    def panels(self) -> tuple[str, ...]:
        """The panels that these runs have: a boundary only with two numerical inputs, say."""
        hidden = set() if any(seen.is_plane for seen in self.runs) else {"boundary"}
        for name, panel in MICROSCOPES.items():
            # All runs have the same hyperparameters.
            if not self.runs or not panel.applies(self.runs[0].row.hyperparams):
                hidden.add(name)
        return tuple(name for name in PANELS if name not in hidden)

    @property
    def terms(self) -> list[str]:
        """The panel, the run and the snapshots."""
        return [self.panel, "run", "seed", "snapshot"]

    def on_resize(self, event: events.Resize) -> None:
        """Redraws everything in the new size."""
        del event
        self.call_after_refresh(self._show)

    # ---- keys and mouse

    @on(Tabs.TabActivated)
    def tab_activated(self, event: Tabs.TabActivated) -> None:
        """Shows the tab's panel."""
        self.panel = next(name for name in PANELS if _id(name) == event.tab.id)
        self._focus()

    def action_panel(self, by: int) -> None:
        """Shows the next or previous panel, and wraps around."""
        if not self.runs:  # it is not known yet which panels there are
            self._steps += by
            return
        panels = self.panels
        chosen = panels[(panels.index(self.panel) + by) % len(panels)]
        self.query_one(Tabs).active = _id(chosen)

    def action_scrub(self, by: int) -> None:
        """Shows the next or previous snapshot; the first time, requests the inspection."""
        found = self.found
        if found is None:
            self._request()
            self._show()
        else:
            self._scrub_to(max(0, min(len(found.epochs) - 1, found.index_at(self.epoch) + by)))

    @on(Scrubber.Chosen)
    def snapshot_chosen(self, event: Scrubber.Chosen) -> None:
        """Shows the snapshot that was clicked."""
        self._scrub_to(event.index)

    def _scrub_to(self, index: int) -> None:
        if self.found is not None:
            self.epoch = self.found.epochs[index]

    def action_play(self) -> None:
        """Shows one snapshot after the other, from the first if the last is shown; or stops."""
        if self._timer is not None:
            self._stop_playing()
        elif self.found is not None:
            if self.found.index_at(self.epoch) == len(self.found.epochs) - 1:
                self._scrub_to(0)
            self._timer = self.set_interval(PLAY_SECONDS, self.play_on)

    def play_on(self) -> None:
        """Shows the next snapshot; after the last one, ends."""
        found = self.found
        last = 0 if found is None else len(found.epochs) - 1
        if found is not None and found.index_at(self.epoch) < last:
            self._scrub_to(found.index_at(self.epoch) + 1)
        if found is None or found.index_at(self.epoch) == last:
            self._stop_playing()

    def _stop_playing(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def action_seed(self, by: int) -> None:
        """Shows the next or previous run."""
        if self.runs:
            # Drawn once for both.
            self.set_reactive(RunScreen.chosen, (self.chosen + by) % len(self.runs))
            self.set_reactive(RunScreen.together, self.together and self.panel != "curves")
            self._show()

    def action_mean(self) -> None:
        """Switches between the mean of all runs and one run, and where they disagree."""
        if self.panel == "boundary":
            modes = boundary.MODES
            self.mode = modes[(modes.index(self.mode) + 1) % len(modes)]
        else:
            self.together = not self.together

    def action_part(self) -> None:
        """Switches between validation and test examples."""
        self.part = "test" if self.part == "validation" else "validation"

    def action_log(self) -> None:
        """Switches between a logarithmic and a linear scale."""
        self.log_scale = not self.log_scale
        self.app.settings.keep(curves_log=self.log_scale)

    def action_unit(self) -> None:
        """Switches between epochs and updates."""
        self.unit = "update" if self.unit == "epoch" else "epoch"
        self.app.settings.keep(curves_by_updates=self.unit == "update")

    def action_swap(self) -> None:
        """Switches between cost and accuracy."""
        panel = self.query_one(CurvesPanel)
        panel.swap()
        panel.focus_first()
        self.app.settings.keep(curves_accuracy=panel.first == "accuracy")

    def action_update(self) -> None:
        """Inspects the run again."""
        if (microscope := self._microscope) is not None and microscope.has_failed:
            microscope.retry()
        elif self.runs:
            self.inspections.discard(self.runs[self.chosen].row.run_id)
            self._request()
            self._show()

    def action_inside(self) -> None:
        """Opens the next update of the chosen run, after the snapshot that is shown."""
        if self.runs:
            from jmlp.inspection.views import Where
            from tui.screens.inside import InsideScreen

            found = self.found
            index = None if found is None else found.index_at(self.epoch)
            row = self.runs[self.chosen].row
            where = Where(row.run_id, snapshot=index)
            self.app.push_screen(InsideScreen(where, f"{self.breadcrumb} › seed {row.seed}"))

    def action_draw(self) -> None:
        """Opens the sheet to draw on."""
        from tui.screens.draw import DrawScreen

        sheet = self.runs[self.chosen].sheet if self.runs else None
        if sheet is not None:
            run_ids = [seen.row.run_id for seen in self.runs]
            title = f"{self.breadcrumb} › draw"
            together = len(run_ids) > 1 and self.together
            self.app.push_screen(
                DrawScreen(
                    run_ids,
                    title,
                    sheet,
                    chosen=self.chosen,
                    together=together,
                    epoch=self.epoch,
                )
            )

    def action_back(self) -> None:
        """Returns to the previous screen."""
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides keys that make no sense now."""
        in_curves = self.panel == "curves"
        if action in ("seed", "mean"):
            return len(self.runs) > 1 and (action == "seed" or self.panel in HAVE_MEANS)
        if action in ("log", "unit", "swap"):
            return in_curves
        if action == "part":
            return self.panel not in (*HAVE_MEANS, *MICROSCOPES)
        if action == "play":
            return not in_curves
        if action == "draw":
            return bool(self.runs) and self.runs[self.chosen].sheet is not None
        if action == "update":
            seen = self.runs[self.chosen] if self.runs else None
            failed = seen and isinstance(self.inspections.get(self._key(seen)), Failure)
            unmeasured = self._microscope is not None and self._microscope.has_failed
            return bool(seen and (seen.in_training or failed or unmeasured))
        return True

    # ---- what is shown

    @property
    def _microscope(self) -> MicroscopePanel[Any] | None:
        """The panel that is shown, if it is a microscope."""
        if self.panel not in MICROSCOPES:
            return None
        return self.query_one(f"#{_id(self.panel)}-page", MicroscopePanel)

    @on(MicroscopePanel.Changed)
    def microscope_changed(self) -> None:
        """Offers to try again where nothing could be measured."""
        self._show()

    def _key(self, seen: SeenRun) -> Key:
        return seen.row.run_id, "boundary" if self.panel == "boundary" else self.part

    @property
    def found(self) -> Inspection | Boundary | None:
        """What is known of the chosen run's networks in this panel, if it is available."""
        state = self.inspections.get(self._key(self.runs[self.chosen])) if self.runs else None
        return state if isinstance(state, Inspection | Boundary) else None

    @property
    def inspection(self) -> Inspection | None:
        """The inspection of the chosen run, if it is available."""
        found = self.found
        return found if isinstance(found, Inspection) else None

    def _request(self) -> None:
        if self.runs:
            self.inspections.request(self._key(self.runs[self.chosen]))
        if self.panel != "boundary":
            return
        # One after the other: a request would cancel the one before.
        for seen in self._pictured_runs():
            key = self._key(seen)
            if self.inspections.get(key) is None and not self.inspections.is_busy:
                self.inspections.request(key)
            elif seen.row.run_id in self._outdated and self.inspections.renew(key):
                self._outdated.discard(seen.row.run_id)

    def _pictured_runs(self) -> list[SeenRun]:
        """The runs whose boundaries are shown, the chosen one first."""
        chosen = self.runs[self.chosen]
        others = [] if self.mode == "seed" else [seen for seen in self.runs if seen is not chosen]
        return [chosen, *others]

    def _show(self) -> None:
        """Draws everything, and requests the inspection that the panel needs."""
        if not self.runs or not self.is_there or not self.is_mounted:
            return
        if self.panel != "curves":
            self._request()
        with self.app.batch_update():
            self._show_scrubber()
            if self.panel == "curves":
                self._show_curves()
            elif self.panel == "boundary":
                self._show_boundary()
            else:
                self._show_inside()
        actions = [bool(self.check_action(action, ())) for action in ("update", "draw")]
        in_curves, has_mean = self.panel == "curves", self.panel in HAVE_MEANS
        self.offered = in_curves, has_mean, len(self.runs) > 1, *actions

    watch_panel = watch_chosen = watch_together = watch_part = watch_epoch = _show
    watch_log_scale = watch_unit = watch_mode = _show

    def _show_scrubber(self) -> None:
        scrubber, found = self.query_one(Scrubber), self.found
        state = self.inspections.get(self._key(self.runs[self.chosen]))
        scrubber.words = "press [ or ] to inspect" if state is None else "unavailable"
        if isinstance(state, Pending):
            scrubber.words = "computing…"
        scrubber.epochs = () if found is None else found.epochs
        scrubber.best = None if found is None else found.best
        scrubber.shown = None if found is None else found.index_at(self.epoch)

    def _show_curves(self) -> None:
        shown = self.runs if self.together else self.runs[self.chosen : self.chosen + 1]
        about = about_runs(self.runs, self.chosen, self.together)
        self.query_one("#about", Static).update(about, layout=False)
        self._page("curves-page")
        self.query_one(CurvesPanel).show_runs(shown, self.log_scale, self._marks(), self.unit)

    def _marks(self) -> list[Mark]:
        """Returns marks for the chosen run's best epoch and the snapshot in the other panels."""
        seen, inspection = self.runs[self.chosen], self.inspection
        row, steps = seen.row, {point.epoch: point.step for point in seen.points}
        texts: dict[float, list[str]] = {}
        if row.result is not None and row.result.best_epoch is not None:
            best = f"best of seed {row.seed}" if self.together else "best"
            texts.setdefault(row.result.best_epoch, []).append(best)
        if inspection is not None:
            epoch = inspection.epochs[inspection.index_at(self.epoch)]
            texts.setdefault(epoch, []).append("snapshot")
        by_updates = self.unit == "update"
        return [
            Mark(steps[epoch] if by_updates else epoch, ", ".join(words))
            for epoch, words in texts.items()
            if not by_updates or epoch in steps
        ]

    def _show_inside(self) -> None:
        seen, about = self.runs[self.chosen], self.query_one("#about", Static)
        state = self.inspections.get(self._key(seen))
        if isinstance(state, Inspection):
            e = state.index_at(self.epoch)
            text = about_inspection(seen, self.chosen, len(self.runs), state, e)
            about.update(text, layout=False)
            shown = self.panel, state, e, self.app.size, self.app.theme
            if shown != self._drawn:
                panel = self.query_one(f"#{_id(self.panel)}-page")
                panel.show(state, e)  # type: ignore[attr-defined]
                self._drawn = shown
            self._page(f"{_id(self.panel)}-page")
        else:
            about.update(about_runs(self.runs, self.chosen, False), layout=False)
            self._show_notice(notice_of(state))

    def _show_notice(self, text: str) -> None:
        """Says why there is nothing to see."""
        self.query_one("#notice", Static).update(text)
        self._page("notice")

    def _show_boundary(self) -> None:
        """Shows the boundary of the chosen run; or of all that are known and have not diverged."""
        runs, about = self._pictured_runs(), self.query_one("#about", Static)
        states = [self.inspections.get(self._key(seen)) for seen in runs]
        found = [state for state in states if isinstance(state, Boundary)]
        if self.mode != "seed":
            found = [one for one in found if one.diverged_at is None]
        if any(state is None or isinstance(state, Pending) for state in states) or not found:
            about.update(about_runs(self.runs, self.chosen, False), layout=False)
            lacking = [state for state in states if not isinstance(state, Boundary)]
            self._show_notice(notice_of(lacking[0]) if lacking else ALL_DIVERGED)
            return
        panel = self.query_one(BoundaryPanel)
        shown = self.panel, tuple(found), self.epoch, self.mode, self.app.size, self.app.theme
        if shown != self._drawn:
            panel.show(found, self.epoch, self.mode)
            self._drawn = shown
        assert panel.shown is not None
        text = boundary.about(panel.shown, self.epoch)
        if self.mode == "seed":
            text = f"{_seed_text(runs[0], self.chosen, len(self.runs))}   {text}"
        elif left := len(runs) - len(found):
            text += f"   {left} diverged or without networks"
        about.update(text, layout=False)
        self._page("boundary-page")

    # ---- copying

    def excerpt(self) -> Excerpt | None:
        """Returns the values of the curves, or the table of the panel."""
        if not self.runs:
            return None
        if self.panel == "curves":
            return curves_table(self.query_one(CurvesPanel).shown)
        if self.panel == "boundary":
            is_shown = self.query_one(ContentSwitcher).current == "boundary-page"
            return self.query_one(BoundaryPanel).excerpt() if is_shown else None
        if (microscope := self._microscope) is not None:
            return microscope.excerpt() if self.inspection is not None else None
        inspection, make = self.inspection, TABLES.get(self.panel)
        if inspection is None or make is None:
            return None
        return make(inspection, inspection.index_at(self.epoch))

    def drawing(self) -> Drawing | None:
        """Returns the curves that are shown."""
        if self.panel != "curves" or not self.runs:
            return None
        curves = self.query_one(CurvesPanel).shown
        about = about_runs(self.runs, self.chosen, self.together)
        return Drawing(f"{self.breadcrumb}   {about}", tuple(map(panel_of, curves)))

    def replayed(self) -> tuple[str, str] | None:
        """Returns the run whose networks are inspected."""
        if not self.runs:
            return None
        run_id = self.runs[self.chosen].row.run_id
        return run_id, run_id[:SHORT_ID]

    def _page(self, page: str) -> None:
        """Shows a page and focuses it."""
        pages = self.query_one(ContentSwitcher)
        if pages.current != page:
            pages.current = page
            self._focus()

    def _focus(self) -> None:
        page = self.query_one(ContentSwitcher).current
        if page in ("layers-page", "confusion-page"):
            self.query_one(f"#{page}").focus()
        elif page in ("curves-page", "weights-page", "mistakes-page", "boundary-page"):
            self.query_one(f"#{page}").focus_first()  # type: ignore[attr-defined]
        elif (microscope := self._microscope) is not None and microscope.id == page:
            microscope.focus()


def _id(panel: str) -> str:
    """The id of a panel's tab, and the beginning of that of its page."""
    return panel.replace(" ", "-")


def _tab(panel: str) -> Tab:
    return Tab(panel.capitalize(), id=_id(panel))


def notice_of(state: State | None) -> str:
    """Returns what is said in place of an inspection that is not available."""
    if isinstance(state, Failure):
        return f"{state.text}\n\nu: try again"
    return state.text if isinstance(state, Pending) else ""


def version_of(row: RunRow) -> tuple[int, int | None]:
    """Returns a value that changes when a run is retrained or ends."""
    return row.attempt, row.ended_at


def about_runs(runs: Sequence[SeenRun], chosen: int, together: bool) -> str:
    """Describes the curves in one line."""
    if together:
        training = sum(run.in_training for run in runs)
        begun = sum(bool(run.points) for run in runs)
        band = ", band: 95 % interval of the mean" if begun >= FEWEST_FOR_BAND else ""
        seeds = f"{begun} seeds" if begun == len(runs) else f"{begun} of {len(runs)} seeds"
        text = f"mean of {seeds}{band}"
        return f"{text}   {training} in training" if training else text
    row = runs[chosen].row
    parts = [_seed_text(runs[chosen], chosen, len(runs)), state_text(row)]
    if row.result is not None and row.result.best_epoch is not None:
        parts.append(f"best epoch {epoch_text(row.result.best_epoch)}")
        parts.append(f"validation {percent_text(row.result.validation_accuracy)} %")
        parts.append(f"test {percent_text(row.result.test_accuracy)} %")
    return "   ".join(parts)


def about_inspection(
    seen: SeenRun, chosen: int, n_runs: int, inspection: Inspection, e: int
) -> str:
    """Describes the inspected network and its examples in one line."""
    return "   ".join(
        [
            _seed_text(seen, chosen, n_runs),
            f"epoch {epoch_text(inspection.epochs[e])}",
            f"{inspection.part}: accuracy {percent_text(float(inspection.accuracy[e]))} %",
            f"cost {inspection.cost[e]:.4f}",
        ]
    )


def _seed_text(seen: SeenRun, chosen: int, n_runs: int) -> str:
    return f"seed {seen.row.seed}" + (f" ({chosen + 1} of {n_runs})" if n_runs > 1 else "")
