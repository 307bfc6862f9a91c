"""Keys that come faster than screens open must not end the app."""

from pathlib import Path

import pytest
from textual import events
from textual.command import CommandPalette
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import DataTable, OptionList
from tui_pilot import drive, filled, until, until_shown

from tui.dialogs import Choose
from tui.feed import FeedUpdate
from tui.screens.base import TopLine
from tui.screens.form import StudyForm
from tui.screens.studies import StudiesScreen
from tui.screens.study import StudyScreen
from tui.widgets.form_fields import FieldLine


def type_ahead(pilot: Pilot[int], *keys: str) -> None:
    """Queues keys before the app has handled the first of them."""
    characters = {"enter": "\r", "escape": "\x1b"}
    for key in keys:
        pilot.app.post_message(events.Key(key, characters.get(key)))


@pytest.mark.parametrize(
    "keys",
    [
        ("question_mark", "escape", "escape", "escape"),
        ("ctrl+p", "pagedown", "pageup", "down", "end", "escape", "escape"),
        ("ctrl+p", "enter", "enter", "escape"),
        ("ctrl+p", "escape", "ctrl+p", "escape", "ctrl+p"),
        ("enter", "enter", "escape", "escape"),
        ("enter", "tab", "y", "escape", "enter", "escape"),
        ("n", "escape", "escape", "n", "escape"),
    ],
)
def test_keys_in_quick_succession_do_not_end_the_app(keys: tuple[str, ...], tmp_path: Path) -> None:
    with filled(tmp_path, "finished"):

        async def steps(pilot: Pilot[int]) -> None:
            await until_shown(pilot, "small")
            type_ahead(pilot, *keys)
            await pilot.pause()
            assert pilot.app.is_running

        app = drive(tmp_path, steps)
    assert app._exception is None


def test_screen_opened_by_a_key_receives_the_next_key(tmp_path: Path) -> None:
    with filled(tmp_path, "finished"):

        async def steps(pilot: Pilot[int]) -> None:
            await until_shown(pilot, "small")
            type_ahead(pilot, "enter")
            await until_shown(pilot, "studies › small")
            assert isinstance(pilot.app.screen, StudyScreen)
            type_ahead(pilot, "escape", "escape")
            await pilot.pause()
            assert isinstance(pilot.app.screen, StudiesScreen)

        drive(tmp_path, steps)


def test_key_waits_for_a_screen_that_has_not_begun_to_run(tmp_path: Path) -> None:
    with filled(tmp_path, "finished"):

        async def steps(pilot: Pilot[int]) -> None:
            await until_shown(pilot, "small")
            screen = StudyScreen("small")
            pilot.app.push_screen(screen)
            assert not screen.is_running
            await pilot.app.on_event(events.Key("tab", None))
            await until(pilot, lambda: screen.page == "results")

        drive(tmp_path, steps)


def test_earlier_sizes_of_the_terminal_are_ignored(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        top = pilot.app.screen.query_one(TopLine)
        await pilot.app.push_screen(Choose("Which?", [("a", "A")]))
        await until_shown(pilot, "Which?")
        for earlier in (Size(100, 30), Size(90, 25)):
            pilot.app.screen.post_message(events.Resize(earlier, earlier))
        for _ in range(10):
            await pilot.pause()
            assert top.size.width == pilot.app.size.width

    drive(tmp_path, steps)


def test_palette_opens_again_while_the_one_before_is_being_removed(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+p")
        first = pilot.app.screen
        assert isinstance(first, CommandPalette)
        first.dismiss()
        pilot.app.action_command_palette()
        assert isinstance(pilot.app.screen, CommandPalette)
        assert pilot.app.screen is not first

    drive(tmp_path, steps)


def test_field_keeps_the_problem_that_was_found_before_it_was_composed(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        field = FieldLine("seeds", "seeds", 9, given="5")
        field.wrong("must be a number")
        assert field.text == ""
        await pilot.app.screen.query_one("#body").mount(field, before=0)
        await until_shown(pilot, "✗ must be a number")

    drive(tmp_path, steps)


def test_dialog_answers_only_once(tmp_path: Path) -> None:
    answers: list[str | None] = []

    async def steps(pilot: Pilot[int]) -> None:
        dialog = Choose("Which?", [("a", "A"), ("b", "B")])
        pilot.app.push_screen(dialog, answers.append)
        await until(pilot, lambda: [o.highlighted for o in dialog.query(OptionList)] == [0])
        type_ahead(pilot, "enter", "enter", "escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, StudiesScreen)

    drive(tmp_path, steps)
    # Whether enter or escape wins is a race, but there must be only one answer.
    assert len(answers) == 1


def test_focus_returns_when_the_terminal_is_large_enough_again(tmp_path: Path) -> None:
    with filled(tmp_path, "finished"):

        async def steps(pilot: Pilot[int]) -> None:
            await until_shown(pilot, "small")
            assert isinstance(pilot.app.focused, DataTable)
            for size in ((20, 5), (5, 1), (80, 24)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
            assert isinstance(pilot.app.focused, DataTable)

        drive(tmp_path, steps)


def test_messages_for_a_dismissed_screen_are_dropped(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choose))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyForm))
        form = pilot.app.screen
        assert isinstance(form, StudyForm)
        await until(pilot, lambda: form.settled)
        form.dismiss(None)
        assert not form.is_there
        await form.query_one("#no-experiment").remove()
        await form.query_one("#plan-text").remove()
        form.check_done(form.checked_choice, form.checked)
        form.post_message(FeedUpdate(()))
        await until(pilot, lambda: isinstance(pilot.app.screen, StudiesScreen))

    drive(tmp_path / "store", steps)
