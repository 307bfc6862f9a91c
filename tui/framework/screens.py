"""Screens that go once, drop what comes too late, and keep the focus and what has it in sight."""

from typing import Any, ClassVar, TypeVar, cast

from textual.await_complete import AwaitComplete
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

Result = TypeVar("Result")


class OnceDismissed:
    """Makes a screen go away once, and only while it is on top; to stand before its class.

    Textual takes away whatever screen is on top, whichever one is dismissed and however often. That
    ends the app where no other one is left: Escape pressed twice is enough.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Does nothing if it has gone or another screen lies above it."""
        if not cast(Screen[Any], self).is_active:
            return AwaitComplete()
        return cast(AwaitComplete, super().dismiss(result))  # type: ignore[misc]

    @property
    def is_there(self) -> bool:
        """Whether it is open, on top or below: not while it is taken away, widget by widget.

        Textual's `is_running` and `is_mounted` are still true while a screen's widgets are removed.
        """
        screen = cast(Screen[Any], self)
        return any(screen in stack for stack in screen.app._screen_stacks.values())


class SteadyScreen(OnceDismissed, Screen[Result]):
    """A screen whose handlers find its widgets, and whose focus survives that it is hidden."""

    DROPPED: ClassVar[tuple[type[Message], ...]] = ()  # messages only for a screen that is there
    _hidden_focus: Widget | None = None  # had the focus before everything was hidden

    async def _dispatch_message(self, message: Message) -> None:
        """Textual hands messages of threads to a screen whose widgets are partly removed.

        Its handlers then fail to find them, which ends the app.
        """
        if self.is_there or not isinstance(message, self.DROPPED):
            await super()._dispatch_message(message)

    def keep_focus(self, hidden: bool) -> None:
        """Textual takes the focus from a widget that is hidden, and never gives it back.

        Args:
            hidden: whether the styles hide all widgets from now on.
        """
        if hidden:
            self._hidden_focus = self.focused or self._hidden_focus
        elif self._hidden_focus is not None:
            self.call_after_refresh(self.set_focus, self._hidden_focus)
            self._hidden_focus = None


class FollowsFocus(Screen[Result]):
    """Scrolls to what has the focus, at once, whatever moves it; to stand before other screens.

    Textual scrolls when the focus changes, with an animation that the next key overtakes. It shows
    no more than the widget itself, and loses sight of it when the layout changes.
    """

    _place: object = None

    def on_mount(self) -> None:
        """Looks again after every layout."""
        self.screen_layout_refresh_signal.subscribe(self, self.keep_in_sight, immediate=True)

    def place_of(self, focused: Widget) -> Widget:
        """What is to be seen where this has the focus."""
        return focused

    def set_focus(
        self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False
    ) -> None:
        """Moves the focus, without the animation."""
        super().set_focus(widget, False, from_app_focus)
        if scroll_visible:
            self._place = None
            self.call_after_refresh(self.keep_in_sight)

    def keep_in_sight(self, _: object = None) -> None:
        """Scrolls to what has the focus, if it has moved; else something else has scrolled."""
        if self.focused is None:
            return
        node = self.place_of(self.focused)
        place = node, node.virtual_region, self.size
        if place != self._place:
            self._place = place
            node.scroll_visible(animate=False, immediate=True)
