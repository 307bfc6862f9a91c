"""What a form is made of: something to choose, something to take in or leave out, fields."""

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
    focused_here = reactive(False)

    class Pressed(Message):
        """It was pressed."""

        def __init__(self, sender: "Pressable") -> None:
            super().__init__()
            self.sender = sender

        @property
        def control(self) -> "Pressable":
            """The line."""
            return self.sender

    def line(self) -> Text:
        """What stands behind the mark."""
        return Text()

    def render(self) -> Text:
        """One line."""
        mark = "▸ " if self.focused_here else "  "
        return Text(mark, no_wrap=True, overflow="ellipsis") + self.line()

    def on_focus(self) -> None:
        """Marks the line."""
        self.focused_here = True

    def on_blur(self) -> None:
        """Not any more."""
        self.focused_here = False

    def on_click(self, event: events.Click) -> None:
        """As a key would."""
        event.stop()
        self.action_press()

    def action_press(self) -> None:
        """Tells of it."""
        self.post_message(self.Pressed(self))


class Pick(Pressable):
    """What was chosen, and how to choose something else."""

    chosen = reactive("")
    about = reactive("")

    def line(self) -> Text:
        """Its name, and what it is."""
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
        """In or out."""
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
        """What stands in it."""
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
        """As wide as there is room."""
        broken = []
        for line in map(visible, self.lines):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            broken += wrap(line, max(self.size.width, 20), subsequent_indent=indent) or [""]
        return Text("\n".join(broken))
