"""The screen of the mistakes: what each is, its gradient, and its training beside the right one."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from jmlp.inspection import mistake as gradients
from jmlp.inspection.mistake import TITLES, LeafGradient
from jmlp.study.mistakes import COMMON, MISTAKES, Mistake, find
from tui.copying import Excerpt, Heading, plain, sheet
from tui.feed import error_text
from tui.keys import MOVE
from tui.screens.base import JmlpScreen
from tui.views.details import columns

FOUND = "found by the check of the gradient"
NOT_FOUND = "found by no check of the gradient"
CHECKING = "checking the gradient…"
NAMES = 21  # columns of the terminal for the list
LEAST = 50  # columns of the text for a table with errors
ERROR = TITLES.index("error")


@dataclass
class Pending:
    """A gradient that is being checked."""

    stop: threading.Event = field(default_factory=threading.Event)


State = tuple[LeafGradient, ...] | Pending | str  # a text is an error


class MistakeList(OptionList):
    """The names of all mistakes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Train both", tooltip="Train it beside the right network"),
    ]


class MistakesScreen(JmlpScreen[None]):
    """All mistakes, and the one at the cursor."""

    CSS = f"""
    MistakesScreen {{
        & OptionList {{ width: {NAMES}; height: 1fr; padding: 0; border: none; }}
        & OptionList {{ background: $background; scrollbar-size-vertical: 1; }}
        & VerticalScroll {{ width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }}
        & VerticalScroll {{ scrollbar-gutter: stable; border-left: solid $border; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "scroll(1)", "Scroll", group=MOVE, tooltip="Scroll the text down"),
        Binding("left", "scroll(-1)", "Back", show=False, group=MOVE, tooltip="Scroll the text up"),
        Binding("escape", "back", "Back", tooltip="Back to all studies"),
    ]
    breadcrumb = "break it"

    def __init__(self) -> None:
        """Starts with the first mistake; no gradient has been checked."""
        super().__init__()
        self.mistake: Mistake = MISTAKES[0]
        self.states: dict[str, State] = {}  # by the name of the mistake, while the screen is open

    def compose_body(self) -> ComposeResult:
        """Yields the list and the text."""
        with Horizontal():
            yield MistakeList(*(Option(Text(m.name), id=m.name) for m in MISTAKES))
            with VerticalScroll(can_focus=False):
                yield Static(id="mistake", markup=False)

    def on_mount(self) -> None:
        """Puts the cursor on the first mistake."""
        names = self.query_one(MistakeList)
        names.highlighted = 0
        names.focus()

    def on_unmount(self) -> None:
        """Ends the check that is running."""
        self.cancel()

    def on_resize(self, event: events.Resize) -> None:
        """Wraps the text to the new width."""
        del event
        self.call_after_refresh(self.draw)

    @property
    def terms(self) -> list[str]:
        """The hyperparameter that makes the mistake, and the columns."""
        return [self.mistake.setting.replace("_", " "), *filter(None, TITLES)]

    @on(OptionList.OptionHighlighted)
    def highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Shows the mistake at the cursor, and checks its gradient."""
        self.mistake = find(event.option.id or "")
        self.query_one(VerticalScroll).scroll_home(animate=False)
        self.request()
        self.draw()

    @on(OptionList.OptionSelected)
    def selected(self) -> None:
        """Starts the study of the mistake at the cursor, and opens it."""
        self.app.start_study(mistake=self.mistake.name)

    def action_scroll(self, pages: int) -> None:
        """Scrolls the text by pages, less a line."""
        box = self.query_one(VerticalScroll)
        box.scroll_relative(y=pages * max(1, box.size.height - 1), animate=False)

    def action_back(self) -> None:
        """Closes the screen."""
        self.dismiss()

    # ---- the checks

    def request(self) -> None:
        """Checks the gradient of the mistake unless that has been done; ends any other check."""
        mistake = self.mistake
        if mistake.checked is None or mistake.name in self.states:
            return
        self.cancel()
        pending = self.states[mistake.name] = Pending()

        def compute() -> State:
            try:
                return gradients.check(mistake, self.app.inspector, pending.stop)
            except Exception as error:  # even a bug is shown in place of the table
                return error_text(error)

        self.app.perform(
            f"check {mistake.name}", compute, lambda state: self.checked(mistake, pending, state)
        )

    def checked(self, mistake: Mistake, pending: Pending, state: State) -> None:
        """Keeps and shows what was found, unless the check was cancelled."""
        if self.states.get(mistake.name) is pending:
            self.states[mistake.name] = state
            self.draw()

    def cancel(self) -> None:
        """Ends the check that is running."""
        for name, state in list(self.states.items()):
            if isinstance(state, Pending):
                state.stop.set()
                del self.states[name]

    # ---- drawing

    def draw(self) -> None:
        """Shows the mistake."""
        if not self.is_there:
            return
        width = self.query_one(VerticalScroll).scrollable_content_region.width
        found = text_of(self.mistake, self.states.get(self.mistake.name), width)
        self.query_one("#mistake", Static).update(found)

    def excerpt(self) -> Excerpt | None:
        """Returns the table of the gradient."""
        state = self.states.get(self.mistake.name)
        if not isinstance(state, tuple):
            return None
        headings = [Heading(title, "left") for title in TITLES]
        rows = [[plain(text) for text in leaf.texts()] for leaf in state]
        return sheet(self.mistake.name, headings, rows, 0)


def text_of(mistake: Mistake, state: State | None, width: int) -> Text:
    """Draws a mistake: what it is, its equations, its gradient, and the study that shows it.

    Args:
        mistake: the mistake.
        state: what is known of its gradient.
        width: columns of the terminal.
    """
    text = Text()

    def paragraph(words: str, style: str = "") -> None:
        text.append("".join(f"{line}\n" for line in wrap(words, max(width, 20))), style)

    paragraph(mistake.name, "bold")
    paragraph(f"It {mistake.what}.")
    paragraph(f"Remedy: {mistake.remedy}.")
    for name, equation in (("right", mistake.right), ("wrong", mistake.wrong)):
        lines = wrap(equation, max(width, 30) - 9, subsequent_indent=" " * 9)
        text.append(f"\n  {name}  " if name == "right" else f"  {name}  ", "bold")
        text.append("\n".join(lines) + "\n")
    text.append("\n")
    if mistake.checked is None:
        paragraph(NOT_FOUND[0].upper() + NOT_FOUND[1:], "bold underline")
    else:
        network = gradients.network_text(mistake)
        paragraph(f"{FOUND[0].upper()}{FOUND[1:]}: {network}", "bold underline")
        if isinstance(state, tuple) and state:
            text.append("".join(f"{line}\n" for line in table_of(state, width)))
            paragraph(f"{', '.join(gradients.summary(state))}.")
        else:
            paragraph(state if isinstance(state, str) else CHECKING)
    paragraph(mistake.why)
    text.append("\n")
    paragraph("Enter trains it beside the right network", "bold underline")
    paragraph(f"{training_text(mistake)}.")
    return text


def table_of(leaves: Sequence[LeafGradient], width: int) -> list[str]:
    """The gradient of each array, without the errors if there is no room for them."""
    shown = [i for i in range(len(TITLES)) if i != ERROR or width >= LEAST]
    rows = [[row[i] for i in shown] for row in (TITLES, *(leaf.texts() for leaf in leaves))]
    return columns(rows, right=[at for at, i in enumerate(shown) if i >= ERROR])


def training_text(mistake: Mistake) -> str:
    """The study of a mistake, in a few words."""
    settings = {**COMMON, **mistake.training}
    common = {name: settings.pop(name) for name in ("data", "seeds", "epochs", "hidden")}
    hidden = "-".join(map(str, common["hidden"]))
    parts = [
        f"{common['data']}",
        f"hidden {hidden}",
        f"{common['seeds']} seeds each",
        f"{common['epochs']} epochs",
        *(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in settings.items()),
    ]
    return ", ".join(parts)


def _shown(value: object) -> str:
    return "yes" if value is True else f"{value}"
