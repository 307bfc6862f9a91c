"""How far a plan is, and the time that is left."""

import time

import pytest
from helpers import experiment, plan

from jmlp.training.eta import Tracker

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


def test_there_is_no_estimate_before_anything_was_done(clock: list[float]) -> None:
    made = Tracker(PLAN)
    made.begin(1)
    clock[0] += 5
    record = made.progress("compiling")
    assert (record.remaining, record.elapsed, record.epoch) == (None, 5, 0)
    assert (record.group, record.n_groups, record.runs_done, record.n_runs) == (1, 2, 0, 4)


def test_time_left_is_hand_computed_from_the_limit_and_then_from_what_others_took(
    clock: list[float],
) -> None:
    made = Tracker(PLAN)
    made.begin(1)
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


def test_cohorts_that_end_together_are_not_counted_twice(clock: list[float]) -> None:
    made = Tracker(PLAN)
    made.begin(1)
    made.measured([4, 4])
    clock[0] += 10
    for _ in range(2):
        made.finished(1, evaluation=4)
    # Nothing is measured again before others begin: 8 are done, 4 wait here and 4 there.
    record = made.progress("training")
    assert record.remaining == pytest.approx(10 * (4 * EPOCH + 4 * EPOCH_2) / (8 * EPOCH))
    assert record.epoch == 4


def test_a_cohort_that_takes_longer_than_expected_has_an_epoch_left(clock: list[float]) -> None:
    made = Tracker(plan(experiment(seeds=(0, 1), epochs=9)))
    made.begin(1)
    clock[0] += 12
    made.finished(1, evaluation=2)
    made.measured([4])
    assert made.progress("training").remaining == pytest.approx(12 * 1 / 6)


def test_epochs_before_a_cohort_was_resumed_took_no_time_here(clock: list[float]) -> None:
    made = Tracker(plan(experiment(epochs=9, patience=None)))
    made.begin(1)
    made.resumed(5)
    made.measured([5])
    clock[0] += 4
    assert made.progress("training").remaining is None
    made.measured([6])
    assert made.progress("training").remaining == pytest.approx(4 * 3)
    clock[0] += 8
    made.finished(1, evaluation=9)
    made.measured([])
    assert made.progress("training").remaining == 0
