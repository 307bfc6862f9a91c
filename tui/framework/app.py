"""App base classes: one survives keys pressed at any time, one exits like a command."""

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

from tui.framework.screens import Steady

Result = TypeVar("Result")

WAIT_SECONDS = 10.0  # at most, until a screen is mounted


class Palette(Steady, CommandPalette):
    """A command palette that ignores keys while its list is missing or empty.

    Textual's palette queries its list in actions and watchers that may run before the list is
    mounted or after it is removed, and moves the cursor in an empty list. Either ends the app.
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
        if self.query(CommandList):  # else the palette was closed during a search
            super()._watch__list_visible()

    async def _watch__show_busy(self) -> None:
        if self.query(CommandList):
            await super()._watch__show_busy()


class SteadyApp(App[Result]):
    """An app that sends keys only to mounted screens, in their order, and replaces only those."""

    async def on_event(self, event: events.Event) -> None:
        """Delays a key until its screen is mounted, and handles it at once; ends selections.

        Textual sends keys to a screen without widgets: they are lost, or their actions fail.
        """
        typed = isinstance(event, events.Key | events.Paste) and not event.is_forwarded
        if (
            typed
            and self._screen_stack
            and (not await self._screen_is_mounted() or await self._handle_at_once(event))
        ):
            return
        if isinstance(event, events.MouseUp) and not event.is_forwarded and self._screen_stack:
            self._end_drag(self.screen, event)
        await super().on_event(event)

    async def _screen_is_mounted(self) -> bool:
        """Waits for the screen on top, and for any other that is pushed meanwhile."""
        while not (screen := self.screen)._mounted_event.is_set():
            if not await _mounted_in_time(screen):
                return False
        return True

    def _end_drag(self, screen: Screen[Any], event: events.MouseUp) -> None:
        """Makes the end of a selection no click: in a list, Textual's would open the last line."""
        moved = screen._mouse_down_offset != event.screen_offset
        if moved and screen._selecting and screen.selections:
            self._mouse_down_widget = None

    async def _handle_at_once(self, event: events.Event) -> bool:
        """Handles what was typed before anything typed after it; returns whether it was handled.

        Textual puts a key into the queue of the focused widget, and runs the action bound to it
        only after it went through the queues of all its ancestors. Characters that follow a
        backspace or an arrow overtake it, and what follows a tab goes into the field before it.
        """
        focused = self.focused
        if isinstance(event, events.Key):
            self.app_focus = True
            self.screen._clear_tooltip()
            if await self._check_bindings(event.key, priority=True):
                return True
            if focused is None or not focused.check_consume_key(event.key, event.character):
                return await self._check_bindings(event.key)
        elif focused is None:
            return False
        event._set_forwarded()
        await focused._dispatch_message(event)
        return True

    async def _replace_screen(self, screen: Screen[Any]) -> Screen[Any]:
        """Waits for the screen: Textual removes it even while mounting, and its handlers fail."""
        if screen.is_running:
            await _mounted_in_time(screen)
        return await super()._replace_screen(screen)

    def action_command_palette(self) -> None:
        """Opens `Palette` in place of Textual's."""
        if not isinstance(self.screen, CommandPalette):
            # Without Textual's id, which the palette before may still have while it is removed.
            self.push_screen(Palette())


async def _mounted_in_time(screen: Screen[Any]) -> bool:
    """Waits until all widgets of a screen exist; false if that takes too long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(screen._mounted_event.wait(), WAIT_SECONDS)
    return screen._mounted_event.is_set()


class NoColours(LineFilter):
    """Removes all colours but keeps bold and reverse.

    Textual's `Monochrome` turns colours into greys, which are colours too.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Returns the segments without colours."""
        del background
        return [
            Segment(text, None if style is None else style.without_color, control)
            for text, style, control in segments
        ]


class CommandApp(App[int]):
    """A mixin that exits with the code of a command; it must precede the app's class."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.error: Exception | None = None  # that has ended the app
        self.code = 0  # to exit with as soon as possible; 0: no exit was requested
        # Textual honours an empty NO_COLOR, which by convention counts as unset.
        self.no_color = bool(os.environ.get("NO_COLOR"))
        if self.no_color:
            self._filters = [NoColours()]

    def on_mount(self) -> None:
        """Exits if a signal came before the event loop was running."""
        self._leave_if_asked()

    def end(self, code: int) -> None:
        """Exits with this code; may be called at any time, even by a signal handler.

        Textual's `exit` may only be called in the app's thread while the app is running.
        """
        self.code = code
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave_if_asked)

    def _leave_if_asked(self) -> None:
        if self.code:
            self.exit(return_code=self.code)

    def _handle_exception(self, error: Exception) -> None:
        """Exits and stores the error for the caller.

        Textual prints a traceback with all local variables, even for a screen that was still being
        mounted when the app exited, whose errors do not matter.
        """
        if not self._exit:
            self.error = self.error or error
            self._return_code = 1
        self._close_messages_no_wait()
