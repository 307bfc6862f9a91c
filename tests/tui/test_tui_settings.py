"""The choices that are restored when the app is started again."""

import os
from pathlib import Path

import pytest
from run_lines import PLAN, opened
from store_runs import fill
from textual.app import App
from textual.pilot import Pilot
from tui_pilot import drive, until_shown

from tui.screens.compare import CompareScreen
from tui.screens.run import RunScreen
from tui.screens.study import StudyScreen
from tui.settings import Choices, Settings
from tui.views.runs import Order
from tui.widgets.configurations import ConfigurationList


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the settings, in a folder that does not exist yet."""
    return tmp_path / "config" / "app.toml"


def kept(path: Path, **changes: object) -> Settings:
    """Settings with these changes, written."""
    settings = Settings(path)
    settings.keep(**changes)
    settings.close()
    return settings


def said_about(path: Path) -> tuple[Choices, list[str]]:
    """The choices in a file, and the messages about it."""
    settings, said = Settings(path), list[str]()
    settings.say = said.append
    return settings.choices, said


# ---- the file


def test_without_a_file_the_choices_are_the_defaults_and_nothing_is_said(path: Path) -> None:
    assert said_about(path) == (Choices(), [])
    assert not path.exists()


def test_choices_are_restored(path: Path) -> None:
    kept(path, theme="jmlp-light", curves_log=True, runs_by="cost")
    assert said_about(path) == (Choices("jmlp-light", curves_log=True, runs_by="cost"), [])


def test_a_choice_that_does_not_change_writes_nothing(path: Path) -> None:
    kept(path, curves_log=False)
    assert not path.exists()


def test_the_file_is_read_once(path: Path) -> None:
    settings = kept(path, curves_log=True)
    path.write_text("curves_log = false", encoding="utf-8")
    assert settings.choices.curves_log


def test_two_apps_keep_each_others_choices_and_the_last_one_wins(path: Path) -> None:
    one, two = Settings(path), Settings(path)
    assert one.choices == two.choices == Choices()
    for settings, change in ((one, "a"), (two, "b"), (one, "c")):
        settings.keep(theme=change)
        settings.close()
    two.keep(curves_log=True)
    two.close()
    assert said_about(path)[0] == Choices(theme="b", curves_log=True)


def test_what_a_later_version_has_kept_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('later = ["a"]\n', encoding="utf-8")
    kept(path, curves_log=True)
    assert path.read_text(encoding="utf-8") == 'later = [\n    "a",\n]\ncurves_log = true\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"theme = ", "Invalid value"),
        (b"\xff", "can't decode"),
        (b"#" * 70_000, "more than 65536 bytes"),
        (b"a = " + b"[" * 50_000, "recursion"),
    ],
)
def test_a_damaged_file_is_ignored_with_a_line_and_replaced_by_the_next_choice(
    path: Path, content: bytes, reason: str
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    choices, said = said_about(path)
    assert choices == Choices()
    assert len(said) == 1
    assert said[0].startswith(f"warning: settings are ignored: {path}: ")
    assert reason in said[0]
    kept(path, curves_log=True)
    assert said_about(path) == (Choices(curves_log=True), [])


def test_values_of_a_wrong_type_are_ignored_with_a_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('theme = 1\ncurves_log = "yes"\nstudy_log = true\n', encoding="utf-8")
    words = "warning: settings of a wrong type are ignored: theme, curves_log"
    assert said_about(path) == (Choices(study_log=True), [words])


def test_a_pipe_instead_of_a_file_does_not_block(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    words = f"warning: settings are ignored: {path}: not a regular file"
    assert said_about(path) == (Choices(), [words])


def test_choices_that_cannot_be_written_hold_until_the_end_and_one_line_says_so(
    path: Path,
) -> None:
    path.parent.write_text("a file, not a folder", encoding="utf-8")
    settings, said = Settings(path), list[str]()
    settings.say = said.append
    for theme in ("a", "b"):
        settings.keep(theme=theme)
        settings.close()
    assert settings.choices.theme == "b"
    (line,) = (line for line in said if "not kept" in line)
    assert line.startswith("warning: settings are not kept: ")


# ---- the app


def test_theme_is_restored_unless_textual_theme_is_set(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def press_t(pilot: Pilot[int]) -> None:
        assert pilot.app.theme == "jmlp-dark"
        await pilot.press("t")

    async def look(pilot: Pilot[int]) -> None:
        themes.append(pilot.app.theme)

    themes: list[str] = []
    drive(tmp_path, press_t, settings=Settings(path))
    drive(tmp_path, look, settings=Settings(path))
    monkeypatch.setattr(App.theme, "_default", "nord")  # as TEXTUAL_THEME does at the start
    drive(tmp_path, look, settings=Settings(path))
    monkeypatch.undo()
    path.write_text('theme = "gone"', encoding="utf-8")
    drive(tmp_path, look, settings=Settings(path))
    assert themes == ["jmlp-light", "nord", "jmlp-dark"]


def test_scales_axes_and_order_are_restored(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "store"
    fill(folder, PLAN)
    ids = [run.run_id for run in PLAN.runs[:3]]
    found: list[object] = []

    async def change(pilot: Pilot[int]) -> None:
        runs = await opened(pilot)
        await pilot.press("o")
        await pilot.press(*["down"] * 7, "enter")
        assert runs.order == Order("cost")
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        await pilot.press("y")
        pilot.app.push_screen(RunScreen(ids, "runs"))
        await until_shown(pilot, "mean of 3 seeds")
        await pilot.press("y", "x", "a")

    async def look(pilot: Pilot[int]) -> None:
        found.append((await opened(pilot)).order)
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        found.append(pilot.app.screen.query_one(ConfigurationList).log_scale)
        screen = RunScreen(ids, "runs")
        pilot.app.push_screen(screen)
        await until_shown(pilot, "accuracy, %")
        found.append((screen.log_scale, screen.unit))
        compare = CompareScreen(ids)
        pilot.app.push_screen(compare)
        await until_shown(pilot, "validation cost, log")
        found.append((compare.log_scale, compare.by_updates))

    drive(folder, change, settings=Settings(path))
    drive(folder, look, settings=Settings(path))
    assert found == [Order("cost"), True, (True, "update"), (True, True)]
