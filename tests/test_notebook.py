"""What a notebook shows: the documentation's own is run, by a real kernel."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import jmlp
from jmlp import notebook
from jmlp.training.records import Progress

PATH = Path(__file__).parents[1] / "docs" / "notebooks" / "study.ipynb"


def kinds(cell: Any) -> list[set[str]]:
    """The kinds of the outputs of a cell."""
    return [set(output.get("data", {"text": ""})) for output in cell.get("outputs", [])]


def test_the_notebook_of_the_documentation_shows_what_it_shows_there(tmp_path: Path) -> None:
    """`UPDATE_EXAMPLES=1` writes its outputs."""
    stored = nbformat.read(PATH, as_version=4)
    run = nbformat.from_dict(stored)
    for cell in run.cells:
        cell.update({"outputs": []} if cell.cell_type == "code" else {})
    NotebookClient(run, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    if os.environ.get("UPDATE_EXAMPLES"):
        for cell in run.cells:
            cell.metadata.clear()  # the times of its execution
        nbformat.write(run, PATH)
        return
    for new, old in zip(run.cells, stored.cells, strict=True):
        assert kinds(new) == kinds(old), new.source
    progress, table, *pictures = [kinds(cell) for cell in run.cells if cell.cell_type == "code"]
    assert progress == table == [{"text/html", "text/plain"}]
    assert pictures[:2] == [[{"image/png", "text/plain"}]] * 2
    last = run.cells[1].outputs[0].data["text/html"]
    assert last == '<progress value="1.0000" max="1"></progress> 15 of 15 runs done'
    html = run.cells[3].outputs[0].data["text/html"]
    assert html.count("<table>") == 2
    assert html.count("<tr>") + html.count("<tr style") == 2 + 3 + 2  # heads, rows, differences
    assert "verdict" in html


def test_progress_in_words() -> None:
    assert notebook.text_of(Progress(n_runs=3)) == "0 of 3 runs done, starting"
    training = Progress("training", n_runs=1200, runs_done=3, epoch=7, remaining=130, share=0.25)
    assert notebook.text_of(training) == "3 of 1,200 runs done, epoch 7, about 2 min left"
    assert notebook.html_of(training).startswith('<progress value="0.2500" max="1">')
    ended = Progress("finished", n_runs=3, runs_done=3, remaining=0.0)
    assert notebook.text_of(ended) == "3 of 3 runs done"
    assert notebook.share_of(ended) == 1


def test_on_a_terminal_progress_is_one_line_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "45")
    records = [Progress("training", n_runs=2, epoch=e, share=e / 4) for e in (0, 2, 4)]
    assert list(jmlp.show_progress(records)) == records
    first, *lines, rest = capsys.readouterr().err.split("\r")
    assert (first, len(lines)) == ("", 2)
    assert lines[1] == f"[{'#' * 15}{'-' * 15}] 0 of 2 runs\033[K"
    assert rest == f"[{'#' * 30}] 0 of 2 runs\033[K\n"


def test_where_there_is_neither_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(jmlp.show_progress([Progress(), Progress()]))) == 2
    assert capsys.readouterr() == ("", "")


def test_a_loop_that_is_left_closes_the_training() -> None:
    closed = []

    def records() -> Any:
        try:
            yield Progress()
            yield Progress()
        finally:
            closed.append(True)

    shown = jmlp.show_progress(records())
    next(iter(shown))
    shown.close()  # type: ignore[attr-defined]
    assert closed
