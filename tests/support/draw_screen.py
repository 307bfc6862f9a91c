"""The screen to draw on in tests, with a stand-in for the process that asks the networks."""

import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.pilot import Pilot
from tui_pilot import drive, until, until_shown

from jmlp.inspection.answers import Answers, LeftOut, RunAnswers, from_bytes, to_bytes, to_table
from jmlp.inspection.client import Inspector
from tui.screens import draw
from tui.screens.draw import DrawScreen
from tui.widgets.sheet import Sheet

EPOCHS = (0, 1, 2, 3, 5, 8)
PLANE = (28, 28)
Steps = Callable[[Pilot[int]], Awaitable[object]]


def made_up(run_ids: Sequence[str], n_classes: int = 10, *, left_out: int = 0) -> Answers:
    """Answers of networks that never were: the third seed and later ones take a seven for a nine.

    Args:
        run_ids: of the runs, one per seed.
        n_classes: the number of classes.
        left_out: how many of the last runs were not asked.
    """
    runs = []
    n_asked = len(run_ids) - left_out
    for seed, run_id in enumerate(run_ids[:n_asked]):
        sure = np.array([1 / n_classes + (0.95 - 1 / n_classes) * e / 8 for e in EPOCHS])
        p = np.repeat((1 - sure[:, None]) / (n_classes - 1), n_classes, axis=1)
        p[:, (7 if seed < 2 else 9) % n_classes] = sure
        runs.append(RunAnswers(run_id, seed, "finished", EPOCHS, 4, None, p))
    out = [
        LeftOut(run_id, n_asked + k, f"run {run_id[:8]} was trained on other data")
        for k, run_id in enumerate(run_ids[n_asked:])
    ]
    return Answers(tuple(map(str, range(n_classes))), tuple(runs), tuple(out))


class StandIn:
    """Stands in for the helper process; it answers at once unless a test holds it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: Callable[[Sequence[str]], Answers] = made_up
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        about = request.get("pixels")
        seen = from_bytes(about)[::4, ::4] if about else np.eye(28, dtype=np.uint8) * 255
        return {
            "answers": to_table(self.answers(request["run_ids"])),
            "read": to_bytes(seen),
            "seen": to_bytes(seen),
            "how": "light ink on dark paper: found, cropped and centred",
            "cautions": [],
        }


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()

    def ask(_: Inspector, do: str, say: object, stop: object = None, **request: Any) -> Any:
        assert do == "draw"
        return stand_in.ask(request)

    monkeypatch.setattr(Inspector, "ask", ask)
    monkeypatch.setattr(draw, "PAUSE_SECONDS", 0.001)
    return stand_in


def opened(
    folder: Path,
    run_ids: list[str],
    steps: Steps,
    size: tuple[int, int] = (80, 24),
    plane: tuple[int, int] = PLANE,
    **options: Any,
) -> None:
    """Runs `steps` on a blank sheet for these runs."""

    async def open_and_step(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(DrawScreen(run_ids, "studies › small › draw", plane))
        await until_shown(pilot, "Nothing is drawn yet")
        await steps(pilot)

    drive(folder, open_and_step, size, **options)


def sheet(pilot: Pilot[int]) -> Sheet:
    return pilot.app.screen.query_one(Sheet)


def pixels(pilot: Pilot[int]) -> Any:
    return sheet(pilot).sketch.pixels


async def drag(
    pilot: Pilot[int], *cells: tuple[int, int], button: int = 1, shift: bool = False
) -> None:
    """Presses a button of the mouse at the first of these cells of the sheet, and moves on."""
    inside = [(x + 1, y + 1) for x, y in cells]  # there is a border
    await pilot.mouse_down(Sheet, offset=inside[0], button=button, shift=shift)
    for place in inside[1:]:
        await pilot._post_mouse_events([events.MouseMove], Sheet, offset=place, button=button)
    await pilot._post_mouse_events([events.MouseUp], Sheet, offset=inside[-1], button=button)
    await pilot.pause()


async def drawn_seven(pilot: Pilot[int]) -> None:
    """Draws a seven with the mouse, and waits for what the networks say of it."""
    await drag(pilot, (6, 2), (20, 2))
    await drag(pilot, (20, 2), (11, 12))
    await until(pilot, lambda: pilot.app.screen.questions.is_idle)  # type: ignore[attr-defined]
    await until_shown(pilot, "seen: light ink")
