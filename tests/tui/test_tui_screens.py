"""Snapshots of every screen with every kind of store at four sizes, as text.

For a few of them, there are SVG pictures with colours too. The snapshots are in
`tests/tui/screens`; UPDATE_SCREENS=1 rewrites them: review them before you commit.
"""

from pathlib import Path
from typing import get_args

import draw_screen
import pytest
from draw_screen import drawn_seven, helper
from inside_screen import look_here
from run_screen import ids
from textual.pilot import Pilot
from tui_pilot import Kind, drive, filled, until_shown
from tui_snapshots import EXPECTED, check, picture, settled

from jmlp.inspection import mistake as gradients
from jmlp.inspection.mistake import LeafGradient
from jmlp.system.process_usage import Usage, UsageMeter

__all__ = ["helper"]  # a fixture, which pytest finds by its name

SIZES = ((80, 24), (120, 40), (200, 60), (60, 20))
NOON = 1_764_000_000_000_000_000  # the fixed time, in nanoseconds

# The keys that open each screen, each with a text to wait for before it is pressed.
SCREENS: dict[str, tuple[tuple[str, str], ...]] = {
    "studies": (),
    "help": (("q Quit", "question_mark"),),
    "form": (("q Quit", "n"),),
    "runs": (("q Quit", "2"),),
    "study": (("/6", "enter"),),
    "curves": (("/6", "enter"), ("learning rate 0.1", "v")),
    "results": (("/6", "enter"), ("learning rate 0.1", "tab")),
    "run": (("/6", "enter"), ("learning rate 0.1", "enter")),
    "compare": (("q Quit", "2"), ("6 runs", "X"), ("6 selected", "c")),
    "inside": (("q Quit", "i"), ("as it is given", "right")),
    "mistakes": (("q Quit", "b"),),
}
WITHOUT_STUDY = ("studies", "help", "form", "runs")
WITHOUT_STORE = ("inside", "mistakes")
CASES = [
    (screen, kind)
    for screen in SCREENS
    for kind in get_args(Kind)
    if (kind == "empty" if screen in WITHOUT_STORE else kind != "empty" or screen in WITHOUT_STUDY)
]
# What the check of a gradient finds, made up.
GRADIENTS = tuple(
    LeafGradient(layer, letter, error, 1 + error, 1 - error, ok=error == 0)
    for layer, error in (("hidden 1", 0.75), ("hidden 2", 0.5), ("output", 0.0))
    for letter in "Wb"
)


# The pictures: enough to see that themes, cursor and marks are right.
PICTURES: tuple[tuple[str, Kind, str], ...] = (
    ("studies", "empty", "jmlp-dark"),
    ("study", "running", "jmlp-dark"),
    ("study", "diverged", "jmlp-light"),
    ("results", "finished", "jmlp-dark"),
    ("run", "finished", "jmlp-light"),
    ("runs", "diverged", "jmlp-dark"),
    ("mistakes", "empty", "jmlp-dark"),
)


@pytest.fixture(autouse=True)
def _still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixes the clock, the host, the process with its use of the machine, and the folder."""
    monkeypatch.setattr("time.time_ns", lambda: NOON)
    monkeypatch.setattr("socket.gethostname", lambda: "host")
    monkeypatch.setattr("os.getpid", lambda: 4711)
    look_here(monkeypatch)
    monkeypatch.setattr(gradients, "check", lambda mistake, inspector, stop: GRADIENTS)
    monkeypatch.setattr(UsageMeter, "usage", lambda self: Usage(623_456_789, 1.96))
    monkeypatch.chdir(tmp_path)


async def go_to(pilot: Pilot[int], screen: str) -> None:
    """Presses the keys that open a screen."""
    for text, key in SCREENS[screen]:
        await until_shown(pilot, text)
        await settled(pilot)  # what a dialog covers must be complete
        await pilot.press(key)


@pytest.mark.parametrize(("screen", "kind"), CASES)
def test_screen_matches_its_snapshot(screen: str, kind: Kind, tmp_path: Path) -> None:
    dumps = []

    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, screen)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            dumps.append(f"{width} x {height}\n{await settled(pilot)}\n")

    with filled(tmp_path / "store", kind):
        drive(tmp_path / "store", steps, size=(100, 30))
    check("\n".join(dumps), EXPECTED / f"{screen}-{kind}.txt")


@pytest.mark.parametrize(("screen", "kind", "theme"), PICTURES)
def test_picture_matches_its_snapshot(screen: str, kind: Kind, theme: str, tmp_path: Path) -> None:
    found = []

    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.theme = theme
        await go_to(pilot, screen)
        await settled(pilot)
        found.append(picture(pilot.app))

    with filled(tmp_path / "store", kind):
        drive(tmp_path / "store", steps)
    check(found[0], EXPECTED / f"{screen}-{kind}.svg")


@pytest.mark.usefixtures("helper")
def test_a_drawing_matches_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps, pictures = [], []

    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        if pilot.app.no_color:  # the drawing in characters
            for width, height in ((80, 24), (200, 60)):
                await pilot.resize_terminal(width, height)
                dumps.append(f"{width} x {height}\n{await settled(pilot)}\n")
        else:
            await settled(pilot)
            pictures.append(picture(pilot.app))

    for no_colour in ("1", ""):
        if no_colour:
            monkeypatch.setenv("NO_COLOR", no_colour)
        else:
            monkeypatch.delenv("NO_COLOR")
        with filled(tmp_path / f"store{no_colour}", "finished") as study:
            draw_screen.opened(tmp_path / f"store{no_colour}", ids(study), steps)
    check("\n".join(dumps), EXPECTED / "draw.txt")
    check(pictures[0], EXPECTED / "draw.svg")
