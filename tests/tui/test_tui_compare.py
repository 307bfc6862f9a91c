"""The screen that compares runs: their curves, and what they differ in."""

from dataclasses import replace
from pathlib import Path

import pytest
from store_runs import end, fill, plan, point, points, result
from textual.pilot import Pilot
from textual.widgets import DataTable
from tui_pilot import drive, dump, until, until_shown

from jmlp.client.differences import differing, first_difference, side_by_side
from jmlp.store import Store
from jmlp.training.records import CostPoint, Progress
from tui.screens.compare import CompareScreen
from tui.views.comparison import ComparedRun, first_difference_text
from tui.widgets.curves import Curves

PLAN = plan()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of six runs: the first diverged, the last has not ended."""
    fill(tmp_path / "store", n_left=1)
    return tmp_path / "store"


def compared(*costs: tuple[float, ...], has_ended: bool = True) -> list[ComparedRun]:
    """Returns runs with these training costs."""
    return [
        ComparedRun("A", "", "", 1, has_ended, tuple(point(e, c) for e, c in enumerate(curve)))
        for curve in costs
    ]


async def opened(pilot: Pilot[int], *indices: int) -> CompareScreen:
    """Opens the screen with some of the runs."""
    screen = CompareScreen([PLAN.runs[i].run_id for i in indices])
    await pilot.app.push_screen(screen)
    await until(pilot, lambda: screen.comparison)
    return screen


def table(pilot: Pilot[int]) -> dict[str, list[str]]:
    """Returns the rows of the table by their first cell."""
    shown = pilot.app.screen.query_one(DataTable)
    rows = ([cell.plain for cell in shown.get_row(key)] for key in shown.rows)
    return {row[0].strip(): row[1:] for row in rows}


# ---- the comparison


def test_curves_part_at_the_first_update_at_which_not_all_are_equal() -> None:
    same, other = (points(4) for _ in range(2))
    assert first_difference(same, other, same) is None
    changed = (*other[:2], replace(other[2], validation_cost=9.0), other[3])
    assert first_difference(same, same, changed) == 20
    assert first_difference(same, same[:3]) == 30  # one ended before
    nan = (CostPoint(0, 0, None, *4 * [float("nan")]),)
    assert first_difference(nan, nan) is None


def test_runs_in_training_are_compared_up_to_the_shorter_curve() -> None:
    ended = compared((3.0, 2.0, 1.0), (3.0, 2.0))
    assert first_difference_text(ended) == "Their cost curves differ from update 20 on."
    running = compared((3.0, 2.0, 1.0), (3.0, 2.0), has_ended=False)
    assert first_difference_text(running) == "Their cost curves are the same so far."
    unfinished = compared((3.0,), (), has_ended=False)
    assert first_difference_text(unfinished) == "Not all runs have a cost curve yet."
    assert first_difference_text(compared((3.0,), (3.0,))) == "Their cost curves are the same."


def test_only_differences_are_kept_and_missing_values_are_dashes() -> None:
    runs = [{"Outcome": {"cost": "1", "state": "x"}}, {"Outcome": {"cost": "1"}}]
    both = side_by_side(runs)
    assert both == {"Outcome": {"cost": ("1", "1"), "state": ("x", "–")}}
    assert differing(both) == {"Outcome": {"state": ("x", "–")}}
    assert differing(side_by_side(runs[:1])) == {}


# ---- the screen


def test_selected_runs_are_compared_and_escape_goes_back(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("2")
        await until_shown(pilot, "6 runs")
        await pilot.press("x", "down", "x", "x", "c")
        await until_shown(pilot, "runs › 3 runs compared")
        await until_shown(pilot, "Not the same numbers.")
        assert [series.name for series in pilot.app.screen.query_one(Curves).series] == list("ABC")
        await pilot.press("escape")
        await until_shown(pilot, "3 selected")

    drive(folder, steps)


def test_table_has_a_column_for_each_run_and_a_row_for_each_difference(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot, 1, 3, 0)
        await until(pilot, lambda: table(pilot))
        runs = [PLAN.runs[i] for i in (1, 3, 0)]
        ids = [run.run_id[:8] for run in runs]
        titles = [
            str(column.label) for column in pilot.app.screen.query_one(DataTable).ordered_columns
        ]
        assert titles == ["", f"A {ids[0]}", f"B {ids[1]}", f"C {ids[2]}"]
        rows = table(pilot)
        assert rows["learning rate"] == [f"{run.hyperparams.learning_rate}" for run in runs]
        assert rows["seed"] == [f"{run.seed}" for run in runs]
        assert rows["state"] == ["stopped early", "stopped early", "diverged @7"]
        assert rows["test accuracy"] == ["90.10 %", "90.30 %", "–"]
        assert rows["validation cost"] == ["0.0990", "0.0970", "–"]
        assert "batch size" not in rows
        await pilot.press("a")
        assert table(pilot)["batch size"] == ["16", "16", "16"]
        await pilot.press("a")
        assert table(pilot) == rows

    drive(folder, steps, size=(120, 40))


def test_numbers_that_differ_only_in_their_last_digits_are_shown_with_all_of_them(
    folder: Path,
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot, 1, 2)
        await until(pilot, lambda: table(pilot))
        assert table(pilot)["test cost"] == ["0.3", "0.30000001"]

    with Store(folder) as store:
        end(store, "small", [result(PLAN.runs[2], test_cost=0.30000001)])
    drive(folder, steps)


def test_another_quantity_is_shown_and_only_costs_have_a_logarithmic_scale(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = await opened(pilot, 1, 2)
        curves = screen.query_one(Curves)
        await until_shown(pilot, "validation cost")
        assert list(curves.series[0].values) == [p.validation_cost for p in points(5)]
        await pilot.press("y")
        assert curves.log_scale
        await pilot.press("m")
        assert list(curves.series[0].values) == [p.training_cost for p in points(5)]
        await pilot.press("m")
        await until_shown(pilot, "validation accuracy %")
        assert list(curves.series[0].values) == [100 * p.validation_accuracy for p in points(5)]
        assert not curves.log_scale
        await pilot.press("m", "m")
        await until_shown(pilot, "validation cost, log")

    drive(folder, steps)


def test_curves_are_shown_against_epochs_or_updates(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = await opened(pilot, 1, 2)
        curves = screen.query_one(Curves)
        await until_shown(pilot, "epoch 4")
        assert list(curves.series[0].x) == [p.epoch for p in points(5)]
        await pilot.press("x")
        await until_shown(pilot, "update 40")
        assert list(curves.series[0].x) == [p.step for p in points(5)]
        await pilot.press("x")
        await until_shown(pilot, "epoch 4")

    drive(folder, steps)


def test_runs_in_training_are_followed_until_their_numbers_can_be_compared(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = await opened(pilot, 4, 5)
        await until_shown(pilot, "Their cost curves are the same so far.")
        assert [len(series.values) for series in screen.query_one(Curves).series] == [5, 2]
        with Store(folder) as store:
            store.record("small", [(PLAN.runs[5].run_id, point(2, 9.0))], Progress())
        await until_shown(pilot, "Their cost curves differ from update 20 on.")
        assert "numbers" not in dump(pilot.app)
        with Store(folder) as store:
            end(store, "small", [result(PLAN.runs[5])])
        await until_shown(pilot, "Their cost curves are the same. Not the same numbers.")

    drive(folder, steps)


def test_eight_runs_can_be_told_apart(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = CompareScreen([run.run_id for run in made.runs[:8]])
        await pilot.app.push_screen(screen)
        await until_shown(pilot, "H")
        styles = [series.style for series in screen.query_one(Curves).series]
        assert len({(style % 6, style % 4) for style in styles}) == 8

    made = plan(rates=(0.1, 0.2, 0.3))
    fill(tmp_path, made)
    drive(tmp_path, steps, size=(60, 20))


def test_screen_closed_at_once_leaves_nothing_behind(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for _ in range(3):
            await opened(pilot, 1, 2)
            await pilot.app.pop_screen()
        await pilot.press("2")
        await until_shown(pilot, "6 runs")

    drive(folder, steps)


def test_run_deleted_in_the_meantime_is_reported(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot, 1, 2)
        with Store(folder) as store:
            store.remove([PLAN.runs[2].run_id])
        await until_shown(pilot, "there is no such run in")

    drive(folder, steps, size=(120, 40))
