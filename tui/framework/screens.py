"""Screens that are dismissed once, drop late messages, and keep the focus and keep it visible."""

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import events
from textual.await_complete import AwaitComplete
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

Result = TypeVar("Result")

if TYPE_CHECKING:
    ScreenMixin = Screen[Any]
else:
    ScreenMixin = object  # a mixin must not come between a screen and its base, see `Steady`


class Steady(ScreenMixin):
    """A mixin that mends what ends or stops an app; it must precede the screen's class.

    A screen is dismissed once, and only if it is on top. What was selected is copied safely, though
    it may have changed since. Sizes that the terminal no longer has are ignored.

    Textual pops whatever screen is on top, whichever screen is dismissed and however often. Popping
    the last one ends the app: pressing escape twice is enough.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Dismisses the screen unless it is already gone or covered by another one."""
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def get_selected_text(self) -> str | None:
        """Returns the selected text without the spaces that pad its lines; None without any.

        Textual fails, which ends the app, if a text has fewer lines now than were selected.
        """
        try:
            text = super().get_selected_text()
        except IndexError:
            return None
        lines = [line.rstrip() for line in (text or "").split("\n")]
        return "\n".join(lines).strip("\n") or None

    async def _dispatch_message(self, message: Message) -> None:
        """Drops an earlier size of the terminal.

        Textual lays out a dialog and the screen behind it for each size, and each layout posts that
        size again: the screens would go back and forth between two sizes forever.
        """
        if not isinstance(message, events.Resize) or message.size == self.app.size:
            await super()._dispatch_message(message)

    @property
    def is_there(self) -> bool:
        """Whether the screen is on a stack of an app that is not ending: all of its widgets exist.

        Textual's `is_running` and `is_mounted` are true even while a screen's widgets are removed,
        and an app that ends removes them before the screens.
        """
        app = self.app
        return (
            app.is_running
            and not app._exit
            and any(self in stack for stack in app._screen_stacks.values())
        )


class SteadyScreen(Steady, Screen[Result]):
    """A screen whose handlers can rely on its widgets, and whose focus survives hiding them."""

    DROPPED: ClassVar[tuple[type[Message], ...]] = ()  # messages to drop once it was dismissed
    _hidden_focus: Widget | None = None  # that had the focus before all widgets were hidden

    async def _dispatch_message(self, message: Message) -> None:
        """Drops messages for a dismissed screen.

        Textual delivers messages from threads even after some of the screen's widgets were removed.
        Handlers that query them fail, which ends the app.
        """
        if self.is_there or not isinstance(message, self.DROPPED):
            await super()._dispatch_message(message)

    def keep_focus(self, hidden: bool) -> None:
        """Restores the focus, which Textual takes from a hidden widget and never gives back.

        Args:
            hidden: whether all widgets are about to be hidden.
        """
        if hidden:
            self._hidden_focus = self.focused or self._hidden_focus
        elif self._hidden_focus is not None:
            self.call_after_refresh(self.set_focus, self._hidden_focus)
            self._hidden_focus = None


class FollowsFocus(Screen[Result]):
    """A screen that keeps the focused widget visible; it must precede other screen classes.

    Textual scrolls to it with an animation that the next key interrupts, shows only the widget
    itself, and does not scroll again when the layout changes.
    """

    _place: object = None

    def on_mount(self) -> None:
        """Scrolls again after every layout."""
        self.screen_layout_refresh_signal.subscribe(self, self.keep_in_sight, immediate=True)

    def place_of(self, focused: Widget) -> Widget:
        """Returns the widget that should be visible when `focused` has the focus."""
        return focused

    def set_focus(
        self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False
    ) -> None:
        """Moves the focus without the animation."""
        super().set_focus(widget, False, from_app_focus)
        if scroll_visible:
            self._place = None
            self.call_after_refresh(self.keep_in_sight)

    def keep_in_sight(self, _: object = None) -> None:
        """Scrolls to the focus if it has moved, so that the user can scroll away from it."""
        if self.focused is None:
            return
        node = self.place_of(self.focused)
        place = node, node.virtual_region, self.size
        if place != self._place:
            self._place = place
            node.scroll_visible(animate=False, immediate=True)
