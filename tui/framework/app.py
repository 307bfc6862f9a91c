"""An app that fast fingers cannot bring down, and that ends as a command should."""

import asyncio
import contextlib
import os
from typing import Any, TypeVar

from rich.segment import Segment
from textual import events
from textual.app import App
from textual.color import Color
from textual.command import CommandList, CommandPalette
from textual.filter import LineFilter
from textual.screen import Screen

from tui.framework.screens import OnceDismissed

Result = TypeVar("Result")

WAIT_SECONDS = 1.0  # at most, for a screen to be made


class Palette(OnceDismissed, CommandPalette):
    """All actions by name; keys mean nothing to a list that is not there yet or has no lines.

    Textual's looks its list up without asking whether there is one, in actions and in watchers
    that are called while it is made or removed, and moves in a list that has no lines. Either
    raises, and ends the app.
    """

    def _action_command_list(self, action: str) -> None:
        for commands in self.query(CommandList):
            if commands.scrollable_content_region:
                super()._action_command_list(action)

    def _action_cursor_down(self) -> None:
        for commands in self.query(CommandList):
            if commands.scrollable_content_region or not self._list_visible:
                super()._action_cursor_down()

    def _watch__list_visible(self) -> None:
        if self.query(CommandList):  # else it is going, while commands were still looked for
            super()._watch__list_visible()

    async def _watch__show_busy(self) -> None:
        if self.query(CommandList):
            await super()._watch__show_busy()


class SteadyApp(App[Result]):
    """Gives keys to screens that are there, and takes away only those."""

    async def on_event(self, event: events.Event) -> None:
        """Makes a key wait until its screen has its widgets.

        Textual hands keys to a screen that has none yet: they are lost, or their actions fail.
        """
        if isinstance(event, events.Key) and not event.is_forwarded and self._screen_stack:
            await _until_made(self.screen)
        await super().on_event(event)

    async def _replace_screen(self, screen: Screen[Any]) -> Screen[Any]:
        """Textual removes a screen that is still being made, whose handlers then fail."""
        await _until_made(screen)
        return await super()._replace_screen(screen)

    def action_command_palette(self) -> None:
        """Opens the palette above, in place of Textual's."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))


async def _until_made(screen: Screen[Any]) -> None:
    if screen.is_running:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(screen._mounted_event.wait(), WAIT_SECONDS)


class NoColours(LineFilter):
    """Takes every colour away; what is bold or reversed stays so.

    Textual's `Monochrome` makes them grey, which is a colour too.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text, without colours."""
        del background
        return [
            Segment(text, None if style is None else style.without_color, control)
            for text, style, control in segments
        ]


class CommandApp(App[int]):
    """Ends with the exit code of a command; to stand before the app's class."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.error: Exception | None = None  # what has ended the app
        self.code = 0  # to leave with as soon as it can be; 0: stay
        # Textual takes an empty NO_COLOR, which means nothing, for a wish.
        self.no_color = bool(os.environ.get("NO_COLOR"))
        if self.no_color:
            self._filters = [NoColours()]

    def on_mount(self) -> None:
        """A signal may have come before there was a loop to hear it."""
        self._leave_if_asked()

    def end(self, code: int) -> None:
        """Leaves with this exit code; may be called by a handler of signals, and at any time.

        Textual's `exit` may be called in the app's thread and while it runs only.
        """
        self.code = code
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave_if_asked)

    def _leave_if_asked(self) -> None:
        if self.code:
            self.exit(return_code=self.code)

    def _handle_exception(self, error: Exception) -> None:
        """Ends the app, and keeps the error for whoever runs it.

        Textual prints a traceback with all local variables, even for what fails in screens that
        were still being made when the app was left: that is no error.
        """
        if not self._exit:
            self.error = self.error or error
            self._return_code = 1
        self._close_messages_no_wait()
