"""Modal dialogs: confirm, ask for a line of text, choose from a list, show a text."""

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

from tui.framework.screens import Steady
from tui.glossary import mentioned
from tui.keys import HELP

Answer = TypeVar("Answer")


class Dialog(Steady, ModalScreen[Answer]):
    """A centred box that escape closes without an answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", tooltip="Close without an answer"),
        Binding("question_mark,f1", "app.help", "Help", tooltip=HELP),
    ]

    def action_cancel(self) -> None:
        """Closes the dialog without an answer."""
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """A yes-or-no question; No has the focus at first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", tooltip="Yes"),
        Binding("n", "answer(False)", "No", tooltip="No"),
        Binding("left,right", "app.focus_next", "Other", show=False),
    ]

    def __init__(self, question: str, yes: str = "Yes") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        """Yields the question and its two buttons."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            with Horizontal(classes="answers"):
                yield Button(Text(f"{self.yes} (y)"), id="yes")
                yield Button(Text("No (n)"), id="no", variant="primary")

    def on_mount(self) -> None:
        """Focuses No, so that enter alone does no harm."""
        self.query_one("#no").focus()

    def action_answer(self, answer: bool) -> None:
        """Answers by the keys y and n."""
        self.dismiss(answer)

    def action_cancel(self) -> None:
        """Answers no."""
        self.dismiss(False)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answers by a button."""
        self.dismiss(event.button.id == "yes")


class Ask(Dialog[str | None]):
    """Asks for one line of text."""

    def __init__(self, title: str, value: str = "", hint: str = "") -> None:
        super().__init__()
        self.question, self.value, self.hint = title, value, hint

    def compose(self) -> ComposeResult:
        """Yields a title, an input and a hint."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            yield Input(self.value, max_length=4096)
            yield Static(self.hint, markup=False, classes="hint")

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Answers with the text that was typed."""
        self.dismiss(event.value)


class Choose(Dialog[str | None]):
    """A choice from a list of options."""

    def __init__(self, title: str, options: Sequence[tuple[str, str]]) -> None:
        """Initialises the dialog.

        Args:
            title: what is to be chosen.
            options: pairs of an answer and the text shown for it.
        """
        super().__init__()
        self.question, self.options = title, options

    @property
    def terms(self) -> list[str]:
        """The words in the option at the cursor."""
        option = self.query_one(OptionList).highlighted_option
        return [] if option is None else mentioned(str(option.prompt))

    def compose(self) -> ComposeResult:
        """Yields a title and the list."""
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            yield OptionList(*(Option(Text(text), id=answer) for answer, text in self.options))

    @on(OptionList.OptionSelected)
    def selected(self, event: OptionList.OptionSelected) -> None:
        """Answers with the option that was chosen."""
        self.dismiss(event.option.id)


class TextDialog(Dialog[None]):
    """A long text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q", "cancel", "Close", show=False)]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.question, self.text = title, text

    def compose(self) -> ComposeResult:
        """Yields a title and the text, which scrolls."""
        with Vertical(classes="dialog paper"):
            yield Static(self.question, markup=False, classes="question")
            with VerticalScroll():
                yield Static(self.text, markup=False)
