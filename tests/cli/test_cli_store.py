"""`jmlp store`: where the stored runs are, whether they are whole, and how they are mended."""

import json
from pathlib import Path

import pytest
from commands import Here
from store_runs import fill

from jmlp.store import Lock, run_files
from jmlp.training.records import RunResult


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store."""
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def ended(folder: Path) -> list[RunResult]:
    """The six runs of that store."""
    return fill(folder)


def damage(folder: Path, run: RunResult) -> Path:
    """Flips a bit of a run's file."""
    path = run_files.path_of(folder, run.run_id)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return path


def test_path_is_printed_whether_a_store_exists_or_not(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here("store", "path") == (0, f"{folder}\n", "")
    told = {"path": str(here.folder / "a"), "exists": False}
    assert json.loads(here("store", "path", "--store", "b/../a", "--json").out) == told
    monkeypatch.delenv("JMLP_RUNS")
    monkeypatch.setenv("JMLP_HOME", "/home/me/jmlp")
    assert here("store", "path") == (0, "/home/me/jmlp/runs\n", "")
    assert not folder.exists()


def test_whole_store_has_no_problems(folder: Path, ended: list[RunResult], here: Here) -> None:
    assert here("store", "check") == (0, "", f"{folder}: no problems\n")
    assert here("store", "check", "--json") == (0, "[]\n", f"{folder}: no problems\n")


def test_every_problem_is_reported_with_its_remedy_and_code_4(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    paths = [damage(folder, ended[1])]
    assert here("store", "check").err == f"jmlp: error: {folder}: 1 problem\n"
    paths.append(damage(folder, ended[2]))
    done = here("store", "check")
    assert (done.code, done.err) == (4, f"jmlp: error: {folder}: 2 problems\n")
    lines = done.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == sorted(map(str, paths))
    assert all(line.count(str(folder)) == 1 for line in lines)  # the path is not printed twice
    problems = json.loads(here("store", "check", "--json").out)
    assert [f"{p['path']}: {p['what']}; {p['remedy']}" for p in problems] == lines


def test_rebuilt_store_has_all_its_runs_and_says_what_it_left_out(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    before = json.loads(here("runs", "ls", "--json").out)
    path = damage(folder, ended[1])
    (folder / "store.sqlite").write_bytes(b"x" * 4096)
    assert here("runs", "ls").code == 4
    done = here("store", "rebuild")
    assert (done.code, done.err) == (0, "")
    left_out, moved, counted = done.out.splitlines()
    assert left_out.startswith(f"left out: {path}: damaged")
    start = "previous database: "
    assert moved.startswith(f"{start}{folder}/store.sqlite.damaged-")
    assert Path(moved.removeprefix(start)).read_bytes() == b"x" * 4096
    assert counted == "completed runs: 5; cohorts in training: 0"
    after = {run["run_id"]: run for run in json.loads(here("runs", "ls", "--json").out)}
    assert after[ended[1].run_id]["state"] == "queued"
    ended_before = [run for run in before if run["run_id"] != ended[1].run_id]
    assert [after[run["run_id"]]["result"] for run in ended_before] == [
        run["result"] for run in ended_before
    ]


def test_rebuild_as_json(folder: Path, ended: list[RunResult], here: Here) -> None:
    (folder / "store.sqlite").unlink()
    told = json.loads(here("store", "rebuild", "--json").out)
    assert told == {"runs": 6, "checkpoints": 0, "refused": [], "moved": None}


def test_store_in_use_is_not_rebuilt(folder: Path, ended: list[RunResult], here: Here) -> None:
    before = (folder / "store.sqlite").read_bytes()
    lock = Lock(folder)
    assert lock.acquire()
    done = here("store", "rebuild")
    lock.release()
    assert (done.code, done.out) == (4, "")
    assert "is using this store" in done.err
    assert (folder / "store.sqlite").read_bytes() == before


def test_store_that_does_not_exist_is_neither_checked_nor_made(folder: Path, here: Here) -> None:
    message = f"jmlp: error: there is no store at {folder}: run a study first\n"
    assert here("store", "check") == (4, "", message)
    assert here("store", "rebuild") == (4, "", message)
    assert not folder.exists()
