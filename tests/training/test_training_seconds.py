"""How long a run was in training: on a clock that a test moves, so that every second is known."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import pytest
from helpers import SMALL_DATA, experiment, plan, results

from jmlp.results.serialization import run_from_table, run_table
from jmlp.training import eta, group_training, program
from jmlp.training.engine import Training
from jmlp.training.eta import LONGEST_CHUNK, Tracker
from jmlp.training.plan import Cohort
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
    monkeypatch.setattr(Tracker, "trained_seconds", 0.0)  # which reads them too
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
    assert now[0] == 186
    assert tracker.idle == pytest.approx(3 * (60 - LONGEST_CHUNK))  # a chunk may be running
    assert tracker.worked == pytest.approx(6 + 3 * LONGEST_CHUNK)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the tracker reads, 1/100 s later each time."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(eta, "time", SimpleNamespace(monotonic=monotonic))
    return now


def test_a_pause_of_the_consumer_is_no_training(clock: list[float]) -> None:
    found: list[RunResult] = []
    for record in Training(SWEEP, SMALL_DATA):
        found += record.results
        clock[0] += 1000
    assert len(found) == 3
    for run in found:
        # What a chunk may take between two records is counted, since one may be running.
        assert run.training_seconds is not None
        assert 0.01 < run.training_seconds < 10


def test_copying_the_state_is_part_of_the_training(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    get = jax.device_get

    def slowly(tree: Any) -> Any:
        if copying:
            clock[0] += 50
        return get(tree)

    copying = False
    monkeypatch.setattr(jax, "device_get", slowly)
    training = Training(SWEEP, SMALL_DATA)
    found: list[RunResult] = []
    for record in training:
        found += record.results
        if any(point.epoch == 1 for point in record.points.values()):
            copying = True
            assert training.copies()
            copying = False
    for run in found:
        assert run.training_seconds is not None
        assert 50 < run.training_seconds < 60


def test_a_cohort_that_waited_for_a_slot_has_only_the_seconds_of_its_own_training(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    finals = program.finals

    def slowly(*arguments: Any) -> Any:
        clock[0] += 1000
        return finals(*arguments)

    monkeypatch.setattr(program, "finals", slowly)
    five = plan(experiment(seeds=range(5), epochs=1, patience=None))  # and four slots
    found = results(Training(five, SMALL_DATA, jax.devices()[:1]))
    seconds = {run.seed: run.training_seconds for run in found}
    assert len(seconds) == 5
    assert all(s is not None and s < 1000 for s in seconds.values())


def test_a_cohort_that_waits_for_others_to_reach_its_step_is_not_in_training(
    work: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    del work
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 4)
    two = plan(experiment(seeds=(0, 1), epochs=1, patience=None))
    training = Training(two, SMALL_DATA, jax.devices()[:1])
    copies = []
    for _ in training:
        copies = [copy for copy in training.copies() if copy.step == 4]
        if copies:
            break
    assert len(copies) == 2

    def seconds(*resumed: CohortState) -> float | None:
        saved = {copy.run_ids: replace(copy, seconds=(0.0,)) for copy in resumed}

        def load(cohort: Cohort, width: int) -> CohortState | None:
            return saved.get(tuple(run.run_id for run in cohort.runs))

        found = results(Training(two, SMALL_DATA, jax.devices()[:1], saved=load))
        first = {run.run_id: run.training_seconds for run in found}
        return first[copies[0].run_ids[0]]

    # Beside another at the same step, and beside one that begins.
    assert seconds(*copies) == seconds(copies[0]) is not None


def test_a_file_of_an_earlier_version_has_no_seconds() -> None:
    (run, *_) = results(Training(SWEEP, SMALL_DATA))
    assert run.training_seconds is not None
    table = run_table(run)
    assert run_from_table(table).training_seconds == run.training_seconds
    del table["training_seconds"]
    assert run_from_table(table).training_seconds is None
