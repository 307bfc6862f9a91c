"""What records of progress say of the work within an epoch, compared with the results."""

from itertools import pairwise

import pytest
from helpers import N_STEPS, SMALL_DATA, experiment, plan, progress, results

from jmlp.training import engine, group_training
from jmlp.training.eta import Tracker
from jmlp.training.records import Progress

BATCH_SIZE = 16
RATES = {"learning_rate": (0.1, 0.2, 0.4)}


@pytest.fixture
def chunks_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 3)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))  # as long as they are


@pytest.mark.usefixtures("chunks_of_three")
def test_examples_are_counted_once_for_every_lane_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    trained = Tracker.trained

    def count(tracker: Tracker, step: int, examples: int) -> None:
        counted.append(examples)
        trained(tracker, step, examples)

    monkeypatch.setattr(Tracker, "trained", count)
    found = results(progress(experiment({"epochs": (1, 2, 5)}, seeds=(0, 1), patience=None)))
    epochs = [run.stopped_epoch for run in found]
    assert sorted(epochs) == [1, 1, 2, 2, 5, 5]
    assert sum(counted) == sum(epochs) * N_STEPS * BATCH_SIZE


@pytest.mark.usefixtures("chunks_of_three")
def test_live_batch_costs_are_the_means_of_the_steps_so_far() -> None:
    by_three = results(progress(experiment(RATES, epochs=1, patience=None, evaluate_every=3)))
    expected = {
        run.hyperparams.learning_rate: [p.batch_cost or 0.0 for p in run.costs[1:]]
        for run in by_three
    }
    made = plan(experiment(RATES, epochs=1, patience=None))
    records = list(engine.run(made, SMALL_DATA))
    live = [record.batch_costs for record in records if record.batch_costs]
    # After the second, third and fourth chunk was started: three, six and nine steps.
    assert len(live) == 3
    for run in made.runs:
        means = expected[run.hyperparams.learning_rate]
        for n, costs in enumerate(live, start=1):
            assert costs[run.run_id] == pytest.approx(sum(means[:n]) / n, rel=1e-5)
    evaluated = [record for record in records if record.points]
    assert [dict(record.batch_costs) for record in evaluated] == [{}, {}]


@pytest.mark.usefixtures("chunks_of_three")
def test_a_run_that_has_stopped_has_no_live_batch_cost() -> None:
    made = plan(experiment({"epochs": (1, 2)}, patience=None))
    short = next(run.run_id for run in made.runs if run.hyperparams.epochs == 1)
    records = list(engine.run(made, SMALL_DATA))
    assert any(short in record.batch_costs for record in records)
    second = [record.batch_costs for record in records if record.epoch == 1 and record.batch_costs]
    assert second
    assert not any(short in costs for costs in second)


@pytest.mark.usefixtures("chunks_of_three")
def test_the_share_of_work_rises_from_0_to_1_with_every_chunk() -> None:
    records = progress(experiment(seeds=range(6), patience=1, epochs=6))
    shares = [record.share for record in records]
    assert None not in shares
    assert shares[0] == 0
    assert all(before <= after for before, after in pairwise(shares))  # type: ignore[operator]
    assert len(set(shares)) > 12
    for record in records:
        assert (record.share == 1) == (record.runs_done == record.n_runs)


def test_a_record_says_when_it_was_made_and_when_its_phase_began() -> None:
    def began(phase: str, records: list[Progress]) -> set[int | None]:
        return {record.phase_began for record in records if record.phase == phase}

    records = progress(experiment(epochs=1))
    for before, after in pairwise(records):
        assert (before.at or 0) <= (after.at or 0)
    assert began("compiling", records) == {records[0].at}
    (training,) = began("training", records)
    assert training == next(record.at for record in records if record.phase == "training")
