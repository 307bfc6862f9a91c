"""The database made again, from the files of runs, submissions, tags and checkpoints."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jmlp.checks import plain
from jmlp.errors import CheckpointError, StoreError
from jmlp.places import flush_folder
from jmlp.results import CohortState, RunResult
from jmlp.store import submissions, tag_file
from jmlp.store.checking import Problem, check, newest_checkpoints, read_runs
from jmlp.store.database import NAME, Database
from jmlp.store.lock import Lock
from jmlp.store.rows import Submission, end_of
from jmlp.store.writing import end_run, insert_event, insert_run, set_points

__all__ = ["Problem", "Rebuilt", "check", "rebuild"]

_TEMPORARY = ".rebuild-"
_BESIDE = ("-journal", "-wal", "-shm", "")  # the database itself at last: see `_move_aside`


@dataclass(frozen=True)
class Rebuilt:
    """What a new database was made of."""

    n_runs: int  # that had ended
    n_checkpoints: int  # cohorts that can be gone on with
    refused: list[str]  # what could not be used, and why
    moved: Path | None  # where the old database is now


@dataclass(frozen=True)
class _Ended:
    """A run that ended, from its file."""

    result: RunResult
    about: Mapping[str, Any]
    at: int  # when it ended


@dataclass(frozen=True)
class _Study:
    """A study that was submitted, and when."""

    submission: Submission
    at: int
    whole: bool  # all its runs are known, and not only those that ended


def rebuild(folder: Path) -> Rebuilt:
    """Makes the database again; the one that is there is moved aside untouched.

    All runs that ended come back, with costs, events and studies, from their files; studies and
    their queues from the files of submissions; tags from theirs. Of runs in training the cost
    points up to the last checkpoint come back. Events of studies do not, save their submissions.

    Args:
        folder: of the store.

    Raises:
        StoreError: there is no store, a worker is using it, or the new database cannot be written:
            then the old one is where it was.
    """
    if not folder.is_dir():
        raise StoreError(f"there is no store at {folder}: run a study first")
    with _alone(folder):
        refused: list[str] = []
        ended = _ended(folder, refused)
        studies = _studies(folder, ended, refused)
        in_training = newest_checkpoints(folder, refused)
        for left in folder.glob(f"{_TEMPORARY}*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
        try:
            database = Database(temporary)
            with contextlib.closing(database), database.transaction() as connection:
                _fill(connection, studies, ended)
                _continue(connection, in_training)
                _tag(connection, folder, refused)
            moved = _move_aside(folder)
            (temporary / NAME).replace(folder / NAME)
            flush_folder(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Rebuilt(len(ended), len(in_training), refused, moved)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the lock of the store: no worker writes to the database that is moved."""
    lock = Lock(folder)
    if not lock.acquire():
        owner = lock.owner()
        who = owner.process if owner else "another process"
        raise StoreError(f"{lock.path}: a worker ({who}) is using this store; stop it first")
    try:
        yield
    finally:
        lock.release()


def _ended(folder: Path, refused: list[str]) -> list[_Ended]:
    """All runs that ended, in the order in which they did, without their arrays."""
    ended = []
    for path, found in read_runs(folder):
        if isinstance(found, CheckpointError):
            refused.append(str(found))
            continue
        at = found.about["ended_at"] or path.stat().st_mtime_ns // 1_000_000
        ended.append(_Ended(found.result, found.about, at))
    return sorted(ended, key=lambda run: run.at)


def _studies(folder: Path, ended: Sequence[_Ended], refused: list[str]) -> list[_Study]:
    """All studies, in order of submission."""
    studies = {}
    for path in submissions.paths(folder):
        try:
            submission, at = submissions.read(path)
        except StoreError as error:
            refused.append(str(error))
        else:
            studies[submission.label] = _Study(submission, at, whole=True)
    for label in {link["label"] for run in ended for link in run.about["studies"]}:
        if label not in studies:
            studies[label] = _from_links(label, ended)
    return sorted(studies.values(), key=lambda study: (study.at, study.submission.label))


def _from_links(label: str, ended: Sequence[_Ended]) -> _Study:
    """A study without a file of its own: the latest one of this label, with the runs that ended."""
    from jmlp.plan import Run

    links = [
        (link, run.result)
        for run in ended
        for link in run.about["studies"]
        if link["label"] == label
    ]
    latest, _ = max(links, key=lambda pair: pair[0]["submitted_at"])
    members = sorted(
        (
            (link["position"], run.run_id, run, tuple(link["experiments"]))
            for link, run in links
            if link["toml"] == latest["toml"]
        ),
        key=lambda member: member[:2],
    )
    runs = [
        Run(run_id, run.hyperparams, run.seed, run.split_seed, experiments)
        for _, run_id, run, experiments in members
    ]
    told = ("label", "name", "toml", "data", "command", "hardware")
    submission = Submission(runs=runs, **{name: latest[name] for name in told})
    return _Study(submission, latest["submitted_at"], whole=False)


def _fill(
    connection: sqlite3.Connection, studies: Sequence[_Study], ended: Sequence[_Ended]
) -> None:
    """Studies with their queues, then the runs that ended, then how the studies stand."""
    for study in studies:
        submissions.insert(connection, study.submission, study.at)
    for run in ended:
        about, run_id = run.about, run.result.run_id
        number = _number(connection, run_id)
        if number is None:
            number = insert_run(connection, run.result, about["data"], about["validation_fraction"])
        connection.execute(
            "UPDATE runs SET attempt = ? WHERE number = ?", (about["attempt"], number)
        )
        end_run(connection, number, run.result, run.at)
        for event in about["events"]:
            told = (event["study"], run_id, event["kind"], event["step"], event["detail"])
            insert_event(connection, event["at"], *told)
        label = about["events"][-1]["study"] if about["events"] else None
        insert_event(connection, run.at, label, run_id, *end_of(run.result))
    _sort_events(connection)
    for study in studies:
        connection.execute(
            "UPDATE studies SET state = CASE WHEN ? AND NOT EXISTS (SELECT 1 FROM links, runs"
            "  WHERE study = studies.id AND run = number AND record IS NULL)"
            " THEN 'done' ELSE 'interrupted' END WHERE label = ?",
            (study.whole, study.submission.label),
        )


def _sort_events(connection: sqlite3.Connection) -> None:
    rows = connection.execute(
        "SELECT at, study, run_id, kind, step, detail FROM events ORDER BY at, id"
    ).fetchall()
    connection.execute("DELETE FROM events")
    for row in rows:
        insert_event(connection, *row)


def _continue(connection: sqlite3.Connection, in_training: Sequence[CohortState]) -> None:
    """The cost points of runs that had not ended, up to their checkpoints."""
    for state in in_training:
        for run_id, costs in zip(state.run_ids, state.costs, strict=True):
            found = connection.execute(
                "SELECT number FROM runs WHERE run_id = ? AND record IS NULL", (run_id,)
            ).fetchone()
            if found is not None:
                set_points(connection, found[0], costs)


def _tag(connection: sqlite3.Connection, folder: Path, refused: list[str]) -> None:
    try:
        tags = tag_file.read(folder)
    except StoreError as error:
        refused.append(str(error))
        return
    for run_id, tag in tags:
        number = _number(connection, run_id)
        if number is None:
            path = folder / tag_file.NAME
            refused.append(f"{path}: the tag {plain(tag)} of a run that is nowhere: {run_id}")
        else:
            connection.execute("INSERT INTO tags (run, tag) VALUES (?, ?)", (number, tag))


def _number(connection: sqlite3.Connection, run_id: str) -> int | None:
    found = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if found is None else int(found[0])


def _move_aside(folder: Path) -> Path | None:
    """Renames the old database with what belongs to it; None where there is none.

    Its journal goes first: beside the new database it would be taken for the new one's.
    """
    path = folder / NAME
    moved = path.with_name(f"{NAME}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for ending in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{ending}").rename(f"{moved}{ending}")
    except OSError as error:
        raise StoreError(f"{path}: cannot be moved: {error.strerror or error}") from error
    return moved if moved.exists() else None
