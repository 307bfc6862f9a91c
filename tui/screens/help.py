"""The help: the words at the cursor and on the screen, the keys, and the whole glossary."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from textwrap import wrap
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from tui.framework.screens import Steady
from tui.glossary import Entry, Explained, explained, glossary, mentioned, search
from tui.keys import MOVE, keys_of
from tui.text import fit

CLOSES = "question_mark"
TWO_COLUMNS = 84  # width from which all names have a column of their own
SHORT = 15  # length of names that have one at any width
NOTHING = "No word and no key matches."

# The same in every list, so these keys are not listed one by one.
LISTS = (
    "Arrows, page up/down, home, end and the mouse move the cursor; enter or a click opens; "
    "dragging selects text, and ctrl+c copies it."
)

Item = tuple[str, str]  # a word or keys, and what they mean
Block = tuple[str, list[Item]]  # a heading and its items


class Search(Input):
    """A field in which `?` is not text, so that it can close the help."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Leaves `?` to the screen."""
        return key != CLOSES and super().check_consume_key(key, character)


class HelpScreen(Steady, ModalScreen[None]):
    """Explains a screen; typing searches all words and keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1", "dismiss", "Close", tooltip="Close the help"),
        Binding(CLOSES, "dismiss", "Close", tooltip="Close the help", priority=True),
        Binding("up", "scroll(-1)", "Up", group=MOVE, tooltip="Scroll up"),
        Binding("down", "scroll(1)", "Down", group=MOVE, tooltip="Scroll down"),
        Binding("pageup", "page(-1)", "Page up", group=MOVE, tooltip="Scroll up a page"),
        Binding("pagedown", "page(1)", "Page down", group=MOVE, tooltip="Scroll down a page"),
    ]
    CSS = """
    HelpScreen {
        align: center middle;
        background: $background 60%;
        & > .dialog { width: 94%; max-width: 120; height: 90%; max-height: 90%; padding: 0 1; }
        & .find { height: 1; }
        & .find Static { width: auto; padding-right: 1; text-style: bold; }
        & .find Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
        & VerticalScroll { height: 1fr; margin-top: 1; scrollbar-size-vertical: 1; }
        & VerticalScroll { scrollbar-gutter: stable; }
    }
    """

    def __init__(self, of: Screen[Any]) -> None:
        """Initialises the help.

        Args:
            of: the screen to explain, as it is now.
        """
        super().__init__()
        at_cursor = explained(words_at_cursor(of))
        others = [e for e in explained(words_shown(of)).items() if e[0] not in at_cursor]
        self.keys = [(" ".join(key.names), key.text) for key in keys_of(of)]
        self.blocks: list[Block] = [
            ("At the cursor", [_item(entry, name) for entry, name in at_cursor.items()]),
            ("Also on the screen", [_item(entry, name) for entry, name in others]),
            ("Keys", [*self.keys, ("", LISTS)]),
            *(
                (f"All words: {section[0].lower()}{section[1:]}", [_item(e, e.name) for e in found])
                for section, found in groupby(glossary(), lambda entry: entry.section)
            ),
        ]

    def compose(self) -> ComposeResult:
        """Yields the field for the search, and the text."""
        with Vertical(classes="dialog paper"):
            with Horizontal(classes="find"):
                yield Static("Help", markup=False)
                yield Search(
                    placeholder="type to search all words and keys; esc closes",
                    max_length=100,
                    select_on_focus=False,
                )
            with VerticalScroll(can_focus=False):
                yield Static(id="text", markup=False)

    def on_mount(self) -> None:
        """Focuses the search."""
        self.query_one(Search).focus()

    def on_resize(self) -> None:
        """Wraps the text to the new width."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Shows everything, or what matches the search."""
        if not self.is_there:
            return
        text = self.query_one(Search).value.strip()
        blocks = self.found(text) if text else self.blocks
        width = self.query_one(VerticalScroll).scrollable_content_region.width
        self.query_one("#text", Static).update(text_of(blocks, width))

    def found(self, text: str) -> list[Block]:
        """Returns the words and keys that match a search."""
        wanted = text.casefold()
        keys = [key for key in self.keys if any(wanted in part.casefold() for part in key)]
        words = [_item(entry, entry.name) for entry in search(text)]
        if not keys and not words:
            return [("", [("", NOTHING)])]
        return [block for block in (("Words", words), ("Keys", keys)) if block[1]]

    @on(Input.Changed)
    def typed(self) -> None:
        """Shows what matches."""
        self.query_one(VerticalScroll).scroll_home(animate=False)
        self.draw()

    def action_scroll(self, lines: int) -> None:
        """Scrolls the text by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scrolls the text by pages."""
        box = self.query_one(VerticalScroll)
        box.scroll_relative(y=pages * max(1, box.size.height - 1), animate=False)


def words_at_cursor(screen: Screen[Any]) -> Iterator[str]:
    """Yields the terms of the widget with the focus, and then of those that contain it."""
    for node in (screen.focused or screen).ancestors_with_self:
        if isinstance(node, Explained):
            yield from node.terms


def words_shown(screen: Screen[Any]) -> Iterable[str]:
    """Returns the words of the glossary in the lines of text on a screen."""
    shown = (line for line in screen.query(Static) if line.is_on_screen)
    return chain.from_iterable(mentioned(str(line.content)) for line in shown)


def _item(entry: Entry, name: str) -> Item:
    """Returns an entry under the name by which a screen shows it."""
    same = name.casefold() == entry.name.casefold()
    return name, entry.text if same else f"{entry.name}: {entry.text}"


def text_of(blocks: Iterable[Block], width: int) -> Text:
    """Draws headings and items, with the names in a column if the width is enough.

    Args:
        blocks: those without items are left out.
        width: columns of the terminal.
    """
    blocks = [(title, items) for title, items in blocks if items]
    longest = max((len(name) for _, items in blocks for name, _ in items), default=0)
    text = Text()
    for number, (title, items) in enumerate(blocks):
        text.append("\n" if number else "").append(f"{title}\n" if title else "", "bold underline")
        if width < TWO_COLUMNS:
            longest = max(len(name) for name, _ in items)
        column = longest + 2 if width >= TWO_COLUMNS or longest <= SHORT else 0
        for name, meaning in items:
            head = fit(name, column) if column else f"{name}  " if name else ""
            indent = " " * (column or 2)
            lines = wrap(meaning, max(width, 20), initial_indent=head, subsequent_indent=indent)
            text.append(lines[0][: len(head)], "bold").append(lines[0][len(head) :] + "\n")
            text.append("".join(f"{line}\n" for line in lines[1:]))
    return text
