"""Training that resumes from a copy of its cohorts is bitwise identical to undisturbed training."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from engine_checks import assert_same_run, only
from helpers import N_STEPS, SMALL_DATA, assert_equal_bits, experiment, leaves, plan, results

from jmlp.errors import CheckpointError
from jmlp.nn.tensors import name_tensors
from jmlp.training import engine, group_training, slots
from jmlp.training import plan as planning
from jmlp.training.plan import Cohort, Plan
from jmlp.training.records import CohortState, Progress, RunResult, Snapshot

# Two groups; three seeds on two devices, so that one cohort waits; lanes that stop at other epochs.
# The second group is evaluated within epochs and across their ends.
EVERYTHING = experiment(
    {"drop_rate": (0.0, 0.5), "learning_rate": (0.3, 1e30)},
    seeds=(0, 1, 2),
    hidden=(6, 3),
    batch_norm=True,
    optimizer="adam",
    epochs=6,
    patience=1,
)
PLAIN = experiment(
    {"learning_rate": (0.1, 0.2), "min_delta": (0.0, 0.01)},
    seeds=(0, 1),
    epochs=3,
    evaluate_every=7,
    name="plain",
)
PLAN = plan(EVERYTHING, PLAIN)

Copies = Mapping[tuple[str, ...], CohortState]


@pytest.fixture(autouse=True, scope="module")
def _short_chunks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            group_training, "FIRST_CHUNK", 4
        )  # chunks of 4, 4 and 2 steps: an epoch has 10
        patch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
        yield


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, RunResult]:
    return {run.run_id: run for run in results(engine.run(PLAN, SMALL_DATA))}


def begun(training: engine.Training) -> Iterator[Progress]:
    """What it says after its programs are made."""
    return (record for record in training if record.phase != "compiling")


def left_after(records: int, made: Plan = PLAN) -> tuple[list[RunResult], Copies, bool]:
    """What ended within the first records, copies of what was in training, whether all ended."""
    training = engine.Training(made, SMALL_DATA)
    iterator = begun(training)
    ended: list[RunResult] = []
    for _ in range(records):
        record = next(iterator, None)
        if record is None or record.phase == "finished":
            return ended, {}, True
        ended += record.results
    return ended, {copy.run_ids: copy for copy in training.copies()}, False


def resume(ended: list[RunResult], copies: Copies, made: Plan = PLAN) -> dict[str, RunResult]:
    """All runs, those that had not ended from copies where there are any."""

    def saved(cohort: Cohort, width: int) -> CohortState | None:
        copy = copies.get(tuple(run.run_id for run in cohort.runs))
        assert copy is None or copy.width == width
        return copy

    left = planning.without(made, {run.run_id for run in ended})
    rest = results(engine.Training(left, SMALL_DATA, saved=saved))
    return {run.run_id: run for run in [*ended, *rest]}


def assert_same(found: Mapping[str, RunResult], expected: Mapping[str, RunResult]) -> None:
    assert found.keys() == expected.keys()
    for run_id, run in found.items():
        assert_same_run(run, expected[run_id])


def test_resuming_at_any_chunk_boundary_is_bitwise_identical(
    undisturbed: dict[str, RunResult],
) -> None:
    seen, records, over = set(), 1, False
    while not over:
        ended, copies, over = left_after(records)
        seen |= {(copy.evaluation, copy.step) for copy in copies.values()}
        assert_same(resume(ended, copies), undisturbed)
        records += 1
    # Within epochs, at their ends before they are measured, and between them.
    assert {(1, 4), (1, 8), (1, N_STEPS), (1, 0), (2, 4)} <= seen
    # Within intervals of updates, and at their ends.
    assert {(2, 4), (2, 7), (2, 0)} <= seen


def test_cohorts_saved_at_different_steps_resume_together(
    undisturbed: dict[str, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when the newest checkpoint of one cohort is damaged and an older one takes its place.
    moments = [left_after(records)[1] for records in (3, 5, 7)]
    monkeypatch.setattr(
        group_training, "FIRST_CHUNK", 7
    )  # no chunk ends by itself where another joins
    first, second, *_ = (cohort for cohort in PLAN.groups[0].cohorts)
    for early in moments:
        for late in moments:
            ids = [tuple(run.run_id for run in cohort.runs) for cohort in (first, second)]
            assert_same(resume([], {ids[0]: early[ids[0]], ids[1]: late[ids[1]]}), undisturbed)


def test_runs_without_dropout_stay_in_the_program_with_it_when_those_that_drop_are_done() -> None:
    made = plan(
        experiment({"drop_rate": (0.0, 0.5)}, seeds=(0,), name="with"),
        experiment({"learning_rate": (0.1, 0.2)}, seeds=(0, 1, 2), name="without"),
    )
    expected = {run.run_id: run for run in results(engine.run(made, SMALL_DATA))}
    ended = [run for run in expected.values() if run.seed == 0]
    assert all(run.provenance.can_drop for run in resume(ended, {}, made).values())
    assert_same(resume(ended, {}, made), expected)


def test_a_cohort_whose_copy_is_lost_restarts_beside_one_that_continues(
    undisturbed: dict[str, RunResult],
) -> None:
    _, copies, _ = left_after(6)
    key = next(iter(copies))
    assert_same(resume([], {key: copies[key]}), undisturbed)


def test_a_copy_does_not_change_while_training_continues() -> None:
    training = engine.Training(PLAN, SMALL_DATA)
    iterator = begun(training)
    for _ in range(3):
        next(iterator)
    (first, *_) = training.copies()
    before = {name: array.copy() for name, array in first.arrays.items()}
    for _ in iterator:
        pass
    assert_equal_bits(dict(first.arrays), before)


def test_a_cohort_that_has_not_joined_yet_is_copied_as_it_was_saved() -> None:
    by_epoch = replace(PLAIN.base, evaluate_every="epoch")
    made = plan(replace(PLAIN, seeds=(0, 1), base=by_epoch))
    _, early, _ = left_after(2, made)  # after the first chunk
    _, late, _ = left_after(4, made)  # after the third
    (a, b) = early
    training = engine.Training(
        made,
        SMALL_DATA,
        saved=lambda cohort, width: {a: early[a], b: late[b]}[
            tuple(run.run_id for run in cohort.runs)
        ],
    )
    next(begun(training))  # one chunk of the early one
    copies = {copy.run_ids: copy for copy in training.copies()}
    assert (copies[a].evaluation, copies[a].step) == (1, 8)
    assert copies[b] is late[b]


def test_a_copy_of_other_runs_or_of_another_program_is_refused() -> None:
    _, copies, _ = left_after(4)
    copy = next(iter(copies.values()))
    with pytest.raises(CheckpointError, match=r"^a saved state belongs to other runs"):
        list(engine.Training(PLAN, SMALL_DATA, saved=lambda c, w: replace(copy, run_ids=("x",))))
    narrow = {name: array[..., :1] for name, array in copy.arrays.items()}
    with pytest.raises(CheckpointError, match=r"^a saved state does not fit the program: .*W"):
        resume([], {copy.run_ids: replace(copy, arrays={**copy.arrays, **narrow})})


def test_runs_that_stop_wait_for_their_cohort_with_one_reason_and_step(
    undisturbed: dict[str, RunResult],
) -> None:
    records = list(engine.Training(PLAN, SMALL_DATA))
    told = {item for record in records for item in record.stops.items()}
    stops = dict(told)
    assert len(told) == len(stops) == len(undisturbed)
    ended: set[str] = set()
    for record in records:
        ended.update(result.run_id for result in record.results)
        assert not ended & record.stops.keys()
    for run_id, run in undisturbed.items():
        stop = stops[run_id]
        if run.status == "diverged":
            assert (stop.why, stop.step, stop.epoch) == ("diverged", run.diverged_at, 1)
        else:
            why = "limit" if run.reached_limit else "stopped early"
            expected = (why, run.stopped_epoch, run.costs[-1].step)
            assert (stop.why, stop.epoch, stop.step) == expected
    assert {stop.why for stop in stops.values()} == {"diverged", "limit", "stopped early"}


def test_runs_that_had_stopped_before_a_copy_are_not_reported_again() -> None:
    training = engine.Training(PLAN, SMALL_DATA)
    before: set[str] = set()
    for record in training:
        before |= record.stops.keys()
        if before and training.copies():
            break
    copies = {copy.run_ids: copy for copy in training.copies()}
    on = engine.Training(
        PLAN, SMALL_DATA, saved=lambda c, w: copies.get(tuple(run.run_id for run in c.runs))
    )
    after = {run_id for record in on for run_id in record.stops}
    assert before
    assert not before & after
    assert before | after == {run.run_id for run in PLAN.runs}


@pytest.mark.parametrize("step", [1, 7, N_STEPS, N_STEPS + 1, 2 * N_STEPS])
def test_nan_in_one_lane_is_reported_at_its_step_and_its_neighbours_are_bitwise_equal(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 1)
    made = plan(experiment({"learning_rate": (0.1, 0.05, 0.2)}, epochs=3))
    expected = {run.run_id: run for run in results(engine.run(made, SMALL_DATA))}
    copies: Copies = {}
    training = engine.Training(made, SMALL_DATA)
    for _ in training:
        at = [copy.updates for copy in training.copies()]
        measured = all(c.step < N_STEPS for c in training.copies())
        if measured and at == [step - 1] != [0]:
            copies = {copy.run_ids: copy for copy in training.copies()}
            break
    if step == 1:  # nothing is copied before the first step
        copy = at_start(made)
        copies = {copy.run_ids: copy}
    (copy,) = copies.values()
    broken = np.array(copy.arrays[".params[0].dense.W"])
    broken[1, 0, 0] = np.nan
    spoilt = replace(copy, arrays={**copy.arrays, ".params[0].dense.W": broken})
    found = resume([], {copy.run_ids: spoilt}, made)
    first, ill, third = copy.run_ids
    assert (found[ill].status, found[ill].diverged_at) == ("diverged", step)
    for run_id in (first, third):
        assert_same({run_id: found[run_id]}, {run_id: expected[run_id]})


def at_start(made: Plan) -> CohortState:
    """The only cohort after its evaluation before the first step."""
    training = engine.Training(made, SMALL_DATA)
    next(begun(training))
    (copy,) = training.copies()
    assert (copy.evaluation, copy.step) == (0, 0)
    return copy


# Snapshots


def test_snapshots_are_the_parameters_of_their_epochs_and_the_last_is_what_training_left() -> None:
    made = plan(experiment(epochs=9, patience=None, learning_rate=0.01))
    (run,) = results(engine.run(made, SMALL_DATA))
    assert [s.epoch for s in run.snapshots] == [0, 1, 2, 3, 5, 8]
    assert run.last is not None
    assert run.last.epoch == 9
    for epoch in (1, 3, 8):
        short = plan(experiment(epochs=epoch, patience=None, learning_rate=0.01))
        (shorter,) = results(engine.run(short, SMALL_DATA))
        assert shorter.last is not None
        snapshot = next(s for s in run.snapshots if s.epoch == epoch)
        assert_equal_bits(
            (snapshot.params, snapshot.state), (shorter.last.params, shorter.last.state)
        )
        assert_equal_bits(shorter.snapshots[-1].params, shorter.last.params)


def test_a_diverged_run_leaves_its_last_finite_parameters_and_its_snapshots() -> None:
    made = plan(experiment({"learning_rate": (0.1, 1e30)}))
    run = only(results(engine.run(made, SMALL_DATA)), learning_rate=1e30)
    assert run.last is not None
    assert all(np.isfinite(leaf).all() for leaf in leaves(run.last.params).values())
    assert [s.epoch for s in run.snapshots] == [0]


@pytest.mark.parametrize(
    ("most", "kept"),
    [
        (0, []),
        (1, [0]),
        (2, [0, 13]),
        (3, [0, 1, 13]),
        (4, [0, 1, 8, 13]),
        (7, [0, 1, 2, 3, 5, 8, 13]),
        (9, [0, 1, 2, 3, 5, 8, 13]),
    ],
)
def test_beyond_the_limit_snapshots_in_the_middle_go_first(
    most: int, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SNAPSHOT_BYTES", 40 * most + 39)
    snapshots: list[Snapshot] = []
    for epoch in filter(slots.has_snapshot, range(20)):
        slots.add_snapshot(snapshots, Snapshot(epoch, {"W": np.zeros(10, np.float32)}, None))
    assert [snapshot.epoch for snapshot in snapshots] == kept


def test_names_of_arrays_are_in_the_order_of_the_leaves() -> None:
    # Snapshots are made into parameters again by that order.
    (run, *_) = results(engine.run(plan(EVERYTHING), SMALL_DATA))
    named = name_tensors(run.params, run.state)
    for array, leaf in zip(named.values(), jax.tree.leaves((run.params, run.state)), strict=True):
        assert array is leaf
