"""The help screen: the keys of a screen, and the terms that the app uses."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.framework.screens import OnceDismissed
from tui.text import fit

WORDS = """\
study           experiments on one data set
experiment      a grid of configurations, with one table of results
configuration   one choice of hyperparameters, trained with several seeds
run             one configuration with one seed
cost            mean cross-entropy, in nats; guessing costs ln(classes)
±               half a 95 % interval of the mean over seeds
diverged @k     update k produced a number that is not finite; the run has no accuracy
collapsed       predicts one class for everything
not settled     the seeds do not decide which is higher"""

# The same in every list, so these keys are not listed one by one.
LISTS = (
    "arrows, page up/down, home, end and the mouse move the cursor; enter or a click opens; "
    "dragging selects text, and ctrl+c copies it"
)


class HelpScreen(OnceDismissed, ModalScreen[None]):
    """The keys of the screen below, and a glossary."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close", show=False)
    ]

    def __init__(self, of: Screen[Any]) -> None:
        super().__init__()
        self.keys = Text("\n").join(
            Text.assemble((fit(key, 14), "bold"), description) for key, description in keys_of(of)
        )

    def compose(self) -> ComposeResult:
        """Yields the keys and the glossary."""
        with Vertical(classes="dialog paper"), VerticalScroll():
            yield Static("Keys (esc closes)", classes="title", markup=False)
            yield Static(self.keys, classes="whole")
            yield Static(LISTS, markup=False, classes="muted")
            yield Static("\nTerms", classes="title")
            yield Static(WORDS, markup=False, classes="whole")


def keys_of(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Lists each key of a screen and what it does, the screen's own keys first.

    Keys without a tooltip, which only move a cursor or scroll, are left out.
    """
    found: dict[str, list[str]] = {}
    texts = {}
    actives = screen.active_bindings.values()
    for active in sorted(actives, key=lambda active: active.node is not screen):
        binding = active.binding
        if binding.tooltip and not binding.system and binding.action not in ("quit", "copy_text"):
            found.setdefault(binding.action, []).append(screen.app.get_key_display(binding))
            texts[binding.action] = binding.tooltip
    return [(" ".join(dict.fromkeys(keys)), texts[action]) for action, keys in found.items()]
