"""Reports and exports written by a separate process."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from store_runs import fill

from jmlp.client import exports
from jmlp.errors import JmlpError, StoreError
from jmlp.report import read_results
from jmlp.store import Store
from jmlp.system import processes


def test_report_of_a_stored_study_is_written_and_again(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    output = exports.default_folder(tmp_path / "store", "small", served=True)
    for _ in range(2):
        written = exports.write_report(tmp_path / "store", "small", output)
        assert written == tmp_path / "store" / "exports" / "small" / "report.html"
        assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(read_results(output / "results.json")[1]) == 6


def test_command_says_in_its_words_why_there_is_no_report(tmp_path: Path) -> None:
    fill(tmp_path / "store", n_left=6)
    with pytest.raises(JmlpError) as error:
        exports.write_report(tmp_path / "store", "small", tmp_path / "out")
    assert str(error.value) == "small: there is nothing to report: no run has ended yet"
    assert error.value.exit_code == StoreError.exit_code
    assert not (tmp_path / "out").exists()


def test_label_is_never_read_as_an_option(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with pytest.raises(JmlpError, match=r"^--force: .*there is no study of that name"):
        exports.write_report(tmp_path / "store", "--force", tmp_path / "out")


@pytest.mark.parametrize(
    ("dies", "message"),
    [
        (
            "os.kill(os.getpid(), 9)",
            "the process of jmlp report was ended by signal 9 (SIGKILL): it printed nothing",
        ),
        (
            "raise OSError('b')",
            "the process of jmlp report ended with code 1: OSError: b",
        ),
        (
            "raise OSError(28, 'No space left on device', 'a.txt')",
            "a.txt: the system refused the operation: No space left on device",
        ),
    ],
)
def test_process_that_dies_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, message: str
) -> None:
    start = processes.start

    def dying(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
        assert arguments == ("-m", "jmlp.cli.helper")
        work = f"import os, jmlp.system.helper_server as s\ndef f(*_): {dies}\nexit(s.main(f))"
        return start("-c", work, **options)

    monkeypatch.setattr(processes, "start", dying)
    with pytest.raises(JmlpError) as error:
        exports.write_report(tmp_path, "small", tmp_path / "out")
    assert str(error.value).startswith(message)


def test_a_replay_is_refused_in_the_words_of_the_command(tmp_path: Path) -> None:
    fill(tmp_path / "store", n_left=6)
    target = tmp_path / "page.html"
    with pytest.raises(JmlpError, match=r"^small: there is nothing to replay"):
        exports.replay(tmp_path / "store", "small", target)
    target.touch()
    with pytest.raises(JmlpError, match="exists"):
        exports.replay(tmp_path / "store", "small", target)
    with pytest.raises(JmlpError, match=r"^small: there is nothing to replay"):
        exports.replay(tmp_path / "store", "small", target, replace=True)
    assert target.read_bytes() == b""


def test_exported_runs_are_counted_in_the_words_of_the_command(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with Store(tmp_path / "store", viewer=True) as store:
        ids = [run.run_id for run in store.runs("small")]
    target = tmp_path / "runs.csv"
    said = exports.export(tmp_path / "store", ids, "csv", target)
    assert said == f"wrote {target}: 6 runs"
    with pytest.raises(JmlpError, match="exists"):
        exports.export(tmp_path / "store", ids, "csv", target)
    assert exports.export(tmp_path / "store", ids[:1], "csv", target, replace=True) == (
        f"wrote {target}: 1 run"
    )


def test_reports_lie_beside_the_user_and_of_a_browser_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    assert exports.default_folder(store, "small", served=False) == tmp_path / "reports" / "small"
    assert exports.default_folder(store, "../a b", served=True) == store / "exports" / "a-b"
    assert exports.default_folder(store, "..", served=True) == store / "exports" / "study"
