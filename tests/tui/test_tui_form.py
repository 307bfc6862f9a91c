"""The study form: its fields mean the same as the command's options, and are checked at once."""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import drive, dump, until, until_shown

from jmlp.client import starting
from jmlp.client.choice import Choice
from jmlp.client.plans import facts_of
from jmlp.data.mnist import MNIST
from jmlp.errors import StoreError
from jmlp.study.config import Study
from jmlp.study.file import SHIPPED, load_study, parse_study, to_toml
from jmlp.training.plan import make_plan, published_facts
from tui.dialogs import Ask, Choose, Confirm
from tui.screens.form import StudyForm
from tui.screens.help import HelpScreen
from tui.screens.studies import StudiesScreen
from tui.views import form
from tui.views.form import Checked, Outline, check, choice_of
from tui.widgets.form_fields import FieldLine, Pick

ORIGINAL = Choice("original")
AXIS = "batch_size is an axis of experiment"
RATE = "experiments.learning-rate.learning_rate"
MOST = "must be at most the 48000 examples of the training part of mnist"
LAYERS = (
    "experiments.only.drop_rate: needs one value, or one per hidden layer: got 2 values for the "
    "1 of"
)
FLAG = (
    "set it there, as in --set experiments.batch-size.batch_size=VALUE, or choose other "
    "experiments with --experiment"
)


def check_texts(texts: dict[str, str], *experiments: str, **options: Any) -> Checked:
    """Checks the original study with these texts in the form."""
    chosen = choice_of(ORIGINAL, experiments, texts)
    return check(chosen, ORIGINAL, lambda data: published_facts(MNIST), 2, **options)


# ---- what is typed


def test_texts_become_the_options_of_the_command() -> None:
    texts = {
        "name": "mine",
        "seeds": " 3 ",
        "epochs": "7",
        "data": "~/digits.npz",
        "hidden": "[5]",
        "momentum": "",
    }
    assert choice_of(ORIGINAL, ("final",), texts) == Choice(
        "original",
        name="mine",
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
    assert {key: outline.hint(key, everything) for key in form.KEYS if key != "name"} == {
        "seeds": "5",
        "epochs": "100",
        "data": "mnist",
        "label": "",
        "missing": "",
        "test": "",
        "leave_out": "",
        "stratify": "true",
        "learning_rate": "0.009",
        "schedule": "constant",
        "batch_size": "varied: 16, 32 … 2048 or 128",
        "hidden": "20, 7, 5",
        "drop_rate": "0 or varied: 0, 0.1 … 0.9 or varied: 0, 0.5",
        "batch_norm": "false or varied: false, true",
        "batch_norm_place": "only with batch norm or before",
        "batch_norm_scale": "only with batch norm or true",
        "optimizer": "sgd",
        "momentum": "only with optimizer momentum or nesterov",
        "activation": "relu",
        "input_drop_rate": "0",
        "weight_decay": "only with optimizer adamw",
        "l2": "0",
        "max_norm": "none",
        "clip_norm": "none",
        "label_smoothing": "0",
        "class_weight": "none",
        "warmup": "0",
        "initialization": "he",
        "weight_std": "only with initialization normal",
        "patience": "2",
        "min_delta": "0",
        "evaluate_every": "epoch",
        "shift": "0",
        "rotation": "0",
        "elastic": "0",
        "backward_fault": "none",
        "training_fault": "none",
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
        "20 networks to train: 4 configurations × 5 seeds",
        "up to 10 at a time, on 2 cores",
        "less than a minute of training, by a rule of thumb",
        "  less where training stops early: see patience",
        "about 0.9 GB of memory",
    )
    assert checked.verdict() == "20 networks · less than a minute · about 0.9 GB"


def test_a_name_in_the_form_is_that_of_the_study_unless_another_has_it() -> None:
    texts = {"name": "mine", "epochs": "5"}
    assert check_texts(texts).label == "mine"
    row = SimpleNamespace(label="mine", toml=to_toml(load_study("original", epochs=5)))
    assert check_texts(texts, rows=[row]).ok
    row.toml = to_toml(load_study("original"))
    assert dict(check_texts(texts, rows=[row]).problems) == {
        "name": "mine is another study in the store, with other settings; choose another name"
    }
    assert "name" in dict(check_texts({"name": "a b"}).problems)


def test_all_problems_are_reported_at_once_by_field() -> None:
    texts = {"seeds": "no", "epochs": "0", "learning_rate": "-1", "hidden": "0", "momentum": "0.5"}
    checked = check_texts(texts, "final")
    assert dict(checked.problems) == {
        "seeds": "must be an integer from 1 to 100,000, or a list of distinct integers from 0 to "
        "2**63 - 1, got 'no' (a string)",
        "epochs": "must be an integer from 1 to 100,000, got 0",
        "learning_rate": "must be a finite number > 0, got -1",
        "hidden": "must be a list of 1 to 64 integers from 1 to 1,048,576, got 0 in [0]",
        "momentum": "has no effect without optimizer = 'momentum' or 'nesterov': set that, or "
        "leave momentum out",
    }
    assert len(checked.problems) == 5
    assert not checked.ok
    assert checked.verdict() == ("5 problems: seeds, epochs, learning rate, hidden, momentum")


@pytest.mark.parametrize(
    ("texts", "key", "problem"),
    [
        ({"batch_size": "8"}, "batch_size", f"{AXIS} batch-size: {FLAG}"),
        (
            {"batch_size": "50000"},
            "batch_size",
            f"batch_size: {MOST}, got 50000: choose a smaller one, such as 8192",
        ),
        ({"hidden": "[5]", "drop_rate": "[0.1, 0.2]"}, "drop_rate", f"{LAYERS} hidden = [5]"),
    ],
)
def test_conflicting_values_are_reported_at_the_field(
    tmp_path: Path, texts: dict[str, str], key: str, problem: str
) -> None:
    file = tmp_path / "one.toml"
    file.write_text('name = "one"\nseeds = 1\n[experiments.only]\n', encoding="utf-8")
    origin = ORIGINAL if AXIS in problem else Choice(str(file))
    checked = check(choice_of(origin, (), texts), origin, lambda data: published_facts(MNIST), 2)
    assert checked.of(key) == problem


def test_missing_data_are_reported_along_with_other_problems() -> None:
    origin = Choice("demo")
    checked = check(choice_of(origin, (), {"data": "/nowhere", "epochs": "x"}), origin, facts_of, 2)
    assert dict(checked.problems) == {
        "data": "/nowhere: there is no such file or folder: put it back, or give the path where it "
        "is",
        "epochs": "must be an integer from 1 to 100,000, got 'x' (a string)",
    }


def test_what_a_table_lacks_is_reported_at_its_label(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    lines = "".join(f"{i * i},{'ab'[i % 2]}\n" for i in range(300))
    table.write_text(f"size,kind\n{lines}", encoding="utf-8")
    assert (form.is_table(str(table)), form.is_table("mnist")) == (True, False)
    origin, texts = Choice("demo"), {"data": str(table)}
    checked = check(choice_of(origin, (), texts), origin, facts_of, 2)
    assert "which column is the label" in checked.of("label")
    texts |= {"label": "kind", "test": "0.2"}
    checked = check(choice_of(origin, (), texts), origin, facts_of, 2)
    assert checked.problems == ()
    assert "2 classes, 1 feature: 1 number standardised by the training part" in checked.plan


def test_no_path_is_read_for_a_browser() -> None:
    def refuse(study: Study) -> Any:
        raise AssertionError(study.data)

    chosen = choice_of(ORIGINAL, (), {"data": "/etc"})
    checked = check(chosen, ORIGINAL, refuse, 2, served=True)
    assert checked.problems == (
        ("data", "in the browser: a name that jmlp data list shows, no path"),
    )
    assert check_texts({"data": "synthetic"}, served=True).ok
    assert check_texts({"data": "moons:noise=0.2"}, served=True).ok


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

  Experiments, with their axes
  [x] learning-rate  Learning rate, 4 configurations × 5 seeds
      learning rate     0.01*, 0.03, 0.1, 1
        + axis or setting

  For all of them; empty fields keep the study's values
  seeds             5
  epochs            20
  data              synthetic
  name              demo
  learning rate     varied: 0.01, 0.03, 0.1, 1
  schedule          constant
  warmup            0
  batch size        32
  hidden            20, 10
"""


def test_form_fits_a_small_terminal(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        shown = [line.rstrip(" ▁▂▃▄▅▆▇█") for line in dump(pilot.app).splitlines()]
        assert shown[:20] == DEMO.splitlines()
        assert shown[22].startswith("  20 networks · less than a minute · about 0.")
        assert shown[22].endswith("  Start (ctrl+s)")

    with_form(steps, tmp_path)


def test_wide_terminal_has_the_fields_in_two_columns_and_the_plan_beside(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await until_shown(pilot, "Plan")
        columns = ("Study", "For all of them; empty fields keep the study's values", "Plan")
        (line,) = [line for line in dump(pilot.app).splitlines() if "For all of them" in line]
        assert [part for part in columns if part in line] == list(columns)

    with_form(steps, tmp_path, size=(200, 60))


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
def test_every_field_and_message_can_be_reached_by_keys_at_any_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "down", "down")
        shown = [key for key in form.KEYS if key not in form.OF_TABLE]
        for key in shown:
            assert pilot.app.focused is opened.query_one(f"#input-{key}")
            await pilot.press("*")
            await until_shown(pilot, form.title(key))
            await pilot.press("down")
        assert pilot.app.focused is opened.query_one(Pick)  # skips the disabled button
        wrong = {key for key in shown if key != "learning_rate"}  # that one is an axis as well
        await until(pilot, lambda: {key for key, _ in opened.checked.problems} >= wrong)
        await pilot.pause()
        for line in opened.query("#shared FieldLine").results(FieldLine):
            if line.key not in shown:
                assert not line.display
                continue
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
        await until_shown(pilot, "20 networks · less than a minute")

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
        await pilot.press("down", "space", "down", "space")  # the axes of others are hidden
        await until_shown(pilot, "choose at least one experiment (space)")
        assert not opened.checked.ok

    with_form(steps, tmp_path, "original")


@pytest.mark.parametrize("served", [False, True])
def test_source_is_asked_for_and_a_browser_cannot_give_a_path(tmp_path: Path, served: bool) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Choose))
        await pilot.pause()
        assert ("a study file …" in dump(pilot.app)) is not served
        await pilot.press(*["down"] * SHIPPED.index("original"), "enter")
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


# ---- axes


def test_form_alone_makes_an_experiment_with_two_axes_and_a_chosen_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Choice] = []

    def begin(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
        started.append(choice)
        return "the label"

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "end", "backspace", "backspace", "backspace")
        await pilot.press("left", "left", "left", "left", "left", "ctrl+b")  # in 0.03
        assert opened.texts[RATE] == "0.01, 0.03*, 0.1"
        await pilot.press("down", "enter")
        await until_shown(pilot, "Vary or set in learning-rate")
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: opened.line and form.title(opened.line.key) == "hidden")
        assert opened.line is not None
        opened.line.field.value = ""
        await pilot.press(*"64", "space", "vertical_line", *"64", "comma", *"32")
        await until(pilot, lambda: opened.settled and opened.checked.ok)
        await until_shown(pilot, "Learning rate, 6 configurations × 5 seeds")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: pilot.app.screen is not opened)

    monkeypatch.setattr(starting, "start", begin)
    assert with_form(steps, tmp_path) == ["the label"]
    (choice,) = started
    assert choice.command() == (
        f"jmlp study demo --set '{RATE}=0.01, 0.03*, 0.1' "
        "--set 'experiments.learning-rate.hidden=64 |64,32'"
    )
    (experiment,) = choice.study().experiments
    assert dict(experiment.axes) == {
        "learning_rate": (0.01, 0.03, 0.1),
        "hidden": ((64,), (64, 32)),
    }
    assert experiment.baseline == {"learning_rate": 0.03, "hidden": (64,)}
    assert parse_study(to_toml(choice.study()), "demo") == choice.study()


def test_axis_is_removed_by_a_key_that_keeps_its_baseline(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "ctrl+r")
        assert opened.texts[RATE] == "0.01"
        await until_shown(pilot, "5 networks · less than a minute")
        assert opened.choice().study().experiments[0].axes == {}
        await pilot.press("ctrl+u")  # empty again: as in the study
        await until_shown(pilot, "20 networks · less than a minute")
        assert not opened.changed

    with_form(steps, tmp_path)


def test_added_setting_holds_for_its_experiment_and_is_removed_again(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "down", "enter")
        await until_shown(pilot, "Vary or set in batch-size")
        await pilot.press("end", "enter")  # the last one: seeds
        await until(pilot, lambda: opened.line)
        await pilot.press("ctrl+u", "3")
        await until_shown(pilot, "8 configurations × 3 seeds")
        seeds = [len(e.seeds) for e in opened.choice().study().experiments]
        assert seeds == [3, 5, 5]
        await pilot.press("ctrl+r")
        await until_shown(pilot, "8 configurations × 5 seeds")
        assert not opened.changed

    with_form(steps, tmp_path, "original", (120, 40))


def test_problem_of_an_axis_is_shown_below_its_field(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "end", "comma", "minus", "1")
        await until(pilot, lambda: opened.settled and not opened.checked.ok)
        await pilot.pause()
        (line,) = [line for line in opened.query(FieldLine) if line.key == RATE]
        assert line.has_class("has-problem")
        assert opened.checked.of(RATE) == (
            "must be a list of different values, each a finite number > 0, got -1 in "
            "[0.01, 0.03, 0.1, 1, -1]"
        )
        assert "1 problem: learning-rate: learning rate" in dump(pilot.app)

    with_form(steps, tmp_path)


def test_field_for_all_experiments_with_several_values_is_an_axis_of_each() -> None:
    checked = check_texts({"learning_rate": "0.01, 0.03"}, "dropout", "final")
    assert checked.changed is not None
    assert [list(e.axes) for e in checked.changed.study.experiments] == [
        ["drop_rate", "learning_rate"],
        ["batch_norm", "drop_rate", "learning_rate"],
    ]
    assert "note: final: 1 claim and 4 published results left out: of other configurations" in (
        checked.plan
    )


# ---- study files


def trained(study: Study) -> set[str]:
    return {run.run_id for run in make_plan(study, published_facts(MNIST)).runs}


def test_saved_file_gives_the_plan_and_ids_of_the_form_and_is_not_overwritten_unasked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "widths.toml"

    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        await pilot.press("down", "down", "end", "comma", "2")
        await type_in(pilot, opened, "hidden", "8,4")
        for answer in ("", "n", "y"):
            await pilot.press("f2")
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            pilot.app.screen.query_one(Input).value = str(path)
            await pilot.press("enter")
            if answer:
                await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
                await pilot.press(answer)
            await until(pilot, path.exists)
            await until(pilot, lambda: pilot.app.screen is opened)
            if answer == "":
                saved = load_study(str(path))
                choice = opened.choice()
                assert trained(saved) == trained(choice.study())
                assert replace(saved, name="demo") == choice.study()
                assert saved.name == "widths"
                assert path.read_text(encoding="utf-8").startswith(f"# {choice.command()}\n")
                path.write_text("mine", encoding="utf-8")
            elif answer == "n":
                assert path.read_text(encoding="utf-8") == "mine"
        await until(pilot, lambda: path.read_text(encoding="utf-8") != "mine")

    with_form(steps, tmp_path / "store")


def test_browser_saves_a_study_file_into_the_store(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], opened: StudyForm) -> None:
        for name in ("demo.toml", "demo-2.toml"):
            await pilot.press("f2")
            path = tmp_path / "exports" / name
            await until(pilot, path.exists)
            assert trained(load_study(str(path))) == trained(load_study("demo"))

    with_form(steps, tmp_path, served=True)
