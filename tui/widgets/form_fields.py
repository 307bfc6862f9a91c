"""The parts of a form: a button for a choice, check boxes, fields, indented text."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from tui.glossary import explained
from tui.text import visible

# Pasted control characters must not reach the terminal.
_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*"


class Pressable(Static, can_focus=True):
    """A line that enter, space or a click presses; a mark shows that it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "press", "Choose", show=False)]

    @dataclass
    class Pressed(Message):
        """It was pressed."""

        sender: "Pressable"

        @property
        def control(self) -> "Pressable":
            """The sender, for the selectors of `@on`."""
            return self.sender

    def line(self) -> Text:
        """Returns the text after the mark."""
        return Text()

    def render(self) -> Text:
        """Draws the mark and the text."""
        mark = "▸ " if self.has_focus else "  "
        return Text(mark, no_wrap=True, overflow="ellipsis") + self.line()

    def on_click(self, event: events.Click) -> None:
        """Presses the line."""
        event.stop()
        self.action_press()

    def action_press(self) -> None:
        """Posts `Pressed`."""
        self.post_message(self.Pressed(self))


class Pick(Pressable):
    """Shows what was chosen; pressing it asks for another choice."""

    terms = ("study",)

    chosen = reactive("")
    about = reactive("")

    def line(self) -> Text:
        """Returns the name and the description of what was chosen."""
        name = visible(self.chosen) or "choose a study"
        return Text.assemble((name, "bold"), f"  {visible(self.about)}")


class Tick(Pressable):
    """A check box on one line."""

    terms = ("experiment",)

    on = reactive(True)
    text = reactive("")

    def __init__(self, key: str, text: str) -> None:
        super().__init__(markup=False)
        self.key, self.text = key, text

    def line(self) -> Text:
        """Returns the box and its label."""
        return Text(f"[{'x' if self.on else ' '}] {visible(self.text)}")

    def action_press(self) -> None:
        """Ticks or unticks the box."""
        self.on = not self.on
        super().action_press()


class Add(Pressable):
    """Asks for another field of an experiment."""

    def line(self) -> Text:
        """Returns what it adds."""
        return Text("+ axis or setting")


class Field(Input):
    """A field in which enter moves on, like tab."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "app.focus_next", show=False)]


class FieldLine(Vertical):
    """A field with its name, and its problems below.

    An unchanged or empty text stands for the value that the study has.
    """

    def __init__(
        self, key: str, title: str, max_length: int, *, given: str = "", added: bool = False
    ) -> None:
        """Initialises the line.

        Args:
            key: identifies the field.
            title: its name.
            max_length: the characters that it takes.
            given: the study's own value, with which the field is filled.
            added: whether the user added the field.
        """
        super().__init__()
        self.key, self.name_shown = key, title
        self.given, self.added = given, added
        # Made here, not while composing: a check may end before that.
        self.field = Field(
            given,
            visible(given),
            id=f"input-{key}" if key.isidentifier() else None,
            max_length=max_length,
            restrict=_PRINTABLE,
            compact=True,
            select_on_focus=False,
        )
        self._problems = Static(markup=False, classes="wrong")

    def compose(self) -> ComposeResult:
        """Yields name, input and problems."""
        with Horizontal(classes="field"):
            name = Static(self.name_shown, markup=False, classes="name")
            name.tooltip = "\n".join(entry.text for entry in explained(self.terms)) or None
            yield name
            yield self.field
        yield self._problems

    @property
    def terms(self) -> list[str]:
        """The field's name."""
        return [self.name_shown]

    @property
    def text(self) -> str:
        """The text in the field; empty if it stands for the study's own value."""
        text = self.field.value
        return "" if text.strip() == self.given else text

    def hint(self, text: str) -> None:
        """Shows a text while the field is empty."""
        self.field.placeholder = visible(text)

    def wrong(self, text: str) -> None:
        """Shows the field's problems, one per line; an empty text removes them."""
        self._problems.update("\n".join(f"✗ {visible(part)}" for part in text.splitlines()))
        self.set_class(bool(text), "has-problem")


class ExperimentBox(Vertical):
    """An experiment: its check box, and below it a field for each axis and own setting."""

    def __init__(self, name: str, text: str, lines: Sequence[FieldLine]) -> None:
        super().__init__()
        self.tick, self.first_lines = Tick(name, text), lines

    def compose(self) -> ComposeResult:
        """Yields the check box and the fields."""
        yield self.tick
        with Vertical(classes="own"):
            yield from self.first_lines
            yield Add(markup=False)

    @property
    def own(self) -> list[FieldLine]:
        """The fields."""
        return list(self.query(FieldLine))

    async def add(self, line: FieldLine) -> None:
        """Adds a field, and focuses it."""
        await self.query_one(".own").mount(line, before=self.query_one(Add))
        line.field.focus()


class Indented(Static):
    """Lines wrapped to the width; continuation lines are indented further."""

    lines = reactive[tuple[str, ...]]((), layout=True)

    def render(self) -> Text:
        """Wraps the lines."""
        broken = []
        for line in map(visible, self.lines):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            broken += wrap(line, max(self.size.width, 20), subsequent_indent=indent) or [""]
        return Text("\n".join(broken))
