"""Inserts studies into the store, and keeps a file of each for rebuilding the database.

The files of runs record what was trained. Only submissions record which studies were requested, and
with which runs.
"""

import hashlib
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, member, parse
from jmlp.store import documents
from jmlp.store.rows import (
    Submission,
    check_hyperparams,
    check_id,
    check_time,
    check_toml,
    data_from,
    hardware_from,
    to_json,
    validation_fraction,
)
from jmlp.store.schema import SET_STUDY_DIGEST
from jmlp.store.writing import insert_event, insert_run
from jmlp.system.files import names

if TYPE_CHECKING:
    from jmlp.training.plan import Run

FOLDER = "submissions"
FORMAT = "jmlp-submission-1"

_NAME = re.compile(r"[^.].*\.json")

_RESET = (
    "UPDATE runs SET state = 'queued', attempt = attempt + 1, epoch = NULL, step = NULL,"
    " failure = NULL, code = NULL, ended_at = NULL, record = NULL, digest = NULL"
    " WHERE number = ?"
)
_REQUEUE = (
    "UPDATE runs SET state = 'queued', failure = NULL, code = NULL"
    " WHERE number = ? AND state IN ('stopped', 'failed')"
)


def insert(connection: sqlite3.Connection, submission: Submission, at: int) -> None:
    """Inserts a study and its runs into the tables, or puts them back into the queue.

    Args:
        connection: a connection in a transaction.
        submission: the study.
        at: the time of submission; UTC, milliseconds.
    """
    study, is_new = _insert_study(connection, submission, at)
    connection.execute(f"{SET_STUDY_DIGEST} WHERE id = ?", (study,))
    fraction = validation_fraction(submission.toml)
    numbers = [_insert_run(connection, submission, run, fraction) for run in submission.runs]
    connection.execute("DELETE FROM links WHERE study = ?", (study,))
    connection.executemany(
        "INSERT INTO links (study, position, run, experiments) VALUES (?, ?, ?, ?)",
        [
            (study, position, number, to_json(run.experiments))
            for position, (number, run) in enumerate(zip(numbers, submission.runs, strict=True))
        ],
    )
    # A study that another process is training, or has completed, keeps its state.
    connection.execute(
        "UPDATE studies SET state = 'queued', code = NULL, failure = NULL, progress = NULL"
        " WHERE id = ?"
        " AND state <> 'running' AND (state <> 'done' OR EXISTS (SELECT 1 FROM links, runs"
        "  WHERE study = studies.id AND run = number AND record IS NULL))",
        (study,),
    )
    connection.execute(
        "DELETE FROM commands WHERE study IN (SELECT id FROM studies WHERE id = ?"
        " AND state <> 'running')",
        (study,),
    )
    if is_new or submission.fresh:
        insert_event(connection, at, submission.label, None, "submitted", detail=submission.command)


def _insert_study(
    connection: sqlite3.Connection, submission: Submission, at: int
) -> tuple[int, bool]:
    """Inserts or updates a study.

    Returns:
        Its number, and whether the label is new or now names another study.
    """
    label, hardware = submission.label, to_json(submission.hardware)
    found = connection.execute(
        "SELECT id, toml, data FROM studies WHERE label = ?", (label,)
    ).fetchone()
    if found is not None:
        number, toml, data = found
        if toml == submission.toml and _digests(data) == submission.data["digests"]:
            connection.execute(
                "UPDATE studies SET command = ?, hardware = ? WHERE id = ?",
                (submission.command, hardware, number),
            )
            return int(number), False
        connection.execute("DELETE FROM studies WHERE id = ?", (number,))
    cursor = connection.execute(
        "INSERT INTO studies (label, name, toml, data, command, hardware, state, submitted_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?)",
        (
            label,
            submission.name,
            submission.toml,
            to_json(submission.data),
            submission.command,
            hardware,
            at,
        ),
    )
    return int(cursor.lastrowid or 0), True


def _insert_run(
    connection: sqlite3.Connection, submission: Submission, run: "Run", fraction: float
) -> int:
    found = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
    if found is not None:
        (number,) = found
        if submission.fresh:
            connection.execute("DELETE FROM points WHERE run = ?", (number,))
        connection.execute(_RESET if submission.fresh else _REQUEUE, (number,))
        return int(number)
    return insert_run(connection, run, submission.data, fraction)


def _digests(data: str) -> Any:
    """The data's digests in a row; None if it is damaged, which makes it another study."""
    try:
        return data_from({"data": parse(data)})["digests"]
    except UnreadableError:
        return None


# ---- files


def write(folder: Path, submission: Submission, at: int) -> None:
    """Writes the file of a submission, replacing the previous one with the same label.

    Raises:
        StoreError: it cannot be written.
    """
    content = {
        "submitted_at": at,
        "label": submission.label,
        "name": submission.name,
        "toml": submission.toml,
        "data": submission.data,
        "command": submission.command,
        "hardware": submission.hardware,
        "runs": [asdict(run) for run in submission.runs],
    }
    # A label may not be a valid file name.
    name = hashlib.sha256(submission.label.encode()).hexdigest()[:32]
    documents.write(folder / FOLDER / f"{name}.json", FORMAT, content)


def paths(folder: Path) -> list[Path]:
    """The files of all submissions to a store.

    Raises:
        StoreError: their folder cannot be read.
    """
    return [folder / FOLDER / name for name in names(folder / FOLDER) if _NAME.fullmatch(name)]


def read(path: Path) -> tuple[Submission, int]:
    """The submission in a file, and the time at which it was submitted.

    Raises:
        StoreError: the file cannot be read, or was not written by `write`.
    """
    content = documents.read(path, FORMAT)
    try:
        at = member(content, "submitted_at", int)
        check_time(at)
        return _submission(content), at
    except UnreadableError as error:
        raise StoreError(f"{path}: cannot be used: {error}") from error


def _submission(content: Mapping[str, Any]) -> Submission:
    from jmlp.training.plan import Run  # only needed to rebuild a database

    toml = member(content, "toml", str)
    runs = member(content, "runs", tuple[Run, ...])
    if len({run.run_id for run in runs}) < len(runs):
        raise UnreadableError('"runs" lists a run twice')
    for run in runs:
        check_id(run.run_id)
        check_hyperparams(run.hyperparams)
    check_toml(toml)
    return Submission(
        label=member(content, "label", str),
        name=member(content, "name", str),
        toml=toml,
        data=data_from(content),
        command=member(content, "command", str),
        hardware=hardware_from(content),
        runs=runs,
    )
