"""The microscopes of the run screen: only where they apply, computed on demand, kept."""

import threading
from pathlib import Path
from typing import Any

import pytest
from run_screen import StandIn, ids, inspections, line_with, opened, shown
from textual.pilot import Pilot
from tui_pilot import filled, until, until_shown
from tui_snapshots import EXPECTED, check, settled

from jmlp.errors import ConfigError
from tui.screens.run import RunScreen

__all__ = ["inspections"]  # a fixture, which pytest finds by its name
pytestmark = pytest.mark.usefixtures("inspections")

BOTH: dict[str, Any] = {"drop_rate": 0.5, "input_drop_rate": 0.2, "batch_norm": True}
WHAT = {"dropout": "Masks", "batch norm": "Variance ratio", "step": "sharpness 25"}


async def go_to(pilot: Pilot[int], panel: str) -> None:
    """Presses tab until a panel is shown."""
    screen = pilot.app.screen
    assert isinstance(screen, RunScreen)
    while screen.panel != panel:
        await pilot.press("tab")
        await pilot.pause()


@pytest.mark.parametrize(
    ("hyperparams", "offered"),
    [
        ({}, ["step"]),
        ({"drop_rate": 0.5}, ["dropout", "step"]),
        ({"input_drop_rate": 0.2}, ["dropout", "step"]),
        ({"batch_norm": True}, ["batch norm", "step"]),
        (BOTH, ["dropout", "batch norm", "step"]),
    ],
    ids=str,
)
def test_a_microscope_is_offered_where_it_applies(
    tmp_path: Path, hyperparams: dict[str, Any], offered: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, RunScreen)
        assert list(screen.panels[5:]) == offered
        tabs = shown(pilot).split("\n")[1]
        assert ("Dropout" in tabs, "Batch norm" in tabs, "Step" in tabs) == tuple(
            name in offered for name in WHAT
        )
        await pilot.press("shift+tab")  # around to the last one
        await until_shown(pilot, WHAT["step"])

    with filled(tmp_path, "finished", **hyperparams) as study:
        opened(tmp_path, ids(study), steps, (100, 30))


@pytest.mark.parametrize("panel", WHAT)
def test_a_microscope_matches_its_snapshot(panel: str, tmp_path: Path) -> None:
    dumps = []

    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, panel)
        await until_shown(pilot, WHAT[panel])
        for width, height in ((80, 24), (120, 40)):
            await pilot.resize_terminal(width, height)
            dumps.append(f"{width} x {height}\n{await settled(pilot)}\n")

    with filled(tmp_path, "finished", **BOTH) as study:
        opened(tmp_path, ids(study), steps)
    check("\n".join(dumps), EXPECTED / f"microscope-{panel.replace(' ', '-')}.txt")


def test_each_snapshot_is_measured_once_and_only_on_demand(
    tmp_path: Path, inspections: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, "mistakes")
        await until_shown(pilot, "misclassified")
        assert inspections.viewed == []
        await go_to(pilot, "step")
        await until_shown(pilot, "along update 21")
        assert "v Test" not in shown(pilot)
        await pilot.press("left_square_bracket")
        await until_shown(pilot, "along update 11")
        await pilot.press("right_square_bracket")
        await until_shown(pilot, "along update 21")
        assert inspections.viewed == [("step quality", 2), ("step quality", 1)]

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_the_screen_says_that_it_computes_and_measures_the_newest_choice_next(
    tmp_path: Path, inspections: StandIn
) -> None:
    may_end, answer = threading.Event(), inspections.view

    def slowly(do: str, epoch: float) -> Any:
        may_end.wait()
        return answer(do, epoch)

    inspections.view = slowly

    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, "step")
        await until_shown(pilot, "computing…")
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert line_with(pilot, " snapshot").startswith(" snapshot [0 ]")
        may_end.set()
        await until_shown(pilot, "along update 1 ")
        assert inspections.viewed == [("step quality", 2), ("step quality", 0)]

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_why_nothing_was_measured_is_shown_and_can_be_retried(
    tmp_path: Path, inspections: StandIn
) -> None:
    def fail(do: str, epoch: float) -> Any:
        raise ConfigError("the run [b]diverged[/b] at update 7")

    async def steps(pilot: Pilot[int]) -> None:
        working, inspections.view = inspections.view, fail
        await go_to(pilot, "step")
        await until_shown(pilot, "the run [b]diverged[/b] at update 7")
        await until_shown(pilot, "u Update")
        inspections.view = working
        await pilot.press("u")
        await until_shown(pilot, WHAT["step"])
        await until(pilot, lambda: "u Update" not in shown(pilot))

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


@pytest.mark.parametrize("panel", WHAT)
def test_what_a_microscope_measured_can_be_copied(panel: str, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, RunScreen)
        await go_to(pilot, panel)
        await until_shown(pilot, WHAT[panel])
        copied = screen.excerpt()
        assert copied is not None
        assert (copied.name, bool(copied.row)) == (panel, True)

    with filled(tmp_path, "finished", **BOTH) as study:
        opened(tmp_path, ids(study), steps)
