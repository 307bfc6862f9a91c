"""The read-only queries of a store."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from jmlp.errors import CheckpointError, StoreError
from jmlp.results.serialization import (
    UnreadableError,
    parse,
    progress_from_table,
    read,
    run_from_table,
    run_table,
)
from jmlp.store.database import DamagedError, Database, Row
from jmlp.store.paths import RUN_FORMAT, path_of
from jmlp.store.rows import (
    DIGESTED,
    STUDY_DIGESTED,
    Event,
    RunRow,
    StudyRow,
    check_epoch,
    check_id,
    check_time,
    check_toml,
    data_from,
    hardware_from,
    point_from,
    row_digest,
)
from jmlp.store.states import RUN_STATES, STUDY_STATES
from jmlp.study.config import Hyperparams
from jmlp.study.rules import did_you_mean, plain
from jmlp.system.clock import now
from jmlp.system.files import is_forbidden
from jmlp.training.records import CostPoint, RunResult

_NAMED = 8  # names in a message
_CODES = 256  # exit codes of a process
_CACHE_SIZE = 4096  # runs, each of which takes a few KB

_STUDY_COLUMNS = tuple(field.name for field in fields(StudyRow))
_STUDY = f"SELECT {', '.join(_STUDY_COLUMNS)}, digest FROM studies"
_RUN_COLUMNS = tuple(
    field.name for field in fields(RunRow) if field.name not in ("result", "tags", "studies")
)
_CHECKED = "validation_fraction", "data", "record", "digest"
_RUN = f"SELECT {', '.join(f'runs.{name}' for name in (*_RUN_COLUMNS, *_CHECKED))}"
_LINK = (
    *("label", "name", "toml", "data", "command", "hardware", "submitted_at"),
    *("position", "experiments"),
)
_LINK_JSON = {
    **dict.fromkeys(("data", "hardware"), dict[str, Any]),
    "experiments": tuple[str, ...],
}
_POINT = "SELECT epoch, step, has_batch_cost, costs FROM points"


class Queries:
    """The read-only part of a store's interface."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Queries an open database.

        Args:
            folder: the store's folder.
            database: its open database.
        """
        self.folder = folder
        self._database = database

    def version(self) -> int:
        """A number that changes whenever another process has changed the store."""
        return self._database.version()

    def damage(self) -> list[str]:
        """What is wrong with the database, after a check of the whole file.

        Raises:
            StoreError: it cannot be checked.
        """
        return self._database.problems()

    def studies(self) -> list[StudyRow]:
        """All studies, in order of submission."""
        return [self._study(row) for row in self._database.read(f"{_STUDY} ORDER BY id")]

    def study(self, label: str) -> StudyRow:
        """One study.

        Raises:
            StoreError: there is none with that label; the message suggests similar names.
        """
        found = self._database.read(f"{_STUDY} WHERE label = ?", (label,))
        if not found:
            raise self._no_study(label)
        return self._study(found[0])

    def runs(self, label: str | None = None) -> list[RunRow]:
        """The runs of a study in its plan's order, or all of them in order of submission.

        Raises:
            StoreError: there is no such study.
        """
        with self._database.snapshot():
            if label is None:
                return self._runs("FROM runs ORDER BY number")
            source = "FROM links JOIN runs ON number = run WHERE study = ? ORDER BY position"
            return self._runs(source, self.study(label).id)

    def run(self, run_id: str) -> RunRow:
        """One run.

        Raises:
            StoreError: there is none with that id.
        """
        with self._database.snapshot():
            return self._runs("FROM runs WHERE number = ?", self._number(run_id))[0]

    def points(self, run_id: str) -> tuple[CostPoint, ...]:
        """The cost points of a run, in order of epochs.

        Raises:
            StoreError: there is no such run.
        """
        with self._database.snapshot():
            number = self._number(run_id)
            rows = self._database.read(f"{_POINT} WHERE run = ? ORDER BY epoch", (number,))
        with self._reading("costs"):
            return tuple(point_from(*row) for row in rows)

    def new_points(self, label: str, after: int) -> tuple[int, list[tuple[str, CostPoint]]]:
        """The points recorded for a study's runs since the call that returned `after` (0 at first).

        Returns:
            The `after` to pass next time; and pairs of run id and point, in order of writing. A
            point replaces an earlier one of the same run and epoch.

        Raises:
            StoreError: there is no such study.
        """
        with self._database.snapshot():
            rows = self._database.read(
                "SELECT points.id, run_id, points.epoch, points.step, has_batch_cost, costs"
                " FROM points JOIN links USING (run) JOIN runs ON number = run"
                " WHERE study = ? AND points.id > ? ORDER BY points.id",
                (self.study(label).id, after),
            )
        last = rows[-1][0] if rows else after
        with self._reading("costs"):
            return last, [(run_id, point_from(*point)) for _, run_id, *point in rows]

    def links(self, label: str) -> list[tuple[str, tuple[str, ...]]]:
        """The ids of a study's runs with their experiments, in its plan's order."""
        rows = self._database.read(
            "SELECT run_id, experiments FROM links JOIN studies ON study = id"
            " JOIN runs ON number = run WHERE label = ? ORDER BY position",
            (label,),
        )
        what = "the experiments of a run"
        return [(run_id, self._json(tuple[str, ...], text, what)) for run_id, text in rows]

    def last_point(self) -> int:
        """The `after` with which `new_points` returns only what is recorded from now on."""
        return int(self._database.read("SELECT coalesce(max(id), 0) FROM points")[0][0])

    def counts(self, label: str) -> tuple[int, int]:
        """How many runs of a study have ended with a result, and how many runs it has.

        Raises:
            StoreError: there is no such study.
        """
        ((done, all_runs),) = self._database.read(
            "SELECT count(record), count(*) FROM links JOIN runs ON number = run WHERE study = ?",
            (self.study(label).id,),
        )
        return int(done), int(all_runs)

    def results(self, label: str) -> list[RunResult]:
        """The completed runs of a study in its plan's order, with costs but without parameters.

        Raises:
            StoreError: there is no such study, a record is damaged, or a run's file disagrees with
                its record.
        """
        with self._database.snapshot():
            study = self.study(label).id
            rows = self._database.read(
                f"SELECT {', '.join(f'runs.{name}' for name in DIGESTED)}, digest, number,"
                " experiments FROM links JOIN runs ON number = run"
                " WHERE study = ? AND record IS NOT NULL ORDER BY position",
                (study,),
            )
            points = self._database.read(
                "SELECT run, epoch, step, has_batch_cost, costs FROM points JOIN links USING (run)"
                " WHERE study = ? ORDER BY run, epoch",
                (study,),
            )
        costs: dict[int, list[CostPoint]] = defaultdict(list)
        with self._reading("costs"):
            for number, *point in points:
                costs[number].append(point_from(*point))
        results = []
        for *values, digest, number, experiments in rows:
            result = self._result(dict(zip(DIGESTED, values, strict=True)), digest)
            self.confirm(result)
            what = "the experiments of a run"
            of_study = self._json(tuple[str, ...], experiments, what)
            results.append(replace(result, costs=tuple(costs[number]), experiments=of_study))
        return results

    def confirm(self, result: RunResult) -> None:
        """Checks that a run's file has the same result, and as many cost points as the database.

        Reads only the header of the file; a missing or damaged file is ignored.

        Args:
            result: the result in the database.

        Raises:
            StoreError: they disagree, or the system denies access to the file.
        """
        from jmlp.results import tensor_files

        path = path_of(self.folder, result.run_id)
        try:
            outline, about = tensor_files.read_outline(path, RUN_FORMAT)
            of_file = run_from_table(about.get("run"), costs=False)
        except UnreadableError:
            return
        except CheckpointError as error:
            if is_forbidden(error):
                raise StoreError(str(error)) from error
            return
        ((n_points,),) = self._database.read(
            "SELECT count(*) FROM points JOIN runs ON number = run WHERE run_id = ?",
            (result.run_id,),
        )
        epochs = outline.get("costs.epoch")
        if (
            run_table(of_file, costs=False) != run_table(result, costs=False)
            or epochs is None
            or epochs.shape != (n_points,)
        ):
            raise StoreError(
                f"run {result.run_id[:8]}: the database disagrees with {path}; jmlp store check "
                "finds all differences, and jmlp store rebuild recreates the database from the "
                "files"
            )

    def events(
        self, label: str | None = None, run_id: str | None = None, after: int = 0
    ) -> list[Event]:
        """The events after the one with the id `after`, in order.

        Args:
            label: only events of this study.
            run_id: only events of this run.
            after: an event's id.
        """
        rows = self._database.read(
            "SELECT id, at, study, run_id, kind, step, detail FROM events WHERE id > ?1"
            " AND (?2 IS NULL OR study = ?2) AND (?3 IS NULL OR run_id = ?3) ORDER BY id",
            (after, label, run_id),
        )
        with self._reading("events"):
            for _, at, *_ in rows:
                check_time(at)
        return [Event(*row) for row in rows]

    def about_run(self, run_id: str) -> dict[str, Any]:
        """What the file of a run contains besides its result, as arguments of `run_files.write`.

        Raises:
            StoreError: there is no such run.
        """
        with self._database.snapshot():
            number = self._number(run_id)
            ((data, fraction, attempt, ended_at),) = self._database.read(
                "SELECT data, validation_fraction, attempt, ended_at FROM runs WHERE number = ?",
                (number,),
            )
            studies = self._database.read(
                f"SELECT {', '.join(_LINK)} FROM links JOIN studies ON study = id"
                " WHERE run = ? ORDER BY id",
                (number,),
            )
            events = self.events(run_id=run_id)
        return {
            "data": self._json(dict[str, Any], data, "the data of a run"),
            "validation_fraction": fraction,
            "attempt": attempt,
            "ended_at": now() if ended_at is None else ended_at,
            "events": [
                {"at": e.at, "study": e.study, "kind": e.kind, "step": e.step, "detail": e.detail}
                for e in events
            ],
            "studies": [
                {
                    name: self._json(_LINK_JSON[name], value, f"{name} of a study")
                    if name in _LINK_JSON
                    else value
                    for name, value in zip(_LINK, row, strict=True)
                }
                for row in studies
            ],
        }

    # ---- parts

    def _runs(self, source: str, *values: Any) -> list[RunRow]:
        rows = self._database.read(f"{_RUN} {source}", values)
        numbers = {row[0] for row in rows}
        tags: Mapping[int, list[str]] = defaultdict(list)
        for number, tag in self._database.read("SELECT run, tag FROM tags ORDER BY tag"):
            if number in numbers:
                tags[number].append(tag)
        labels: Mapping[int, list[str]] = defaultdict(list)
        for number, label in self._database.read(
            "SELECT run, label FROM links JOIN studies ON study = id ORDER BY id"
        ):
            if number in numbers:
                labels[number].append(label)
        return [self._run(row, tags[row[0]], labels[row[0]]) for row in rows]

    def _run(self, row: Row, tags: Sequence[str], labels: Sequence[str]) -> RunRow:
        values: dict[str, Any] = dict(zip((*_RUN_COLUMNS, *_CHECKED), row, strict=True))
        digest = values.pop("digest")
        result = None if values["record"] is None else self._result(values, digest)
        for name in ("validation_fraction", "data", "record"):
            del values[name]
        with self._reading(f"run {values['run_id'][:8]}"):
            check_id(values["run_id"])
            values["hyperparams"] = _hyperparams(values["hyperparams"])
            _check_state(values["state"], RUN_STATES)
            check_time(values["ended_at"])
            check_epoch(values["epoch"])
            _check_code(values["code"])
        return RunRow(**values, result=result, tags=tuple(tags), studies=tuple(labels))

    def _result(self, values: Mapping[str, Any], digest: str | None) -> RunResult:
        """The record of a run; raises DamagedError if its row has changed since it was written."""
        with self._reading(f"run {values['run_id'][:8]}"):
            return _ended(digest, *(values[name] for name in DIGESTED))

    def _study(self, row: Row) -> StudyRow:
        *columns, digest = row
        values: dict[str, Any] = dict(zip(_STUDY_COLUMNS, columns, strict=True))
        with self._reading(f"study {plain(values['label'])}"):
            if digest != row_digest(*(values[name] for name in STUDY_DIGESTED)):
                raise UnreadableError("its row is not the one that was written")
            for name in ("data", "hardware", "progress"):
                values[name] = {} if values[name] is None else parse(values[name])
            values["data"], values["hardware"] = data_from(values), hardware_from(values)
            values["progress"] = progress_from_table(values["progress"])
            _check_state(values["state"], STUDY_STATES)
            check_time(values["submitted_at"])
            _check_code(values["code"])
            check_toml(values["toml"])
        return StudyRow(**values)

    def _json(self, kind: Any, text: str, what: str) -> Any:
        with self._reading(what):
            return read(kind, parse(text))

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turns an unreadable value in a row into DamagedError."""
        try:
            yield
        except UnreadableError as error:
            raise DamagedError(self._database.path, f"{what}: {error}") from error

    def _number(self, run_id: str) -> int:
        found = self._database.read("SELECT number FROM runs WHERE run_id = ?", (run_id,))
        if not found:
            raise StoreError(f"{plain(run_id)}: there is no such run in {self.folder}")
        return int(found[0][0])

    def _no_study(self, label: str) -> StoreError:
        labels = [plain(row[0]) for row in self._database.read("SELECT label FROM studies")]
        return StoreError(
            f"{plain(label)}: there is no study of that name in {self.folder}"
            f"{did_you_mean(label, labels)}; {named('studies', labels)}"
        )


# Viewers read the same runs again and again: equal texts are parsed only once.
@lru_cache(maxsize=_CACHE_SIZE)
def _ended(digest: str | None, *values: Any) -> RunResult:
    if digest != row_digest(*values):
        raise UnreadableError("its row is not the one that was written")
    row = dict(zip(DIGESTED, values, strict=True))
    result = run_from_table(parse(row["record"]), costs=False)
    if result.run_id != row["run_id"] or result.status != row["state"]:
        raise UnreadableError("its record belongs to another run, or has another state")
    return result


@lru_cache(maxsize=_CACHE_SIZE)
def _hyperparams(text: str) -> Hyperparams:
    return read(Hyperparams, parse(text), "hyperparams")


def _check_state(state: str, states: Sequence[str]) -> None:
    if state not in states:
        raise UnreadableError(f"its state is {plain(state)}")


def _check_code(code: int | None) -> None:
    if code is not None and not 0 <= code < _CODES:
        raise UnreadableError(f"its exit code is {code}")


def named(what: str, names: Sequence[str]) -> str:
    """`studies: a, b`, with the first `_NAMED` names and the number of the others."""
    left_out = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}: {', '.join(names[:_NAMED]) or 'none'}{left_out}"
