"""Rebuilds the database from the files of runs, submissions, tags and checkpoints."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jmlp.errors import CheckpointError, JmlpError, StoreError
from jmlp.store import removals, run_files, submissions, tag_file
from jmlp.store.checking import Problem, check, check_folder, newest_checkpoints, read_runs
from jmlp.store.database import BESIDE, NAME, DamagedError, Database
from jmlp.store.lock import Lock
from jmlp.store.rows import Submission, end_of
from jmlp.store.writing import end_run, insert_event, insert_run, set_points
from jmlp.study.rules import plain
from jmlp.system.files import (
    flush_folder,
    is_forbidden,
    is_there,
    names,
    remove_leftovers,
)
from jmlp.training.records import CohortState, RunResult

__all__ = ["Problem", "Rebuilt", "check", "rebuild"]

_TEMPORARY = ".rebuild-"


@dataclass(frozen=True)
class Rebuilt:
    """What a database was rebuilt from."""

    n_runs: int  # completed runs
    n_checkpoints: int  # cohorts that can be resumed
    refused: list[str]  # what could not be used, and why
    moved: Path | None  # where the previous database is now; None if there was none


@dataclass(frozen=True)
class _Ended:
    """A completed run, read from its file."""

    result: RunResult
    about: Mapping[str, Any]
    at: int  # when it ended; UTC, milliseconds


@dataclass(frozen=True)
class _Study:
    """A study, and when it was submitted."""

    submission: Submission
    at: int  # UTC, milliseconds
    whole: bool  # all its runs are known, and not only the completed ones


def rebuild(folder: Path) -> Rebuilt:
    """Recreates the database; keeps an unchanged copy of the existing one next to it.

    All completed runs are restored from their files, with costs, events and studies; studies and
    their queues from the files of submissions; tags from their file, and from the database if it
    can be read. For runs in training, the cost points up to the last checkpoint are restored.
    Events of studies are not restored, except their submissions.

    Args:
        folder: the store's folder.

    Raises:
        StoreError: there is no store, a worker is using it, something in it cannot be read, or the
            database cannot be written. The database is then unchanged.
    """
    check_folder(folder)
    with _store_lock(folder):
        refused: list[str] = []

        def refuse(error: JmlpError) -> None:
            if is_forbidden(error):
                raise StoreError(f"{error}; nothing was changed: make it readable for you first")
            refused.append(str(error))

        remove_leftovers(folder)
        for name in names(folder):  # left by a rebuild that was killed
            if name.startswith(_TEMPORARY):
                shutil.rmtree(folder / name, ignore_errors=True)
        removed = removals.pending(folder)
        ended = [run for run in _ended(folder, refuse) if run.result.run_id not in removed]
        in_training = newest_checkpoints(folder, refuse)
        submissions.paths(folder)
        moved = None

        def fill(connection: sqlite3.Connection, tags: Collection[tuple[str, str]] = ()) -> None:
            # Other processes could submit and tag until this transaction began; now they wait.
            del refused[n_refused:]
            removals.leave_out(folder, removed)
            _fill(connection, _studies(folder, ended, refuse), ended)
            _restore_points(connection, in_training)
            _restore_tags(connection, folder, tags, removed, refuse)

        n_refused = len(refused)
        is_new = not is_there(folder / NAME)
        try:
            moved = _refill(folder, fill)
        except DamagedError:
            moved = _replace(folder, fill)
        if removals.is_pending(folder):
            removals.finish(folder, removed)
    return Rebuilt(len(ended), len(in_training), refused, None if is_new else moved)


def _refill(
    folder: Path, fill: Callable[[sqlite3.Connection, Collection[tuple[str, str]]], None]
) -> Path:
    """Recreates the rows within the existing database; returns the path of its copy.

    It is one transaction: readers see either the old rows or the new ones, writers wait, and a kill
    leaves the old ones.

    Raises:
        DamagedError: the database is too damaged to be written to; nothing was changed.
    """
    database = Database(folder)
    with contextlib.closing(database):
        for what in database.problems():
            raise DamagedError(database.path, what)
        copy = _backup_path(folder, "before")
        database.keep_all_in_memory()
        with database.transaction() as connection:
            tags = connection.execute(tag_file.OF_DATABASE).fetchall()
            database.copy(copy)
            try:
                # Ids of points and events keep rising, so that viewers get the new rows.
                for table in ("commands", "tags", "links", "points", "events", "runs", "studies"):
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("DELETE FROM sqlite_sequence WHERE name IN ('runs', 'studies')")
                fill(connection, tags)
            except BaseException:
                copy.unlink(missing_ok=True)
                raise
    return copy


def _replace(folder: Path, fill: Callable[[sqlite3.Connection], None]) -> Path:
    """Replaces a damaged database by a new one; returns the new path of the damaged one.

    One of the two is in place at every moment.
    """
    path = folder / NAME
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        with _write_locked(path):
            database = Database(temporary)
            with contextlib.closing(database), database.transaction() as connection:
                fill(connection)
            moved = _move_aside(folder)
            (temporary / NAME).replace(path)
            flush_folder(folder)
    except OSError as error:
        raise StoreError(f"{path}: cannot be replaced: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return moved


@contextlib.contextmanager
def _write_locked(path: Path) -> Iterator[None]:
    """Keeps others from writing to a damaged database, if SQLite can still open it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def _store_lock(folder: Path) -> Iterator[None]:
    """Holds the store's lock, so that no worker writes to the database while it is moved."""
    lock = Lock(folder)
    if not lock.acquire():
        owner = lock.owner()
        who = owner.process if owner else "another process"
        raise StoreError(f"{lock.path}: a worker ({who}) is using this store; stop it first")
    try:
        yield
    finally:
        lock.release()


def _ended(folder: Path, refuse: Callable[[JmlpError], None]) -> list[_Ended]:
    """All completed runs without their arrays, in the order in which they ended."""
    ended = []
    for path, found in read_runs(folder, run_files.paths(folder)):
        if isinstance(found, CheckpointError):
            refuse(found)
            continue
        at = found.about["ended_at"]
        if at is None:
            at = path.stat().st_mtime_ns // 1_000_000
        ended.append(_Ended(found.result, found.about, at))
    return sorted(ended, key=lambda run: run.at)


def _studies(
    folder: Path, ended: Sequence[_Ended], refuse: Callable[[JmlpError], None]
) -> list[_Study]:
    """All studies, in order of submission."""
    studies = {}
    for path in submissions.paths(folder):
        try:
            submission, at = submissions.read(path)
        except StoreError as error:
            refuse(error)
        else:
            studies[submission.label] = _Study(submission, at, whole=True)
    for label in {link["label"] for run in ended for link in run.about["studies"]}:
        if label not in studies:
            studies[label] = _from_links(label, ended)
    return sorted(studies.values(), key=lambda study: (study.at, study.submission.label))


def _from_links(label: str, ended: Sequence[_Ended]) -> _Study:
    """A study whose own file is missing: the latest one of this label, with its completed runs."""
    from jmlp.training.plan import Run

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
    fields = ("label", "name", "toml", "data", "command", "hardware")
    submission = Submission(runs=runs, **{name: latest[name] for name in fields})
    return _Study(submission, latest["submitted_at"], whole=False)


def _fill(
    connection: sqlite3.Connection, studies: Sequence[_Study], ended: Sequence[_Ended]
) -> None:
    """Inserts the studies with their queues, then the completed runs, then the studies' states."""
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
            values = (event["study"], run_id, event["kind"], event["step"], event["detail"])
            insert_event(connection, event["at"], *values)
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


def _restore_points(connection: sqlite3.Connection, in_training: Sequence[CohortState]) -> None:
    """Inserts the cost points of unfinished runs, up to their checkpoints."""
    for state in in_training:
        for run_id, costs in zip(state.run_ids, state.costs, strict=True):
            found = connection.execute(
                "SELECT number FROM runs WHERE run_id = ? AND record IS NULL", (run_id,)
            ).fetchone()
            if found is not None:
                set_points(connection, found[0], costs)


def _restore_tags(
    connection: sqlite3.Connection,
    folder: Path,
    known: Collection[tuple[str, str]],
    removed: Collection[str],
    refuse: Callable[[JmlpError], None],
) -> None:
    """Sets the tags in the file and those that the database had, and writes them to the file.

    Both are always written in one transaction, so a tag missing from one of them was lost there, or
    was being changed when its process was killed.
    """
    path = folder / tag_file.NAME
    in_file = None
    try:
        in_file = tag_file.read(folder)
    except StoreError as error:
        refuse(error)
    tags = sorted(pair for pair in {*(in_file or ()), *known} if pair[0] not in removed)
    for run_id, tag in tags:
        number = _number(connection, run_id)
        if number is None:
            what = f"the tag {plain(tag)} of an unknown run: {plain(run_id)}"
            refuse(StoreError(f"{path}: {what}"))
        else:
            connection.execute("INSERT OR IGNORE INTO tags (run, tag) VALUES (?, ?)", (number, tag))
    # A file that could not be used is kept: it may belong to a newer jmlp.
    if in_file is not None and set(tags) != set(in_file):
        tag_file.write(folder, tags)


def _number(connection: sqlite3.Connection, run_id: str) -> int | None:
    found = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if found is None else int(found[0])


def _backup_path(folder: Path, why: str) -> Path:
    return folder / f"{NAME}.{why}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def _move_aside(folder: Path) -> Path:
    """Renames the damaged database within its folder, together with its journal.

    The journal has to be renamed, because SQLite would take it for the new database's journal.
    """
    path, moved = folder / NAME, _backup_path(folder, "damaged")
    try:
        os.link(path, moved)
    except OSError:  # a file system without hard links; there is then no database for a moment
        path.rename(moved)
    for ending in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(f"{moved}{ending}")
    return moved
