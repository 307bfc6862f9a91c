"""The run screen in tests: opened on a store, with a stand-in for what computes inspections."""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import microscope_views
import pytest
from inspections import made_up
from textual.pilot import Pilot
from tui_pilot import drive, dump, until

from jmlp.inspection.client import Inspector
from jmlp.inspection.records import Inspection, Part
from jmlp.training.plan import Plan
from tui.screens.run import RunScreen

EPOCHS = (0, 1, 2, 3, 5, 8)


def made(n_snapshots: int = 4, part: Part = "validation") -> Inspection:
    """An inspection of two hidden layers; the best epoch is the last but one."""
    one = made_up(n_snapshots, hidden=(3, 4), part=part)
    return replace(one, epochs=EPOCHS[:n_snapshots])


Steps = Callable[[Pilot[int]], Awaitable[object]]


class StandIn:
    """Stands in for the process that computes inspections."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Part]] = []
        self.answer: Callable[[str, Part, Callable[[str], None], threading.Event], Any]
        self.answer = lambda run_id, part, say, stop: made(part=part)
        self.viewed: list[tuple[str, float]] = []  # what was asked of the microscopes, where
        self.view: Callable[[str, float], Any] = microscope_views.view

    def inspect(
        self,
        run_id: str,
        part: Part,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> Inspection | None:
        self.asked.append((run_id, part))
        found: Inspection | None = self.answer(run_id, part, say, stop)
        return found


@pytest.fixture
def inspections(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()

    def inspect(_: Inspector, *request: Any) -> Inspection | None:
        return stand_in.inspect(*request)

    def view(_: Inspector, kind: Any, do: str, say: Any, stop: Any, **where: Any) -> Any:
        stand_in.viewed.append((do, where["epoch"]))
        return stand_in.view(do, where["epoch"])

    monkeypatch.setattr(Inspector, "inspect", inspect)
    monkeypatch.setattr(Inspector, "view", view)
    return stand_in


def ids(study: Plan, rate: float = 0.1) -> list[str]:
    """The seeds of one configuration."""
    return [run.run_id for run in study.runs if run.hyperparams.learning_rate == rate]


def opened(
    folder: Path, run_ids: list[str], steps: Steps, size: tuple[int, int] = (80, 24)
) -> None:
    """Runs `steps` on the run screen of these runs, once it shows them."""

    async def open_and_step(pilot: Pilot[int]) -> None:
        pilot.app.animation_level = "none"  # keys would wait for their ends
        await pilot.app.push_screen(RunScreen(run_ids, "studies › [b]small[/b] › a"))
        await until(pilot, lambda: "━━ validation " in shown(pilot))
        await steps(pilot)

    drive(folder, open_and_step, size)


def shown(pilot: Pilot[int]) -> str:
    return dump(pilot.app)


def line_with(pilot: Pilot[int], text: str) -> str:
    (found,) = [line for line in shown(pilot).splitlines() if text in line]
    return found


def reading(pilot: Pilot[int]) -> str:
    """The line of the values at the cursor."""
    return next((line for line in shown(pilot).splitlines() if line.startswith(" epoch ")), "")
