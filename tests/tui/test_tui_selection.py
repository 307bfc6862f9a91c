"""Text that the mouse drags over is selected, and ctrl+c copies it without padding."""

from pathlib import Path

import pytest
from run_lines import PLAN, opened
from store_runs import fill, plan
from textual import events
from textual.pilot import Pilot
from tui_pilot import drive, dump, until, until_shown

from tui.framework.selection import SelectableTable
from tui.screens.compare import CompareScreen
from tui.screens.runs import RunsScreen
from tui.screens.study import StudyScreen
from tui.widgets.configurations import ConfigurationList
from tui.widgets.curves import Curves
from tui.widgets.run_list import RunList


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of six runs that have all ended; the first diverged."""
    fill(tmp_path / "store", PLAN)
    return tmp_path / "store"


async def drag(pilot: Pilot[int], start: tuple[int, int], end: tuple[int, int]) -> None:
    """Drags the mouse from one cell of the screen to another.

    The events are those of a driver: the pilot's own never make a click of a drag.
    """
    for kind, place in (
        (events.MouseDown, start),
        (events.MouseMove, end),
        (events.MouseUp, end),
    ):
        pilot.app.post_message(kind(None, *place, 0, 0, 1, False, False, False, *place))
        await pilot.pause()


def place(pilot: Pilot[int], text: str) -> tuple[int, int]:
    """Returns the cell in which a text begins on the screen."""
    rows = dump(pilot.app).splitlines()
    row = next(y for y, line in enumerate(rows) if text in line)
    return rows[row].index(text), row


def rows(pilot: Pilot[int], first: int, last: int) -> str:
    """Returns these rows of the screen, without padding."""
    return "\n".join(dump(pilot.app).splitlines()[first : last + 1])


def test_dragged_lines_of_a_list_are_copied_without_padding_and_open_nothing(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        runs = pilot.app.screen.query_one(RunList)
        left, top = runs.region.offset
        wanted = rows(pilot, top + 1, top + 2)
        await drag(pilot, (left, top + 1), (pilot.app.size.width - 2, top + 2))
        assert isinstance(pilot.app.screen, RunsScreen)
        assert runs.at_cursor is not None
        assert runs.at_cursor.number == 1  # the end of a selection is no click
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == wanted
        await pilot.click(offset=(left + 10, top + 2))
        assert runs.at_cursor.number == 2
        assert pilot.app.screen.get_selected_text() is None

    drive(folder, steps, size=(100, 30))


def test_a_part_of_a_line_is_copied_even_after_scrolling(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("2")
        await until_shown(pilot, "stopped early")
        left, top = place(pilot, "stopped early")
        await drag(pilot, (left, top), (left + 6, top))
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == "stopped"
        await pilot.press("end")
        assert pilot.app.screen.query_one(RunList).scroll_offset.y > 0
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == "stopped"

    fill(tmp_path, plan(n_seeds=30))
    drive(tmp_path, steps, size=(100, 20))


def test_configurations_and_texts_can_be_selected(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "learning rate 0.05")
        listed = pilot.app.screen.query_one(ConfigurationList)
        left, top = place(pilot, "learning rate 0.05")
        await drag(pilot, (left, top), (left + 17, top))
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == "learning rate 0.05"
        assert listed.at_cursor is not None
        assert listed.at_cursor.label == "learning rate 0.1"
        left, top = place(pilot, "6 of 6 runs")
        await drag(pilot, (left, top), (left + 10, top))
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == "6 of 6 runs"

    drive(folder, steps)


def test_rows_of_tables_can_be_selected(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(CompareScreen([run.run_id for run in PLAN.runs[1:3]]))
        await until_shown(pilot, "best epoch")
        table = pilot.app.screen.query_one(SelectableTable)
        left, top = place(pilot, "best epoch")
        wanted = rows(pilot, top, top)[left:]
        await drag(pilot, (left, top), (table.region.right - 2, top))
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == wanted

    drive(folder, steps)


def test_dragging_a_plot_selects_nothing(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(CompareScreen([run.run_id for run in PLAN.runs[1:3]]))
        await until_shown(pilot, "best epoch")
        region = pilot.app.screen.query_one(Curves).region
        left, top = region.x + 12, region.y + 3
        await drag(pilot, (left, top), (left + 5, top + 2))
        assert pilot.app.screen.get_selected_text() is None

    drive(folder, steps)


def test_a_selection_of_a_text_that_is_shorter_now_is_not_copied(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.push_screen(StudyScreen("small"))
        await until_shown(pilot, "6 of 6 runs")
        left, top = place(pilot, "6 of 6 runs")
        await drag(pilot, (left, top), (left + 3, top))
        pilot.app.screen.query_one("#summary").update("one line")  # type: ignore[attr-defined]
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard == ""
        assert pilot.app.is_running

    drive(folder, steps)


def test_ctrl_c_without_a_selection_says_how_to_quit(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "to quit" in dump(pilot.app))
        assert pilot.app.is_running

    drive(folder, steps)
