"""What is said of one number: its sum, its chain or equations, and its derivative in three ways."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.message import Message

from jmlp.inspection import texts
from jmlp.inspection.views import TermView
from tui.widgets.line_list import LineList

INDENT = 2  # of a continued line, beyond that of its first one
VALUE = 13  # columns of the value of a term

Part = Literal["number", "ways", "terms", "chain", "equations"]


@dataclass(frozen=True)
class Said:
    """A text of a part, which is a line of the pane if there is room."""

    part: Part
    text: str
    term: TermView | None = None
    is_continued: bool = False


def wrapped(text: str, width: int) -> list[str]:
    """A text as lines of a width: where it is too long, without what aligns its columns."""
    if len(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        indent + re.sub(r" {2,}", "  ", text.strip()),
        max(width, 20),
        subsequent_indent=indent + " " * INDENT,
    )


class SumPane(LineList[Said]):
    """Lines that are wrapped and scroll; enter goes to the number that a term depends on."""

    DEFAULT_CSS = """
    SumPane > .list--cursor { background: $background; }
    SumPane:focus > .list--cursor { background: $block-cursor-background; }
    SumPane:nocolor > .list--cursor { text-style: none; }
    SumPane:nocolor:focus > .list--cursor { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Follow", show=False, tooltip="Go to the number in this term"),
    ]

    @dataclass
    class Followed(Message):
        """The user wants to see the number in a term."""

        term: TermView

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: Sequence[Said] = ()
        self._looks_at: Part = "number"

    def say(self, said: Sequence[Said], looks_at: Part) -> None:
        """Shows texts from the first one on, or else so far down that a part of them is seen.

        Args:
            said: the texts from top to bottom.
            looks_at: the part; if there is none of it, the first line is seen.
        """
        is_same = (said, looks_at) == (self._said, self._looks_at)
        self._said, self._looks_at = said, looks_at
        if not is_same:
            self._lay_out()

    def on_resize(self) -> None:
        """Wraps the texts anew."""
        self._lay_out()

    def _lay_out(self) -> None:
        rows = [row for one in self._said for row in self._rows_of(one)]
        self._cursor = 0
        self.show_rows(rows, range(len(rows)))
        at = [k for k, row in enumerate(rows) if row.part == self._looks_at]
        room = max(1, self.size.height)
        top = min(at[0], max(0, at[-1] + 1 - room)) if at else 0
        terms = [k for k, row in enumerate(rows) if row.term is not None]
        self._cursor = (at if at and self._looks_at != "number" else terms or [0])[0]
        self.scroll_to(y=top, animate=False)

    def _rows_of(self, said: Said) -> Iterator[Said]:
        room = self.size.width - 2 - (VALUE + 1 if said.term is not None else 0)
        for k, line in enumerate(wrapped(said.text, room)):
            yield Said(said.part, line, said.term, is_continued=k > 0)

    @property
    def is_cut(self) -> bool:
        """Whether not all lines are seen at once."""
        return len(self._rows) > self.size.height

    @property
    def has_terms(self) -> bool:
        """Whether a term can be followed."""
        return any(row.term is not None for row in self._rows)

    def action_open(self) -> None:
        """Follows the term under the cursor."""
        row = self.at_cursor
        if row is not None and row.term is not None:
            self.post_message(self.Followed(row.term))

    def key_of(self, line: Said) -> Said:
        """Identifies a line by all of it."""
        return line

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws a line."""
        said: Said = row
        if said.term is not None:
            value = "" if said.is_continued else texts.number(said.term.value)
            sign = " " if said.is_continued else "="
            return [
                Segment(f" {value:>12} ", base + self.style("list--accent")),
                Segment(f"{sign} {said.text}", base),
            ]
        styles = {"number": base, "ways": base + self.style("list--accent")}
        muted = base + self.style("list--muted")
        return [Segment(f" {said.text}", styles.get(said.part, muted))]
