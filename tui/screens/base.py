"""What all screens have: a line on top, the keys at the bottom, and one word where it is tiny."""

from typing import TYPE_CHECKING, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive, var
from textual.widgets import Footer, Static

from tui.feed import FeedFailed, FeedUpdate, Query
from tui.framework.screens import SteadyScreen
from tui.text import fit

if TYPE_CHECKING:
    from tui.app import JmlpApp

Result = TypeVar("Result")

MIN_WIDTH, MIN_HEIGHT = 60, 20


class TopLine(Static):
    """Where one is, and what the worker does."""

    breadcrumb = reactive("")
    status = reactive("")

    def render(self) -> str:
        """Both in one line; the place gives way."""
        width, status = self.size.width - 2, self.status
        phase, _, study = status.partition(" ")
        if study and self.breadcrumb.endswith(study):
            status = phase  # it is named already
        room = max(0, width - len(status) - 2)
        left = fit(f"jmlp  {self.breadcrumb}", room) if room else ""
        return f" {left}  {status} " if room else f" {fit(status, max(0, width))} "


class JmlpScreen(SteadyScreen[Result]):
    """A screen of the app; subclasses compose its body, and say where it is and what it asks.

    Textual calls the handlers of all classes of a screen, these too: no `super()` is needed.
    """

    app: "JmlpApp"
    DROPPED = (FeedUpdate, FeedFailed)
    breadcrumb = ""  # such as "studies › original"
    store_query: Query | None = None  # what it asks of the store while it is looked at
    store_error = var("", init=False)  # a line above all else, until the store can be read again

    def compose(self) -> ComposeResult:
        """Top line, body, keys."""
        yield TopLine(id="top", markup=False)
        yield Static(id="trouble", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield Footer(show_command_palette=False)
        yield Static(id="tiny", markup=False)

    def compose_body(self) -> ComposeResult:
        """Yields the widgets between top line and keys."""
        yield from ()

    def on_mount(self) -> None:
        """Follows the worker's status."""
        top = self.query_one(TopLine)
        top.breadcrumb = self.breadcrumb
        self.watch(self.app, "status", lambda status: setattr(top, "status", status))

    def on_screen_resume(self) -> None:
        """Follows the store, from now on."""
        if self.store_query is not None:
            self.app.feed.subscribe(self, self.store_query)

    def on_screen_suspend(self) -> None:
        """Reads nothing for a screen that is not looked at."""
        self.app.feed.unsubscribe(self)

    def on_unmount(self) -> None:
        """Reads nothing for a screen that is gone."""
        self.app.feed.unsubscribe(self)

    def on_resize(self, event: events.Resize) -> None:
        """Below the least size there is one plain line."""
        width, height = event.size
        tiny = width < MIN_WIDTH or height < MIN_HEIGHT
        self.keep_focus(hidden=tiny)
        self.set_class(tiny, "tiny")
        self.set_class(width < 100, "narrow")
        self.set_class(height < 30, "short")
        text = f"jmlp needs {MIN_WIDTH}×{MIN_HEIGHT}, this is {width}×{height}"
        self.query_one("#tiny", Static).update(text if width >= len(text) else "jmlp")

    def on_feed_failed(self, event: FeedFailed) -> None:
        """Shows what is wrong with the store."""
        self.store_error = event.error

    def watch_store_error(self, text: str) -> None:
        """Shows the line, or takes it away."""
        line = self.query_one("#trouble", Static)
        line.update(text)
        line.set_class(bool(text), "shown")
