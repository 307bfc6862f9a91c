"""Deletion of runs that survives a kill: the runs are listed on disk before any is deleted.

Their rows are deleted in one transaction, their files one after the other. If the process is killed
in between, the next process that changes the store completes the deletion.
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

REMEDY = "remove it, and run jmlp runs rm again"


def begin(folder: Path, run_ids: Sequence[str]) -> None:
    """Records durably that these runs are to be deleted.

    Raises:
        StoreError: it cannot be written, or files of runs or submissions are not accessible.
    """
    submissions.paths(folder)
    for run_id in run_ids:
        is_there(path_of(folder, run_id))
    documents.write(folder / NAME, FORMAT, {"run_ids": list(run_ids)})


def is_pending(folder: Path) -> bool:
    """Whether a deletion of runs has begun and not been completed.

    Raises:
        StoreError: the folder cannot be read.
    """
    return is_there(folder / NAME)


def pending(folder: Path) -> tuple[str, ...]:
    """The runs whose deletion has begun and not been completed.

    Raises:
        StoreError: their list cannot be read.
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
    """Deletes the files of runs whose rows have been deleted, which completes the deletion.

    If a file cannot be rewritten because the disk is full, the next call completes it.

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
    """Removes runs from the files of submissions, from which a rebuild would restore them.

    Raises:
        StoreError: a file cannot be written, or their folder cannot be read.
    """
    gone = set(run_ids)
    for path in submissions.paths(folder):
        try:
            submission, at = submissions.read(path)
        except StoreError:
            continue  # an unreadable file restores nothing
        kept = [run for run in submission.runs if run.run_id not in gone]
        if len(kept) < len(submission.runs):
            submissions.write(folder, replace(submission, runs=kept), at)


def cancel(folder: Path) -> None:
    """Cancels a deletion of which nothing has been deleted yet."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def _unlink(path: Path) -> None:
    try:
        if is_there(path):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error
