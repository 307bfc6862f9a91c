"""Runs in the list of the app: made up, and on the screen."""

from dataclasses import replace
from typing import Any

from store_runs import plan
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import dump, until

from jmlp.training.plan import Plan
from tui.screens.runs import RunsScreen
from tui.views.runs import RunLine

LINE = RunLine(
    number=1,
    run_id="9a4da2f1" + 56 * "0",
    short_id="9a4da2f1",
    studies=("original",),
    configuration="batch size 64",
    seed=0,
    state="finished",
    state_text="stopped early",
    epoch=40,
    cost=0.25,
    accuracy=0.925,
    ended_at=0,
    tags=(),
    words="",
)


def line(**changes: Any) -> RunLine:
    """A run; what the filter looks for words in is made of the rest."""
    made = replace(LINE, **changes)
    found_in = (made.run_id, *made.studies, made.configuration, made.state_text, *made.tags)
    return replace(made, words="\n".join(found_in).casefold())


PLAN = plan(rates=(0.1, 0.05), n_seeds=3)


def ids(made: Plan = PLAN) -> list[str]:
    """Of the runs, in order of submission, as they are shown."""
    return [run.run_id[:8] for run in made.runs]


def listed(app: App[int]) -> list[str]:
    """The ids of the runs on the screen, in its order; the line about one of them is left out."""
    known = set(ids())
    return [
        word
        for row in dump(app).splitlines()
        if " seed " not in row
        for word in row.split()
        if word in known
    ]


def screen(pilot: Pilot[int]) -> RunsScreen:
    """The screen of runs, on top."""
    assert isinstance(pilot.app.screen, RunsScreen)
    return pilot.app.screen


async def opened(pilot: Pilot[int]) -> RunsScreen:
    """The screen of runs, with all six of them."""
    await pilot.press("2")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen) and screen(pilot).shown)
    await pilot.pause()
    return screen(pilot)


async def typed(pilot: Pilot[int], text: str) -> None:
    """Types into the field that has the focus."""
    pilot.app.screen.query_one(Input).value = text
    await pilot.pause()
