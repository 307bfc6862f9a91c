"""`jmlp report`: a stored study's tables and report, made again without training."""

import json
from pathlib import Path

import pytest
from commands import Here
from store_runs import DATA, fill, plan, submission

from jmlp.cli.output import Output
from jmlp.cli.show import show_tables
from jmlp.report import read_csv, read_results
from jmlp.results.tables import study_tables
from jmlp.store import Store
from jmlp.study.file import parse_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store."""
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_report_of_a_study_prints_its_tables_and_writes_all_of_its_files(
    folder: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, made = fill(folder), plan()
    study = made.study
    done = here("report", "small")
    assert (done.code, done.err) == (0, "report: reports/small/report.html\n")
    show_tables(study_tables(study, ended, made.facts), Output())
    assert done.out == capsys.readouterr().out
    written = here.folder / "reports" / "small"
    assert {path.name for path in written.iterdir()} == {
        *("results.json", "results.csv", "tables.json", "tables.csv"),
        *("study.toml", "report.md", "report.html", "plots"),
    }
    name, runs = read_results(written / "results.json")
    assert (name, len(runs)) == ("small", 6)
    assert {run.run_id for run in runs} == {run.run_id for run in ended}
    assert len(runs[1].costs) == 5
    assert len(read_csv(written / "results.csv")) == 6
    assert parse_study((written / "study.toml").read_text(encoding="utf-8"), "small") == study
    text = (written / "report.md").read_text(encoding="utf-8")
    assert "```\njmlp study small.toml\n```" in text
    assert "Data: made up; 166 training, 42 validation, 60 test examples" in text


def test_report_as_json_is_the_document_of_its_results(folder: Path, here: Here) -> None:
    fill(folder)
    done = here("report", "small", "--output", "out", "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out == (here.folder / "out" / "results.json").read_text(encoding="utf-8")
    assert len(json.loads(done.out)["runs"]) == 6


def test_report_of_a_study_half_done_says_so(folder: Path, here: Here) -> None:
    fill(folder, n_left=2)
    done = here("report", "small")
    assert done.code == 0
    assert done.err.startswith("4 of 6 runs have ended; the report covers only those\n")
    assert "- Incomplete: 4 of 6 runs have ended." in done.out
    text = (here.folder / "reports" / "small" / "report.md").read_text(encoding="utf-8")
    assert "4 of 6 runs have ended: 3 finished, 1 diverged." in text


def test_report_of_the_same_study_is_replaced_and_other_files_only_by_force(
    folder: Path, here: Here
) -> None:
    fill(folder)
    assert here("report", "small").code == 0
    assert here("report", "small").code == 0
    (here.folder / "out").mkdir()
    (here.folder / "out" / "mine").touch()
    done = here("report", "small", "--output", "out")
    message = (
        "out: holds other files; give another folder (--output DIR), or write into it "
        "anyway (--force)"
    )
    assert done == (4, "", f"jmlp: error: {message}\n")
    assert here("report", "small", "--output", "out", "--force").code == 0
    assert (here.folder / "out" / "mine").exists()


def test_study_without_a_result_has_no_report(folder: Path, here: Here) -> None:
    fill(folder, n_left=6)
    message = "small: there is nothing to report: no run has ended yet"
    assert here("report", "small") == (4, "", f"jmlp: error: {message}\n")
    assert not (here.folder / "reports").exists()


def test_unknown_study_is_refused_with_the_near_one(folder: Path, here: Here) -> None:
    fill(folder)
    done = here("report", "smal")
    assert (done.code, done.out) == (4, "")
    assert "small" in done.err


def test_study_whose_name_fits_no_folder_wants_one(folder: Path, here: Here) -> None:
    made = plan()
    with Store(folder) as store:
        store.submit(submission(made, label="../up"))
    message = "../up: not a valid name for a folder; give one with --output DIR"
    assert here("report", "../up") == (2, "", f"jmlp: error: {message}\n")


def test_study_whose_data_are_not_known_in_full_is_refused(folder: Path, here: Here) -> None:
    known = {name: DATA[name] for name in ("name", "source", "digests")}
    with Store(folder) as store:
        store.submit(submission(plan(), data=known))
    fill(folder)
    message = (
        'small: what is stored about its data is incomplete ("facts" is missing); train it again '
        "(jmlp study … --fresh)"
    )
    assert here("report", "small") == (4, "", f"jmlp: error: {message}\n")


@pytest.mark.parametrize(("form", "start"), [("latex", "% "), ("markdown", "**")])
def test_tables_are_printed_in_another_form(form: str, start: str, here: Here) -> None:
    here("study", "small.toml", "--output", "out")
    done = here("report", "small", "--as", form)
    assert done.code == 0
    assert done.out.startswith(start)
    assert done.out.count("Differences to the baseline") == 2
    both = here("report", "small", "--as", form, "--json")
    assert (both.code, both.out) == (2, "")
    assert both.err == f"jmlp: error: --as {form} and --json: give one of them\n"
