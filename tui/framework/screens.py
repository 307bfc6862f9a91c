"""A screen that scrolls and keeps what has the focus in sight, whatever moves it."""

from typing import TypeVar

from textual.widget import Widget

from tui.screens.base import JmlpScreen

Result = TypeVar("Result")


class FollowingScreen(JmlpScreen[Result]):
    """Looks after each layout whether what has the focus has moved."""

    _place: object = None

    def on_mount(self) -> None:
        """Hears of every layout."""
        self.screen_layout_refresh_signal.subscribe(self, self.keep_in_sight, immediate=True)

    def place_of(self, focused: Widget) -> Widget:
        """What is to be seen where this has the focus."""
        return focused

    def set_focus(
        self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False
    ) -> None:
        """In place of the way of `Screen`, which is animated and shows the widget alone."""
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
