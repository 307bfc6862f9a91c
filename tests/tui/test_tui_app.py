"""The app as a whole: its keys, its messages, and the commands that it sends to workers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import store_runs
from textual.pilot import Pilot
from textual.widgets import DataTable
from tui_pilot import drive, dump, filled, until, until_shown

from jmlp.client import starting
from jmlp.errors import StoreError
from jmlp.store import Store
from tui.app import JmlpApp
from tui.screens.studies import StudiesScreen
from tui.screens.study import StudyScreen

Steps = Callable[[Pilot[int]], Any]


def app_of(pilot: Pilot[int]) -> JmlpApp:
    assert isinstance(pilot.app, JmlpApp)
    return pilot.app


def commands(folder: Path) -> list[str]:
    with Store(folder) as store:
        return list(store.take_commands("small"))


def test_no_store_is_created_by_opening_the_app(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "see how certain a result is")

    drive(tmp_path / "store", steps)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("key", "source"), [("o", "original"), ("d", "demo")])
def test_one_key_starts_a_study_and_opens_it(
    key: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def start(folder: Path, choice: Any, say: Callable[[str], None]) -> str:
        asked.append((folder, choice.source))
        say("fetching data")
        return "small"

    monkeypatch.setattr(starting, "start", start)

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        await pilot.press(key)
        await until_shown(pilot, "fetching data")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)
    assert asked == [(tmp_path, source)]


def test_an_error_is_shown_and_the_app_keeps_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: object) -> str:
        raise StoreError("the disk is [red]full[/]: nothing was written; make space")

    monkeypatch.setattr(starting, "start", start)

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        await pilot.press("d")
        await until_shown(pilot, "the disk is [red]full[/]")
        await until_shown(pilot, "make space")
        await pilot.press("2")
        await until_shown(pilot, "runs")

    drive(tmp_path / "store", steps)


def test_a_bug_in_an_action_is_reported_and_the_app_keeps_running(tmp_path: Path) -> None:
    def action() -> None:
        raise ZeroDivisionError("by zero")

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        app_of(pilot).perform("do it", action)
        await until_shown(pilot, "this is a bug in jmlp")
        await until_shown(pilot, "ZeroDivisionError: by zero")

    drive(tmp_path / "store", steps)


def test_a_damaged_store_is_reported_on_the_screen(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database at all" * 100)

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "damaged (file is not a database); jmlp store rebuild")
        await until_shown(pilot, "store not readable")

    drive(tmp_path, steps)


async def open_study(pilot: Pilot[int]) -> None:
    await until_shown(pilot, "/6")
    await pilot.press("enter")
    await until_shown(pilot, "learning rate 0.1")


@pytest.mark.parametrize(
    ("key", "before", "command", "after"),
    [
        ("space", "running", "pause", "paused"),
        ("space", "paused", "resume", "running"),
        ("s", "running", "stop", "stopped"),
        ("s", "paused", "stop", "stopped"),
    ],
)
def test_keys_steer_the_worker_that_trains_the_study(
    key: str, before: Any, command: str, after: Any, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await until_shown(pilot, before)
        await pilot.press(key)
        found: list[str] = []

        def obeyed() -> list[str]:
            found.extend(commands(tmp_path))
            return found

        await until(pilot, obeyed)
        assert found == [command]
        with Store(tmp_path) as store:
            store.set_study("small", after)
        await until_shown(pilot, f"\n {after}")

    with filled(tmp_path, "running"):
        with Store(tmp_path) as store:
            store.set_study("small", before)
        drive(tmp_path, steps)


def test_a_study_without_a_worker_is_stopped_by_the_app_itself(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await pilot.press("s")
        await until_shown(pilot, "\n stopped")
        await until_shown(pilot, "r resumes the training")

    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
    drive(tmp_path, steps)


def test_one_key_resumes_a_study_whose_worker_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(starting, "resume", lambda folder, row, say: asked.append(row.label))

    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await until_shown(pilot, "r resumes from the last checkpoint")
        await pilot.press("r")
        await until(pilot, lambda: asked)

    with filled(tmp_path, "running"):
        pass
    drive(tmp_path, steps)
    assert asked == ["small"]


@pytest.mark.parametrize("key", ["space", "s", "r"])
def test_keys_that_make_no_sense_do_nothing(key: str, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await until_shown(pilot, "\n done")
        await until_shown(pilot, "q Quit")
        before = dump(pilot.app)
        await pilot.press(key)
        await pilot.pause()
        assert dump(pilot.app) == before

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)
    assert commands(tmp_path) == []


def test_logarithmic_scale_is_switched_on_and_off(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await until_shown(pilot, "cost from ▁ 0.1000 to █ 0.5000\n")
        await pilot.press("y")
        await until_shown(pilot, "cost from ▁ 0.1000 to █ 0.5000, log")
        await until_shown(pilot, "██▅▅▃▃▂▂▁▁")
        await pilot.press("y")
        await until_shown(pilot, "██▃▃▂▂▁▁▁▁")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)


def test_details_of_the_configuration_at_the_cursor_are_shown(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await until_shown(pilot, "learning rate 0.1   done   baseline")
        await pilot.press("down")
        await until_shown(pilot, "learning rate 0.2   diverged @7")
        await pilot.press("up")
        await until_shown(pilot, "learning rate 0.1   done   baseline")
        await pilot.click("#configurations", offset=(5, 2))
        await until_shown(pilot, "learning rate 0.2   diverged @7")

    with filled(tmp_path, "diverged"):
        drive(tmp_path, steps)


@pytest.mark.parametrize("start", ["small", "last", "a11ea5cf"])
def test_the_study_or_run_named_at_the_start_is_opened(start: str, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        title = "studies › small" if start == "small" else start
        await until_shown(pilot, f" jmlp  {title}")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps, start=start)


def test_an_unknown_name_at_the_start_is_an_error_and_the_app_opens(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "open nothing")
        assert isinstance(pilot.app.screen, StudiesScreen)

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps, start="nothing")


def test_help_names_the_keys_of_the_screen_below(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await pilot.press("question_mark")
        await until_shown(pilot, "At the cursor")
        await pilot.press(*"arithmic")
        await until_shown(pilot, "Logarithmic scale of the cost")
        await pilot.press(*["backspace"] * 8, *"quit")
        await until_shown(pilot, "Quit; training continues")
        await pilot.press("escape")
        await until_shown(pilot, "learning rate 0.1")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps, size=(100, 40))


def test_a_key_switches_the_theme(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        assert pilot.app.theme == "jmlp-dark"
        await pilot.press("t")
        assert pilot.app.theme == "jmlp-light"
        await pilot.press("t")
        assert pilot.app.theme == "jmlp-dark"

    drive(tmp_path / "store", steps)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((59, 30), "jmlp needs 60×20, this is 59×30"),
        ((80, 19), "jmlp needs 60×20, this is 80×19"),
        ((20, 5), "jmlp"),
        ((2, 2), "jm"),
        ((1, 1), "j"),
    ],
)
def test_below_the_minimum_size_one_line_is_shown(
    size: tuple[int, int], text: str, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        await pilot.resize_terminal(*size)
        await until(pilot, lambda: dump(pilot.app).strip() == text)
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "q Quit")

    drive(tmp_path / "store", steps)


HOSTILE = ("[red]", "[/", "[b", "a\x1b[31mb", "\u202eabc", "=cmd", "a" * 300, "😀" * 40, "a\nb")


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_label_is_shown_verbatim(label: str, tmp_path: Path) -> None:
    made = store_runs.plan()
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made, label=label))

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "queued")
        screen = pilot.app.screen
        assert screen.query_one(DataTable).row_count == 1
        assert "\x1b" not in dump(pilot.app)
        if label.startswith("["):
            assert f" {label} " in dump(pilot.app)
        await pilot.press("enter")
        await until_shown(pilot, "learning rate 0.1")
        if label.startswith("["):
            assert f"studies › {label}" in dump(pilot.app)

    drive(tmp_path, steps)


def test_quitting_leaves_the_study_as_it_is(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await open_study(pilot)
        await pilot.press("q")

    with filled(tmp_path, "running"):
        app = drive(tmp_path, steps)
        with Store(tmp_path) as store:
            assert store.study("small").state == "running"
            assert store.take_commands("small") == []
    assert app.return_value == 0


def test_the_app_imports_neither_jax_nor_numpy_before_its_first_paint() -> None:
    import subprocess
    import sys

    code = "import sys, tui.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"jax", "numpy", "scipy", "matplotlib", "jinja2", "keras"}
    assert not heavy & set(done.stdout.split())


def test_the_cursor_stays_on_its_study_when_another_is_added(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "6/6")
        with Store(tmp_path) as store:
            store.submit(store_runs.submission(store_runs.plan("newer")))
        await until_shown(pilot, "newer")
        await pilot.press("enter")
        await until_shown(pilot, "studies › small")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)


def test_a_slow_start_does_not_replace_another_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def start(folder: Path, choice: Any, say: Callable[[str], None]) -> str:
        assert go.wait(60)
        return "newer"

    monkeypatch.setattr(starting, "start", start)

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "6/6")
        await pilot.press("d")
        await pilot.press("enter")
        await until_shown(pilot, "studies › small")
        go.set()
        await until_shown(pilot, "newer has started")
        await until_shown(pilot, "studies › small")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)


def emphasised(app: JmlpApp, text: str) -> bool:
    """Whether a line of the screen shows a text in another way than by colour."""
    return any(
        text in segment.text
        and segment.style is not None
        and bool(segment.style.reverse or segment.style.underline)
        for strip in app.screen._compositor.render_strips(app.size)
        for segment in strip
    )


@pytest.mark.parametrize(
    ("keys", "shown", "at_cursor", "below"),
    [
        (["b"], "Remedy", "relu_mask", "weights_transposed"),
        (["C"], "Cell …", "Cell …", "Row, with tabs"),
        (["n"], "Start from", "Demo: which learning rate?", "98 % on MNIST"),
        (["ctrl+p"], "Search", "Copy a row", "Change the theme"),
    ],
    ids=["mistakes", "menu to copy", "choice", "palette"],
)
def test_without_colour_the_cursor_of_every_list_of_options_is_seen(
    keys: list[str],
    shown: str,
    at_cursor: str,
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("jmlp.inspection.mistake.check", lambda *_: ())

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "q Quit")
        await pilot.press(*keys)
        await until_shown(pilot, shown)
        await until(pilot, lambda: emphasised(app_of(pilot), at_cursor))
        assert not emphasised(app_of(pilot), below)

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)
