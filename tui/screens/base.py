"""The base of all screens: the top line, the keys, and a message if the terminal is too small."""

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.reactive import reactive, var
from textual.widgets import Static

from tui.feed import FeedFailed, FeedUpdate, Query
from tui.framework.screens import SteadyScreen
from tui.text import fit
from tui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from jmlp.results.drawing import Drawing
    from tui.app import JmlpApp
    from tui.copying import Excerpt

Result = TypeVar("Result")

MIN_WIDTH, MIN_HEIGHT = 60, 20


class TopLine(Static):
    """The breadcrumb and the worker's status."""

    breadcrumb = reactive("")
    status = reactive("")

    def render(self) -> str:
        """Draws both in one line; the breadcrumb is cut first."""
        width, status = self.size.width - 2, self.status
        phase, _, study = status.partition(" ")
        if study and self.breadcrumb.endswith(study):
            status = phase  # the breadcrumb names the study already
        room = max(0, width - len(status) - 2)
        left = fit(f"jmlp  {self.breadcrumb}", room) if room else ""
        return f" {left}  {status} " if room else f" {fit(status, max(0, width))} "


class JmlpScreen(SteadyScreen[Result]):
    """The base class of screens: subclasses compose the body and set `breadcrumb`, `store_query`.

    Textual calls a message's handlers in every class of a screen, so they do not call `super()`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "C",
            "copy",
            "Copy",
            show=False,
            tooltip="Copy a row, a table or a picture; write a replay",
        )
    ]

    app: "JmlpApp"
    DROPPED = (FeedUpdate, FeedFailed)
    breadcrumb = ""  # such as "studies › original"
    store_query: Query | None = None  # runs while the screen is shown
    store_error = var("", init=False)  # shown at the top until the store can be read again

    def compose(self) -> ComposeResult:
        """Yields the top line, the error, the body and the keys."""
        yield TopLine(id="top", markup=False)
        yield Static(id="trouble", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield KeyLine(id="keys")
        yield Static(id="tiny", markup=False)

    def compose_body(self) -> ComposeResult:
        """Yields the widgets between the top line and the keys."""
        yield from ()

    def excerpt(self) -> "Excerpt | None":
        """Returns the table that is shown, to be copied; None if there is none."""
        return None

    def drawing(self) -> "Drawing | None":
        """Returns the curves that are shown, to be drawn; None if there are none."""
        return None

    def replayed(self) -> tuple[str, str] | None:
        """Returns what a replay is written of, None if nothing is shown that has one.

        First a run's id or a study's label, then a name for the file.
        """
        return None

    def action_copy(self) -> None:
        """Opens the menu of what can be copied."""
        from tui.screens.copy_menu import open_menu

        open_menu(self)

    def on_mount(self) -> None:
        """Shows the worker's status and its changes."""
        top = self.query_one(TopLine)
        top.breadcrumb = self.breadcrumb
        self.watch(self.app, "status", lambda status: setattr(top, "status", status))

    def on_screen_resume(self) -> None:
        """Subscribes to the store."""
        if self.store_query is not None:
            self.app.feed.subscribe(self, self.store_query)

    def on_screen_suspend(self) -> None:
        """Unsubscribes: a hidden screen needs no updates."""
        self.app.feed.unsubscribe(self)

    def on_unmount(self) -> None:
        """Unsubscribes from the store."""
        self.app.feed.unsubscribe(self)

    def on_resize(self, event: events.Resize) -> None:
        """Adapts to the size; below the minimum, only one line is shown."""
        width, height = event.size
        tiny = width < MIN_WIDTH or height < MIN_HEIGHT
        self.keep_focus(hidden=tiny)
        self.set_class(tiny, "tiny")
        self.set_class(width < 100, "narrow")
        self.set_class(height < 30, "short")
        text = f"jmlp needs {MIN_WIDTH}×{MIN_HEIGHT}, this is {width}×{height}"
        self.query_one("#tiny", Static).update(text if width >= len(text) else "jmlp")

    def on_feed_failed(self, event: FeedFailed) -> None:
        """Shows the error."""
        self.store_error = event.error

    def watch_store_error(self, text: str) -> None:
        """Shows or hides the error line."""
        line = self.query_one("#trouble", Static)
        line.update(text)
        line.set_class(bool(text), "shown")
