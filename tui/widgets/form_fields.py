"""What a form is made of: something to choose, something to take in or leave out, fields."""

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

from tui.text import visible

# Nothing that a paste can bring may reach the terminal but what can be seen.
_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*"


class Pressable(Static, can_focus=True):
    """A line that enter, space or a click presses; where it has the focus, a mark stands before."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "press", "Choose", show=False)]

    @dataclass
    class Pressed(Message):
        """It was pressed."""

        sender: "Pressable"

        @property
        def control(self) -> "Pressable":
            """The line, by which handlers select."""
            return self.sender

    def line(self) -> Text:
        """What stands behind the mark."""
        return Text()

    def render(self) -> Text:
        """The line behind its mark."""
        mark = "▸ " if self.has_focus else "  "
        return Text(mark, no_wrap=True, overflow="ellipsis") + self.line()

    def on_click(self, event: events.Click) -> None:
        """Presses it, as a key does."""
        event.stop()
        self.action_press()

    def action_press(self) -> None:
        """Says that it was pressed."""
        self.post_message(self.Pressed(self))


class Pick(Pressable):
    """What was chosen, and how to choose something else."""

    chosen = reactive("")
    about = reactive("")

    def line(self) -> Text:
        """The name of what was chosen, and what it is."""
        name = visible(self.chosen) or "choose a study"
        return Text.assemble((name, "bold"), f"  {visible(self.about)}")


class Tick(Pressable):
    """Something to take in or to leave out."""

    on = reactive(True)

    def __init__(self, key: str, text: str) -> None:
        super().__init__(markup=False)
        self.key, self.text = key, text

    def line(self) -> Text:
        """A box with a cross, or an empty one."""
        return Text(f"[{'x' if self.on else ' '}] {visible(self.text)}")

    def action_press(self) -> None:
        """Takes it in, or leaves it out."""
        self.on = not self.on
        super().action_press()


class FieldLine(Vertical):
    """A field with its name before it, and what is wrong with it below."""

    def __init__(self, key: str, title: str, max_length: int) -> None:
        super().__init__(id=f"field-{key}")
        self.key, self.name_shown, self.max_length = key, title, max_length

    def compose(self) -> ComposeResult:
        """Name, field, message."""
        with Horizontal(classes="field"):
            yield Static(self.name_shown, markup=False, classes="name")
            yield Input(
                id=f"input-{self.key}",
                max_length=self.max_length,
                restrict=_PRINTABLE,
                compact=True,
                select_on_focus=False,
            )
        yield Static(markup=False, classes="wrong")

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Input).value

    def hint(self, text: str) -> None:
        """Shows what it means that the field is empty."""
        self.query_one(Input).placeholder = visible(text)

    def wrong(self, text: str) -> None:
        """Shows what is wrong; an empty text takes it away."""
        line = self.query_one(".wrong", Static)
        line.update("\n".join(f"✗ {visible(part)}" for part in text.splitlines()))
        self.set_class(bool(text), "has-problem")


class Indented(Static):
    """Lines that are broken to the width; continuation lines are indented further."""

    lines = reactive[tuple[str, ...]]((), layout=True)

    def render(self) -> Text:
        """The line behind its mark."""
        broken = []
        for line in map(visible, self.lines):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            broken += wrap(line, max(self.size.width, 20), subsequent_indent=indent) or [""]
        return Text("\n".join(broken))
