"""Whether everything in a store is whole, and one part says what the other says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jmlp import sealed
from jmlp.errors import CheckpointError, JmlpError, StoreError
from jmlp.records import run_table
from jmlp.results import CohortState, RunResult
from jmlp.store import checkpoints, run_files, submissions, tag_file
from jmlp.store.database import NAME, REMEDY, DamagedError
from jmlp.store.rows import point_values
from jmlp.store.store import Store

CHECKPOINTS = "checkpoints"

_TRAIN_AGAIN = "remove the run (jmlp runs rm); its study then trains it again"
_GO_BACK = "do nothing: its study goes on from the one before it, or trains the cohort anew"
_SUBMIT_AGAIN = "give the study's command again: it writes the file anew"
_TAG_AGAIN = "tag or untag any run: it writes the file anew"


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    path: Path
    what: str
    remedy: str


def check(folder: Path) -> list[Problem]:
    """Looks at every part of a store, to the last bit, and changes nothing.

    Args:
        folder: of the store. What a worker is just writing may be told as a problem.

    Raises:
        StoreError: there is no store, or its database is none that this jmlp can look at.
    """
    if not folder.is_dir():
        raise StoreError(f"there is no store at {folder}: run a study first")
    problems: list[Problem] = []
    results = {}
    for path, found in read_runs(folder):
        if isinstance(found, JmlpError):
            problems.append(_problem(path, found, _TRAIN_AGAIN))
        else:
            results[path] = found.result
    problems += _database(folder, results)
    for path in sorted((folder / CHECKPOINTS).glob("*/*.safetensors")):
        try:
            sealed.read(path, checkpoints.FORMAT)
        except CheckpointError as error:
            problems.append(_problem(path, error, _GO_BACK))
    for path in submissions.paths(folder):
        try:
            submissions.read(path)
        except StoreError as error:
            problems.append(_problem(path, error, _SUBMIT_AGAIN))
    try:
        tag_file.read(folder)
    except StoreError as error:
        problems.append(_problem(folder / tag_file.NAME, error, _TAG_AGAIN))
    return problems


def read_runs(folder: Path) -> Iterator[tuple[Path, run_files.StoredRun | CheckpointError]]:
    """The file of every run that ended, one after the other, or what is wrong with it."""
    for path in sorted((folder / "runs").glob("*.safetensors")):
        try:
            stored = run_files.read(path)
            if run_files.path_of(folder, stored.result.run_id) != path:
                raise CheckpointError(f"{path}: is of the run {stored.result.run_id}")
        except CheckpointError as error:
            yield path, error
        else:
            yield path, stored


def newest_checkpoints(folder: Path, refused: list[str]) -> list[CohortState]:
    """Where each cohort in training can go on.

    Args:
        folder: of the store.
        refused: takes up what is wrong with newer checkpoints.
    """
    stored = checkpoints.Checkpoints(folder / CHECKPOINTS)
    states = []
    for key in stored.keys():  # noqa: SIM118 - a method of its own, not a dict's
        messages: list[str] = []
        for path in sorted((stored.folder / key).glob("*.safetensors"), reverse=True):
            try:
                about = sealed.read_about(path, checkpoints.FORMAT)
                state, messages = stored.load(key, {"must": about.get("must", {})})
            except CheckpointError as error:
                messages = [str(error)]
                continue
            if state is not None:
                states.append(state)
                break
        refused += messages
    return states


def _database(folder: Path, results: dict[Path, RunResult]) -> Iterator[Problem]:
    """What is wrong with the database, or in it, against the files that are whole."""
    path = folder / NAME
    if not path.exists():
        yield Problem(path, "is missing", REMEDY)
        return
    try:
        with Store(folder, viewer=True) as store:
            damage = store.damage()
            rows = {run_files.path_of(folder, row.run_id): row for row in store.runs()}
            points = {p: store.points(row.run_id) for p, row in rows.items() if p in results}
    except DamagedError as error:
        yield Problem(path, f"is damaged ({error.what})", REMEDY)
        return
    for what in damage:
        yield Problem(path, f"is damaged ({what})", REMEDY)
    for file, row in rows.items():
        if row.result is None:
            continue  # in the queue again, or about to end
        if not file.exists():
            yield Problem(file, "is missing: the database says that this run ended", _TRAIN_AGAIN)
        elif file in results and (
            run_table(row.result, costs=False) != run_table(results[file], costs=False)
            or [*map(point_values, points[file])] != [*map(point_values, results[file].costs)]
        ):
            yield Problem(file, "says something else of the run than the database", REMEDY)
    for file in results.keys() - rows.keys():
        yield Problem(file, "is of a run that is not in the database", REMEDY)


def _problem(path: Path, error: JmlpError, remedy: str) -> Problem:
    return Problem(path, str(error).removeprefix(f"{path}: "), remedy)
