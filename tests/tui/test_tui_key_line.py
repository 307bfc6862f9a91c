"""The line of keys at the bottom: what it shows, with and without room, and what the mouse does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button

from tui.widgets.key_line import KeyLine


class Keys(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "say('a')", "Add", tooltip="Add a row"),
        Binding("b", "say('b')", "Build"),
        Binding("c", "say('c')", "Hidden", show=False),
        Binding("escape", "say('back')", "Back"),
    ]
    app: "KeysApp"
    is_build_allowed: bool | None = True

    def compose(self) -> ComposeResult:
        yield Button("focus")
        yield KeyLine()

    def action_say(self, what: str) -> None:
        self.app.said.append(what)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.is_build_allowed if parameters == ("b",) else True


class KeysApp(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "say('quit')", "Quit")]

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

        self.keys = Keys()

    def on_mount(self) -> None:
        self.push_screen(self.keys)

    def action_say(self, what: str) -> None:
        self.said.append(what)


def drive(width: int, steps: Callable[[Pilot[None], KeysApp], Awaitable[None]]) -> None:
    """Runs the app and does the steps in it."""

    async def run() -> None:
        app = KeysApp()
        async with app.run_test(size=(width, 10)) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(run())


def line(app: KeysApp) -> Content:
    return app.keys.query_one(KeyLine).render()


async def allow_build(pilot: Pilot[None], app: KeysApp, *, allowed: bool | None) -> None:
    app.keys.is_build_allowed = allowed
    app.keys.refresh_bindings()
    await pilot.pause()


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, " a Add  b Build  esc Back  q Quit "),
        (34, " a Add  b Build  esc Back  q Quit "),
        (33, " a Add  esc Back  q Quit "),
        (24, " esc Back  q Quit "),
        (17, " esc Back "),
    ],
)
def test_without_room_whole_keys_are_left_out_and_back_and_quit_last(
    width: int, shown: str
) -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        del pilot
        assert line(app).plain == shown

    drive(width, steps)


def test_a_click_presses_the_key_that_is_shown_there() -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        for column in (0, 6, 7, 70):  # the first and last of Add, the first of Build, none
            await pilot.click(KeyLine, offset=(column, 0))
        assert app.said == ["a", "a", "b"]

    drive(80, steps)


def test_a_disabled_key_is_dim_and_cannot_be_clicked() -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        await allow_build(pilot, app, allowed=None)
        await pilot.click(KeyLine, offset=(8, 0))
        assert app.said == []
        shown = line(app)
        dim = {shown.plain[s.start : s.end] for s in shown.spans if str(s.style) == "dim"}
        assert dim == {" b Build "}

    drive(80, steps)


def test_a_key_that_does_not_apply_is_not_shown() -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        await allow_build(pilot, app, allowed=False)
        assert line(app).plain == " a Add  esc Back  q Quit "

    drive(80, steps)


def test_the_pointer_highlights_the_key_below_it_and_explains_it() -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        keys = app.keys.query_one(KeyLine)
        await pilot.hover(KeyLine, offset=(2, 0))
        assert (keys.hovered, keys.tooltip) == (0, "Add a row")
        await pilot.hover(KeyLine, offset=(70, 0))
        assert (keys.hovered, keys.tooltip) == (None, None)
        await pilot.hover(KeyLine, offset=(2, 0))
        await pilot.hover(Button)
        assert keys.hovered is None

    drive(80, steps)


def test_a_change_of_keys_neither_mounts_widgets_nor_lays_the_screen_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def steps(pilot: Pilot[None], app: KeysApp) -> None:
        layouts: list[object] = []
        monkeypatch.setattr(app.keys, "_refresh_layout", lambda *a, **k: layouts.append(a))
        await allow_build(pilot, app, allowed=False)
        assert line(app).plain == " a Add  esc Back  q Quit "
        assert layouts == []
        assert not app.keys.query_one(KeyLine).children

    drive(80, steps)
