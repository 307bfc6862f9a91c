"""What is copied: cells, rows, tables in every form, and pictures of curves."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import microscope_views
import numpy as np
import pytest
from inspections import made_up, of_table
from replays import plane
from run_lines import PLAN, opened, screen
from store_runs import fill
from textual.pilot import Pilot
from textual.widgets import Input, OptionList
from tui_pilot import drive, until, until_shown
from tui_tables import FULL, SIZES, table

from jmlp.client import exports
from jmlp.report.latex import latex
from jmlp.report.markdown import markdown_tables
from tui.copying import Excerpt, Heading, integer, number, plain, result_table, sheet
from tui.screens.compare import CompareScreen
from tui.screens.run import RunScreen
from tui.screens.study import StudyScreen
from tui.views import excerpts
from tui.views.boundary import pictured
from tui.views.result_rows import Sort


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of six runs that have all ended."""
    fill(tmp_path / "store", PLAN)
    return tmp_path / "store"


async def menu(pilot: Pilot[int], *choices: str) -> None:
    """Opens the menu and chooses these options by the beginnings of their texts, one by one."""
    await pilot.press("C")
    for choice in choices:
        await until(pilot, lambda: pilot.app.screen.query(OptionList))
        options = pilot.app.screen.query_one(OptionList)
        texts = [str(option.prompt) for option in options.options]
        options.highlighted = next(i for i, t in enumerate(texts) if t.startswith(choice))
        before = pilot.app.screen
        await pilot.press("enter")
        await until(pilot, lambda before=before: pilot.app.screen is not before)  # type: ignore[misc]
        await pilot.pause()


# ---- tables


def test_a_sheet_is_rounded_in_documents_and_has_all_digits_as_csv() -> None:
    headings = [Heading("name"), Heading("cost", "right"), Heading("n", "right")]
    rows = [
        [plain("=a|b"), number(0.123456789, 4), integer(3)],
        [plain("c_d"), number(None, 4), integer(None)],
    ]
    made = sheet("costs", headings, rows, 0)
    assert made.forms[".csv"]() == '"name","cost","n"\n"\'=a|b",0.123456789,3\n"c_d","",""\n'
    assert made.forms[".md"]() == (
        "| name  |   cost |   n |\n"
        "| ----- | -----: | --: |\n"
        "| =a\\|b | 0.1235 |   3 |\n"
        "| c\\_d  |      – |   – |\n"
    )
    assert "c\\_d & -- & -- \\\\" in made.forms[".tex"]()
    assert made.row == {"name": "=a|b", "cost": "0.123456789", "n": "3"}
    assert sheet("costs", headings, rows, None).row == {}


def test_per_cent_has_no_digits_that_are_not_known() -> None:
    assert number(0.921, 2, 100) == ("92.10", 92.1)


def test_a_result_table_is_copied_as_reports_have_it() -> None:
    made = table(FULL, SIZES)
    copied = result_table(made, made.rows[1].label, None)
    assert copied.forms[".md"]() == markdown_tables([made])
    assert copied.forms[".tex"]() == latex([made])
    assert copied.row["configuration"] == made.rows[1].cells[0]


def test_a_sorted_result_table_is_copied_in_its_order() -> None:
    copied = result_table(table(FULL, SIZES), "", Sort("test accuracy %", True))
    read = list(csv.DictReader(io.StringIO(copied.forms[".csv"]())))
    accuracies = [float(row["test_accuracy_mean"]) for row in read]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies != sorted(accuracies)
    assert copied.row == {}


# ---- the menu


def test_a_cell_and_a_row_of_the_runs_are_copied(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("down")
        await menu(pilot, "Cell", "run ")
        await until_shown(pilot, "copied run: 64 characters")
        assert pilot.app.clipboard == screen(pilot).shown[1].run_id
        await menu(pilot, "Row")
        await until_shown(pilot, "copied the row")
        assert pilot.app.clipboard.split("\t")[:2] == ["2", screen(pilot).shown[1].run_id]

    drive(folder, steps, size=(100, 30))


def test_the_configurations_are_copied_as_csv(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        await menu(pilot, "Table as CSV")
        await until_shown(pilot, "copied configurations as CSV")
        read = list(csv.DictReader(io.StringIO(pilot.app.clipboard)))
        assert [row["configuration"] for row in read] == [
            "learning rate 0.1",
            "learning rate 0.05",
        ]
        assert [row["done"] for row in read] == ["3", "3"]

    drive(folder, steps)


def test_results_are_copied_from_their_tab(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        await pilot.press("tab")
        await menu(pilot, "Table as Markdown")
        await until(pilot, lambda: pilot.app.clipboard)
        assert pilot.app.clipboard.startswith("**")
        assert "| test accuracy % |" in pilot.app.clipboard

    drive(folder, steps)


def test_a_table_is_written_to_a_file_and_replaces_one_only_if_told_to(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "there.csv"
    target.write_text("mine", encoding="utf-8")

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        for answer in ("n", "y"):
            await menu(pilot, "Table to a file", "CSV")
            pilot.app.screen.query_one(Input).value = str(target)
            await pilot.press("enter")
            await until_shown(pilot, "exists. Replace it?")
            assert target.read_text(encoding="utf-8") == "mine"
            await pilot.press(answer)
        await until(pilot, lambda: target.read_text(encoding="utf-8") != "mine")
        assert target.read_text(encoding="utf-8").startswith('"#","run","study"')

    drive(folder, steps)


def test_files_of_a_browser_go_to_the_store_under_unused_names(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        for name in ("runs.csv", "runs-2.csv"):
            await menu(pilot, "Table to a file", "CSV")
            await until_shown(pilot, f"/exports/{name}")
            await until(pilot, (folder / "exports" / name).is_file)

    drive(folder, steps, size=(200, 30), served=True)


def test_the_values_of_curves_are_copied_with_their_intervals(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(RunScreen([run.run_id for run in PLAN.runs[:3]], "runs"))
        await until_shown(pilot, "mean of 3 seeds")
        await menu(pilot, "Table as CSV")
        await until(pilot, lambda: pilot.app.clipboard)
        read = list(csv.DictReader(io.StringIO(pilot.app.clipboard)))
        assert [float(row["epoch"]) for row in read] == [0, 1, 2, 3, 4]
        assert float(read[1]["cost, nats, validation"]) == 0.25

    drive(folder, steps)


def test_the_rows_of_a_comparison_are_copied(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(CompareScreen([run.run_id for run in PLAN.runs[:2]]))
        await until_shown(pilot, "best epoch")
        await menu(pilot, "Table as Markdown")
        await until(pilot, lambda: pilot.app.clipboard)
        lines = [line.split() for line in pilot.app.clipboard.splitlines()]
        assert ["|", "Outcome", "|", "best", "epoch", "|", "–", "|", "40", "|"] in lines

    drive(folder, steps)


def test_mistakes_of_a_table_are_copied_with_their_values() -> None:
    table = of_table()
    rows = list(csv.DictReader(io.StringIO(excerpts.mistakes(table, 0).forms[".csv"]())))
    assert [int(row["validation row"]) for row in rows] == table.mistakes(0).tolist()
    for row in rows:
        wanted = table.row_of(int(row["validation row"])) or (None,) * 3
        assert [row["island"], row["bill_mm"], row["mass_g"]] == [text or "" for text in wanted]
    assert "bill_mm" not in excerpts.mistakes(made_up(), 0).forms[".csv"]()


def test_weights_are_copied_by_input_column_and_those_of_pixels_are_not() -> None:
    table = of_table()
    copied = excerpts.weights(table, 1)
    assert copied is not None
    rows = list(csv.DictReader(io.StringIO(copied.forms[".csv"]())))
    found = [[float(row[name]) for name in table.input_names] for row in rows]
    assert found == table.weights[1].tolist()
    assert excerpts.weights(made_up(), 1) is None


def test_the_count_of_dead_units_is_copied_for_layers_with_relu_alone() -> None:
    mixed = replace(made_up(hidden=(3, 4)), activations=("relu", "silu"))
    rows = list(csv.DictReader(io.StringIO(excerpts.layers(mixed, 0).forms[".csv"]())))
    assert [row["dead ReLU units"] for row in rows[3:6]] == ["1", "", ""]


# ---- pictures


def test_the_screen_is_written_as_svg(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await menu(pilot, "Picture of the screen")
        target = folder / "exports" / "screen.svg"
        await until(pilot, target.is_file)
        text = target.read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert "stopped&#160;early" in text
        assert "Copy" not in text  # the menu is not on the picture

    drive(folder, steps, served=True)


def test_a_replay_is_written_of_the_study_or_of_the_run_at_the_cursor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, Path]] = []

    def replay(store: Path, name: str, target: Path, *, replace: bool) -> str:
        assert (store, replace) == (folder, False)
        written.append((name, target.relative_to(folder)))
        return f"replay: {target.name}"

    monkeypatch.setattr(exports, "replay", replay)
    _, second, third, *_ = (run.run_id for run in PLAN.runs)

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("down")
        await menu(pilot, "Replay of the training")
        await until_shown(pilot, f"replay: {second[:8]}.html")
        pilot.app.push_screen(RunScreen([third], "runs"))
        await until_shown(pilot, "stopped early")
        await menu(pilot, "Replay of the training")
        await until_shown(pilot, f"replay: {third[:8]}.html")
        study = StudyScreen("small")
        pilot.app.push_screen(study)
        await until(pilot, study.replayed)
        await menu(pilot, "Replay of the training")
        await until_shown(pilot, "replay: small.html")

    drive(folder, steps, served=True, size=(120, 40))
    names = [(second, second[:8]), (third, third[:8]), ("small", "small")]
    assert written == [(name, Path("exports", f"{file}.html")) for name, file in names]


def test_a_study_without_results_has_no_replay(tmp_path: Path) -> None:
    fill(tmp_path / "store", PLAN, n_left=6)

    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        await pilot.press("C")
        await until(pilot, lambda: pilot.app.screen.query(OptionList))
        options = pilot.app.screen.query_one(OptionList).options
        assert not any("Replay" in str(option.prompt) for option in options)

    drive(tmp_path / "store", steps)


@pytest.mark.parametrize(("suffix", "begin"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_curves_are_drawn_by_another_process(folder: Path, suffix: str, begin: bytes) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(RunScreen([run.run_id for run in PLAN.runs[:3]], "runs"))
        await until_shown(pilot, "mean of 3 seeds")
        await menu(pilot, "Picture of the curves", suffix[1:].upper())
        target = folder / "exports" / f"curves{suffix}"
        await until(pilot, target.is_file)
        await until_shown(pilot, "wrote")
        assert target.read_bytes().startswith(begin)

    drive(folder, steps, served=True, size=(120, 40))


# ---- microscopes and the boundary


def copied_rows(copied: Excerpt) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(copied.forms[".csv"]())))


def test_each_microscope_is_copied_with_its_main_numbers() -> None:
    step = microscope_views.step()
    rows = copied_rows(excerpts.step(step))
    assert [float(row["multiple"]) for row in rows] == list(step.multiples)
    assert [float(row["cost of the sample"]) for row in rows] == list(step.sample_costs)
    assert excerpts.step(step).row["multiple"] == "1.0"
    dropout = microscope_views.dropout()
    rows = copied_rows(excerpts.dropout(dropout))
    assert [row["class"] for row in rows] == list(dropout.class_names)
    assert [float(row["without dropout"]) for row in rows] == list(dropout.without)
    assert [float(row["mean over keys"]) for row in rows] == list(dropout.mean)
    norm = microscope_views.batch_norm()
    rows = copied_rows(excerpts.batch_norm(norm))
    assert len(rows) == len(norm.epochs) * len(norm.layers)
    last = [row for row in rows if row["layer"] == norm.layers[-1].layer]
    found = [float(row["variance ratio of the batch"]) for row in last]
    assert found == list(norm.layers[-1].batch_ratio)
    chosen = excerpts.batch_norm(norm).row
    assert float(chosen["epoch"]) == norm.epochs[norm.snapshot]


def test_the_boundary_is_copied_as_the_probabilities_at_every_point_of_the_grid() -> None:
    _, boundary = plane(size=4)
    shown = pictured([boundary], None, "seed")
    copied = excerpts.boundary(shown, (2, 1))
    rows = copied_rows(copied)
    assert len(rows) == 16
    place = rows[1 * 4 + 2]
    values = [float(value) for value in place.values()]
    assert values[:2] == [boundary.x[2], boundary.y[1]]
    np.testing.assert_allclose(values[2:], 100 * shown.probability[1, 2], rtol=1e-6)
    assert [float(value) for value in copied.row.values()] == values
