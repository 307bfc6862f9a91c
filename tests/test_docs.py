"""README and docs are tested: their programs as doctests, their links, lists and commands."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from commands import Here

import jmlp
from jmlp.cli.commands import app
from jmlp.study.config import Hyperparams
from jmlp.study.file import load_study
from jmlp.study.schema import (
    CLAIM_CELLS,
    EXPERIMENT_RULES,
    EXPERIMENT_TABLES,
    FIGURES,
    STUDY_RULES,
)

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
REFERENCE = ROOT / "docs" / "reference"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [n for n in NAMES if ">>>" in read(ROOT / n)])
def test_programs_print_what_is_shown(name: str) -> None:
    result = doctest.testfile(str(ROOT / name), module_relative=False)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL))
    missing = []
    for link in links:
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (heading and heading not in headings(target)):
            missing.append(link)
    assert missing == []


SHOWN = sorted(
    {
        re.split(" [#>] ", line + " ")[0].strip().removeprefix("scripts/")
        for page in PAGES
        for line in re.findall(r"^    ((?:scripts/)?jmlp .*)$", read(page), re.MULTILINE)
        if "…" not in line and page.name != "CONTRIBUTING.md"
    }
)


@pytest.mark.parametrize("line", [line for line in SHOWN if line != "jmlp"])
def test_commands_that_are_shown_are_accepted(line: str) -> None:
    _, *words = shlex.split(line)
    app.parse_args(words, exit_on_error=False, print_error=False)


# Those that need no stored run.
CONSOLE = re.compile(r"```console\n\$ (?P<command>jmlp explain.*)\n(?P<output>(?:.*\n)*?)```")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
EXAMPLES = [
    (name, shown["command"], shown["output"])
    for name in NAMES
    for shown in CONSOLE.finditer(read(ROOT / name))
]


@pytest.mark.parametrize(("name", "command", "output"), EXAMPLES)
def test_commands_print_what_is_shown(name: str, command: str, output: str, here: Here) -> None:
    """UPDATE_EXAMPLES=1 rewrites what is shown; last digits depend on the processor."""
    _, *words = shlex.split(command)
    printed = "".join(f"{line.rstrip()}\n" for line in here(*words).out.splitlines())
    if os.environ.get("UPDATE_EXAMPLES"):
        page = ROOT / name
        before, after = (f"```console\n$ {command}\n{text}```" for text in (output, printed))
        page.write_text(read(page).replace(before, after), encoding="utf-8")
        output = printed
    words_of = [NUMBER.sub("#", " ".join(text.split())) for text in (output, printed)]
    assert words_of[0] == words_of[1]
    numbers = [[float(found) for found in NUMBER.findall(text)] for text in (output, printed)]
    assert numbers[1] == pytest.approx(numbers[0], rel=1e-3, abs=1e-6)


def headings(page: Path) -> set[str]:
    """As links name them."""
    titles = re.findall(r"^#+ (.*)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {
        (index.parent / link).resolve() for link in re.findall(r"\(([\w./-]+\.md)\)", read(index))
    }
    assert {page for page in PAGES if "docs" in page.parts} <= linked | {index}


def test_the_library_page_lists_exactly_the_public_names() -> None:
    listed = re.search(r"The public names are (.*?)\.\s", read(REFERENCE / "library.md"), re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(dir(jmlp))


def test_the_study_file_page_lists_every_hyperparameter() -> None:
    section = read(REFERENCE / "study-file.md").split("| hyperparameter |")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        field.name for field in fields(Hyperparams)
    ]


def test_the_study_file_page_lists_every_key() -> None:
    text = read(REFERENCE / "study-file.md")
    keys = {*STUDY_RULES, *EXPERIMENT_RULES, *EXPERIMENT_TABLES, *CLAIM_CELLS, *FIGURES}
    assert {key for key in keys if not re.search(rf"[`.\]]{key}\b", text)} == set()


def test_the_study_file_that_is_shown_is_read(tmp_path: Path) -> None:
    toml = re.search(r"```toml\n(.*?)```", read(REFERENCE / "study-file.md"), re.DOTALL)
    assert toml is not None
    path = tmp_path / "my.toml"
    path.write_text(toml[1], encoding="utf-8")
    assert len(load_study(path).experiments[0].axes) == 2


# The rows of the README's table, in the tables of the studies.
ROWS = {
    "batch size 16": "batch size 16",
    **{str(size): f"batch size {size}" for size in (32, 64, 128, 256, 512, 1024, 2048)},
    "neither": "batch norm no, drop rate none",
    "dropout 0.5, first layer": "drop rate 0.5–0–0, backward fault none",
    "batch norm, wrongly differentiated": (
        "batch norm place after, batch norm scale no, backward fault batch_norm"
    ),
    "both": (
        "drop rate 0.5–0–0, batch norm place after, batch norm scale no, backward fault batch_norm"
    ),
}
MEANING = {
    "inside": "as expected",
    "below": "**below every seed**",
    "above": "**above every seed**",
}


def test_the_tables_of_the_statistics_are_what_the_simulation_prints() -> None:
    script = ROOT / "scripts" / "simulate_verdicts.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 4
    pages = [ROOT / "docs" / "explanation" / name for name in ("statistics.md", "search.md")]
    for table in tables:
        assert table in "".join(map(read, pages))


def test_the_readme_shows_the_twelve_figures_of_the_result_tables() -> None:
    results = read(REFERENCE / "results.md").split("<!-- results replica -->")[1]
    tables: dict[str, list[str]] = {}
    for line in results.split("<!-- results stopping -->")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        tables.setdefault(re.sub(r" \((baseline|best|baseline, best)\)$", "", cells[0]), cells)
    rows = re.findall(
        r"^\| (.*) \| ([\d.]+), (\d+) \| (.*), ([\d.]+)( \(.*\))? \| (.*) \|$",
        read(ROOT / "README.md"),
        re.MULTILINE,
    )
    assert len(rows) == 12
    for name, figure, epoch, accuracy, stopped, spread, meaning in rows:
        _, shown, epochs, _, theirs, _, place, theirs_stopped, _ = tables[ROWS[name]]
        assert (figure, epoch, accuracy) == (theirs, theirs_stopped, shown), name
        numbers = [f"{float(n):.1f}".removesuffix(".0") for n in re.findall(r"[\d.]+", epochs)]
        assert [stopped, *re.findall(r"[\d.]+", spread)] == numbers, name
        assert meaning.startswith(MEANING[place]), name
