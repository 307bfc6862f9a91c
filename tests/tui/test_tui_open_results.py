"""Enter in a result table opens the runs of the row, and escape comes back to it."""

from pathlib import Path

import store_runs
from textual.pilot import Pilot
from textual.widgets import Tabs
from tui_pilot import drive, ended_run, until, until_shown

from jmlp.store import Store
from jmlp.study.file import parse_study
from jmlp.training.plan import Plan, make_plan
from tui.screens.run import RunScreen
from tui.screens.study import StudyScreen
from tui.widgets.result_grid import ResultGrid

TEXT = """
name = "small"
seeds = 2
hidden = [5]
[experiments.rates]
axes.learning_rate = [0.1, 0.05]
baseline.learning_rate = 0.1
[experiments.grid]
axes.batch_size = [16, 32]
axes.drop_rate = [0.0, 0.2]
baseline.batch_size = 16
baseline.drop_rate = 0.0
"""


def filled(folder: Path) -> Plan:
    """A store with a study of a list and a grid, whose runs have ended, the last ones best."""
    made = make_plan(parse_study(TEXT, "small"), store_runs.FACTS)
    with Store(folder) as store:
        store.submit(store_runs.submission(made))
        ended = [ended_run(run, 0.8 + i / 1000) for i, run in enumerate(made.runs)]
        store_runs.end(store, "small", ended)
    return made


def grid(pilot: Pilot[int]) -> ResultGrid:
    """The table that is shown."""
    return next(one for one in pilot.app.screen.query(ResultGrid) if one.has_focus)


def test_enter_opens_the_runs_of_a_row_and_escape_returns_to_it(tmp_path: Path) -> None:
    made = filled(tmp_path)

    async def there_and_back(pilot: Pilot[int], drop_rate: float, *, batch_size: int) -> None:
        label = grid(pilot).label_at_cursor
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        opened = pilot.app.screen
        assert isinstance(opened, RunScreen)
        await until(pilot, lambda: opened.runs)
        assert [seen.row.run_id for seen in opened.runs] == [
            run.run_id
            for run in made.runs
            if run.hyperparams.batch_size == batch_size
            and run.hyperparams.drop_rate == drop_rate
            and "grid" in run.experiments
        ]
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))
        await pilot.pause()
        assert pilot.app.screen.query_one(Tabs).active == "results"
        assert grid(pilot).label_at_cursor == label

    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "rates: validation cost")
        await pilot.press("tab")
        await until_shown(pilot, "rates 4/4")
        await pilot.press("e", "down", "down")
        await until_shown(pilot, "drop rate")
        await there_and_back(pilot, 0.0, batch_size=32)
        await pilot.press("o")
        await until_shown(pilot, "Sort by")
        await pilot.press("down", "enter")  # the second axis, the highest on top
        await until_shown(pilot, "by drop rate")
        await pilot.press("home", "pageup")
        await there_and_back(pilot, 0.2, batch_size=16)

    drive(tmp_path, steps, size=(120, 40))
