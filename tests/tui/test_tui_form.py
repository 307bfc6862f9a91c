"""The study form: its fields mean the same as the command's options, and are checked at once."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import drive, dump, until, until_shown

from jmlp.client import starting
from jmlp.client.choice import Choice
from jmlp.client.plans import facts_of
from jmlp.errors import StoreError
from jmlp.study.file import load_study
from jmlp.training.plan import mnist_facts
from tui.dialogs import Ask, Choose, Confirm
from tui.screens.form import StudyForm
from tui.screens.help import HelpScreen
from tui.screens.studies import StudiesScreen
from tui.views import form
from tui.views.form import Checked, Outline, check, choice_of
from tui.widgets.form_fields import FieldLine, Pick

ORIGINAL = Choice("original")
AXIS = "batch_size is an axis of experiment"
MOST = "must be at most the 48000 examples of the training part of mnist"
LAYERS = (
    "experiments.only.drop_rate: needs one value, or one per hidden layer: got 2 values for the "
    "1 of"
)
FLAG = "leave the flag out, or choose other experiments with --experiment"


def check_texts(texts: dict[str, str], *experiments: str, **options: Any) -> Checked:
    """Checks the original study with these texts in the form."""
    chosen = choice_of(ORIGINAL, experiments, texts)
    return check(chosen, ORIGINAL, lambda data: mnist_facts(), 2, **options)


# ---- what is typed


def test_texts_become_the_options_of_the_command() -> None:
    texts = {"seeds": " 3 ", "epochs": "7", "data": "~/digits.npz", "hidden": "[5]", "momentum": ""}
    assert choice_of(ORIGINAL, ("final",), texts) == Choice(
        "original",
        experiments=("final",),
        seeds=3,
        epochs=7,
        data="~/digits.npz",
        overrides=("hidden=[5]",),
    )


def test_list_of_seeds_is_accepted_as_by_the_command() -> None:
    chosen = choice_of(ORIGINAL, (), {"seeds": "[4, 9]"})
    assert {e.seeds for e in chosen.study().experiments} == {(4, 9)}


def test_empty_field_shows_the_value_of_the_study() -> None:
    outline = Outline(load_study("original"))
    everything = [part.name for part in outline.parts]
    assert {key: outline.hint(key, everything) for key in form.KEYS} == {
        "seeds": "5",
        "epochs": "100",
        "data": "mnist",
        "learning_rate": "0.009",
        "schedule": "constant",
        "batch_size": "varied: 16, 32 … 2048 or 128",
        "hidden": "[20, 7, 5]",
        "drop_rate": "0 or varied: 0, 0.1 … 0.9 or varied: 0, 0.5",
        "batch_norm": "false or varied: false, true",
        "batch_norm_place": "only with batch norm or before",
        "batch_norm_scale": "only with batch norm or true",
        "optimizer": "sgd",
        "momentum": "only with optimizer momentum",
        "initialization": "he",
        "weight_std": "only with initialization normal",
        "patience": "2",
        "min_delta": "0",
        "evaluate_every": "epoch",
        "backward_fault": "none",
    }
    assert outline.hint("batch_size", ["final"]) == "128"


@pytest.mark.parametrize("key", [key for key in form.KEYS if key not in form.FIRST])
def test_typing_the_hint_changes_nothing(key: str) -> None:
    outline = Outline(load_study("demo"))
    hint = outline.hint(key, ["learning-rate"])
    if not hint.startswith(("varied", "only with")):
        assert choice_of(Choice("demo"), (), {key: hint}).study() == outline.study


# ---- the check


def test_valid_choice_has_the_plan_and_the_label_of_the_command() -> None:
    checked = check_texts({"epochs": "5", "learning_rate": "0.1"}, "final")
    assert checked.label == "original-final-epochs-5-learning-rate-0.1"
    assert checked.plan == (
        "study original on mnist",
        "  final: 4 configurations x 5 seeds = 20 runs",
        "20 runs, each once, in 2 groups:",
        "  hidden 20-7-5, batch size 128: 10 runs in 5 cohorts of 2 lanes",
        "  hidden 20-7-5, batch size 128, batch norm: 10 runs in 5 cohorts of 2 lanes",
        "2 training programs to compile, about 0.9 GB of memory",
    )
    assert checked.verdict() == "20 runs · 2 programs to compile · about 0.9 GB"


def test_all_problems_are_reported_at_once_by_field() -> None:
    texts = {"seeds": "no", "epochs": "0", "learning_rate": "-1", "hidden": "5", "momentum": "0.5"}
    checked = check_texts(texts, "final")
    assert dict(checked.problems) == {
        "seeds": "must be an integer from 1 to 100,000, or a list of distinct integers from 0 to "
        "2**63 - 1, got 'no' (a string)",
        "epochs": "must be an integer from 1 to 100,000, got 0",
        "learning_rate": "must be a finite number > 0, got -1",
        "hidden": "must be a list of 1 to 64 integers from 1 to 1,048,576, got 5 (an integer)",
        "momentum": "has no effect without optimizer = 'momentum': set that, or leave momentum out",
    }
    assert len(checked.problems) == 5
    assert not checked.ok
    assert checked.verdict() == ("5 problems: seeds, epochs, learning rate, hidden, momentum")


@pytest.mark.parametrize(
    ("texts", "key", "problem"),
    [
        ({"batch_size": "8"}, "batch_size", f"{AXIS} batch-size: {FLAG}"),
        ({"batch_size": "50000"}, "batch_size", f"batch_size: {MOST}, got 50000"),
        ({"hidden": "[5]", "drop_rate": "[0.1, 0.2]"}, "drop_rate", f"{LAYERS} hidden = [5]"),
    ],
)
def test_conflicting_values_are_reported_at_the_field(
    tmp_path: Path, texts: dict[str, str], key: str, problem: str
) -> None:
    file = tmp_path / "one.toml"
    file.write_text('name = "one"\nseeds = 1\n[experiments.only]\n', encoding="utf-8")
    origin = ORIGINAL if AXIS in problem else Choice(str(file))
    checked = check(choice_of(origin, (), texts), origin, lambda data: mnist_facts(), 2)
    assert checked.of(key) == problem


def test_missing_data_are_reported_along_with_other_problems() -> None:
    origin = Choice("demo")
    checked = check(choice_of(origin, (), {"data": "/nowhere", "epochs": "x"}), origin, facts_of, 2)
    assert dict(checked.problems) == {
        "data": "no data named '/nowhere': allowed are mnist, synthetic, a folder with IDX files, "
        "or an .npz file",
        "epochs": "must be an integer from 1 to 100,000, got 'x' (a string)",
    }


def test_no_path_is_read_for_a_browser() -> None:
    def refuse(data: str) -> Any:
        raise AssertionError(data)

    chosen = choice_of(ORIGINAL, (), {"data": "/etc"})
    checked = check(chosen, ORIGINAL, refuse, 2, served=True)
    assert checked.problems == (("data", "in the browser: mnist or synthetic"),)
    assert check_texts({"data": "synthetic"}, served=True).ok


def test_study_that_cannot_be_read_has_no_outline() -> None:
    origin = Choice("no-such.toml")
    checked = check(origin, origin, facts_of, 2)
    assert checked.outline is None
    assert checked.verdict() == "1 problem: the study"


# ---- the screen


def with_form(
    steps: Callable[[Pilot[int], StudyForm], Awaitable[object]],
    folder: Path,
    source: str | None = "demo",
    size: tuple[int, int] = (80, 24),
    **options: Any,
) -> list[str | None]:
    """Opens the form and runs the steps; returns what it was dismissed with."""
    answers: list[str | None] = []

    async def all_steps(pilot: Pilot[int]) -> None:
        opened = StudyForm(source)
        await pilot.app.push_screen(opened, answers.append)
        if source is not None:
            await until(pilot, lambda: opened.settled and opened.checked != Checked())
            await pilot.pause()
        await steps(pilot, opened)

    drive(folder, all_steps, size, **options)
    return answers


async def type_in(pilot: Pilot[int], opened: StudyForm, key: str, text: str) -> None:
    """Types into a field, and waits until it has been checked."""
    opened.query_one(f"#input-{key}", Input).focus()
    for character in text:
        await pilot.press({".": "full_stop", "-": "minus", " ": "space"}.get(character, character))
    await until(pilot, lambda: opened.texts[key] == text and opened.settled)
    await pilot.pause()


DEMO = """\
 jmlp  studies › new study                                            no worker

  Study
▸ demo  Demo: which learning rate?

  Experiments
  [x] learning-rate  Learning rate, 4 configurations × 5 seeds

  Empty fields keep the study's values.
  seeds             5
  epochs            20
  data              synthetic
  learning rate     varied: 0.01, 0.03, 0.1, 1
  schedule          constant
  batch size        32
  hidden            [20, 10]
  drop rate         0
  batch norm        false
  optimizer         sgd
  momentum          only with optimizer momentum
  initialization    he"""


def test_form_fits_a_small_terminal(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        shown = [line.rstrip(" ▁▂▃▄▅▆▇█") for line in dump(pilot.app).splitlines()]
        assert shown[:21] == DEMO.splitlines()
        assert shown[22].startswith("  20 runs · 1 program to compile · about 0.")
        assert shown[22].endswith("  Start (ctrl+s)")

    with_form(steps, tmp_path)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
def test_every_field_and_message_can_be_reached_by_keys_at_any_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down")
        for key in form.KEYS:
            assert pilot.app.focused is opened.query_one(f"#input-{key}")
            await pilot.press("x")
            await until_shown(pilot, form.title(key))
            await pilot.press("down")
        assert pilot.app.focused is opened.query_one(Pick)  # skips the disabled button
        wrong = {key for key in form.KEYS if key != "learning_rate"}  # that one is an axis as well
        await until(pilot, lambda: {key for key, _ in opened.checked.problems} >= wrong)
        await pilot.pause()
        for line in opened.query(FieldLine):
            line.query_one(Input).focus()
            if line.key != "learning_rate":
                *_, last = opened.checked.of(line.key).split()
                await until_shown(pilot, last)

    with_form(steps, tmp_path, size=size)


def test_problem_is_shown_below_its_field_and_disables_the_start(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await type_in(pilot, opened, "epochs", "1.5")
        shown = dump(pilot.app)
        assert "✗ must be an integer from 1 to 100,000, got 1.5 (a float)" in shown
        assert "1 problem: epochs" in shown
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert not opened.starting
        await pilot.press("backspace", "backspace")
        await until_shown(pilot, "20 runs · 1 program to compile")

    with_form(steps, tmp_path)


def test_start_waits_for_the_last_change_and_returns_the_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Choice] = []

    def begin(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
        started.append(choice)
        return "the label"

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        opened.query_one("#input-epochs", Input).focus()
        await pilot.press("7", "ctrl+s")
        await until(pilot, lambda: pilot.app.screen is not opened)

    monkeypatch.setattr(starting, "start", begin)
    assert with_form(steps, tmp_path) == ["the label"]
    assert started == [Choice("demo", epochs=7)]


def test_start_shows_its_progress_and_an_error_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = threading.Event()

    def begin(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
        say("fetching [bold]digits")
        proceed.wait()
        raise StoreError("demo: was begun otherwise\nresume it (jmlp resume demo)")

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await type_in(pilot, opened, "seeds", "3")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "fetching [bold]digits …")
        proceed.set()
        await until_shown(pilot, "✗ resume it (jmlp resume demo)")
        assert "✗ demo: was begun otherwise" in dump(pilot.app)
        assert opened.texts["seeds"] == "3"
        assert opened.check_action("start", ()) is True  # it may be tried again

    monkeypatch.setattr(starting, "start", begin)
    assert with_form(steps, tmp_path) == []


def test_escape_asks_only_if_changes_would_be_lost(tmp_path: Path) -> None:
    async def untouched(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudiesScreen))

    async def typed(pilot: Pilot[int], opened: StudyForm) -> None:
        await type_in(pilot, opened, "seeds", "3")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is opened)
        assert opened.texts["seeds"] == "3"
        await pilot.press("escape", "y")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudiesScreen))

    assert with_form(untouched, tmp_path) == [None]
    assert with_form(typed, tmp_path) == [None]


def test_space_leaves_out_experiments_but_not_the_last_one(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "space")
        await until(pilot, lambda: opened.settled and opened.checked.label != "original")
        assert opened.checked.label == "original-dropout-final"
        await pilot.press("down", "space", "down", "space")
        await until_shown(pilot, "choose at least one experiment (space)")
        assert not opened.checked.ok

    with_form(steps, tmp_path, "original")


@pytest.mark.parametrize("served", [False, True])
def test_source_is_asked_for_and_a_browser_cannot_give_a_path(tmp_path: Path, served: bool) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Choose))
        await pilot.pause()
        assert ("a study file …" in dump(pilot.app)) is not served
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: opened.checked.ok)
        assert opened.checked.label == "original"

    with_form(steps, tmp_path, None, served=served)


def test_file_is_opened_by_its_path_and_its_text_is_not_markup(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = 'name = "mine"\ntitle = "[red]mine[/]"\nseeds = 1\n[experiments.only]\n'
    file.write_text(text, encoding="utf-8")

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Choose))
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        pilot.app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: opened.checked.ok)
        await until_shown(pilot, "mine.toml  [red]mine[/]")

    with_form(steps, tmp_path / "store", None, size=(120, 40))


def test_paste_of_a_megabyte_or_of_control_characters_is_refused(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        field = opened.query_one("#input-epochs", Input)
        for text in ("9" * 1_000_000, "1\x1b[31m"):
            field.post_message(Paste(text))
            await pilot.pause()
            assert field.value == ""

    with_form(steps, tmp_path)


def test_form_covered_while_its_study_starts_closes_once_it_is_uncovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = threading.Event()

    def begin(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
        proceed.wait()
        return "the label"

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("ctrl+s", "question_mark")
        proceed.set()
        await until(pilot, lambda: opened.started_label)
        await pilot.pause()
        assert isinstance(pilot.app.screen, HelpScreen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudiesScreen))

    monkeypatch.setattr(starting, "start", begin)
    assert with_form(steps, tmp_path) == ["the label"]
