"""Every screen, with every kind of store, at three sizes, as lines of text.

The expected ones lie in `tests/screens`; UPDATE_SCREENS=1 writes them anew, to be looked at
before they are committed.
"""

import os
from pathlib import Path
from typing import get_args

import pytest
from textual.pilot import Pilot
from tui_pilot import Kind, drive, dump, filled, until, until_shown

EXPECTED = Path(__file__).parent / "screens"
SIZES = ((80, 24), (120, 40), (60, 20))
NOON = 1_764_000_000_000_000_000  # nanoseconds; the clock stands still

# Of each screen the keys that lead to it, each with a text that is there when it may be pressed.
SCREENS: dict[str, tuple[tuple[str, str], ...]] = {
    "studies": (),
    "help": (("q Quit", "question_mark"),),
    "form": (("q Quit", "n"),),
    "runs": (("q Quit", "2"),),
    "study": (("/6", "enter"),),
    "results": (("/6", "enter"), ("learning rate 0.1", "tab")),
    "run": (("/6", "enter"), ("learning rate 0.1", "enter")),
    "compare": (("q Quit", "2"), ("6 runs", "X"), ("6 selected", "c")),
}
WITHOUT_STUDY = ("studies", "help", "form", "runs")
CASES = [
    (screen, kind)
    for screen in SCREENS
    for kind in get_args(Kind)
    if kind != "empty" or screen in WITHOUT_STUDY
]


async def settled(pilot: Pilot[int]) -> str:
    """What the screen shows when it has ceased to change."""
    seen = [""] * 4

    def is_still() -> bool:
        seen.append(dump(pilot.app))
        del seen[0]
        return len(set(seen)) == 1

    await until(pilot, is_still)
    return seen[-1]


@pytest.mark.parametrize(("screen", "kind"), CASES)
def test_screen_is_as_it_was_looked_at(
    screen: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: NOON)
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    monkeypatch.chdir(tmp_path)
    pictures = []

    async def steps(pilot: Pilot[int]) -> None:
        for text, key in SCREENS[screen]:
            await until_shown(pilot, text)
            await pilot.press(key)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            pictures.append(f"{width} x {height}\n{await settled(pilot)}\n")

    with filled(tmp_path / "store", kind):
        drive(tmp_path / "store", steps, size=(100, 30))
    found = "\n".join(pictures)
    path = EXPECTED / f"{screen}-{kind}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")
