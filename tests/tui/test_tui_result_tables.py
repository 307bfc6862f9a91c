"""The widget with the result tables."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from table_runs import STUDY, grid_runs, runs, size
from table_runs import grid as grid_of_two
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import DataTable, OptionList
from tui_pilot import dump
from tui_tables import FULL, HOSTILE, TWO, hostile, table

import tui
from jmlp.results.tables import ExperimentTable, experiment_table
from tui.views.result_rows import join
from tui.widgets.result_grid import ResultGrid
from tui.widgets.result_tables import NOTHING, ExperimentName, ResultTables


class Alone(App[None]):
    """An app with only the widget, in jmlp's style."""

    CSS_PATH = Path(tui.__file__).with_name("app.tcss")

    def __init__(self, tables: Sequence[ExperimentTable]) -> None:
        super().__init__()
        self.tables = tables
        self.chosen: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield ResultTables()

    def on_mount(self) -> None:
        results = self.query_one(ResultTables)
        results.show(self.tables)
        results.focus()

    def on_result_tables_chosen(self, event: ResultTables.Chosen) -> None:
        self.chosen.append((event.experiment, event.label))


def drive(
    tables: Sequence[ExperimentTable],
    steps: Callable[[Alone, Pilot[None]], Awaitable[None]],
    size: tuple[int, int] = (80, 17),
) -> Alone:
    app = Alone(tables)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(run())
    return app


def grid(app: Alone) -> ResultGrid:
    return next(one for one in app.query(ResultGrid) if one.parent and one.parent.display)


def labels(app: Alone) -> list[str]:
    return [row.key.value or "" for row in grid(app).ordered_rows]


def lines(app: Alone) -> list[str]:
    return dump(app).splitlines()


def test_without_results_a_message_is_shown() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("e", "g", "o", "c", "enter")
        assert lines(app)[1].strip() == NOTHING

    drive((), steps)


def test_table_with_claims_and_notes_at_80_columns() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        # Ignore the scrollbar.
        assert [line.rstrip(" ▁▂▃▄▅▆▇█") for line in lines(app)[:13]] == [
            "▸sizes 15/15   other 7/15                                           columns 1/5",
            "                               test  difference,",
            " configuration           accuracy %       points  verdict",
            " batch size 16         90.00 ± 2.16        -2.00  lower",
            " batch size 64 (best)  92.05 ± 2.75        +0.05  not settled (about 23 seeds)",
            " batch size 128        92.00 ± 1.96",
            " (baseline)",
            "",
            " What the original says",
            " - The original says: Batch size 128 is best. Not settled: batch size 64 may",
            "   be higher or lower (+0.05 points, -0.94 to +1.04; about 23 seeds would",
            "   settle it); 1 of the 2 others is lower.",
            "",
        ]

    drive(TWO, steps)


def rows(app: Alone) -> list[str | None]:
    return [row.key.value for row in grid(app).ordered_rows]


def test_a_grid_keeps_its_row_when_its_axes_become_one_column_and_back() -> None:
    made = experiment_table(STUDY, grid_of_two(), grid_runs(0.02, -0.03))

    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        assert lines(app)[2].startswith(" norm   rate  mark")
        await pilot.press("down", "down")
        chosen = grid(app).label_at_cursor
        assert chosen == "batch norm yes, drop rate none"
        for width, first in ((25, "configuration"), (80, "batch norm"), (25, "configuration")):
            await pilot.resize_terminal(width, 17)
            await pilot.pause()
            assert grid(app).ordered_columns[0].key.value == first
            assert grid(app).row_count == 4
            assert grid(app).label_at_cursor == chosen
        await pilot.press("o")  # only the columns of this form can be sorted by
        options = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
        assert options[0] == "configuration"
        assert not {"batch norm", "drop rate", "mark"} & set(options)
        await pilot.press("enter")
        await pilot.pause()
        tables = app.query_one(ResultTables)
        assert tables._view is not None
        assert tables._view.sort is not None
        assert rows(app)[0] == "batch norm no, drop rate 0.5"
        await pilot.resize_terminal(80, 17)
        await pilot.pause()
        assert tables._view.sort is None  # its column is gone
        assert rows(app)[0] == "batch norm no, drop rate none"

    drive([made], steps)


def test_a_column_that_is_gone_when_the_question_is_answered_changes_no_order() -> None:
    made = experiment_table(STUDY, grid_of_two(), grid_runs(0.02, -0.03))

    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("o")  # the first column is an axis
        await pilot.resize_terminal(25, 17)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        view = app.query_one(ResultTables)._view
        assert view is not None
        assert view.sort is None

    drive([made], steps)


def test_table_at_60_columns() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        assert lines(app)[:10] == [
            "▸sizes 15/15   other 7/15                       columns 1/7",
            "                                    test  difference,",
            " configuration       seeds    accuracy %       points",
            " batch size 16           5  90.00 ± 2.16        -2.00",
            " batch size 64           5  92.05 ± 2.75        +0.05",
            " (best)",
            " batch size 128          5  92.00 ± 1.96",
            " (baseline)",
            "",
            " What the original says",
        ]

    drive(TWO, steps, (60, 13))


def test_table_at_120_columns() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        assert lines(app)[1:6] == [
            "                                           test  original  difference,         left",
            " configuration              seeds    accuracy %    test %       points  pairs   out"
            "  verdict",
            " batch size 16                  5  90.00 ± 2.16         –        -2.00      5     0"
            "  lower",
            " batch size 64 (best)           5  92.05 ± 2.75     87.18        +0.05      5     0"
            "  not settled (about 23 seeds)",
            " batch size 128 (baseline)      5  92.00 ± 1.96     92.32",
        ]

    drive(TWO, steps, (120, 33))


@pytest.mark.parametrize("size", [(60, 13), (80, 17), (120, 33)])
def test_hostile_texts_are_shown_and_never_read_as_markup(size: tuple[int, int]) -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        seen = dump(app)
        assert "▸[/] 15/15" in seen
        assert "[red] (baseline)" in seen
        await pilot.press("c")
        await pilot.pause()
        assert "│  [b  " in dump(app)
        await pilot.press("escape", *["down"] * 9, "enter")
        await pilot.pause()

    app = drive([hostile()], steps, size)
    assert app.chosen == [("[/]", HOSTILE[-1])]


def test_keys_step_through_the_columns_and_back() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        seen = []
        for key in ("g", "right", "left", "left", "left"):
            await pilot.press(key)
            await pilot.pause()
            seen.append(lines(app)[0].split()[-1])
        assert seen == ["2/5", "3/5", "2/5", "1/5", "5/5"]
        assert labels(app) == ["batch size 16", "batch size 64", "batch size 128"]

    drive(TWO, steps)


def test_clicks_on_a_title_sort_reverse_and_restore() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        seen = []
        for _ in range(3):
            await pilot.click(ResultGrid, offset=(34, 1))
            await pilot.pause()
            seen.append((labels(app)[0], lines(app)[0][40:].strip()))
        assert seen == [
            ("batch size 64", "by test accuracy % ↓ · columns 1/5"),
            ("batch size 16", "by test accuracy % ↑ · columns 1/5"),
            ("batch size 16", "columns 1/5"),
        ]

    drive(TWO, steps)


def test_arrow_is_shown_even_if_the_order_is_that_of_the_plan() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.click(ResultGrid, offset=(3, 1))
        await pilot.pause()
        assert lines(app)[2].split()[:2] == ["configuration", "↑"]
        assert labels(app) == ["batch size 16", "batch size 64", "batch size 128"]

    drive(TWO, steps)


def test_any_column_can_be_chosen_for_the_order() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("o")
        await pilot.pause()
        options = app.screen.query_one(OptionList)
        assert options.option_count == len(join(TWO[0]).columns)
        await pilot.press("end", "enter")
        await pilot.pause()
        assert "by original stopped ↓" in lines(app)[0]
        assert labels(app) == ["batch size 128", "batch size 64", "batch size 16"]

    drive(TWO, steps)


def test_cursor_stays_on_its_configuration_when_rows_are_sorted_or_filled() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down")
        await pilot.click(ResultGrid, offset=(34, 1))
        await pilot.pause()
        assert grid(app).label_at_cursor == "batch size 128"
        app.query_one(ResultTables).show([table([*FULL[:10], *runs(size(128), [0.5] * 5)])])
        await pilot.pause()
        assert labels(app) == ["batch size 64", "batch size 16", "batch size 128"]
        assert grid(app).label_at_cursor == "batch size 128"
        await pilot.press("enter")
        await pilot.pause()

    assert drive([table(FULL)], steps).chosen == [("sizes", "batch size 128")]


def test_table_fills_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        results = app.query_one(ResultTables)
        called: list[str] = []
        for name in ("add_row", "remove_row", "add_column", "remove_column", "sort", "clear"):
            monkeypatch.setattr(DataTable, name, lambda *_, name=name, **__: called.append(name))
        results.show([table(FULL[:8])])
        await pilot.pause()
        assert "3 of 5" in lines(app)[4]
        assert called == []

    drive([table(FULL[:7])], steps)


def test_equal_tables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        drawn: list[object] = []
        monkeypatch.setattr(ResultGrid, "draw", lambda self, page: drawn.append(page))
        monkeypatch.setattr(ExperimentName, "draw", lambda self, *shown: drawn.append(shown))
        app.query_one(ResultTables).show([table(FULL[:7])])
        await pilot.pause()
        assert drawn == []

    drive([table(FULL[:7])], steps)


def test_next_experiment_and_a_click_on_its_name() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("e")
        await pilot.pause()
        assert lines(app)[0].startswith(" sizes 15/15  ▸other 7/15")
        assert "2 of 5" in lines(app)[4]
        await pilot.press("down", "enter")
        await pilot.click(ResultTables, offset=(3, 0))
        await pilot.pause()
        assert lines(app)[0].startswith("▸sizes 15/15   other 7/15")

    assert drive(TWO, steps).chosen == [("other", "batch size 64")]


def test_other_experiments_replace_the_old_ones_and_get_the_focus() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        app.query_one(ResultTables).show(TWO)
        await pilot.pause()
        assert lines(app)[0].startswith("▸sizes 15/15   other 7/15")
        await pilot.press("enter")
        await pilot.pause()

    assert drive((), steps).chosen == [("sizes", "batch size 16")]


def test_columns_follow_the_width_and_the_current_one_stays() -> None:
    async def steps(app: Alone, pilot: Pilot[None]) -> None:
        await pilot.press("g", "g")
        await pilot.pause()
        assert "original" in lines(app)[2]
        for width in (120, 60, 80):
            await pilot.resize_terminal(width, 17)
            await pilot.pause()
            assert any("original" in line for line in lines(app)[1:4])

    drive(TWO, steps)
