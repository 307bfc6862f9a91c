"""The keys: one table for help, footer, palette and documents, and what the palette offers."""

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot
from tui_pilot import Kind, drive, dump, filled, until, until_shown

from tui.app import JmlpApp
from tui.dialogs import Confirm, Dialog, TextDialog
from tui.keys import Key, bound_keys, is_listed, key_name, keys_of
from tui.launch import TerminalApp
from tui.palette import Actions
from tui.panels.boundary import BoundaryPanel
from tui.screens.base import JmlpScreen
from tui.screens.compare import CompareScreen
from tui.screens.draw import DrawScreen
from tui.screens.experiment import ExperimentScreen
from tui.screens.form import StudyForm
from tui.screens.help import HelpScreen
from tui.screens.inside import InsideScreen
from tui.screens.mistakes import MistakeList, MistakesScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.screens.studies import WELCOME, StudiesScreen
from tui.screens.study import StudyScreen
from tui.widgets.configurations import ConfigurationList
from tui.widgets.curves import Curves
from tui.widgets.gallery import Gallery
from tui.widgets.number_grid import NumberGrid
from tui.widgets.plane import Plane
from tui.widgets.result_tables import ResultTables
from tui.widgets.run_list import RunList
from tui.widgets.sheet import Sheet
from tui.widgets.sum_pane import SumPane

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "app.md"
KEY = re.compile(r"`([!-_a-~]|(?:ctrl|shift)\+\S+|f\d+|enter|esc\w*|tab|space|del\w*)`")
PROSE = (ROOT / "README.md", PAGE, ROOT / "docs" / "tutorial" / "first-study.md")

# Everything that has keys, in the order of the documents' table.
PLACES: tuple[tuple[str, tuple[type[DOMNode], ...]], ...] = (
    ("everywhere", (JmlpApp, JmlpScreen)),
    ("in a terminal", (TerminalApp,)),
    ("studies", (StudiesScreen,)),
    ("one study", (StudyScreen, ConfigurationList)),
    ("curves of a study", (ExperimentScreen,)),
    ("its results", (ResultTables,)),
    ("one configuration or run", (RunScreen,)),
    ("inside a network", (InsideScreen, NumberGrid, SumPane)),
    ("curves", (Curves,)),
    ("weights, mistakes", (Gallery,)),
    ("boundary", (BoundaryPanel, Plane)),
    ("drawing", (DrawScreen, Sheet)),
    ("runs", (RunsScreen, RunList)),
    ("compared runs", (CompareScreen,)),
    ("mistakes", (MistakesScreen, MistakeList)),
    ("new study", (StudyForm,)),
    ("questions", (Dialog, Confirm, TextDialog)),
    ("help", (HelpScreen,)),
)
OPENED: dict[str, tuple[tuple[str, str], ...]] = {
    "studies": (),
    "study": (("/6", "enter"),),
    "results": (("/6", "enter"), ("learning rate 0.1", "tab")),
    "run": (("/6", "enter"), ("learning rate 0.1", "enter")),
    "runs": (("q Quit", "2"),),
    "compare": (("q Quit", "2"), ("6 runs", "X"), ("6 selected", "c")),
    "form": (("q Quit", "n"), ("Start from", "enter")),
    "mistakes": (("q Quit", "b"),),
    "question": (("q Quit", "2"), ("6 runs", "delete")),
}


def own(class_: type[DOMNode]) -> list[Any]:
    """The bindings that a class itself defines."""
    return list(vars(class_).get("BINDINGS", ()))


def table() -> str:
    """The documents' table of keys."""
    lines = ["| where | key | what it does |", "|---|---|---|"]
    for place, classes in PLACES:
        rows = [row for class_ in classes for row in bound_keys(own(class_))]
        for number, (names, text) in enumerate(rows):
            keys = " ".join(f"`{name}`" for name in names)
            lines.append(f"| {'' if number else place} | {keys} | {text} |")
    return "\n".join(lines)


def test_the_documents_table_has_exactly_the_keys_of_the_app() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- keys -->\n")
    shown, after = rest.split("<!-- end of keys -->")
    if os.environ.get("UPDATE_KEYS"):
        shown = f"{table()}\n\n"
        text = f"{before}<!-- keys -->\n{shown}<!-- end of keys -->{after}"
        PAGE.write_text(text, encoding="utf-8")
    assert shown.strip() == table()


def every_class() -> Iterator[type[DOMNode]]:
    """The app, and each widget and screen that it defines."""
    for path in (ROOT / "tui").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for value in vars(module).values():
            mine = isinstance(value, type) and value.__module__ == module.__name__
            if mine and issubclass(value, DOMNode):
                yield value


def listed(class_: type[DOMNode]) -> bool:
    return any(map(is_listed, Binding.make_bindings(own(class_))))


def test_the_table_of_keys_leaves_out_no_screen_and_no_widget() -> None:
    known = {class_ for _, classes in PLACES for class_ in classes}
    assert {class_ for class_ in every_class() if listed(class_)} <= known


def test_every_key_in_a_footer_is_in_the_table() -> None:
    for class_ in every_class():
        for binding in Binding.make_bindings(own(class_)):
            assert is_listed(binding) or not binding.show, (class_, binding)


NAMES = {
    name
    for _, classes in PLACES
    for class_ in classes
    for names, _ in bound_keys(own(class_))
    for name in names
} | {"ctrl+c"}  # of Textual: copies what the mouse has selected


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.name))
def test_every_key_in_the_prose_of_the_documents_exists(page: Path) -> None:
    text = re.sub(r"<!-- keys -->.*<!-- end of keys -->", "", page.read_text("utf-8"), flags=re.S)
    assert set(KEY.findall(text)) <= NAMES


def test_every_key_of_the_welcome_exists() -> None:
    keys = re.findall(r"^  (\S)   ", WELCOME, re.MULTILINE)
    assert len(keys) == 4
    assert set(keys) <= {name for names, _ in bound_keys(own(StudiesScreen)) for name in names}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("question_mark", "?"),
        ("ctrl+s", "ctrl+s"),
        ("enter", "enter"),
        ("left_square_bracket", "["),
        ("shift+tab", "shift+tab"),
        ("delete", "del"),
        ("X", "X"),
    ],
)
def test_a_key_has_one_name_everywhere(key: str, name: str) -> None:
    assert key_name(key) == name
    assert bound_keys([Binding(key, "do", tooltip="Do it")]) == [((name,), "Do it")]


async def go_to(pilot: Pilot[int], screen: str) -> None:
    for text, key in OPENED[screen]:
        await until_shown(pilot, text)
        await pilot.press(key)
    await pilot.pause()


CASES: list[tuple[str, Kind]] = [(screen, "finished") for screen in OPENED]
CASES += [("studies", "empty"), ("study", "running"), ("run", "running")]
MOVES = re.compile(r"Read the .* evaluation|(Next|Previous) field|(Up|Down) to .*|Scroll .*")


@pytest.mark.parametrize(("screen", "kind"), CASES)
def test_the_palette_lists_each_possible_action_once_and_nothing_else(
    screen: str, kind: Kind, tmp_path: Path
) -> None:
    found: list[Key] = []
    possible: list[Key] = []

    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, screen)
        found.extend(Actions(pilot.app.screen).actions())
        possible.extend(keys_of(pilot.app.screen))

    with filled(tmp_path, kind):
        drive(tmp_path, steps)
    texts = [key.text for key in found]
    assert texts
    assert len(set(texts)) == len(texts) == len({(key.action, key.node) for key in found})
    assert not list(filter(MOVES.fullmatch, texts))
    omitted = {key.text for key in possible} - set(texts)
    assert {text for text in omitted if not MOVES.fullmatch(text)} <= {
        "Every action by name",
        "Start the study",  # until the form is checked
    }


def texts_of(folder: Path, kind: Kind, screen: str) -> list[str]:
    found: list[str] = []

    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, screen)
        if screen == "study":
            await until_shown(pilot, "seeds")
        found.extend(key.text for key in Actions(pilot.app.screen).actions())

    with filled(folder, kind):
        drive(folder, steps)
    return found


def test_the_palette_offers_what_is_possible_now(tmp_path: Path) -> None:
    running = texts_of(tmp_path / "running", "running", "study")
    done = texts_of(tmp_path / "done", "finished", "study")
    steering = {"Pause the training", "Stop the training; everything is saved"}
    assert steering <= set(running)
    assert not steering & set(done)
    assert "Logarithmic scale of the cost" in done
    # The list of studies is shown already, or below.
    assert "All studies in the store" not in done
    assert "All runs in the store" in done
    results = texts_of(tmp_path / "results", "finished", "results")
    assert "Logarithmic scale of the cost" not in results


def test_the_palette_shows_the_key_beside_each_action_and_performs_it(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await go_to(pilot, "study")
        await until_shown(pilot, "\n done")
        await pilot.press("ctrl+p")
        await until_shown(pilot, "  y         Logarithmic scale of the cost")
        await pilot.press(*"logarithmic")
        await until(pilot, lambda: "Write the report" not in dump(pilot.app))
        await pilot.press("enter")
        await until_shown(pilot, ", log")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)
