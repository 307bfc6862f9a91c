"""Checks that every part of a store is intact and that the parts agree with each other."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jmlp.errors import CheckpointError, JmlpError, StoreError
from jmlp.results.serialization import NewerError, run_table
from jmlp.store import checkpoints, removals, run_files, submissions, tag_file
from jmlp.store.database import NAME, REMEDY, DamagedError
from jmlp.store.lock import Lock
from jmlp.store.rows import Submission, point_values
from jmlp.store.store import Store
from jmlp.system.files import DanglingLinkError, is_forbidden, is_there, names
from jmlp.training.records import CohortState, RunResult

CHECKPOINTS = "checkpoints"

_TRAIN_AGAIN = "remove the run (jmlp runs rm); its study then trains it again"
_GO_BACK = "do nothing: its study resumes from the one before it, or trains the cohort from scratch"
_SUBMIT_AGAIN = "run the study's command again: it rewrites the file"
_TAG_AGAIN = "tag or untag any run: that rewrites the file"
_KEEP_TAGS = "jmlp store rebuild keeps the tags of both"
_PERMIT = "make it readable for you (chmod, chown), then check again"
_MOUNT = "mount the disk that it points to, or correct the link, then check again"
_NEWER = "leave it as it is, and use the newer jmlp"


@dataclass(frozen=True)
class Problem:
    """A damaged, missing or inconsistent part of a store, and what the user can do about it."""

    path: Path
    what: str
    remedy: str


def check(folder: Path) -> list[Problem]:
    """Checks every part of a store, down to the last bit.

    Changes nothing, except that it completes a deletion of runs that was killed midway.

    Args:
        folder: the store's folder. A file that a worker is writing may be reported as a problem.

    Raises:
        StoreError: there is no store, it cannot be read, or this version of jmlp cannot open its
            database.
    """
    check_folder(folder)
    problems: list[Problem] = []
    _finish_removal(folder, problems)
    results: dict[Path, RunResult] = {}
    files = _listed(partial(run_files.paths, folder), folder / run_files.FOLDER, problems)
    for path, found in read_runs(folder, files or []):
        if isinstance(found, JmlpError):
            problems.append(_problem(path, found, _TRAIN_AGAIN))
        else:
            results[path] = found.result
    submitted, submission_problems = _submissions(folder)
    tags, tag_problem = _tags(folder)
    problems += _database(folder, None if files is None else set(files), results, submitted, tags)
    stored = checkpoints.Checkpoints(folder / CHECKPOINTS)
    for cohort in _listed(stored.folders, stored.folder, problems) or []:
        for path in _listed(partial(stored.generations, cohort.name), cohort, problems) or []:
            try:
                checkpoints.read_state(path)
            except CheckpointError as error:
                problems.append(_problem(path, error, _GO_BACK))
    return [*problems, *submission_problems, *tag_problem]


def check_folder(folder: Path) -> None:
    """Checks that there is a readable store.

    Raises:
        StoreError: there is none, or the system denies access to its folder.
    """
    if not is_there(folder):
        raise StoreError(f"there is no store at {folder}: run a study first")
    names(folder)


def read_runs(
    folder: Path, files: Iterable[Path]
) -> Iterator[tuple[Path, run_files.StoredRun | CheckpointError]]:
    """Yields the content of each completed run's file, or the error that describes its damage."""
    for path in files:
        try:
            stored = run_files.read(path)
            if run_files.path_of(folder, stored.result.run_id) != path:
                raise CheckpointError(f"{path}: belongs to run {stored.result.run_id}")
        except CheckpointError as error:
            yield path, error
        else:
            yield path, stored


def newest_checkpoints(folder: Path, refuse: Callable[[JmlpError], None]) -> list[CohortState]:
    """The newest usable checkpoint of each cohort in training.

    Args:
        folder: the store's folder.
        refuse: called with the error of each newer checkpoint that cannot be used.

    Raises:
        StoreError: a folder cannot be read. Exceptions from `refuse` propagate.
    """
    stored = checkpoints.Checkpoints(folder / CHECKPOINTS)
    states = []
    for key in stored.keys():  # noqa: SIM118 - a method of its own, not a dict's
        for path in reversed(stored.generations(key)):
            try:
                state, _ = checkpoints.read_state(path)
                if checkpoints.key_of(state.run_ids, state.width) != key:
                    raise CheckpointError(f"{path}: belongs to other runs than its folder")
            except CheckpointError as error:
                refuse(error)
            else:
                states.append(state)
                break
    return states


def _finish_removal(folder: Path, problems: list[Problem]) -> None:
    """Completes a deletion of runs that was killed, unless a worker is using the store."""
    path = folder / removals.NAME
    lock = Lock(folder)
    try:
        if not removals.is_pending(folder) or not lock.acquire():
            return  # the process that holds the lock completes it
        with contextlib.suppress(DamagedError), Store(folder) as store:
            store.finish_removal()
    except StoreError as error:
        problems.append(_problem(path, error, removals.REMEDY))
    finally:
        lock.release()


def _listed(
    paths: Callable[[], list[Path]], place: Path, problems: list[Problem]
) -> list[Path] | None:
    """The paths in a folder of a store; None, and a new problem, if it cannot be listed."""
    try:
        return paths()
    except StoreError as error:
        problems.append(_problem(place, error, _PERMIT))
        return None


def _submissions(folder: Path) -> tuple[dict[Path, Submission], list[Problem]]:
    """The submissions whose files are intact, and what is wrong with the others."""
    found: dict[Path, Submission] = {}
    problems: list[Problem] = []
    for path in (
        _listed(partial(submissions.paths, folder), folder / submissions.FOLDER, problems) or []
    ):
        try:
            found[path], _ = submissions.read(path)
        except StoreError as error:
            problems.append(_problem(path, error, _SUBMIT_AGAIN))
    return found, problems


def _tags(folder: Path) -> tuple[set[tuple[str, str]] | None, list[Problem]]:
    """The tags in the tag file; or None, and what is wrong with the file."""
    try:
        return set(tag_file.read(folder)), []
    except StoreError as error:
        return None, [_problem(folder / tag_file.NAME, error, _TAG_AGAIN)]


def _database(
    folder: Path,
    files: Set[Path] | None,
    results: Mapping[Path, RunResult],
    submitted: Mapping[Path, Submission],
    tags: Set[tuple[str, str]] | None,
) -> Iterator[Problem]:
    """What is wrong with the database, and where it disagrees with the intact files.

    Args:
        folder: the store's folder.
        files: the files of runs; None if they could not be listed.
        results: the results from the intact files.
        submitted: the studies whose files are intact.
        tags: the tags in the tag file; None if it cannot be used.
    """
    path = folder / NAME
    if not is_there(path):
        yield Problem(path, "is missing", REMEDY)
        return
    try:
        with Store(folder, viewer=True) as store:
            damage = store.damage()
            labels = {study.label for study in store.studies()}
            links = {label: store.links(label) for label in labels}
            store.events()
            rows = {run_files.path_of(folder, row.run_id): row for row in store.runs()}
            points = {p: store.points(row.run_id) for p, row in rows.items()}
    except DamagedError as error:
        yield Problem(path, f"is damaged ({error.what})", REMEDY)
        return
    for what in damage:
        yield Problem(path, f"is damaged ({what})", REMEDY)
    for file, row in rows.items():
        if row.result is None or files is None:
            continue  # queued again, or about to end
        if file not in files:
            yield Problem(file, "is missing: the database says that this run ended", _TRAIN_AGAIN)
        elif file in results and (
            run_table(row.result, costs=False) != run_table(results[file], costs=False)
            or [*map(point_values, points[file])] != [*map(point_values, results[file].costs)]
        ):
            yield Problem(file, "disagrees with the database about the run", REMEDY)
    for file in results.keys() - rows.keys():
        yield Problem(file, "belongs to a run that is not in the database", REMEDY)
    ids = {row.run_id for row in rows.values()}
    for file, submission in submitted.items():
        if submission.label not in labels:
            # If none of its runs is in the database, the study was never submitted: the process
            # that wrote the file was killed before its commit.
            if any(run.run_id in ids for run in submission.runs):
                yield Problem(file, "belongs to a study that is not in the database", REMEDY)
        elif links[submission.label] != [(r.run_id, r.experiments) for r in submission.runs]:
            yield Problem(file, "disagrees with the database about the study", REMEDY)
    known = {(row.run_id, tag) for row in rows.values() for tag in row.tags}
    if tags is not None and tags != known:
        has_unknown_run = any(run_id not in ids for run_id, _ in tags)
        what = f"{len(tags - known)} tags are not in the database, {len(known - tags)} only there"
        yield Problem(folder / tag_file.NAME, what, _TAG_AGAIN if has_unknown_run else _KEEP_TAGS)


def _problem(path: Path, error: JmlpError, remedy: str) -> Problem:
    what = str(error).removeprefix(f"{path}: ").removesuffix(f"; {remedy}")
    if is_forbidden(error):
        remedy = _MOUNT if isinstance(error.__cause__, DanglingLinkError) else _PERMIT
    if isinstance(error.__cause__, NewerError):
        remedy = _NEWER
    return Problem(path, what, remedy)
