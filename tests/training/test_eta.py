"""How far a plan is, and the time that is left."""

import time

import pytest
from helpers import experiment, plan, progress, results

from jmlp.training.eta import Tracker, planned_work

# Two groups, 166 training examples, batches of 16 and 83; three cohorts and one.
PLAN = plan(
    experiment(seeds=(0, 1, 2), epochs=4, name="first"),
    experiment(batch_size=83, epochs=8, name="second"),
)
# The work of an epoch: its examples, its steps, and a third of the examples evaluated.
EPOCH = 166 + 10 * 100 + (166 + 42) / 3
EPOCH_2 = 166 + 2 * 100 + (166 + 42) / 3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def begun(made: Tracker, clock: list[float], seconds: float = 0) -> Tracker:
    """The tracker after its first group was compiled, which took so many seconds."""
    made.begin(1)
    clock[0] += seconds
    made.compiled()
    return made


def test_there_is_no_estimate_before_anything_was_done(clock: list[float]) -> None:
    made = Tracker(PLAN)
    made.begin(1)
    clock[0] += 5
    record = made.progress("compiling")
    assert (record.remaining, record.elapsed, record.epoch, record.share) == (None, 5, 0, 0)
    assert (record.group, record.n_groups, record.runs_done, record.n_runs) == (1, 2, 0, 4)
    assert (record.examples_per_second, record.runs_per_minute) == (None, None)


def test_time_left_is_hand_computed_from_the_limit_and_then_from_what_others_took(
    clock: list[float],
) -> None:
    made = begun(Tracker(PLAN), clock)
    clock[0] += 10
    made.measured([2, 1])
    # Of 4 epochs each: 2 + 3 of those in training, 4 of the one that waits; 8 of the other group.
    to_do = 9 * EPOCH + 8 * EPOCH_2
    assert made.progress("training").remaining == pytest.approx(10 * to_do / (3 * EPOCH))
    assert made.progress("training").epoch == 2

    made.finished(1, evaluation=3)
    made.measured([2])
    # Now 3 epochs are expected everywhere: 1 and 3 here, 3 there; 3 + 2 are done.
    to_do = 4 * EPOCH + 3 * EPOCH_2
    record = made.progress("training")
    assert record.remaining == pytest.approx(10 * to_do / (5 * EPOCH))
    assert (record.runs_done, made.progress("finished").remaining) == (1, 0)


def test_compiling_slows_no_training_and_each_group_to_come_takes_as_long(
    clock: list[float],
) -> None:
    made = begun(Tracker(PLAN), clock, seconds=7)
    clock[0] += 10
    made.measured([2, 1])
    training = 10 * (9 * EPOCH + 8 * EPOCH_2) / (3 * EPOCH)
    assert made.progress("training").remaining == pytest.approx(training + 7)
    for _ in range(3):
        made.finished(1, evaluation=4)
    made.begin(2)
    clock[0] += 2
    training = 10 * 4 * EPOCH_2 / (12 * EPOCH)
    assert made.progress("compiling").remaining == pytest.approx(training + 7 - 2)
    clock[0] += 20  # longer than the first one
    assert made.progress("compiling").remaining == pytest.approx(training)


def test_chunks_within_an_epoch_are_work_done(clock: list[float]) -> None:
    made = begun(Tracker(plan(experiment(epochs=4, patience=None))), clock)
    made.measured([1])
    clock[0] += 5
    made.trained(step=5, examples=80)  # of ten steps
    record = made.progress("training")
    assert record.remaining == pytest.approx(5 * 2.5 / 1.5)
    assert record.share == pytest.approx(1.5 / 4)
    assert record.epoch == 1
    made.measured([2])
    assert made.progress("training").share == 0.5


def test_the_share_of_work_counts_what_was_done_before_and_is_1_only_at_the_end(
    clock: list[float],
) -> None:
    made = Tracker(PLAN)
    made.begin(1)
    made.resumed(2, step=5)
    made.measured([2])
    made.trained(step=5, examples=0)
    # The same for all: of twelve epochs here and eight there.
    expected = 2.5 * EPOCH / (12 * EPOCH + 8 * EPOCH_2)
    assert made.progress("compiling").share == pytest.approx(expected)
    for evaluation in (4, 4, 4):
        made.finished(1, evaluation)
    made.measured([])
    made.begin(2)
    made.measured([7])
    assert 0.9 < (made.progress("training").share or 0) < 1
    made.measured([8])
    assert 0.9 < (made.progress("training").share or 0) < 1
    made.finished(1, evaluation=8)
    assert made.progress("training").share == 1


def test_the_share_of_work_does_not_fall_when_more_is_expected(clock: list[float]) -> None:
    made = begun(Tracker(plan(experiment(seeds=range(10), epochs=9))), clock)
    made.finished(1, evaluation=1)
    assert made.progress("training").share == pytest.approx(1 / 10)
    made.measured([9])
    before = made.progress("training").share
    assert before == pytest.approx(10 / (10 + 1 + 8))
    made.finished(1, evaluation=9)  # so 5 epochs are expected instead of 1
    assert made.progress("training").share == before


def test_speed_is_that_of_the_last_seconds_of_training(clock: list[float]) -> None:
    made = begun(Tracker(PLAN), clock, seconds=30)
    for step in range(1, 9):
        clock[0] += 0.5
        made.trained(step, examples=50)
        speed = made.progress("training").examples_per_second
        assert speed == (100 if step >= 2 else None)  # after a second
    made.begin(2)
    clock[0] += 100
    made.compiled()
    for step in range(1, 21):
        clock[0] += 1
        made.trained(step, examples=300)
    assert made.progress("training").examples_per_second == 300


def test_runs_are_counted_by_the_time_in_training(clock: list[float]) -> None:
    (ended,) = results(progress(experiment(epochs=1)))
    made = begun(Tracker(PLAN), clock, seconds=30)
    clock[0] += 20
    assert made.progress("training", results=(ended, ended)).runs_per_minute == 2 / 20 * 60
    made.begin(2)
    clock[0] += 100
    made.compiled()
    clock[0] += 20
    assert made.progress("training").runs_per_minute == 2 / 40 * 60


def test_a_phase_begins_with_its_first_record_in_each_group(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [5_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: at[0])
    made = Tracker(PLAN)
    found = []
    for group in (1, 2):
        made.begin(group)
        for phase in ("compiling", "compiling", "training", "training"):
            record = made.progress(phase)
            found.append((record.phase_began, record.at))
            at[0] += 1_000_000
    began = [began for began, _ in found]
    assert began == [5, 5, 7, 7, 9, 9, 11, 11]
    assert [at for _, at in found] == list(range(5, 13))


def test_cohorts_that_end_together_are_not_counted_twice(clock: list[float]) -> None:
    made = begun(Tracker(PLAN), clock)
    made.measured([4, 4])
    clock[0] += 10
    for _ in range(2):
        made.finished(1, evaluation=4)
    # Nothing is measured again before others begin: 8 are done, 4 wait here and 4 there.
    record = made.progress("training")
    assert record.remaining == pytest.approx(10 * (4 * EPOCH + 4 * EPOCH_2) / (8 * EPOCH))
    assert record.epoch == 4


def test_a_cohort_that_takes_longer_than_expected_has_an_epoch_left(clock: list[float]) -> None:
    made = begun(Tracker(plan(experiment(seeds=(0, 1), epochs=9))), clock)
    clock[0] += 12
    made.finished(1, evaluation=2)
    made.measured([4])
    assert made.progress("training").remaining == pytest.approx(12 * 1 / 6)


def test_epochs_before_a_cohort_was_resumed_took_no_time_here(clock: list[float]) -> None:
    made = Tracker(plan(experiment(epochs=9, patience=None)))
    made.begin(1)
    made.resumed(5, step=0)
    made.compiled()
    made.measured([5])
    clock[0] += 4
    assert made.progress("training").remaining is None
    made.measured([6])
    assert made.progress("training").remaining == pytest.approx(4 * 3)
    clock[0] += 8
    made.finished(1, evaluation=9)
    made.measured([])
    assert made.progress("training").remaining == 0


def test_planned_work_is_that_of_every_run_to_its_limit() -> None:
    assert planned_work(PLAN) == pytest.approx(3 * 4 * EPOCH + 8 * EPOCH_2)
