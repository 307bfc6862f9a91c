"""The screen of the mistakes: what each is, its gradient, and its study."""

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList
from tui_pilot import drive, dump, until_shown

from jmlp.client import starting
from jmlp.client.choice import Choice
from jmlp.errors import StoreError
from jmlp.inspection import mistake as gradients
from jmlp.inspection.mistake import LeafGradient
from jmlp.study import mistakes
from jmlp.study.mistakes import MISTAKES, Mistake
from tui.screens.mistakes import CHECKING, text_of, training_text

LEAVES = (
    LeafGradient("hidden 1", "W", 0.84, 1.75, 0.6, ok=False),
    LeafGradient("output", "b", 1e-16, 1.0, 1.0, ok=True),
)


class Checks:
    """What stands for the process that checks gradients."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.stops: list[threading.Event] = []
        self.error: Exception | None = None
        self.held = threading.Event()  # until it is set, no check ends
        self.held.set()
        monkeypatch.setattr(gradients, "check", self.check)

    def check(
        self, mistake: Mistake, inspector: object, stop: threading.Event
    ) -> tuple[LeafGradient, ...]:
        del inspector
        self.asked.append(mistake.name)
        self.stops.append(stop)
        assert self.held.wait(60)
        if self.error is not None:
            raise self.error
        return LEAVES


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


async def opened(pilot: Pilot[int]) -> None:
    await until_shown(pilot, "q Quit")
    await pilot.press("b")
    await until_shown(pilot, "Remedy")


def test_a_mistake_is_shown_with_its_equations_and_the_gradient_of_each_array(
    checks: Checks, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, "1 of 2 gradients are wrong")
        shown = dump(pilot.app)
        assert "right  dZ = dA * f'(Z)" in shown
        assert "wrong  dZ = dA" in shown
        (row,) = (line for line in shown.splitlines() if "hidden 1  W" in line)
        assert row.split("│")[-1].split() == [
            "hidden",
            "1",
            "W",
            "WRONG",
            "8.4e-01",
            "1.75",
            "0.6000",
        ]

    drive(tmp_path / "store", steps)
    assert checks.asked == ["relu_mask"]


def test_each_gradient_is_checked_once_while_the_screen_is_open(
    checks: Checks, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, "1 of 2 gradients are wrong")
        await pilot.press("down")
        await until_shown(pilot, "dlogits = (P - T) / B")
        await until_shown(pilot, "1 of 2 gradients are wrong")
        await pilot.press("up")
        await until_shown(pilot, "dZ = dA * f'(Z)")
        assert "1 of 2 gradients are wrong" in dump(pilot.app)

    drive(tmp_path / "store", steps)
    assert checks.asked == ["relu_mask", "batch_mean"]


def test_a_check_that_is_no_longer_looked_at_is_ended_and_made_again_later(
    checks: Checks, tmp_path: Path
) -> None:
    checks.held.clear()

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, CHECKING)
        await pilot.press("down")
        await until_shown(pilot, "dlogits = (P - T) / B")
        assert [stop.is_set() for stop in checks.stops][:1] == [True]
        checks.held.set()
        await until_shown(pilot, "1 of 2 gradients are wrong")
        await pilot.press("up")
        await until_shown(pilot, "dZ = dA * f'(Z)")
        await until_shown(pilot, "1 of 2 gradients are wrong")

    drive(tmp_path / "store", steps)
    assert checks.asked == ["relu_mask", "batch_mean", "relu_mask"]


def test_a_mistake_that_no_check_finds_says_why_and_asks_for_none(
    checks: Checks, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("end")
        await until_shown(pilot, "Found by no check of the gradient")
        assert "W = 0" in dump(pilot.app)

    drive(tmp_path / "store", steps)
    assert checks.asked == ["relu_mask"]


@pytest.mark.usefixtures("checks")
def test_a_text_longer_than_the_screen_is_scrolled_by_keys(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, "1 of 2 gradients are wrong")
        assert "learning rate 0.05" not in dump(pilot.app)
        await pilot.press("space")
        await until_shown(pilot, "learning rate 0.05")
        await pilot.press("left")
        await until_shown(pilot, "Remedy")

    drive(tmp_path / "store", steps, size=(60, 20))


def test_an_error_is_shown_in_place_of_the_table(checks: Checks, tmp_path: Path) -> None:
    checks.error = StoreError("the disk is gone")

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, "the disk is gone")

    drive(tmp_path / "store", steps)


@pytest.mark.usefixtures("checks")
def test_enter_starts_the_study_of_the_mistake_and_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Choice] = []

    def start(folder: Path, choice: Choice, say: Any) -> str:
        del folder, say
        started.append(choice)
        return choice.label(choice.study().name)

    monkeypatch.setattr(starting, "start", start)

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("down", "enter")
        await until_shown(pilot, "break-batch_mean")
        await pilot.press("escape")

    drive(tmp_path / "store", steps)
    assert started == [Choice(mistake="batch_mean")]
    assert started[0].command() == "jmlp break batch_mean"


@pytest.mark.usefixtures("checks")
def test_escape_leads_back_to_the_studies(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        assert pilot.app.screen.query_one(OptionList).option_count == len(MISTAKES)
        await pilot.press("escape")
        await until_shown(pilot, "b Break it")

    drive(tmp_path / "store", steps)


@pytest.mark.parametrize("width", [38, 55, 90, 150])
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_no_line_is_wider_than_the_screen(mistake: Mistake, width: int) -> None:
    state = LEAVES if mistake.checked else None
    lines = str(text_of(mistake, state, width)).splitlines()
    assert max(map(len, lines)) <= width


def test_the_study_is_described_by_its_settings() -> None:
    assert training_text(mistakes.find("batch_norm")) == (
        "digits-8x8, hidden 32-16, 8 seeds each, 15 epochs, batch size 32, learning rate 0.05, "
        "patience none, batch norm yes"
    )
