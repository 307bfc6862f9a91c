"""What is typed, however fast, ends up in the fields as in a reference model."""

from pathlib import Path
from random import Random

import pytest
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import drive, until
from typed import CODES, Model, edits

from tui.dialogs import Choose
from tui.screens.form import StudyForm
from tui.views import form

KEYS = form.KEYS[form.KEYS.index("learning_rate") :]


def event(key: str) -> events.Event:
    """What the terminal's parser makes of a key or a paste."""
    if key in CODES:
        return events.Key(key, {"tab": "\t", "enter": "\r"}.get(key))
    return events.Paste(key) if len(key) > 1 else events.Key(_character_to_key(key), key)


@pytest.mark.parametrize("seed", range(3))
def test_keys_in_a_burst_are_neither_reordered_nor_lost(seed: int, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        opened = StudyForm("demo")
        await pilot.app.push_screen(opened)
        await until(pilot, lambda: opened.settled and opened.checked.ok)
        opened.query_one(f"#input-{KEYS[0]}").focus()
        await pilot.pause()
        model = Model(len(KEYS))
        for key in edits(Random(seed), model, 200):
            pilot.app.post_message(event(key))  # without waiting until it was handled
        await pilot.pause()
        await until(pilot, lambda: opened.settled)
        wanted = {KEYS[i]: text for i, text in model.texts.items()}
        found = {key: opened.query_one(f"#input-{key}", Input).value for key in wanted}
        assert found == wanted
        assert opened.focused is opened.query_one(f"#input-{KEYS[model.at]}")

    drive(tmp_path, steps, (80, 24))


def test_a_study_is_asked_for_once_however_often_the_key_is_pressed(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        app = pilot.app

        def n_dialogs() -> int:
            return sum(isinstance(screen, Choose) for screen in app.screen_stack)

        opened = StudyForm()
        await app.push_screen(opened)
        opened.action_choose()
        await until(pilot, lambda: n_dialogs() > 0)
        await pilot.pause()
        assert n_dialogs() == 1
        await pilot.press("enter")
        await until(pilot, lambda: n_dialogs() == 0 and opened.settled)
        opened.action_choose()
        await until(pilot, lambda: n_dialogs() == 1)

    drive(tmp_path, steps, (80, 24))
