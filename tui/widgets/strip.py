"""The strip of a drawing as a widget: a click chooses a snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import Static

from jmlp.inspection.answers import Column
from tui.charts.strip import Strip, strip


class AnswerStrip(Static):
    """Draws the answers of all snapshots."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    AnswerStrip { height: auto; text-wrap: nowrap; }
    """

    _strip: Strip | None = None

    @dataclass
    class Chosen(Message):
        """A snapshot was clicked."""

        index: int

    def show(
        self, columns: Sequence[Column], names: Sequence[str], chosen: int, width: int, rows: int
    ) -> None:
        """Draws the strip.

        Args:
            columns: of the strip; without any it is empty.
            names: of the classes.
            chosen: the index of the column that is marked.
            width: columns of the terminal.
            rows: at most so many classes are drawn.
        """
        self._strip, text = None, Text(no_wrap=True)
        if columns:
            self._strip = strip(columns, names, width, chosen=chosen, rows=rows)
            colour = self.app.theme_variables["primary"]
            styles = {"": "", "chosen": colour, "answer": f"bold {colour}"}
            lines = (
                Text.assemble(*((part, styles[ink]) for part, ink in line))
                for line in self._strip.lines
            )
            text = Text("\n").join(lines)
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        """Chooses the snapshot under the mouse."""
        index = None if self._strip is None else self._strip.at(event.x)
        if index is not None:
            self.post_message(self.Chosen(index))
