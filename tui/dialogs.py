"""Small questions that lie over a screen until they are answered."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.framework.screens import OnceDismissed

Answer = TypeVar("Answer")


class Dialog(OnceDismissed, ModalScreen[Answer]):
    """A box in the middle; escape closes it without an answer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def action_cancel(self) -> None:
        """Closes the box without an answer."""
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """A question with yes and no; no is chosen first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", "Other", show=False),
    ]

    def __init__(self, question: str, yes: str = "Yes") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        """The question above its answers."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            with Horizontal(classes="answers"):
                yield Button(Text(f"{self.yes} (y)"), id="yes")
                yield Button(Text("No (n)"), id="no", variant="primary")

    def on_mount(self) -> None:
        """Chooses no, so that enter alone does no harm."""
        self.query_one("#no").focus()

    def action_answer(self, answer: bool) -> None:
        """Answers by the key of a button."""
        self.dismiss(answer)

    def action_cancel(self) -> None:
        """Answers no by escape."""
        self.dismiss(False)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answers by the mouse or enter."""
        self.dismiss(event.button.id == "yes")


class Ask(Dialog[str | None]):
    """Asks for one line of text."""

    def __init__(self, title: str, value: str = "", hint: str = "") -> None:
        super().__init__()
        self.question, self.value, self.hint = title, value, hint

    def compose(self) -> ComposeResult:
        """A title, a field, a hint."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            yield Input(self.value, max_length=4096)
            yield Static(self.hint, markup=False, classes="hint")

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Answers with the text."""
        self.dismiss(event.value)


class Choose(Dialog[str | None]):
    """Lets choose one of several words."""

    def __init__(self, title: str, options: Sequence[tuple[str, str]]) -> None:
        """Nothing is chosen yet.

        Args:
            title: what is chosen.
            options: of each the answer, and what is shown for it.
        """
        super().__init__()
        self.question, self.options = title, options

    def compose(self) -> ComposeResult:
        """A title and a list."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            yield OptionList(*(Option(Text(text), id=answer) for answer, text in self.options))

    @on(OptionList.OptionSelected)
    def selected(self, event: OptionList.OptionSelected) -> None:
        """Answers with the chosen option."""
        self.dismiss(event.option.id)


class TextDialog(Dialog[None]):
    """A text to be read, such as a long message."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q", "cancel", "Close", show=False)]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.question, self.text = title, text

    def compose(self) -> ComposeResult:
        """A title above the text, which can be scrolled."""
        with Vertical(classes="dialog paper"):
            yield Static(self.question, markup=False, classes="question")
            with VerticalScroll():
                yield Static(self.text, markup=False)
