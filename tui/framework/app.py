"""An app that fast fingers cannot bring down: keys wait for their screen, screens end once.

Textual hands keys to a screen that has no widgets yet, removes one that is still being made, and
lets one that was dismissed be dismissed again, which then takes another one away. All of them end
an app, and all it takes is to press Enter or Escape twice.
"""

import asyncio
import contextlib
from typing import Any, TypeVar, cast

from textual import events
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.screen import Screen

Result = TypeVar("Result")

WAIT_SECONDS = 1.0  # at most, for a screen to be made


class OnceDismissed:
    """Makes a screen go away once, and only while it is on top; to stand before its class."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Goes, unless it has gone or another one lies above it."""
        if not cast(Screen[Any], self).is_active:
            return AwaitComplete()
        return cast(AwaitComplete, super().dismiss(result))  # type: ignore[misc]

    @property
    def is_there(self) -> bool:
        """Whether it is open, on top or below: not while it is taken away, widget by widget."""
        screen = cast(Screen[Any], self)
        return any(screen in stack for stack in screen.app._screen_stacks.values())


class Palette(OnceDismissed, CommandPalette):
    """All actions by name; keys mean nothing to a list that is not there yet or has no lines."""

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
        """A key waits until its screen has its widgets."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._screen_stack:
            await _until_made(self.screen)
        await super().on_event(event)

    async def _replace_screen(self, screen: Screen[Any]) -> Screen[Any]:
        await _until_made(screen)
        return await super()._replace_screen(screen)

    def action_command_palette(self) -> None:
        """All actions by name."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))


async def _until_made(screen: Screen[Any]) -> None:
    if screen.is_running:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(screen._mounted_event.wait(), WAIT_SECONDS)
