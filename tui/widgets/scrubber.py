"""A line of a run's snapshots that marks the shown and the best one."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from jmlp.training.records import epoch_text

LABEL = " snapshot "


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
        for index, part in enumerate(self._parts()):
            text.append(part[:-1], "bold reverse" if index == self.shown else "")
            text.append(part[-1])
        if self.best is not None:
            text.append("  * best")
        return text

    def _parts(self) -> list[str]:
        return scrubber_parts(self.epochs, self.shown, self.best)

    def on_click(self, event: events.Click) -> None:
        """Chooses the snapshot under the mouse."""
        at = len(LABEL)
        for index, part in enumerate(self._parts()):
            if at <= event.x < at + len(part):
                self.post_message(self.Chosen(index))
            at += len(part)


def scrubber_parts(epochs: Sequence[float], shown: int | None, best: int | None) -> list[str]:
    """Returns the text of each snapshot, to be joined without gaps."""
    texts = [epoch_text(epoch) for epoch in epochs]
    width = max(map(len, texts), default=1)
    parts = []
    for i, epoch in enumerate(texts):
        before, after = ("[", "]") if i == shown else (" ", " ")
        parts.append(f"{before}{epoch:>{width}}{'*' if i == best else ' '}{after}")
    return parts
