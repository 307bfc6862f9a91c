"""The app: its screens and keys, and the thread that reads the store for all screens."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from jmlp.store import Store
from tui.feed import Feed, FeedFailed, FeedUpdate, StoreView, error_text
from tui.framework.app import SteadyApp
from tui.glossary import mentioned
from tui.keys import HELP, key_name
from tui.palette import Actions
from tui.screens.studies import StudiesScreen
from tui.settings import Settings
from tui.text import count, visible
from tui.theme import CURVES_DARK, DARK, LIGHT, curve_variables

if TYPE_CHECKING:
    from jmlp.inspection.client import Inspector
    from jmlp.store import RunRow, StudyRow

T = TypeVar("T")

TOAST_SECONDS = 5.0
ERROR_SECONDS = 20.0  # errors are longer, and say what to do


@dataclass
class Done(Message):
    """An action in a thread has succeeded."""

    then: Callable[[], object]


@dataclass
class Failed(Message):
    """An action in a thread has failed."""

    what: str
    error: str


@dataclass
class Notice(Message):
    """A line of text for a toast."""

    text: str


def _runs_screen() -> Screen[None]:
    from tui.screens.runs import RunsScreen

    return RunsScreen()


class JmlpApp(SteadyApp[int]):
    """Shows the store and has workers train; it trains nothing itself."""

    TITLE = "jmlp"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Actions}
    DEFAULT_MODE = "studies"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "studies": StudiesScreen,
        "runs": _runs_screen,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "1", "switch_mode('studies')", "Studies", show=False, tooltip="All studies in the store"
        ),
        Binding("2", "switch_mode('runs')", "Runs", show=False, tooltip="All runs in the store"),
        Binding("question_mark,f1", "help", "Help", tooltip=HELP),
        Binding(
            "ctrl+p", "command_palette", show=False, priority=True, tooltip="Every action by name"
        ),
        Binding("t", "next_theme", "Theme", show=False, tooltip="Switch between dark and light"),
        Binding("q", "leave", "Quit", tooltip="Quit; training continues"),
    ]

    status = reactive("")  # the worker's, for the top line
    active_study: str | None = None  # that the worker is training

    def __init__(
        self,
        folder: Path,
        *,
        start: str | None = None,
        served: bool = False,
        settings: Settings | None = None,
    ) -> None:
        """Initialises the app without reading the store.

        Args:
            folder: the store's folder, which need not exist yet.
            start: the study, run or tag to open first.
            served: whether the app runs in a browser, where it accepts no local paths.
            settings: the user's choices; None: the defaults, which are not kept.
        """
        super().__init__()
        self.folder, self.start, self.served = folder, start, served
        self.settings = settings or Settings()
        self.settings.say = self.toast
        self.feed = Feed(folder)
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        # Here, not once the app runs, when Textual would parse all styles again.
        if self.theme == "textual-dark":  # the default: TEXTUAL_THEME is not set
            kept = self.settings.choices.theme
            self.theme = kept if kept in self.available_themes else DARK.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Gives other themes, such as TEXTUAL_THEME may name, the colours that only jmlp uses."""
        return curve_variables(CURVES_DARK)

    def on_mount(self) -> None:
        """Starts reading the store and shows the studies."""
        self.feed.start()
        self.feed.subscribe(self, worker_status)
        if self.start is not None:
            self.call_after_refresh(self._open_start, self.start)

    def on_unmount(self) -> None:
        """Stops reading the store."""
        self.feed.close()
        self.settings.close()
        if "inspector" in vars(self):
            self.inspector.close()

    @cached_property
    def inspector(self) -> "Inspector":
        """What computes the numbers of networks, in a process that it starts when it is asked."""
        from jmlp.inspection.client import Inspector

        return Inspector(self.folder)

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Takes the worker's new status."""
        self.status, self.active_study = event.value

    def on_feed_failed(self, event: FeedFailed) -> None:
        """Shows in the top line that the store cannot be read; the screens show the reason."""
        del event
        self.status = "store not readable"

    def prefetched(self, _: None) -> None:
        """Called once everything that the next screen needs is imported."""

    # ---- long actions

    def perform(
        self, what: str, action: Callable[[], T], then: Callable[[T], object] = lambda _: None
    ) -> None:
        """Runs an action in a thread, and shows its error if it fails.

        Args:
            what: the title of an error message, such as "pause original".
            action: called in the thread.
            then: called with the result in the app's thread.
        """

        def work() -> None:
            try:
                value = action()
            except Exception as error:  # a bug must not crash the app
                self.post_message(Failed(what, error_text(error)))
            else:
                self.post_message(Done(lambda: then(value)))

        # A daemon, so that quitting the app does not wait for it.
        threading.Thread(target=work, name=what, daemon=True).start()

    def toast(self, text: str) -> None:
        """Shows a line for a few seconds; may be called from any thread."""
        self.post_message(Notice(text))

    def copy_to_clipboard(self, text: str, what: str = "the selection") -> None:
        """Copies a text to the clipboard of the user's terminal or browser, and says so.

        Whether a terminal obeys is unknown, because none of them answers.
        """
        text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates
        super().copy_to_clipboard(text)
        tmux = "TMUX" in os.environ and not self.served
        hint = "; in tmux this needs set-clipboard on" if tmux else ""
        self.toast(f"copied {visible(what)}: {count(len(text), 'character')}{hint}")

    def on_done(self, event: Done) -> None:
        """Passes the result on to the callback."""
        event.then()

    def on_failed(self, event: Failed) -> None:
        """Shows the error, for longer than other messages."""
        self.notify(
            event.error, title=event.what, severity="error", timeout=ERROR_SECONDS, markup=False
        )

    def on_notice(self, event: Notice) -> None:
        """Shows the line, with the severity of a warning if it begins with that word."""
        severity: Any = "warning" if event.text.startswith("warning: ") else "information"
        self.notify(event.text, severity=severity, timeout=TOAST_SECONDS, markup=False)

    # ---- studies and runs

    def _open_start(self, start: str) -> None:
        """Looks up the study or run named on the command line."""
        self.perform(f"open {start}", lambda: find(self.folder, start), self._open_found)

    def _open_found(self, found: "Sequence[RunRow] | str") -> None:
        """Opens the study or the runs that were found."""
        if isinstance(found, str):
            self.open_study(found)
        else:
            self.open_runs([run.run_id for run in found], self.start or "")

    def open_runs(self, run_ids: Sequence[str], title: str) -> None:
        """Opens the runs of one configuration, or a single run."""
        from tui.screens.run import RunScreen

        self.push_screen(RunScreen(run_ids, title))

    def start_study(self, source: str = "", mistake: str = "") -> None:
        """Starts a built-in study, or that of a mistake, unchanged, and opens it."""

        def begin() -> str:
            from jmlp.client.choice import Choice
            from jmlp.client.starting import start

            return start(self.folder, Choice(source, mistake=mistake), self.toast)

        asked_on = self.screen

        def started(label: str) -> None:
            if self.screen is asked_on:
                self.open_study(label)
            else:  # the user has moved on to another screen
                self.toast(f"{label} has started")

        name = source or mistake
        self.toast(f"{name}: starting")
        self.perform(f"start {name}", begin, started)

    def choose_mistake(self) -> None:
        """Opens the mistakes that a network can be trained with."""
        from tui.screens.mistakes import MistakesScreen

        self.push_screen(MistakesScreen())

    def choose_study(self, source: str | None = None, row: "StudyRow | None" = None) -> None:
        """Opens the form for a new study, and then the study that was started there."""
        from tui.screens.form import StudyForm

        self.push_screen(StudyForm(source, row), self.open_study)

    def resume_study(self, row: "StudyRow") -> None:
        """Has a worker train the rest of a study."""

        def begin() -> None:
            from jmlp.client.starting import resume

            resume(self.folder, row, self.toast)

        self.perform(f"resume {row.label}", begin)

    def open_study(self, label: str | None) -> None:
        """Opens a study; None: the form was left without starting one."""
        if label is not None:
            from tui.screens.study import StudyScreen

            if isinstance(self.screen, StudyScreen):
                self.pop_screen()
            self.push_screen(StudyScreen(label))

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the key of the list that is already shown, or below the screen that is."""
        return action != "switch_mode" or parameters != (self.current_mode,)

    def action_help(self) -> None:
        """Explains the current screen and its keys."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_next_theme(self) -> None:
        """Switches between the dark and the light theme."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name
        self.settings.keep(theme=self.theme)

    def action_leave(self) -> None:
        """Quits the app; training continues."""
        self.exit(0)

    def get_key_display(self, binding: Binding) -> str:
        """Shows a key by the same name everywhere: `enter` and `ctrl+s`, not `⏎` and `^s`."""
        return binding.key_display or key_name(binding.key)

    @property
    def terms(self) -> list[str]:
        """The words in the worker's status, without the name of its study."""
        return mentioned(self.status.removesuffix(self.active_study or ""))


def find(folder: Path, name: str) -> "str | list[RunRow]":
    """Finds what a name stands for: the label of a study, or runs.

    Raises:
        StoreError: the name matches nothing in the store, or is ambiguous.
    """
    with Store(folder, viewer=True) as store:
        if name in [row.label for row in store.studies()]:
            return name
        return store.find_runs(name)


def worker_status(view: StoreView) -> tuple[str, str | None]:
    """Returns what the worker is doing, in a few words, and the study it is training."""
    if view.owner is None:
        return "no worker", None
    if view.owner.study is None or view.store is None:
        return "worker starting", None
    row = view.store.study(view.owner.study)
    return f"{'paused' if row.state == 'paused' else row.progress.phase} {row.label}", row.label
