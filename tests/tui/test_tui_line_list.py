"""The list widget: cursor, pages, clicks, and lines that come and go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from tui_pilot import dump

from tui.widgets.line_list import LineList

HEIGHT = 10


class Words(LineList[str]):
    """A list of words, in which titles cannot be opened."""

    HEAD = 1

    def key_of(self, line: str) -> str:
        return line.partition(" ")[0]

    def draw_head(self) -> list[Segment]:
        return [Segment("head")]

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        return [Segment(("> " if row == self.at_cursor else "  ") + row, base)]

    def show(self, rows: Sequence[str]) -> None:
        self.show_rows(rows, [i for i, row in enumerate(rows) if not row.startswith("title")])


class WordsApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield Words()

    @on(Words.Opened)
    def word_opened(self, event: Words.Opened[str]) -> None:
        self.opened.append(event.line)


def drive(rows: Sequence[str], steps: Callable[[Pilot[None], Words], Awaitable[None]]) -> list[str]:
    """Runs the steps, and returns the words that were opened."""
    app = WordsApp()

    async def run() -> None:
        async with app.run_test(size=(20, HEIGHT)) as pilot:
            words = app.query_one(Words)
            words.show(rows)
            words.focus()
            await pilot.pause()
            await steps(pilot, words)
            await pilot.pause()

    asyncio.run(run())
    return app.opened


def words(n: int) -> list[str]:
    return ["title", *(f"word{i:02}" for i in range(n))]


@pytest.mark.parametrize(
    ("keys", "at_cursor", "top"),
    [
        (("down", "j", "up"), "word01", "  title"),
        (("pagedown",), "word08", "  word00"),
        (("pagedown", "pagedown", "pageup"), "word08", "  word08"),
        (("end",), "word29", "  word21"),
        (("end", "down", "home", "k"), "word00", "  title"),
    ],
)
def test_keys_move_the_cursor_and_the_list_follows(
    keys: tuple[str, ...], at_cursor: str, top: str
) -> None:
    async def steps(pilot: Pilot[None], words: Words) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        assert words.at_cursor == at_cursor
        lines = dump(pilot.app).splitlines()
        assert lines[0].startswith("head")
        assert lines[1].startswith(top.replace("  ", "> ", 1) if at_cursor in top else top)

    drive(words(30), steps)


def test_a_click_moves_the_cursor_and_a_second_one_opens() -> None:
    async def steps(pilot: Pilot[None], words: Words) -> None:
        for row in (4, 0, 1):  # a word, then the header and a title, which are not lines
            await pilot.click(Words, offset=(3, row))
            assert words.at_cursor == "word02"
        await pilot.click(Words, offset=(3, 4))

    assert drive(words(30), steps) == ["word02"]


def test_the_cursor_stays_on_its_line_and_the_line_in_place() -> None:
    async def steps(pilot: Pilot[None], words: Words) -> None:
        await pilot.press("end")
        await pilot.pause()
        before = dump(pilot.app).splitlines()[HEIGHT - 1]
        words.show(["title", "earlier", *(f"word{i:02} new" for i in range(40))])
        await pilot.pause()
        assert words.at_cursor == "word29 new"
        assert dump(pilot.app).splitlines()[HEIGHT - 1].split()[1] == before.split()[1] == "word29"
        words.show(["title"])
        assert words.at_cursor is None
        await pilot.press("enter", "down")

    assert drive(words(30), steps) == []
