"""Runs that are being deleted: known on disk before the first of them goes.

Their rows go in one transaction, their files one after the other. Where a kill comes in between,
whoever next changes the store finishes it: nothing comes back, and nothing is left.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, member
from jmlp.store import documents, submissions
from jmlp.store.paths import path_of
from jmlp.store.rows import check_id
from jmlp.system.files import flush_folder, is_there

NAME = "removing.json"
FORMAT = "jmlp-removal-1"

REMEDY = "remove it, and give jmlp runs rm again"


def begin(folder: Path, run_ids: Sequence[str]) -> None:
    """Says durably that these runs are to go.

    Raises:
        StoreError: it cannot be written, or files of runs or submissions cannot be reached.
    """
    submissions.paths(folder)
    for run_id in run_ids:
        is_there(path_of(folder, run_id))
    documents.write(folder / NAME, FORMAT, {"run_ids": list(run_ids)})


def is_pending(folder: Path) -> bool:
    """Whether the deletion of runs has begun and not ended.

    Raises:
        StoreError: the folder cannot be read.
    """
    return is_there(folder / NAME)


def pending(folder: Path) -> tuple[str, ...]:
    """The runs whose deletion has begun and not ended.

    Raises:
        StoreError: it is not known.
    """
    path = folder / NAME
    if not is_there(path):
        return ()
    try:
        content = documents.read(path, FORMAT)
        run_ids = member(content, "run_ids", tuple[str, ...])
        for run_id in run_ids:
            check_id(run_id)
    except UnreadableError as error:
        raise StoreError(f"{path}: cannot be used: {error}; {REMEDY}") from error
    except StoreError as error:
        raise StoreError(f"{error}; {REMEDY}") from error
    return run_ids


def finish(folder: Path, run_ids: Collection[str]) -> None:
    """Deletes the files of runs whose rows are gone; then the deletion has ended.

    What cannot be written for want of space is left to the next one who finishes it.

    Raises:
        StoreError: a file cannot be deleted.
    """
    for run_id in run_ids:
        _unlink(path_of(folder, run_id))
    try:
        leave_out(folder, run_ids)
        if is_there(folder / "runs"):
            flush_folder(folder / "runs")
    except (OSError, StoreError):
        return
    _unlink(folder / NAME)


def leave_out(folder: Path, run_ids: Collection[str]) -> None:
    """Takes runs out of the files of submissions, from which they would come back.

    Raises:
        StoreError: a file cannot be written, or their folder cannot be read.
    """
    gone = set(run_ids)
    for path in submissions.paths(folder):
        try:
            submission, at = submissions.read(path)
        except StoreError:
            continue  # what cannot be read brings nothing back
        left = [run for run in submission.runs if run.run_id not in gone]
        if len(left) < len(submission.runs):
            submissions.write(folder, replace(submission, runs=left), at)


def give_up(folder: Path) -> None:
    """Takes back that runs are to go, when nothing of them is gone."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def _unlink(path: Path) -> None:
    try:
        if is_there(path):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error
