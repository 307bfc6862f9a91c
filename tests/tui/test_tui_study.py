"""The logic of the study screen: the lines and tables that it makes from the store."""

import gc
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import store_runs
from tui_pilot import PROGRESS, ended_run, filled

from jmlp.store import Lock, Store
from jmlp.study.file import parse_study
from jmlp.system.process_usage import Usage
from jmlp.training.plan import Plan, make_plan
from jmlp.training.records import CostPoint, Stop
from tui.feed import StoreView
from tui.views.study import ConfigurationLine, Costs, StudyQuery, StudyView, median_curve
from tui.widgets import configurations


def view(folder: Path, query: StudyQuery | None = None) -> StudyView:
    with Store(folder, viewer=True) as store:
        seen = (query or StudyQuery("small"))(StoreView(folder, store, Lock(folder).owner()))
    assert seen is not None
    return seen


def lines(folder: Path) -> list[ConfigurationLine]:
    return [line for experiment in view(folder).experiments for line in experiment.lines]


def point(epoch: int, cost: float) -> CostPoint:
    return CostPoint(epoch, epoch, None, cost, 0.5, cost, 0.5)


def in_training(made: Plan) -> list[str]:
    """Returns the runs in training, of learning rates 0.1 and 0.2 in this order."""
    runs = sorted(made.runs, key=lambda run: run.hyperparams.learning_rate)
    return [run.run_id for run in runs if run.seed == 1]


def test_a_finished_study_shows_medians_of_the_kept_parameters(tmp_path: Path) -> None:
    with filled(tmp_path, "finished"):
        first, second = lines(tmp_path)
    assert (first.label, second.label) == ("learning rate 0.1", "learning rate 0.2")
    assert first.is_baseline
    assert not second.is_baseline
    # `store_runs.points`: the cost of epoch e is 1 / (e + 1), half of it in validation.
    assert first.training_cost == 1 / (3 + 1)
    assert first.validation_cost == 0.5 / (3 + 1)
    assert first.range == (first.validation_cost, first.validation_cost)
    assert first.curve == tuple((e, 0.5 / (e + 1)) for e in range(5))
    assert first.accuracy_curve == tuple((e, e / 20) for e in range(5))
    assert (first.n_done, first.n_seeds, first.epoch, first.limit) == (3, 3, 4, 4)
    assert (first.left, first.epochs_per_second, first.batch_cost) == (None, None, None)
    assert first.learning_rate == ""


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (31, "hidden 20–10, learning rate 0.3"),
        (26, "hidden 20–10, learning 0.3"),
        (18, "20–10, 0.3"),
    ],
)
def test_names_of_an_experiment_are_abbreviated_until_all_fit(width: int, shown: str) -> None:
    names = ["hidden 20–10, learning rate 0.3", "hidden 5, learning rate 0.3"]
    lengths = 31, 26
    assert configurations._name(names[0], width, *lengths).rstrip() == shown
    assert (configurations._name(names[1], width, *lengths).rstrip() == names[1]) == (width == 31)


def test_a_configuration_in_training_has_its_learning_rate_and_its_batch_cost(
    tmp_path: Path,
) -> None:
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        first, second = lines(tmp_path)
        assert (first.learning_rate, second.learning_rate) == ("0.1", "0.2")
        assert first.batch_cost == 1.5 / (2 + 1)  # of the last evaluation
        run_id = in_training(made)[0]
        store.record("small", [], replace(PROGRESS, batch_costs={run_id: 0.75}))
        first, second = lines(tmp_path)
        assert (first.batch_cost, second.batch_cost) == (0.75, 1.5 / (2 + 1))


def test_the_learning_rate_of_a_configuration_follows_its_schedule(tmp_path: Path) -> None:
    text = """
    name = "small"
    seeds = 1
    hidden = [5]
    batch_size = 16
    epochs = 4
    schedule = "linear"
    [experiments.e]
    axes.learning_rate = [0.1, 0.8]
    baseline.learning_rate = 0.1
    """
    made = make_plan(parse_study(text, "small"), store_runs.FACTS)
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made))
        ids = [run.run_id for run in made.runs]
        store.begin("small", ids)
        store.record("small", [(i, p) for i in ids for p in store_runs.points(4)], PROGRESS)
        store.set_study("small", "running")
        lock = Lock(tmp_path)
        assert lock.acquire()
        lock.describe("small")
        rates = [line.learning_rate for line in lines(tmp_path)]
        lock.release()
    # After three of four epochs.
    assert rates == ["0.025 (linear from 0.1)", "0.2 (linear from 0.8)"]


def test_accuracies_that_are_not_numbers_count_as_the_lowest() -> None:
    runs = [[(0, math.nan)], [(0, 0.9)], [(0, 0.8)]]
    assert median_curve(runs, worst=-math.inf) == ((0, 0.8),)
    assert median_curve(runs) == ((0, 0.9),)


def test_seeds_of_a_running_configuration_are_counted_as_they_end(tmp_path: Path) -> None:
    with filled(tmp_path, "running"):
        first, second = lines(tmp_path)
        study = view(tmp_path)
    assert (first.state, second.state) == ("running", "running")
    assert (first.n_done, second.n_done) == (1, 1)
    assert (study.n_done, study.n_runs, study.state) == (2, 6, "running")


def test_a_run_in_training_counts_with_its_last_costs(tmp_path: Path) -> None:
    with filled(tmp_path, "running"):
        line = lines(tmp_path)[0]
    done, training = 0.5 / (3 + 1), 0.5 / (2 + 1)
    assert line.range == (done, training)
    assert line.validation_cost == pytest.approx((done + training) / 2)


def test_a_study_whose_worker_is_gone_is_not_shown_as_running(tmp_path: Path) -> None:
    with filled(tmp_path, "running"):
        pass
    study = view(tmp_path)
    assert study.state == "its worker died"
    assert [line.state for line in study.experiments[0].lines] == ["interrupted", "interrupted"]


def test_a_stopped_lane_is_shown_before_its_cohort_ends(tmp_path: Path) -> None:
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        stop = Stop("diverged", epoch=2, step=17)
        run_id = in_training(made)[1]
        store.record("small", [], replace(PROGRESS, stops={run_id: stop}))
        assert lines(tmp_path)[1].state == "diverged @17, queued"
        stop = Stop("stopped early", epoch=2, step=20)
        store.record("small", [], replace(PROGRESS, stops={run_id: stop}))
        assert lines(tmp_path)[1].state == "queued, 1 stopped"


def test_only_the_group_in_compilation_is_shown_as_compiling(tmp_path: Path) -> None:
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        store.set_runs(in_training(made), "queued")
        compiling = replace(PROGRESS, phase="compiling")
        store.record("small", [], compiling)
        assert [line.state for line in lines(tmp_path)] == ["compiling", "compiling"]
        store.record("small", [], replace(compiling, name="hidden 4, batch size 16"))
        assert [line.state for line in lines(tmp_path)] == ["queued", "queued"]


def test_runs_that_have_begun_are_compiling_until_their_group_trains(tmp_path: Path) -> None:
    with filled(tmp_path, "running"), Store(tmp_path) as store:
        store.record("small", [], replace(PROGRESS, phase="compiling"))
        first, _ = lines(tmp_path)
    assert (first.state, first.left, first.learning_rate) == ("compiling", None, "")


def test_a_store_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = StudyQuery("small")
    looks = iter([Usage(1, None), Usage(2, 1.5), Usage(3, 1.5)])
    monkeypatch.setattr("tui.views.activity.UsageMeter.usage", lambda meter: next(looks))
    with filled(tmp_path, "running"), Store(tmp_path, viewer=True) as store:
        seen = StoreView(tmp_path, store, Lock(tmp_path).owner())
        first = query(seen)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "runs", None)
            second = query(seen)
        assert first is not None
        assert second is not None
        assert second.experiments is first.experiments
        assert second.activity.worker is not None
        assert second.activity == replace(first.activity, worker=second.activity.worker)
        assert second.activity.worker.usage == Usage(2, 1.5)
        with Store(tmp_path) as writer:
            writer.record("small", [], replace(PROGRESS, epoch=3))
        third = query(seen)
        assert third is not None
        assert third.activity.epoch == 3


def test_curves_are_computed_again_only_for_runs_with_new_points(
    tmp_path: Path,
) -> None:
    query = StudyQuery("small")
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        (before, unchanged) = view(tmp_path, query).experiments[0].lines
        store.record("small", [(in_training(made)[0], store_runs.point(3, 9.0))], PROGRESS)
        (after, same) = view(tmp_path, query).experiments[0].lines
    assert after.curve != before.curve
    assert same.curve is unchanged.curve


def test_a_configuration_whose_runs_all_diverged_has_no_numbers(tmp_path: Path) -> None:
    with filled(tmp_path, "diverged"):
        line = lines(tmp_path)[1]
    assert line.state == "diverged @7"
    assert (line.training_cost, line.validation_cost, line.validation_accuracy) == (None,) * 3
    assert line.range is None
    assert line.curve[0] == (0, 0.5)
    assert math.isnan(line.curve[1][1])


def test_one_diverged_run_among_others_is_counted(tmp_path: Path) -> None:
    made = store_runs.plan()
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made))
        of_seed_0 = [store_runs.diverged_result(r) for r in made.runs if r.seed == 0]
        store_runs.end(store, "small", of_seed_0)
        others = [ended_run(r) for r in made.runs if r.seed != 0]
        store_runs.end(store, "small", others)
        store.set_study("small", "done")
    first = lines(tmp_path)[0]
    assert first.state == "diverged @7, done"
    assert first.validation_cost is not None


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"reached_limit": True}, "done"),
        ({"best_epoch": 1, "stopped_epoch": 3, "reached_limit": False}, "stopped early"),
        ({"reached_limit": True, "collapsed": True}, "collapsed, done"),
    ],
)
def test_ends_of_all_runs_are_summarised_in_one_state(
    tmp_path: Path, changes: dict[str, Any], state: str
) -> None:
    made = store_runs.plan()
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made))
        ended = [ended_run(run, **changes) for run in made.runs]
        store_runs.end(store, "small", ended)
        store.set_study("small", "done")
    assert [line.state for line in lines(tmp_path)] == [state, state]


def test_the_median_curve_ends_where_less_than_half_of_the_runs_are_left() -> None:
    runs = [[(0, 3.0), (1, 1.0), (2, 9.0)], [(0, 1.0)], [(0, 2.0), (1, 2.0)]]
    assert median_curve(runs) == ((0, 2.0), (1, 1.5))


def test_the_median_is_a_gap_where_most_values_are_not_finite() -> None:
    runs = [[(0, math.nan)], [(0, math.inf)], [(0, 1.0)]]
    ((epoch, value),) = median_curve(runs)
    assert epoch == 0
    assert math.isnan(value)
    assert median_curve(runs[1:] + runs[2:]) == ((0, 1.0),)


def test_a_long_curve_is_kept_as_the_means_of_epochs_with_a_gap_where_there_was_one() -> None:
    cost = {epoch: float(epoch) for epoch in range(4096)} | {4: math.nan}
    curve = median_curve([list(cost.items())])
    assert len(curve) == 1024
    assert (curve[0], curve[2], curve[-1]) == ((0, 1.5), (8, 9.5), (4092, 4093.5))
    assert curve[1][0] == 4
    assert math.isnan(curve[1][1])


def test_a_study_keeps_32_bytes_of_each_cost_point() -> None:
    costs = Costs()
    for epoch in range(1000):
        costs.put(point(epoch, 0.5))
    kept = [(costs.epochs.itemsize, len(costs.epochs))]
    kept += [(column.itemsize, len(column)) for column in costs._columns]
    assert kept == [(8, 1000)] * 4
    assert not {type(held) for held in gc.get_referents(costs.__dict__)} & {CostPoint, dict, list}


def test_a_cost_point_replaces_an_earlier_one_of_its_epoch() -> None:
    costs = Costs()
    for epoch, cost in ((0, 3.0), (1, 2.0), (3, 1.0), (1, 5.0), (2, 4.0)):
        costs.put(point(epoch, cost))
    assert list(costs.curve("validation_cost")) == [(0, 3.0), (1, 5.0), (2, 4.0), (3, 1.0)]
    assert costs.at(2) == (4.0, 4.0, 0.5)
    costs.cut(1)
    assert list(costs.curve("validation_cost")) == [(0, 3.0), (1, 5.0)]
    assert costs.at(2) is None


def test_points_that_a_resumed_run_lost_are_not_shown(tmp_path: Path) -> None:
    query = StudyQuery("small")
    with filled(tmp_path, "running") as made:
        run_id = in_training(made)[1]
        view(tmp_path, query)
        with Store(tmp_path) as store:
            store.cut(run_id, 1)
            store.record("small", [(run_id, store_runs.point(1, 9.0))], PROGRESS)
        (_, second) = view(tmp_path, query).experiments[0].lines
    # Epoch 1: the median of a finished run and this one; epoch 2: the finished run alone.
    assert second.curve[1:3] == ((1, (0.25 + 4.5) / 2), (2, 0.5 / 3))


def test_a_retrained_study_shows_nothing_of_the_previous_attempt(tmp_path: Path) -> None:
    query = StudyQuery("small")
    with filled(tmp_path, "finished") as made:
        assert view(tmp_path, query).experiments[0].lines[0].curve
        with Store(tmp_path) as store:
            store.submit(store_runs.submission(made, fresh=True))
        line = view(tmp_path, query).experiments[0].lines[0]
    assert (line.curve, line.state, line.n_done) == ((), "queued", 0)


def test_tables_are_rebuilt_only_when_runs_have_ended(tmp_path: Path) -> None:
    query = StudyQuery("small")
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        first = view(tmp_path, query).tables
        store.record("small", [], replace(PROGRESS, epoch=3))
        assert view(tmp_path, query).tables is first
        store_runs.end(
            store, "small", [store_runs.result(next(r for r in made.runs if r.seed == 1))]
        )
        second = view(tmp_path, query).tables
    assert (first[0].n_ended, second[0].n_ended) == (2, 3)


def test_time_left_is_the_pace_seen_times_the_epochs_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    query = StudyQuery("small")
    with filled(tmp_path, "running") as made, Store(tmp_path) as store:
        assert view(tmp_path, query).experiments[0].lines[1].left is None
        clock[0] = 110.0
        store.record("small", [(in_training(made)[1], store_runs.point(3))], PROGRESS)
        line = view(tmp_path, query).experiments[0].lines[1]
    # Ten seconds per epoch: one epoch is left of this run, and a run of four epochs is queued.
    assert (line.left, line.epochs_per_second) == (10 * (1 + 4), 0.1)


def test_without_a_store_there_is_no_view(tmp_path: Path) -> None:
    assert StudyQuery("small")(StoreView(tmp_path, None, None)) is None


def test_a_point_committed_while_the_store_is_read_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = StudyQuery("small")
    with filled(tmp_path, "running") as made, Store(tmp_path) as writer:
        run_id = in_training(made)[0]
        runs = Store.runs

        def runs_after_a_commit(store: Store, label: str | None = None) -> object:
            monkeypatch.setattr(Store, "runs", runs)
            writer.record("small", [(run_id, store_runs.point(3))], PROGRESS)
            return runs(store, label)

        monkeypatch.setattr(Store, "runs", runs_after_a_commit)
        view(tmp_path, query)
        writer.record("small", [(run_id, store_runs.point(4, 9.0))], PROGRESS)
        first = view(tmp_path, query).experiments[0].lines[0]
    # Seed 0 has finished with costs 0.5 / (e + 1), so both seeds count at every epoch.
    assert [epoch for epoch, _ in first.curve] == [0, 1, 2, 3, 4]
    assert first.curve[3] == (3, (0.5 / 4 + 0.5) / 2)


def test_a_replaced_database_is_read_from_its_first_point(tmp_path: Path) -> None:
    query = StudyQuery("small")

    def seen(folder: Path, database: object) -> tuple[tuple[float, float], ...]:
        with Store(folder, viewer=True) as store:
            study = query(StoreView(folder, store, None, database))
        assert study is not None
        return study.experiments[0].lines[0].curve

    with filled(tmp_path / "long", "finished"), filled(tmp_path / "short", "running") as made:
        assert len(seen(tmp_path / "long", 1)) == 5
        with Store(tmp_path / "short") as store:
            store.remove([run.run_id for run in made.runs if run.seed == 0])
            others = [(run_id, store_runs.point(1, 9.0)) for run_id in in_training(made)]
            store.record("small", others, PROGRESS)
        assert seen(tmp_path / "short", 2) == ((0, 0.5), (1, 4.5), (2, 0.5 / 3))


def test_a_configuration_without_runs_is_shown_as_deleted(tmp_path: Path) -> None:
    with filled(tmp_path, "finished") as made, Store(tmp_path) as store:
        store.remove([r.run_id for r in made.runs if r.hyperparams.learning_rate == 0.1])
    study = view(tmp_path)
    assert [line.state for line in study.experiments[0].lines] == ["deleted", "done"]
    assert (study.n_done, study.n_runs) == (3, 6)


def test_runs_of_drop_rates_are_found_whether_written_as_a_number_or_a_list(tmp_path: Path) -> None:
    text = """
    name = "small"
    seeds = 2
    hidden = [5, 4]
    batch_size = 16
    [experiments.e]
    axes.drop_rate = [0, 0.1, [0.5, 0.5], [0.2, 0]]
    baseline.drop_rate = [0, 0.0]
    """
    made = make_plan(parse_study(text, "small"), store_runs.FACTS)
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made))
        store_runs.end(store, "small", [ended_run(made.runs[0])])
    seen = lines(tmp_path)
    assert [len(line.run_ids) for line in seen] == [2] * 4
    assert {run_id for line in seen for run_id in line.run_ids} == {r.run_id for r in made.runs}
    assert "deleted" not in {line.state for line in seen}
    assert [line.is_baseline for line in seen] == [True, False, False, False]


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (3, "3"),
        (100_000, "100000"),
        (3.25, "3.25"),
        (100.0, "100.0"),
        (1234.5, "1234"),
        (None, "–"),
    ],
)
def test_decimals_of_an_epoch_are_left_out_where_they_do_not_fit(
    epoch: float | None, text: str
) -> None:
    assert configurations._epoch(epoch) == text
