"""The glossary: one entry for every word that the app shows, and none for any other."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import drive, dump, filled, until, until_shown
from tui_tables import FULL, table

from jmlp.client.differences import OUTCOME
from jmlp.client.texts import words as spaced
from jmlp.inspection.mistake import TITLES
from jmlp.results.statistics import Answer, Verdict
from jmlp.results.tables import study_tables
from jmlp.store.states import RUN_STATES, STUDY_STATES
from jmlp.study.config import Hyperparams
from jmlp.study.file import SHIPPED, load_study
from jmlp.training.records import Phase
from tui import glossary
from tui.framework.ascii import to_ascii
from tui.glossary import Entry, explained, mentioned, parse, search
from tui.panels import layers
from tui.panels.boundary import BoundaryPanel
from tui.panels.confusion import ConfusionPanel
from tui.panels.layers import LayersPanel
from tui.panels.microscopes import MICROSCOPES
from tui.panels.pictures import MistakesPanel, WeightsPanel
from tui.screens import studies
from tui.screens.form import StudyForm
from tui.screens.help import HelpScreen, text_of, words_at_cursor, words_shown
from tui.screens.run import PANELS
from tui.screens.runs import LABELS, RunsScreen
from tui.views import comparison, form
from tui.views.activity import LABELS as LABELS_OF_ACTIVITY
from tui.views.results import BLOCKS
from tui.views.run_filter import NUMBERS, TEXTS
from tui.views.runs import COLUMNS
from tui.views.study import ENDINGS
from tui.widgets import configurations
from tui.widgets.form_fields import Pick, Tick

ROOT = Path(__file__).parents[2]
TITLE = "# Glossary\n\nWords.\n\n## First part\n\n"


def results_titles() -> Iterator[str]:
    """The columns of the result tables of all studies that ship, and of one with an original."""
    yield from (title for block in BLOCKS for title in block)
    tables = [table(FULL)]
    for name in SHIPPED:
        tables += study_tables(load_study(name), [])
    for one in tables:
        yield from (column.title for column in (*one.columns, *one.difference_columns))


EXPLAINED = (
    *(LayersPanel, ConfusionPanel, WeightsPanel, MistakesPanel, BoundaryPanel),
    *(Pick, Tick, StudyForm),
)

# What the app shows, as its own records have it.
SHOWN: dict[str, tuple[str, ...]] = {
    "columns of the studies": tuple(title for title, _ in studies.COLUMNS.values()),
    "columns of the configurations": (*configurations.NUMBERS, configurations.CURVE),
    "columns of the results": tuple(results_titles()),
    "columns of the runs": tuple(
        title for c in COLUMNS for title in (c.title, c.short or c.title, LABELS[c.key])
    ),
    "fields of the filter": (*TEXTS, *NUMBERS),
    "panels of a run": PANELS,
    "parts of a panel": tuple(term for panel in EXPLAINED for term in panel.terms),
    "parts of a microscope": tuple(t for panel in MICROSCOPES.values() for t in panel.terms),
    "charts of a run": (layers.GRADIENT, layers.UPDATE, layers.DEAD, "cost, nats", "accuracy, %"),
    "quantities of a comparison": tuple(q.title for q in comparison.QUANTITIES),
    "rows of a comparison": (
        *(spaced(name) for name in OUTCOME),
        *(spaced(field.name) for field in fields(Hyperparams)),
        *("seed", "split seed", "state", "device", "lane width", "program", "source"),
    ),
    "fields of the form": tuple(map(form.title, form.KEYS)),
    "states": (
        *(*STUDY_STATES, *RUN_STATES, *ENDINGS, *get_args(Phase)),
        *("its worker died", "deleted", "collapsed", "diverged @k", "compiling"),
        *("no worker", "worker starting", "store not readable"),
    ),
    "verdicts": (*(v for v in get_args(Verdict) if v != "failures"), *get_args(Answer)),
    "marks": ("baseline", "best", "limit", "±", "ln(classes)", "band", "snapshot"),
    "live figures": (*LABELS_OF_ACTIVITY, "elapsed", "left", "memory", "cores", "process"),
    "gradients of a mistake": tuple(filter(None, TITLES)),
    "drawings": ("sheet", "drawing", "strip", "answer", "best epochs", "as is"),
    "panels of a study": ("curves", "layer", "parameters", "median", "letter", "data"),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_every_word_that_the_app_shows_has_an_entry(kind: str) -> None:
    assert [name for name in SHOWN[kind] if not explained([name])] == []


def read(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_every_entry_is_of_a_word_in_the_app_or_the_documents() -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "glossary.md"]
    used = {*explained(name for names in SHOWN.values() for name in names)}
    used |= {*explained(mentioned(read(ROOT / "README.md", *pages)))}
    assert [entry.name for entry in glossary.glossary() if entry not in used] == []


def test_the_table_of_words_for_developers_explains_none_of_the_glossary() -> None:
    rows = read(ROOT / "CONTRIBUTING.md").split("| word | meaning |\n|---|---|\n")[1]
    words = re.findall(r"^\| (.*?) \|", rows.split("\n\n")[0], re.MULTILINE)
    assert len(words) > 3
    assert explained(words) == {}


def test_entries_are_a_line_or_two() -> None:
    assert [e.name for e in glossary.glossary() if len(e.text) > 160] == []
    assert max(len(name) for e in glossary.glossary() for name in e.names) <= 30


def test_every_entry_can_be_shown_on_an_ascii_terminal() -> None:
    texts = [text for entry in glossary.glossary() for text in (*entry.names, entry.text)]
    assert [text for text in texts if "?" in to_ascii(text)] == []


# ---- the reader


def test_an_entry_has_a_name_other_names_and_a_text() -> None:
    first = "- **cost**, **cost, nats**: mean cross-entropy: −ln p.\n"
    assert parse(f"{TITLE}{first}\n## Next\n\n- **p**: a p.\n") == (
        Entry(("cost", "cost, nats"), "mean cross-entropy: −ln p.", "First part"),
        Entry(("p",), "a p.", "Next"),
    )


@pytest.mark.parametrize(
    "line",
    [
        "- cost: mean cross-entropy.",
        "- **cost** mean cross-entropy.",
        "- **cost**: mean cross-entropy",
        "- **cost**: mean *cross*-entropy.",
        "- **cost**: mean [cross-entropy](cost.md).",
        "- **cost**: mean `cross_entropy`.",
        "- **cost**, nats: mean cross-entropy.",
        "* **cost**: mean cross-entropy.",
        "  continued.",
        "### cost",
    ],
)
def test_a_line_in_another_form_is_an_error_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 8: must be `- \*\*name\*\*: Plain text\.`, got "):
        parse(f"{TITLE}- **p**: a p.\n{line}\n")


def test_a_second_entry_of_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^line 8: cost has an entry already$"):
        parse(f"{TITLE}- **cost**: a cost.\n- **loss**, **Cost**: a cost.\n")


# ---- looking up


def names(entries: object) -> list[str]:
    assert isinstance(entries, dict)
    return [f"{name} → {entry.name}" for entry, name in entries.items()]


def test_entries_are_in_the_order_of_the_names_each_once_by_the_first_of_them() -> None:
    asked = ["val. cost", "Gradient norm", "no word", "validation cost", "p"]
    assert names(explained(asked)) == [
        "val. cost → validation cost",
        "Gradient norm → gradient norm",
        "p → p",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 collapsed, diverged @7, done, 3 early", ["collapsed", "diverged", "done", "early"]),
        ("not settled (about 34 seeds)", ["not settled", "seeds"]),
        ("its worker died", ["its worker died"]),
        ("90.10 ± 0.38", ["±"]),
        ("batch norm no, drop rate 0.5–0", ["batch norm", "drop rate"]),
        ("runners, pairing, epochal", []),
    ],
)
def test_words_are_found_in_a_text_the_longest_first(text: str, found: list[str]) -> None:
    assert mentioned(text) == found


def test_a_search_finds_beginnings_of_names_then_names_then_texts() -> None:
    found = [entry.name for entry in search(" Verd")]
    assert found[0] == "verdict"
    assert "too few pairs" in found[1:]
    norms = [entry.name for entry in search("norm")]
    assert set(norms[:6]) == {
        "gradient norm",
        "batch norm",
        "batch norm place",
        "batch norm scale",
        "max norm",
        "clip norm",
    }
    assert "initialization" in norms[6:]
    assert search("no such word") == []


# ---- the help

BLOCKS_SHOWN = [("Words", [("cost", "how wrong it is"), ("p", "one two three")]), ("None", [])]


def test_short_names_have_a_column_and_long_ones_have_not() -> None:
    short = "Words\ncost  how wrong it is\np     one two three\n"
    assert text_of(BLOCKS_SHOWN, 40).plain == short
    wrapped = "Words\ncost  how wrong it\n      is\np     one two three\n"
    assert text_of(BLOCKS_SHOWN, 20).plain == wrapped
    long = [("", [("simultaneous 95 % interval", "contains the true difference.")])]
    head = "simultaneous 95 % interval  contains the"
    assert text_of(long, 40).plain == f"{head}\n  true difference.\n"
    assert text_of(long, 84).plain == f"{head} true difference.\n"


OPENED: dict[str, tuple[tuple[tuple[str, str], ...], list[str]]] = {
    "studies": (
        (("6/6", "down"),),
        ["done", "study", "title", "data", "state", "work", "runs", "time left"],
    ),
    "study": (
        (("/6", "enter"), ("learning rate 0.1", "down"), ("diverged @7\n", "")),
        ["configuration", "diverged", "learning rate", "experiment", "cost"],
    ),
    "results": (
        (("/6", "enter"), ("learning rate 0.1", "tab"), ("Notes", "")),
        ["learning rate", "baseline", "±", "configuration", "seeds", "test accuracy %"],
    ),
    "run": (
        (("/6", "enter"), ("learning rate 0.1", "enter"), ("mean of", "")),
        ["cost, nats", "validation", "training", "best", "seed", "band", "epoch", "curves", "run"],
    ),
    "runs": ((("q Quit", "2"), ("6 runs", "")), ["finished", "learning rate", "#", "run"]),
    "filter": ((("q Quit", "2"), ("6 runs", "slash")), ["filter", "state", "study", "tag"]),
    "sort": ((("q Quit", "2"), ("6 runs", "o"), ("Sort by", "end")), ["tags"]),
    "compare": (
        (("q Quit", "2"), ("6 runs", "X"), ("6 selected", "c"), ("Their", "")),
        ["validation cost", "epoch", "learning rate"],
    ),
    "form": (
        (("q Quit", "n"), ("Start from", "enter"), ("networks to train", "tab"), ("", "tab")),
        ["learning rate", "hyperparameter", "plan"],
    ),
}


@pytest.mark.parametrize("screen", OPENED)
def test_help_begins_with_the_words_at_the_cursor(screen: str, tmp_path: Path) -> None:
    keys, wanted = OPENED[screen]
    terms: list[str] = []
    shown: list[str] = []

    async def steps(pilot: Pilot[int]) -> None:
        for text, key in keys:
            await until_shown(pilot, text)
            await pilot.press(*filter(None, [key]))
        below = pilot.app.screen
        terms.extend(words_at_cursor(below))
        shown.extend(words_shown(below))
        await pilot.press("f1")
        await until_shown(pilot, "At the cursor")
        assert isinstance(pilot.app.screen, HelpScreen)
        await pilot.press("question_mark")
        await until(pilot, lambda: pilot.app.screen is below)

    with filled(tmp_path, "diverged" if screen == "study" else "finished"):
        drive(tmp_path, steps, size=(120, 40))
    assert list(explained(terms).values())[: len(wanted)] == wanted
    assert [term for term in terms if not explained([term])] == []
    assert shown == [] or explained(shown)


def test_a_question_mark_in_a_field_is_text_and_f1_explains_the_field(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "6/6")
        await pilot.press("2")
        await until_shown(pilot, "6 runs")
        await pilot.press("slash", "question_mark")
        await until_shown(pilot, "f1 Help")
        assert pilot.app.screen.query_one(Input).value == "?"
        await pilot.press("f1")
        await until_shown(pilot, "filter")
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
def test_help_searches_all_words_and_keys_while_the_user_types(
    size: tuple[int, int], tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "6/6")
        await pilot.press("question_mark")
        await until_shown(pilot, "type to search all words and keys; esc closes")
        await until_shown(pilot, "│ state")
        await pilot.press(*"quit")
        await until_shown(pilot, "Quit; training continues")
        assert "│ state" not in dump(pilot.app)
        await pilot.press(*"e")
        await until_shown(pilot, "No word and no key matches.")
        await pilot.press(*["backspace"] * 5)
        await until_shown(pilot, "│ state")
        await pilot.press(*["pagedown"] * 60)
        await until_shown(pilot, "│ source")
        await pilot.press(*["pageup"] * 60)
        await until_shown(pilot, "At the cursor")
        await pilot.press("escape")
        await until_shown(pilot, "q Quit")

    with filled(tmp_path, "finished"):
        drive(tmp_path, steps, size=size)


def test_help_of_the_welcome_explains_its_words(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "see how certain")
        await pilot.press("question_mark")
        await until_shown(pilot, "batch size")
        await until_shown(pilot, "how many examples one update averages over.")

    drive(tmp_path / "store", steps)
