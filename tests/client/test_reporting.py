"""Reports that the app has written by a process of its own."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from store_runs import fill

from jmlp.client import reporting
from jmlp.errors import StoreError
from jmlp.report import read_results


def test_report_of_a_stored_study_is_written_and_again(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    output = reporting.default_folder(tmp_path / "store", "small", served=True)
    for _ in range(2):
        written = reporting.write_report(tmp_path / "store", "small", output)
        assert written == tmp_path / "store" / "exports" / "small" / "report.html"
        assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(read_results(output / "results.json")[1]) == 6


def test_command_says_in_its_words_why_there_is_no_report(tmp_path: Path) -> None:
    fill(tmp_path / "store", n_left=6)
    with pytest.raises(StoreError) as error:
        reporting.write_report(tmp_path / "store", "small", tmp_path / "out")
    assert str(error.value) == "small: there is nothing to report: no run has ended yet"
    assert not (tmp_path / "out").exists()


def test_label_is_never_read_as_an_option(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with pytest.raises(StoreError, match=r"^--force: .*there is no study of that name"):
        reporting.write_report(tmp_path / "store", "--force", tmp_path / "out")


@pytest.mark.parametrize(
    ("code", "printed", "message"),
    [
        (
            -signal.SIGKILL,
            "",
            "the report's process was ended by signal 9 (SIGKILL); write it in a terminal to see "
            "more (jmlp report small)",
        ),
        (
            1,
            "Traceback\n  a\nOSError: b\n\n",
            "the report's process ended with code 1: OSError: b; write it in a terminal to see "
            "more (jmlp report small)",
        ),
    ],
)
def test_process_that_dies_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, printed: str, message: str
) -> None:
    def run(*_: Any, **__: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], code, None, printed)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(StoreError) as error:
        reporting.write_report(tmp_path, "small", tmp_path / "out")
    assert str(error.value) == message


def test_reports_lie_beside_the_user_and_of_a_browser_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    assert reporting.default_folder(store, "small", served=False) == tmp_path / "reports" / "small"
    assert reporting.default_folder(store, "../a b", served=True) == store / "exports" / "a-b"
    assert reporting.default_folder(store, "..", served=True) == store / "exports" / "study"
