"""The app: its screens, its keys, and the thread that reads the store for all of them."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from jmlp.store import Store
from tui.feed import Feed, FeedFailed, FeedUpdate, StoreView, error_text
from tui.framework.app import SteadyApp
from tui.screens.studies import StudiesScreen
from tui.theme import DARK, LIGHT

if TYPE_CHECKING:
    from jmlp.store import RunRow, StudyRow

T = TypeVar("T")

TOAST_SECONDS = 5.0
ERROR_SECONDS = 20.0  # there is more to read, and something to do


@dataclass
class Done(Message):
    """An action that ran in a thread has ended well."""

    then: Callable[[], object]


@dataclass
class Failed(Message):
    """An action that ran in a thread has failed."""

    what: str
    error: str


@dataclass
class Notice(Message):
    """A line that an action has for the person at the terminal."""

    text: str


def _runs_screen() -> Screen[None]:
    from tui.screens.runs import RunsScreen

    return RunsScreen()


class JmlpApp(SteadyApp[int]):
    """Draws what the store says, and asks workers to train."""

    TITLE = "jmlp"
    CSS_PATH = "app.tcss"
    COMMAND_PALETTE_DISPLAY = "ctrl+p"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "studies": StudiesScreen,
        "runs": _runs_screen,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "1", "switch_mode('studies')", "Studies", show=False, tooltip="All studies of the store"
        ),
        Binding("2", "switch_mode('runs')", "Runs", show=False, tooltip="All runs of the store"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="What every key does"),
        Binding("t", "next_theme", "Theme", show=False, tooltip="Dark or light"),
        Binding("q", "leave", "Quit", tooltip="Quit; training continues"),
    ]

    status = reactive("")  # of the worker, for the top line
    active_study: str | None = None  # the study that it has

    def __init__(self, folder: Path, *, start: str | None = None, served: bool = False) -> None:
        """Nothing is read yet.

        Args:
            folder: of the store; there may be none yet.
            start: the study, run or tag to open first.
            served: it is shown in a browser, to whom no path of this machine is offered.
        """
        super().__init__()
        self.folder, self.start, self.served = folder, start, served
        self.feed = Feed(folder)

    def on_mount(self) -> None:
        """Begins to read the store, and shows the studies."""
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        if self.theme == "textual-dark":  # no other one was asked for
            self.theme = DARK.name
        self.feed.start()
        self.feed.subscribe(self, worker_status)
        self.switch_mode("studies")
        if self.start is not None:
            self.call_after_refresh(self._open_start, self.start)

    def on_unmount(self) -> None:
        """Ends the reading."""
        self.feed.close()

    def on_feed_update(self, event: FeedUpdate) -> None:
        """The worker's status has changed."""
        self.status, self.active_study = event.value

    def on_feed_failed(self, event: FeedFailed) -> None:
        """Says so in the top line; the screens say why."""
        del event
        self.status = "store not readable"

    # ---- actions that take time

    def perform(
        self, what: str, action: Callable[[], T], then: Callable[[T], object] = lambda _: None
    ) -> None:
        """Does something that may take long, in a thread; what goes wrong is shown.

        Args:
            what: such as "pause original", for a message.
            action: called in the thread.
            then: called with its answer, in the app.
        """

        def work() -> None:
            try:
                value = action()
            except Exception as error:  # a bug must not end the app
                self.post_message(Failed(what, error_text(error)))
            else:
                self.post_message(Done(lambda: then(value)))

        # A daemon: leaving the app does not wait for it.
        threading.Thread(target=work, name=what, daemon=True).start()

    def toast(self, text: str) -> None:
        """A line for a while; may be called from any thread."""
        self.post_message(Notice(text))

    def on_done(self, event: Done) -> None:
        """Calls what the action's starter wants done with its answer."""
        event.then()

    def on_failed(self, event: Failed) -> None:
        """Shows the error with its remedy, and longer than other messages."""
        self.notify(
            event.error, title=event.what, severity="error", timeout=ERROR_SECONDS, markup=False
        )

    def on_notice(self, event: Notice) -> None:
        """Shows the line; a warning is coloured as one."""
        severity: Any = "warning" if event.text.startswith("warning: ") else "information"
        self.notify(event.text, severity=severity, timeout=TOAST_SECONDS, markup=False)

    # ---- studies and runs

    def _open_start(self, start: str) -> None:
        """Looks for what was asked for at the start."""
        self.perform(f"open {start}", lambda: find(self.folder, start), self._open_found)

    def _open_found(self, found: "Sequence[RunRow] | str") -> None:
        """Shows what was asked for at the start."""
        if isinstance(found, str):
            self.open_study(found)
        else:
            self.open_runs([run.run_id for run in found], self.start or "")

    def open_runs(self, run_ids: Sequence[str], title: str) -> None:
        """Shows the runs of one configuration, or one run."""
        from tui.screens.run import RunScreen

        self.push_screen(RunScreen(run_ids, title))

    def start_study(self, source: str) -> None:
        """Starts a shipped study as it is, and opens it."""

        def begin() -> str:
            from jmlp.client.choice import Choice
            from jmlp.client.starting import start

            return start(self.folder, Choice(source), self.toast)

        asked_on = self.screen

        def begun(label: str) -> None:
            if self.screen is asked_on:
                self.open_study(label)
            else:  # something else is looked at by now
                self.toast(f"{label} has begun")

        self.toast(f"{source}: starting")
        self.perform(f"start {source}", begin, begun)

    def choose_study(self, source: str | None = None, row: "StudyRow | None" = None) -> None:
        """Lets a study be chosen, changed and started, and opens it then."""
        from tui.screens.form import StudyForm

        self.push_screen(StudyForm(source, row), self.open_study)

    def resume_study(self, row: "StudyRow") -> None:
        """Has a worker train what is left of a study."""

        def begin() -> None:
            from jmlp.client.starting import resume

            resume(self.folder, row, self.toast)

        self.perform(f"resume {row.label}", begin)

    def open_study(self, label: str | None) -> None:
        """Shows a study; None: nothing was chosen."""
        if label is not None:
            from tui.screens.study import StudyScreen

            if isinstance(self.screen, StudyScreen):
                self.pop_screen()
            self.push_screen(StudyScreen(label))

    # ---- keys

    def action_help(self) -> None:
        """Shows every key of this screen."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_next_theme(self) -> None:
        """Switches between dark and light."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_leave(self) -> None:
        """Ends the app; training continues without it."""
        self.exit(0)

    def get_key_display(self, binding: Binding) -> str:
        """Names enter by the word on the key, where Textual draws a sign."""
        return "enter" if binding.key == "enter" else super().get_key_display(binding)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of the screen and the app, by name."""
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.description and binding.action not in seen and active.enabled:
                seen.add(binding.action)

                def run(action: str = binding.action, node: Any = active.node) -> None:
                    self.call_later(self.run_action, action, node)

                yield SystemCommand(
                    binding.description, binding.tooltip or f"key {binding.key}", run
                )


def find(folder: Path, name: str) -> "str | list[RunRow]":
    """What a name means: the label of a study, or runs.

    Raises:
        StoreError: nothing in the store, or too much.
    """
    with Store(folder, viewer=True) as store:
        if name in [row.label for row in store.studies()]:
            return name
        return store.find_runs(name)


def worker_status(view: StoreView) -> tuple[str, str | None]:
    """What the worker does, in a few words, and the study that it has."""
    if view.owner is None:
        return "no worker", None
    if view.owner.study is None or view.store is None:
        return "worker starting", None
    row = view.store.study(view.owner.study)
    return f"{'paused' if row.state == 'paused' else row.progress.phase} {row.label}", row.label
