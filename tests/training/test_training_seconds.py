"""How long a run was in training: on a clock that a test moves, so that every second is known."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from helpers import SMALL_DATA, experiment, plan, results

from jmlp.results.serialization import run_from_table, run_table
from jmlp.training import group_training
from jmlp.training.engine import Training
from jmlp.training.eta import Tracker
from jmlp.training.records import CohortState, Progress, RunResult

# Three lanes that end after 2, 3 and 5 epochs.
SWEEP = plan(experiment({"epochs": (2, 3, 5)}, patience=None))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of work, one more each time that they are read."""
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))  # an epoch is one chunk
    worked = [0.0]

    def read(tracker: Tracker) -> float:
        worked[0] += 1
        return worked[0]

    monkeypatch.setattr(Tracker, "worked", property(read))
    monkeypatch.setattr(Tracker, "remaining", lambda self: None)  # which reads them too
    return worked


def by_epochs(found: list[RunResult]) -> dict[int, float | None]:
    return {run.hyperparams.epochs: run.training_seconds for run in found}


def test_a_run_is_in_training_until_it_stops_and_not_as_long_as_its_cohort(
    work: list[float],
) -> None:
    del work
    seconds = by_epochs(results(Training(SWEEP, SMALL_DATA)))
    counted = [seconds[epochs] for epochs in (2, 3, 5)]
    assert None not in counted
    assert counted == sorted(set(counted))  # type: ignore[type-var]
    one_epoch = counted[1] - counted[0]  # type: ignore[operator]
    assert counted[2] - counted[1] == 2 * one_epoch  # type: ignore[operator]


def test_compiling_is_no_training(work: list[float]) -> None:
    training = Training(SWEEP, SMALL_DATA)
    records = iter(training)
    for record in records:
        if record.phase == "compiling":
            work[0] += 1000
        else:
            break
    found = results(records)
    assert all(run.training_seconds < 1000 for run in found)  # type: ignore[operator]


def test_seconds_are_counted_on_when_a_cohort_resumes(work: list[float]) -> None:
    del work
    whole = by_epochs(results(Training(SWEEP, SMALL_DATA)))
    training = Training(SWEEP, SMALL_DATA)
    copy: CohortState | None = None
    for record in training:
        if any(point.epoch == 2 for point in record.points.values()):
            (copy,) = training.copies()
            break
    assert copy is not None
    assert copy.seconds is not None
    before = dict(zip((2, 3, 5), copy.seconds, strict=True))
    saved = replace(copy, seconds=tuple(100.0 + s for s in copy.seconds))
    resumed = by_epochs(results(Training(SWEEP, SMALL_DATA, saved=lambda cohort, width: saved)))
    assert resumed[2] == 100 + before[2]  # it had stopped
    assert before[2] == whole[2]
    for epochs in (3, 5):
        assert resumed[epochs] > 100 + before[epochs]  # type: ignore[operator]


def test_a_run_resumed_from_a_copy_without_seconds_has_none() -> None:
    training = Training(SWEEP, SMALL_DATA)
    for record in training:
        if any(point.epoch == 1 for point in record.points.values()):
            (copy,) = training.copies()
            break
    saved = replace(copy, seconds=None)
    found = results(Training(SWEEP, SMALL_DATA, saved=lambda cohort, width: saved))
    assert by_epochs(found) == {2: None, 3: None, 5: None}


def test_time_between_two_records_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tracker = Tracker(SWEEP)

    def records() -> Iterator[Progress]:
        for _ in range(3):
            now[0] += 2
            yield Progress()

    for _ in tracker.timed(records()):  # type: ignore[arg-type]
        now[0] += 60  # a pause
    assert (tracker.worked, tracker.idle, now[0]) == (6, 180, 186)


def test_a_file_of_an_earlier_version_has_no_seconds() -> None:
    (run, *_) = results(Training(SWEEP, SMALL_DATA))
    assert run.training_seconds is not None
    table = run_table(run)
    assert run_from_table(table).training_seconds == run.training_seconds
    del table["training_seconds"]
    assert run_from_table(table).training_seconds is None
