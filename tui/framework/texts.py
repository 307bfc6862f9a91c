"""A text whose height is always that of its latest content."""

from textual.visual import VisualType
from textual.widgets import Static


def show_text(shown: Static, content: VisualType, *, layout: bool = False) -> None:
    """Shows a content unless it is shown already, which Textual would draw again.

    Args:
        shown: the widget.
        content: the content.
        layout: whether it may need more room or less.
    """
    if content != shown.content:
        shown.update(content, layout=layout)


class FittedText(Static):
    """A `Static` of automatic size that may be updated at any time.

    Textual caches a widget's size until its next update, but does not notice an update while
    another one waits for its layout: a layout in between leaves the size of the earlier content.
    """

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Shows a content; `layout` says whether it may need more room or less."""
        super().update(content, layout=layout)
        if layout:
            self._layout_updates += 1
