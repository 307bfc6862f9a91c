"""The form for a new study: its fields are checked while the user types."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from jmlp.client import exports
from jmlp.client.choice import Choice, write_file
from jmlp.store import StudyRow
from jmlp.study.config import DEFAULTS, TABLE_KEYS, Study
from jmlp.study.values import TypedError, with_baseline
from jmlp.system import environment
from tui.dialogs import Ask, Choose, Confirm
from tui.feed import FeedUpdate, error_text
from tui.framework.screens import FollowsFocus
from tui.keys import MOVE
from tui.run_work import typed_target
from tui.screens.base import JmlpScreen
from tui.screens.form_source import choose
from tui.text import fit, visible
from tui.views import form
from tui.views.form import Checked, Outline, Stored
from tui.widgets.form_fields import (
    Add,
    ExperimentBox,
    FieldLine,
    Indented,
    Pick,
    Pressable,
    Tick,
)

if TYPE_CHECKING:
    from jmlp.client.pace import Pace
    from jmlp.training.plan import DataFacts
    from tui.app import JmlpApp

HOW_TO_MOVE = "tab or arrows move, space chooses; several values in a field are an axis"
WAIT_SECONDS = 0.1  # without a key, before what was typed is checked
EXPERIMENTS = "Experiments, with their axes"
EMPTY = "For all of them; empty fields keep the study's values"
WIDE = 150  # columns, from which on the fields are in two columns


def own_line(experiment: str, key: str, given: str, *, added: bool = False) -> FieldLine:
    """Makes a field of one experiment, filled with the study's own value."""
    full = form.key_of(experiment, key)
    return FieldLine(full, form.title(key), form.LONGEST_AXIS, given=given, added=added)


class StudyForm(FollowsFocus[str | None], JmlpScreen[str | None]):
    """The form; it is dismissed with the label of the study that was started, or None."""

    app: "JmlpApp"
    breadcrumb = "studies › new study"
    store_query = staticmethod(form.stored_studies)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", tooltip="Start the study"),
        Binding("ctrl+o", "choose", "Another study", tooltip="Choose what to start from"),
        Binding("f2", "save", "Save file", tooltip="Save it as a study file, for jmlp study"),
        Binding("ctrl+b", "baseline", "Baseline", tooltip="Compare with the value at the cursor"),
        Binding("ctrl+r", "remove", "Remove axis", tooltip="Keep only the baseline's value"),
        Binding("down", "app.focus_next", show=False, group=MOVE, tooltip="Next field"),
        Binding("up", "app.focus_previous", show=False, group=MOVE, tooltip="Previous field"),
        Binding("pagedown", "page(1)", show=False, group=MOVE, tooltip="Down to the plan"),
        Binding("pageup", "page(-1)", show=False, group=MOVE, tooltip="Up to the fields"),
        Binding("escape", "back", "Back", tooltip="Leave without starting"),
    ]
    CSS_PATH = "form.tcss"
    terms = ("hyperparameter", "plan")

    @dataclass
    class Progress(Message):
        """Progress of the start, reported by its thread."""

        text: str

    def __init__(self, source: str | None = None, row: StudyRow | None = None) -> None:
        """Initialises the form.

        Args:
            source: the name of a built-in study, or the path of a study file.
            row: a study in the store, instead of a source.
        """
        super().__init__()
        self.origin = Choice(source or "", row)
        self.checked = Checked()
        self.checked_choice = Choice()  # the choice that `checked` is about
        self.stored: tuple[Stored, ...] = ()
        self.outline: Outline | None = None
        self.boxes: list[ExperimentBox] = []
        self.n_changes = self.n_checked = 0  # all changes, and those that have been checked
        self.checking = self.starting = self.start_then = False
        self.failure = ""  # error of the last start
        self.started_label: str | None = None  # the study to open once the form is on top again
        self._timer: Timer | None = None
        self._facts: tuple[tuple[object, ...], DataFacts] | None = None
        self._pace: Pace | None = None
        self.is_choosing = False

    def compose_body(self) -> ComposeResult:
        """Yields the fields, the plan beside or below them, and the bar with the start button."""
        with Vertical(id="form"):
            with Vertical(id="fields"):
                with Vertical(id="choices"):
                    yield Static("Study", classes="heading", markup=False)
                    yield Pick(id="source", markup=False)
                    yield Static(EXPERIMENTS, classes="heading", markup=False)
                    yield Vertical(id="experiments")
                    yield Static(form.NO_EXPERIMENT, id="no-experiment", markup=False)
                with Vertical(id="shared"):
                    yield Static(EMPTY, classes="heading", markup=False)
                    for key in form.KEYS:
                        limit = form.LONGEST_PATH if key == "data" else form.LONGEST
                        line = FieldLine(key, form.title(key), limit)
                        line.display = key not in form.OF_TABLE
                        yield line
            with Vertical(id="plan"):
                yield Static("Plan", classes="heading", markup=False)
                yield Indented(id="plan-text", markup=False)
        with Vertical(id="bar"):
            yield Static(id="how", markup=False)
            with Horizontal():
                yield Static(id="verdict", markup=False)
                yield Button(
                    Text("Start (ctrl+s)"),
                    id="start",
                    compact=True,
                    disabled=True,
                    variant="primary",
                )

    def on_mount(self) -> None:
        """Asks for a study if none was given."""
        self.query_one(Pick).focus()
        if self.origin == Choice():
            self.call_after_refresh(self.action_choose)
        else:
            self.check_now()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Takes the studies in the store, which the user can start from."""
        self.store_error = ""
        self.stored = event.value
        self.show_plan()

    def on_resize(self, event: events.Resize) -> None:
        """Uses the width."""
        self.set_class(event.size.width >= WIDE, "wide")

    # ---- what to start from

    def action_choose(self) -> None:
        """Asks for another study, once: a key may come before the dialog does."""
        if not self.is_choosing:
            self.is_choosing = True
            choose(self.app, self.stored, self.source_chosen)

    def source_chosen(self, origin: Choice | None) -> None:
        """Starts from the chosen study; if none was ever chosen, closes the form."""
        self.is_choosing = False
        if origin is not None:
            self.start_from(origin)
        elif self.origin == Choice():
            self.dismiss(None)

    def start_from(self, origin: Choice) -> None:
        """Replaces the study; the fields keep their text."""
        self.origin, self.outline, self.boxes = origin, None, []
        self.show_experiments()
        self.check_now()

    # ---- what is typed

    @property
    def texts(self) -> dict[str, str]:
        """The text of each field by its key; empty where it stands for the study's value."""
        own = [line for box in self.boxes if box.tick.on for line in box.own]
        return {line.key: line.text for line in (*self.query("#shared FieldLine"), *own)}

    @property
    def chosen(self) -> list[str]:
        """The names of the chosen experiments."""
        return [box.tick.key for box in self.boxes if box.tick.on]

    @property
    def changed(self) -> bool:
        """Whether closing the form would lose changes."""
        return any(self.texts.values()) or len(self.chosen) < len(self.boxes)

    @on(Input.Changed)
    def typed(self) -> None:
        """Checks the fields once the user pauses."""
        self.n_changes += 1
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(WAIT_SECONDS, self.check_pending)

    @on(Pressable.Pressed)
    def pressed(self, event: Pressable.Pressed) -> None:
        """Asks for another study or field, or checks the new choice of experiments."""
        if isinstance(event.sender, Tick):
            for box in self.boxes:
                box.set_class(not box.tick.on, "left-out")
            self.check_now()
        elif isinstance(event.sender, Add):
            self.ask_for_field(event.sender)
        else:
            self.action_choose()

    # ---- the fields of an experiment

    def ask_for_field(self, add: Add) -> None:
        """Asks which hyperparameter to vary or to set in one experiment."""
        (box,) = [box for box in self.boxes if box in add.ancestors]
        there, outline, name = {line.key for line in box.own}, self.outline, box.tick.key
        assert outline is not None  # else there are no experiments
        keys = [key for key in form.OWN_KEYS if form.key_of(name, key) not in there]
        options = [(key, fit(form.title(key), 18) + outline.value(name, key)) for key in keys]

        async def chose(key: str | None) -> None:
            if key is not None and box in self.boxes:
                given = outline.value(name, key)
                await box.add(own_line(name, key, given, added=True))

        self.app.push_screen(Choose(f"Vary or set in {name}", options), chose)

    @property
    def line(self) -> FieldLine | None:
        """The field with the focus."""
        if self.focused is None:
            return None
        return next((n for n in self.focused.ancestors if isinstance(n, FieldLine)), None)

    def action_baseline(self) -> None:
        """Marks the value at the cursor as the baseline of its axis."""
        if (line := self.line) is None or (name := form.place(line.key)[1]) not in DEFAULTS:
            return
        try:
            text = with_baseline(name, line.field.value, line.field.cursor_position)
        except TypedError as error:
            self.app.toast(str(error))
        else:
            line.field.value = text
            line.field.cursor_position = text.index("*")

    async def action_remove(self) -> None:
        """Replaces an axis by the value of its baseline; removes a field that was added."""
        if (line := self.line) is None:
            return
        if line.added:
            self.app.action_focus_previous()
            await line.remove()  # else it would still be there when the form is checked
            self.check_now()
        else:
            line.field.value = form.single(line.key, line.field.value or line.given, line.given)

    def watch_focused(self) -> None:
        """Says how the field with the focus is typed."""
        if self.is_there and (how := self.query("#how")):
            key = self.line.key if self.line is not None else ""
            how.first(Static).update(form.how_to_type(key) if key else HOW_TO_MOVE)
            self.refresh_bindings()

    # ---- the check

    def check_now(self) -> None:
        """Checks the form without waiting for a pause."""
        self.n_changes += 1
        self.check_pending()

    def check_pending(self) -> None:
        """Starts checking in a thread if there are unchecked changes and no check is running."""
        if self.checking or self.n_checked == self.n_changes or self.origin == Choice():
            return
        self.checking, self.n_checked, self.failure = True, self.n_changes, ""
        origin, choice, served = self.origin, self.choice(), self.app.served
        none_chosen = bool(self.boxes) and not self.chosen
        keys = [line.key for box in self.boxes for line in box.own]
        rows = [stored.row for stored in self.stored]
        cores = origin.hardware()["cores"] or environment.default_cores()

        def work() -> Checked:
            try:
                return form.check(
                    choice,
                    origin,
                    self.facts,
                    cores,
                    pace=self.pace,
                    rows=rows,
                    keys=keys,
                    none_chosen=none_chosen,
                    served=served,
                )
            except Exception as error:
                return Checked(problems=(("", error_text(error)),))

        self.app.perform("check the study", work, lambda checked: self.check_done(choice, checked))

    def choice(self) -> Choice:
        """Returns the choice that the form describes."""
        only = self.chosen if len(self.chosen) < len(self.boxes) else ()
        hidden = () if self.is_table else form.OF_TABLE
        texts = {key: text for key, text in self.texts.items() if key not in hidden}
        return form.choice_of(self.origin, only, texts)

    @property
    def is_table(self) -> bool:
        """Whether the data are a table, whose own fields are then shown."""
        typed = self.texts.get("data", "").strip()
        return form.is_table(typed or (self.outline.study.data if self.outline else ""))

    def facts(self, study: Study) -> "DataFacts":
        """Reads the facts of a study's data, and caches the last ones; called in a thread."""
        from jmlp.client.plans import facts_of

        about = tuple(getattr(study, key) for key in ("data", *TABLE_KEYS))
        if self._facts is None or self._facts[0] != about:
            self._facts = about, facts_of(study)
        return self._facts[1]

    def pace(self) -> "Pace":
        """Reads from the store how fast networks were trained; called in a thread."""
        from jmlp.client.pace import measured_pace

        if self._pace is None:
            self._pace = measured_pace(self.app.folder)
        return self._pace

    def check_done(self, choice: Choice, checked: Checked) -> None:
        """Shows the result of a check, and checks again if the form has changed in the meantime."""
        self.checking = False
        if not self.is_there:
            return
        if (choice.source, choice.row) == (self.origin.source, self.origin.row):
            self.checked, self.checked_choice = checked, choice
            self.show()
        self.check_pending()
        if self.start_then and self.settled:
            self.start_then = False
            self.action_start()

    @property
    def settled(self) -> bool:
        """Whether all changes have been checked."""
        return not self.checking and self.n_checked == self.n_changes

    # ---- what is shown

    def show(self) -> None:
        """Shows the study, placeholders, problems and the plan."""
        if self.checked.outline != self.outline:
            self.outline = self.checked.outline
            self.show_experiments()
        for line in self.query(FieldLine):
            line.wrong(self.checked.of(line.key))
        for line in self.query("#shared FieldLine").results(FieldLine):
            line.hint(self.hint(line.key))
            line.display = line.key not in form.OF_TABLE or self.is_table
        self.show_grids()
        nothing = self.query_one("#no-experiment")
        nothing.set_class(bool(self.checked.of("experiments")), "shown")
        self.show_plan()

    def hint(self, key: str) -> str:
        """Returns what an empty field of all experiments stands for."""
        if self.outline is None:
            return ""
        if key == "name":
            return replace(self.checked_choice, name=None).label(self.outline.study.name)
        return self.outline.hint(key, self.chosen)

    def place_of(self, focused: Widget) -> Widget:
        """Returns the field's whole line, so that its problems are visible too."""
        return next((n for n in focused.ancestors if isinstance(n, FieldLine)), focused)

    def show_experiments(self) -> None:
        """Shows the study's name, and a check box for each experiment."""
        pick = self.query_one(Pick)
        pick.chosen = self.origin.row.label if self.origin.row else Path(self.origin.source).name
        pick.about = self.outline.study.title if self.outline else ""
        self.boxes = []
        if (outline := self.outline) is not None:
            for part in outline.parts:
                axes = [own_line(part.name, *axis) for axis in outline.axes(part.name)]
                self.boxes.append(ExperimentBox(part.name, "", axes))
        box = self.query_one("#experiments")
        box.remove_children()
        box.mount_all(self.boxes)
        self.show_grids()

    def show_grids(self) -> None:
        """Shows each experiment's title and size, with the changes if there are no problems."""
        parts = {part.name: part for part in self.outline.parts} if self.outline else {}
        if self.checked.changed is not None:
            parts |= {part.name: part for part in self.checked.changed.parts}
        width = max(map(len, parts), default=0) + 2
        for box in self.boxes:
            if (part := parts.get(box.tick.key)) is not None:
                box.tick.text = fit(part.name, width) + part.text

    def show_plan(self) -> None:
        """Shows the plan or all problems, and the verdict in the bar."""
        checked = self.checked
        if checked.ok:
            lines = (f"name  {checked.label}", *self.stored_notes(), "", *checked.plan)
        else:
            lines = tuple(f"✗ {text}" for _, text in checked.problems)
        if self.failure:
            lines = (*(f"✗ {text}" for text in self.failure.splitlines()), "", *lines)
        self.query_one(Indented).lines = lines
        if not self.starting:
            verdict = "could not start: see the plan" if self.failure else checked.verdict()
            self.query_one("#verdict", Static).update(visible(verdict))
        self.query_one("#start", Button).disabled = self.starting or not checked.ok
        self.refresh_bindings()

    def stored_notes(self) -> list[str]:
        """Returns what the store already has of the study."""
        found = [s for s in self.stored if s.row.label == self.checked.label]
        return [s.note() for s in found if not self.starting]

    # ---- a study file

    def action_save(self) -> None:
        """Asks for a path, and writes the study there as a file."""
        if self.settled and not self.checked.ok:
            self.app.toast("a study file needs a study without problems: see the plan")
            return
        name = f"{self.checked.label or 'study'}.toml"
        if self.app.served:
            self.write(exports.unused(self.app.folder / exports.FOLDER / name))
        else:
            hint = "jmlp study FILE trains it, and the form can start from it."
            self.app.push_screen(Ask("Save as study file", name, hint), self.path_typed)

    def path_typed(self, text: str | None) -> None:
        """Writes the file, after a question if it exists."""
        if text is None or not text.strip():
            return
        path = typed_target(text)
        if not os.path.lexists(path):
            self.write(path)
            return
        self.app.push_screen(
            Confirm(f"{path} exists. Replace it?", "Write"),
            lambda yes: self.write(path, replace_file=True) if yes else None,
        )

    def write(self, path: Path, *, replace_file: bool = False) -> None:
        """Writes the study file in a thread."""
        choice = self.choice()

        def work() -> str:
            write_file(choice, path, replace_file=replace_file)
            return f"wrote {path}"

        self.app.perform("save as study file", work, self.app.toast)

    # ---- the start

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the keys of axes elsewhere, and disables the start while there are problems."""
        if action in ("baseline", "remove"):
            experiment, name = form.place(self.line.key) if self.line is not None else ("", "")
            return name in DEFAULTS if action == "baseline" else bool(experiment)
        if action != "start":
            return super().check_action(action, parameters)
        return True if (self.checked.ok or not self.settled) and not self.starting else None

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Starts the study, once all changes have been checked."""
        if not self.settled or self.choice() != self.checked_choice:
            self.start_then = True
            self.check_now()
        elif self.checked.ok and not self.starting:
            self.starting, self.failure = True, ""
            self.show_progress("starting")
            self.show_plan()
            choice, folder = self.checked_choice, self.app.folder

            def work() -> tuple[str, str]:
                from jmlp.client.starting import start

                try:
                    return start(folder, choice, self.report_progress), ""
                except Exception as error:
                    return "", error_text(error)

            self.app.perform("start", work, lambda answer: self.started(*answer))

    def report_progress(self, text: str) -> None:
        """Reports the progress of the start; called in a thread."""
        self.post_message(self.Progress(text))
        if text.startswith("warning: "):
            self.app.toast(text)

    def on_study_form_progress(self, event: Progress) -> None:
        """Shows the progress of the start."""
        self.show_progress(event.text)

    def show_progress(self, text: str) -> None:
        """Shows a text in the bar while the study is starting."""
        if self.is_there:
            self.query_one("#verdict", Static).update(f"{visible(text)} …")

    def started(self, label: str, error: str) -> None:
        """Opens the study, or shows why it could not be started and keeps the form."""
        self.starting = False
        if not self.is_there:
            self.app.toast(error or f"{label} has started")
        elif error:
            self.failure = error
            self.show_plan()
            self.query_one("#plan").scroll_visible()
        else:
            self.started_label = label
            self.open_started()

    def open_started(self) -> None:
        """Closes the form for the study that was started; does nothing while it is covered."""
        if self.started_label is not None:
            self.dismiss(self.started_label)

    def on_screen_resume(self) -> None:
        """Opens a study that was started while another screen covered the form."""
        self.call_after_refresh(self.open_started)

    def action_page(self, direction: int) -> None:
        """Scrolls the plan, or in the narrow layout the whole form."""
        box = self.query_one("#form" if self.has_class("narrow") else "#plan")
        if direction > 0:
            box.scroll_page_down(animate=False)
        else:
            box.scroll_page_up(animate=False)

    def action_back(self) -> None:
        """Closes the form, after a question if that would lose changes."""
        if self.changed and not self.starting:
            question = "Leave and discard your changes?"
            self.app.push_screen(Confirm(question, "Leave"), self.leave_confirmed)
        else:
            self.dismiss(None)

    def leave_confirmed(self, answer: bool | None) -> None:
        """Closes the form if the answer was yes."""
        if answer:
            self.dismiss(None)
