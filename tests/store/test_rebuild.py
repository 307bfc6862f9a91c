"""The database made again from files, and what `check` says of a store that is not whole."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rebuilds import checkpoint, content
from store_runs import DATA, diverged_result, end, fill, plan, point, result, submission

from jmlp.errors import StoreError
from jmlp.store import Lock, Store, documents, removals, run_files, submissions, tag_file
from jmlp.store import rebuild as module
from jmlp.store.rebuild import Problem, check, rebuild
from jmlp.training.records import RunResult

AGAIN = "jmlp store rebuild moves it aside and recreates it from the files of the runs"


def damage_beginning(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def damage_middle(path: Path) -> None:
    data = path.read_bytes()
    middle = len(data) // 2 // 4096 * 4096
    path.write_bytes(data[:middle] + b"\xff" * 4096 + data[middle + 4096 :])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def journal_of_another(path: Path) -> None:
    truncate(path)
    Path(f"{path}-journal").write_bytes(b"foreign" * 1000)


@pytest.mark.parametrize("damage", [damage_beginning, damage_middle, truncate, journal_of_another])
def test_all_runs_that_ended_come_back_from_a_damaged_database(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    made = plan()
    fill(tmp_path, made)
    with Store(tmp_path) as store:
        store.submit(submission(made, label="again", runs=made.runs[2:]))
        store.tag(made.runs[1].run_id, "=x\0😀")
    before = content(tmp_path)
    path = tmp_path / "store.sqlite"
    damage(path)
    damaged = path.read_bytes()
    rebuilt = rebuild(tmp_path)
    assert (rebuilt.n_runs, rebuilt.n_checkpoints, rebuilt.refused) == (6, 0, [])
    assert rebuilt.moved is not None
    assert rebuilt.moved.read_bytes() == damaged
    assert rebuilt.moved.name.startswith("store.sqlite.damaged-")
    assert content(tmp_path) == before
    assert check(tmp_path) == []
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_missing_database_comes_back(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    (tmp_path / "store.sqlite").unlink()
    assert rebuild(tmp_path).moved is None
    assert content(tmp_path) == before


def test_the_files_of_runs_alone_are_enough(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    with Store(tmp_path) as store:
        shared = [replace(run, experiments=("x",)) for run in made.runs[:2]]
        new = plan(rates=(0.3,), name="other").runs
        store.submit(submission(plan("other"), runs=[*new, *shared]))
        store.begin("other", [run.run_id for run in new])
        end(store, "other", [result(run) for run in new])
    before = content(tmp_path)
    for path in (tmp_path / "submissions").iterdir():
        path.unlink()
    (tmp_path / "store.sqlite").unlink()
    assert rebuild(tmp_path).n_runs == 9
    studies, runs, results, order, events = content(tmp_path)
    assert (studies, events) == (before[0], before[4])
    assert results["small"] == before[2]["small"]
    # Only its submission records that the study took in runs that had ended before it.
    assert order == {"small": before[3]["small"], "other": before[3]["other"][:3]}
    assert len(runs) == len(before[1])


def test_runs_in_training_resume_from_their_checkpoint(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=2)
    state = checkpoint(tmp_path, made)
    (tmp_path / "store.sqlite").unlink()
    rebuilt = rebuild(tmp_path)
    assert (rebuilt.n_runs, rebuilt.n_checkpoints, rebuilt.refused) == (4, 1, [])
    with Store(tmp_path) as store:
        assert store.study("small").state == "interrupted"
        assert store.counts("small") == (4, 6)
        left = store.runs("small")[-2:]
        assert [(r.state, r.epoch, r.step) for r in left] == [("queued", 2, 20)] * 2
        assert tuple(store.points(run_id) for run_id in state.run_ids) == state.costs
        assert {store.run(r.run_id).state for r in made.runs[1:4]} == {"finished"}
        store.submit(submission(made))  # the study's command again
        assert store.study("small").state == "queued"


def test_a_study_that_was_trained_to_its_end_is_done(tmp_path: Path) -> None:
    fill(tmp_path)
    rebuild(tmp_path)
    with Store(tmp_path) as store:
        assert store.study("small").state == "done"


def test_damaged_files_are_reported_and_left_where_they_are(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=2)
    checkpoint(tmp_path, made)
    checkpoint(tmp_path, made, n_points=4)
    gone = made.runs[0].run_id
    with Store(tmp_path) as store:
        store.submit(submission(plan("other", rates=(0.5,))))
        store.tag(made.runs[1].run_id, "good")
        (row,) = [r for r in store.runs() if r.run_id == gone]
    run_file = run_files.path_of(tmp_path, gone)
    *_, newest = sorted((tmp_path / "checkpoints").glob("*/*"))
    other = min((tmp_path / "submissions").iterdir(), key=lambda p: "other" not in p.read_text())
    for path in (run_file, newest, other, tmp_path / "tags.json"):
        data = path.read_bytes()
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    problems = {p.path: p for p in check(tmp_path)}
    assert problems.keys() == {run_file, newest, other, tmp_path / "tags.json"}
    seal = "its SHA-256 is not the one stored in it"
    assert problems[run_file] == Problem(
        run_file,
        f"damaged: {seal}",
        "remove the run (jmlp runs rm); its study then trains it again",
    )
    assert problems[newest].what == f"damaged: {seal}"
    rebuilt = rebuild(tmp_path)
    assert (rebuilt.n_runs, rebuilt.n_checkpoints) == (3, 1)
    assert len(rebuilt.refused) == 4
    assert f"{run_file}: damaged: {seal}" in rebuilt.refused
    with Store(tmp_path) as store:
        assert [s.label for s in store.studies()] == ["small"]
        assert store.run(gone).state == "queued"
        assert store.run(made.runs[-1].run_id).epoch == 2  # of the checkpoint before
        assert store.run(made.runs[1].run_id).tags == ("good",)  # of the database
    assert all(path.exists() for path in problems)
    assert row.state == "diverged"


def test_a_label_that_was_given_to_another_study_comes_back_as_that(tmp_path: Path) -> None:
    old, new = plan(rates=(0.1, 0.2)), plan(rates=(0.2, 0.3))
    fill(tmp_path, old)
    with Store(tmp_path) as store:
        store.submit(submission(new))
        end(store, "small", [result(run) for run in new.runs if run not in old.runs])
    before = content(tmp_path)
    rebuild(tmp_path)
    after = content(tmp_path)
    assert after[0] == before[0]
    assert after[2:4] == before[2:4]


def test_attempts_come_back(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    with Store(tmp_path) as store:
        store.submit(submission(made, fresh=True))
        end(store, "small", [diverged_result(made.runs[0])])
    rebuild(tmp_path)
    with Store(tmp_path) as store:
        assert store.run(made.runs[0].run_id).attempt == 2


def test_a_store_in_use_is_not_rebuilt(tmp_path: Path) -> None:
    fill(tmp_path)
    lock = Lock(tmp_path)
    assert lock.acquire()
    before = (tmp_path / "store.sqlite").read_bytes()
    owner = lock.owner()
    assert owner is not None
    with pytest.raises(StoreError) as error:
        rebuild(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/worker.lock: a worker (process {os.getpid()} on {owner.host}) "
        "is using this store; stop it first"
    )
    assert (tmp_path / "store.sqlite").read_bytes() == before


@pytest.mark.parametrize("call", [check, rebuild])
def test_nothing_is_viewable_without_a_store(
    call: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    with pytest.raises(StoreError) as error:
        call(folder)
    assert str(error.value) == f"there is no store at {folder}: run a study first"
    assert not folder.exists()


def test_a_rebuilding_that_fails_leaves_the_old_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    before = content(tmp_path)

    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(module, "_fill", fail)
    with pytest.raises(StoreError):
        rebuild(tmp_path)
    assert content(tmp_path) == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


KILLED = (
    "import pathlib, sys; from jmlp.store.rebuild import rebuild; "
    "rebuild(pathlib.Path(sys.argv[1]))"
)


def kill(code: str, k: int, *arguments: str) -> bool:
    """Runs Python that is killed at the k-th write, flush, rename or commit; False: it ended."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"JMLP_FAULT": f"any:{k}:kill"},
        check=False,
    )
    return done.returncode != 0


@pytest.mark.parametrize("k", [1, 2])
def test_a_rebuilding_that_is_killed_leaves_the_store_as_it_was(k: int, tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    assert kill(KILLED, k, str(tmp_path))
    assert content(tmp_path) == before
    assert rebuild(tmp_path).n_runs == 6
    assert content(tmp_path) == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_rebuilding_of_a_damaged_database_that_is_killed_can_be_done_again(
    k: int, tmp_path: Path
) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    damage_middle(tmp_path / "store.sqlite")
    assert kill(KILLED, k, str(tmp_path))
    assert (tmp_path / "store.sqlite").exists()
    assert rebuild(tmp_path).n_runs == 6
    assert content(tmp_path) == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("damage", [None, damage_middle])
def test_what_others_submit_and_tag_during_a_rebuilding_is_kept_and_seen(
    damage: Callable[[Path], None] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan()
    fill(tmp_path, made)
    other = Store(tmp_path)
    viewer = Store(tmp_path, viewer=True)
    version = viewer.version()
    if damage is not None:
        damage(tmp_path / "store.sqlite")
    real = module._fill
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with Store(tmp_path) as store:
                store.tag(made.runs[0].run_id, "during")
                store.submit(submission(plan("other")))
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)

    def fill_meanwhile(*arguments: Any) -> None:
        if damage is None:  # a damaged one cannot be opened by others
            writer.start()
        real(*arguments)

    monkeypatch.setattr(module, "_fill", fill_meanwhile)
    assert rebuild(tmp_path).n_runs == 6
    if damage is not None:
        writer.start()
    writer.join()
    assert failures == []
    assert viewer.version() != version
    for store in (viewer, other):  # everyone who had it open before sees all of it
        assert store.run(made.runs[0].run_id).tags == ("during",)
        assert [s.label for s in store.studies()] == ["small", "other"]
    other.tag(made.runs[1].run_id, "after")
    assert viewer.run(made.runs[1].run_id).tags == ("after",)
    assert check(tmp_path) == []
    viewer.close()
    other.close()


def test_a_viewer_sees_the_points_of_a_rebuilt_database_as_new(tmp_path: Path) -> None:
    fill(tmp_path)
    with Store(tmp_path, viewer=True) as viewer:
        seen, points = viewer.new_points("small", 0)
        rebuild(tmp_path)
        _, again = viewer.new_points("small", seen)
    assert sorted(map(repr, again)) == sorted(map(repr, points))


def test_a_store_of_a_newer_jmlp_is_not_rebuilt(tmp_path: Path) -> None:
    fill(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (tmp_path / "store.sqlite").read_bytes()
    with pytest.raises(StoreError, match="was written by a newer jmlp"):
        rebuild(tmp_path)
    assert (tmp_path / "store.sqlite").read_bytes() == before


# ---- deletions that were killed

REMOVED = (
    "import pathlib, sys; from jmlp.client.deleting import delete; "
    "delete(pathlib.Path(sys.argv[1]), sys.argv[2:])"
)


def test_a_deletion_that_is_killed_at_any_point_is_finished_or_was_never_begun(
    tmp_path: Path,
) -> None:
    made = plan()
    gone = [run.run_id for run in made.runs[:3]]
    outcomes = set()
    for k in range(1, 40):
        folder = tmp_path / str(k)
        fill(folder, made)
        with Store(folder) as store:
            store.tag(gone[0], "x")
        was_killed = kill(REMOVED, k, str(folder), *gone)
        if k % 3 == 0:
            damage_beginning(folder / "store.sqlite")
        elif k % 3 == 1:
            assert check(folder) == [], k
        rebuild(folder)
        with Store(folder, viewer=True) as store:
            left = {run.run_id for run in store.runs()}
            assert {run.run_id for run in store.runs("small")} == left
            assert store.study("small").state == "done"
        files = {path.stem for path in (folder / "runs").iterdir()}
        assert files == left, k
        assert len(left) in (3, 6), k
        assert left >= {run.run_id for run in made.runs[3:]}
        assert check(folder) == [], k
        assert not (folder / "removing.json").exists()
        outcomes.add(len(left))
        if not was_killed:
            assert len(left) == 3
            break
    else:
        pytest.fail("it never ends")
    assert outcomes == {3, 6}


def test_runs_that_are_wanted_again_are_not_deleted_by_a_deletion_that_was_killed(
    tmp_path: Path,
) -> None:
    made = plan()
    fill(tmp_path, made)
    gone = [run.run_id for run in made.runs[:2]]
    removals.begin(tmp_path, gone)  # and then it was killed
    with Store(tmp_path) as store:
        store.submit(submission(made))
        assert [run.state for run in store.runs("small")][:3] == ["queued", "queued", "finished"]
        store.finish_removal()
        assert len(store.runs("small")) == 6
    assert not (tmp_path / "removing.json").exists()
    assert not run_files.path_of(tmp_path, gone[0]).exists()


# ---- check


def test_a_whole_store_has_no_problems(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=2)
    checkpoint(tmp_path, made)
    with Store(tmp_path) as store:
        store.tag(made.runs[0].run_id, "x")
    assert check(tmp_path) == []


def test_a_missing_or_damaged_database_is_a_problem(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "store.sqlite"
    damage_beginning(path)
    assert check(tmp_path) == [Problem(path, "is damaged (file is not a database)", AGAIN)]
    path.unlink()
    assert check(tmp_path) == [Problem(path, "is missing", AGAIN)]


def test_a_submission_that_was_killed_before_its_commit_is_no_problem(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    killed = submission(plan("killed", rates=(0.7, 0.8)))
    submissions.write(tmp_path, killed, 1)
    assert list(check(tmp_path)) == []
    assert content(tmp_path) == before


def test_a_database_that_says_something_else_than_the_files_is_a_problem(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    missing, other, unknown, costs, *_ = (run_files.path_of(tmp_path, r.run_id) for r in made.runs)
    missing.unlink()
    with Store(tmp_path) as store:
        changed = result(made.runs[1], 0.5)
        run_files.write(other, changed, **store.about_run(changed.run_id))
        store.record("small", [(made.runs[3].run_id, point(2, 9.0))], None)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM runs WHERE run_id = ?", (made.runs[2].run_id,))
        connection.commit()
    again = "remove the run (jmlp runs rm); its study then trains it again"
    differs = "disagrees with the database about the run"
    (study,) = (tmp_path / "submissions").iterdir()
    assert sorted(check(tmp_path), key=lambda p: p.path) == sorted(
        [
            Problem(missing, "is missing: the database says that this run ended", again),
            Problem(other, differs, AGAIN),
            Problem(unknown, "belongs to a run that is not in the database", AGAIN),
            Problem(costs, differs, AGAIN),
            Problem(study, "disagrees with the database about the study", AGAIN),
        ],
        key=lambda p: p.path,
    )
    assert rebuild(tmp_path).n_runs == 5
    with Store(tmp_path) as store:
        assert store.run(made.runs[0].run_id).state == "queued"
    assert check(tmp_path) == []


def test_a_file_under_another_run_s_name_is_a_problem(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    first, second, *_ = (run_files.path_of(tmp_path, run.run_id) for run in made.runs)
    second.write_bytes(first.read_bytes())
    (problem,) = check(tmp_path)
    assert (problem.path, problem.what) == (second, f"belongs to run {made.runs[0].run_id}")
    assert rebuild(tmp_path).refused == [f"{second}: belongs to run {made.runs[0].run_id}"]


def test_a_run_that_was_never_in_a_study_that_is_left_comes_back(tmp_path: Path) -> None:
    made = plan(rates=(0.1,))
    ended: list[RunResult] = fill(tmp_path, made)
    with Store(tmp_path) as store:
        store.submit(submission(plan(rates=(0.9,))))  # the label means this from now on
        assert store.run(ended[1].run_id).studies == ()
    rebuild(tmp_path)
    with Store(tmp_path) as store:
        row = store.run(ended[1].run_id)
        assert (row.state, row.studies) == ("finished", ())
        assert store.about_run(row.run_id)["data"] == DATA


# ---- tags


def tags_of(folder: Path) -> set[tuple[str, str]]:
    with Store(folder) as store:
        return {(run.run_id, tag) for run in store.runs() for tag in run.tags}


def test_tags_that_only_the_database_holds_are_a_problem_and_kept_by_a_rebuilding(
    tmp_path: Path,
) -> None:
    made = plan()
    fill(tmp_path, made)
    first, second = ((run.run_id, tag) for run, tag in zip(made.runs, ("x", "y"), strict=False))
    with Store(tmp_path) as store:
        store.tag(*first)
    path = tmp_path / tag_file.NAME
    for tags in (None, [second]):
        path.unlink()
        if tags:
            tag_file.write(tmp_path, tags)
        what = f"{len(tags or [])} tags are not in the database, 1 only there"
        assert check(tmp_path) == [Problem(path, what, "jmlp store rebuild keeps the tags of both")]
        assert rebuild(tmp_path).refused == []
        assert tags_of(tmp_path) == {first, *(tags or [])} == set(tag_file.read(tmp_path))
        assert check(tmp_path) == []


@pytest.mark.parametrize("kind", [tag_file.FORMAT, "jmlp-tags-2"])
def test_a_file_of_tags_that_cannot_be_used_stays_and_the_tags_of_the_database_are_kept(
    kind: str, tmp_path: Path
) -> None:
    made = plan()
    fill(tmp_path, made)
    with Store(tmp_path) as store:
        store.tag(made.runs[0].run_id, "x")
    path = tmp_path / tag_file.NAME
    documents.write(path, kind, {})
    before = path.read_bytes()
    assert len(rebuild(tmp_path).refused) == 1
    assert tags_of(tmp_path) == {(made.runs[0].run_id, "x")}
    assert path.read_bytes() == before
