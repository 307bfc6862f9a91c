"""A line of a run's snapshots that marks the shown and the best one.

Where not all of them fit, it shows those around the shown one, between arrows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from jmlp.training.records import epoch_text

LABEL = " snapshot "
BEST = "  * best"
MORE = "›"  # at the right of the last one; at the left the reverse


class Scrubber(Widget):
    """Draws `snapshot   0   1   2 [ 5]* 8`; a click chooses a snapshot."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Scrubber { height: 1; background: $surface; }
    """

    epochs: reactive[tuple[float, ...]] = reactive(())
    shown: reactive[int | None] = reactive(None)
    best: reactive[int | None] = reactive(None)
    words = reactive("")  # shown while the snapshots are not known

    @dataclass
    class Chosen(Message):
        """A snapshot was clicked."""

        index: int

    def render(self) -> Text:
        """Draws the epochs, with the shown one in brackets and the best one starred."""
        text = Text(LABEL, no_wrap=True, overflow="ellipsis")
        if not self.epochs:
            return text.append(self.words)
        parts = self._parts()
        window = self._window(parts)
        if window.start > 0:
            text = Text(f"{LABEL[:-1]}‹", no_wrap=True, overflow="ellipsis")
        for index in window:
            text.append(parts[index][:-1], "bold reverse" if index == self.shown else "")
            text.append(parts[index][-1])
        if window.stop < len(parts):
            text.append(MORE)
        if self.best is not None:
            text.append(BEST)
        return text

    def _parts(self) -> list[str]:
        return scrubber_parts(self.epochs, self.shown, self.best)

    def _window(self, parts: Sequence[str]) -> range:
        """The snapshots that are drawn."""
        room = self.size.width - len(LABEL) - (0 if self.best is None else len(BEST))
        return window(parts, self.shown, room)

    def on_click(self, event: events.Click) -> None:
        """Chooses the snapshot under the mouse."""
        parts, at = self._parts(), len(LABEL)
        for index in self._window(parts):
            if at <= event.x < at + len(parts[index]):
                self.post_message(self.Chosen(index))
            at += len(parts[index])


def window(parts: Sequence[str], shown: int | None, room: int) -> range:
    """The snapshots that fit, with the shown one in their middle as far as there are others.

    Args:
        parts: the text of each snapshot, all equally long.
        shown: the index of the one that is shown; without any, the first ones are drawn.
        room: columns of the terminal, one of which is for `MORE`.
    """
    cell = max(map(len, parts), default=1)
    if len(parts) * cell <= room:
        return range(len(parts))
    n = max(1, (room - len(MORE)) // cell)
    first = max(0, min(len(parts) - n, (shown or 0) - n // 2))
    return range(first, first + n)


def scrubber_parts(epochs: Sequence[float], shown: int | None, best: int | None) -> list[str]:
    """Returns the text of each snapshot, to be joined without gaps."""
    texts = [epoch_text(epoch) for epoch in epochs]
    width = max(map(len, texts), default=1)
    parts = []
    for i, epoch in enumerate(texts):
        before, after = ("[", "]") if i == shown else (" ", " ")
        parts.append(f"{before}{epoch:>{width}}{'*' if i == best else ' '}{after}")
    return parts
