"""Styles of widgets that draw line by line."""

from typing import cast

from rich.style import Style
from textual.widget import Widget


class BaseStyle:
    """A mixin that computes a widget's own style once; it must precede the widget's class.

    Textual's `rich_style` blends the colours of all ancestors anew each time, which takes as long
    as drawing a line.
    """

    _base_style: Style | None = None

    @property
    def base_style(self) -> Style:
        """The widget's text style and colours."""
        if self._base_style is None:
            self._base_style = cast(Widget, self).rich_style
        return self._base_style

    def notify_style_update(self) -> None:
        """Forgets the style of the theme or state before."""
        super().notify_style_update()  # type: ignore[misc]
        self._base_style = None
