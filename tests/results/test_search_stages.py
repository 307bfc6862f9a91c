"""Searches: who wins, what confirms the winner, and how often their verdicts are wrong."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from study_texts import load
from table_runs import diverged, finished

from jmlp.results import statistics
from jmlp.results.search import ranked, staged, staged_plan
from jmlp.results.statistics import compare
from jmlp.results.tables import ExperimentTable, study_tables
from jmlp.study.config import Experiment, Hyperparams, Study, configurations
from jmlp.study.file import to_toml
from jmlp.study.run_index import RunIndex
from jmlp.training.plan import DataFacts, make_plan
from jmlp.training.records import RunResult

STUDY = load("""
name = "s"
seeds = 2
[experiments.tuned]
baseline.learning_rate = 0.1
search = { configurations = 3, confirm = 5, learning_rate = [0.01, 0.1, 0.2, 0.3] }
""")
(TUNED,) = STUDY.experiments
HPS = {c.cell["learning_rate"]: c.hyperparams for c in configurations(TUNED)}


def judged(hp: Hyperparams, validation: Sequence[float], **changes: float) -> list[RunResult]:
    """Runs of a configuration with these validation accuracies, one per seed from 0."""
    return [
        finished(hp, seed, 0.5, validation_accuracy=v, **changes)
        for seed, v in enumerate(validation)
    ]


def searched(**of: Sequence[float]) -> list[RunResult]:
    """The results of a search: validation accuracies by the rate, such as `r2` for 0.2."""
    rates = {"r001": 0.01, "r01": 0.1, "r02": 0.2, "r03": 0.3}
    default = {"r001": [0.1, 0.1], "r01": [0.6, 0.6], "r02": [0.1, 0.1], "r03": [0.1, 0.1]}
    return [run for key, v in (default | of).items() for run in judged(HPS[rates[key]], v)]


def won(results: Sequence[RunResult]) -> float | None:
    best = ranked(TUNED, RunIndex(results))[:1]
    return float(best[0]["learning_rate"]) if best else None


def tables(results: Sequence[RunResult], study: Study = STUDY) -> tuple[ExperimentTable, ...]:
    return study_tables(study, results)


def confirmed(winner_: Sequence[float], baseline: Sequence[float], rate: float) -> list[RunResult]:
    """The runs of the confirmation, with these test accuracies; seeds 2 to 6."""
    return [
        finished(HPS[r], seed, accuracy)
        for r, accuracies in ((rate, winner_), (0.1, baseline))
        for seed, accuracy in enumerate(accuracies, start=2)
    ]


# The winner


def test_winner_has_the_highest_mean_validation_accuracy_of_the_candidates() -> None:
    # Means 0.705, 0.70 and 0.71; the highest single run is another's, and the baseline is no
    # candidate, though it is better than all.
    results = searched(r001=[0.69, 0.72], r02=[0.5, 0.9], r03=[0.71, 0.71], r01=[0.99, 0.99])
    assert won(results) == 0.3
    assert won(results[::-1]) == 0.3


def test_test_accuracies_have_no_part_in_the_choice() -> None:
    results = searched(r02=[0.7, 0.7], r03=[0.71, 0.71])
    lured = [
        replace(run, test_accuracy=1.0 if run.hyperparams == HPS[0.2] else 0.0) for run in results
    ]
    assert won(lured) == won(results) == 0.3


def test_equal_accuracies_are_decided_by_the_cost_and_then_by_the_order_of_drawing() -> None:
    order = [cell["learning_rate"] for cell in TUNED.cells[1:]]
    first, last = order[0], order[-1]
    tied = judged(HPS[0.1], [0.5, 0.5])
    tied += [run for rate in order for run in judged(HPS[rate], [0.7, 0.7], validation_cost=0.5)]
    assert won(tied) == first
    cheaper = [
        replace(run, validation_cost=0.4) if run.hyperparams == HPS[last] else run for run in tied
    ]
    assert won(cheaper) == last


def test_candidate_with_a_diverged_run_cannot_win() -> None:
    results = searched(r02=[0.99, 0.99], r03=[0.71, 0.71])
    results = [r for r in results if (r.hyperparams, r.seed) != (HPS[0.2], 1)]
    assert won([*results, diverged(HPS[0.2], 1, step=3)]) == 0.3
    every = [
        diverged(hp, seed, step=3) if rate != 0.1 else finished(hp, seed, 0.5)
        for rate, hp in HPS.items()
        for seed in (0, 1)
    ]
    assert won(every) is None
    assert staged(STUDY, every) == STUDY


def test_there_is_no_winner_before_all_runs_of_the_search_have_ended() -> None:
    results = searched(r03=[0.71, 0.71])
    for missing in results:
        rest = [run for run in results if run is not missing]
        assert won(rest) is None
        assert staged(STUDY, rest) == STUDY


# The second stage


def test_confirmation_compares_winner_and_baseline_on_the_fresh_seeds() -> None:
    study = staged(STUDY, searched(r03=[0.71, 0.71]))
    search, confirmation = study.experiments
    assert search == TUNED
    assert confirmation.name == "tuned-confirmation"
    assert confirmation.seeds == (2, 3, 4, 5, 6)
    assert not {*confirmation.seeds} & {*search.seeds}
    assert [c.hyperparams for c in configurations(confirmation)] == [HPS[0.1], HPS[0.3]]
    assert confirmation.baseline == {"learning_rate": 0.1}


def test_stages_of_a_study_follow_from_its_results_however_often_they_are_computed() -> None:
    results = searched(r03=[0.71, 0.71])
    study = staged(STUDY, results)
    both = [*results, *confirmed([0.8] * 5, [0.7] * 5, 0.3)]
    assert staged(study, results) == staged(STUDY, both) == study
    assert staged(study, []) == STUDY
    assert to_toml(study) == to_toml(STUDY)


def test_confirmation_waits_for_the_other_experiments_of_the_study() -> None:
    other = Experiment("other", HPS[0.1], {}, (0, 1, 2), {})
    study = replace(STUDY, experiments=(TUNED, other))
    results = searched(r03=[0.71, 0.71])
    assert staged(study, results) == study
    third = finished(HPS[0.1], 2, 0.5)
    assert [e.name for e in staged(study, [*results, third]).experiments] == [
        "tuned",
        "tuned-confirmation",
        "other",
    ]


# Tables


def test_table_of_a_search_ranks_the_candidates_and_shows_no_test_accuracy() -> None:
    (table,) = tables(searched(r001=[0.5, 0.6], r02=[0.8, 0.7], r03=[0.7, 0.7])[:-1])
    assert [row.label for row in table.rows][-1] == "learning rate 0.3"  # has not ended
    table, _ = tables(searched(r001=[0.5, 0.6], r02=[0.8, 0.7], r03=[0.7, 0.7]))
    assert [row.marked_label for row in table.rows] == [
        "learning rate 0.2 (best)",
        "learning rate 0.3",
        "learning rate 0.1 (baseline)",
        "learning rate 0.01",
    ]
    assert "test accuracy %" not in [column.title for column in table.columns]
    assert {row.test_accuracy for row in table.rows} == {None}
    assert (table.differences, table.difference_columns) == ((), ())
    text = "\n".join(table.notes)
    assert "from learning rate 0.01 or 0.1 or 0.2 or 0.3" in text
    assert "only tuned-confirmation, with 5 seeds that the search did not use" in text
    assert "no test set" not in text


def test_table_of_the_confirmation_has_the_verdict_and_the_optimism_of_the_search() -> None:
    results = searched(r03=[0.93, 0.95])
    # The helper's validation accuracy is the test accuracy + 0.01: 0.91 on average.
    results += confirmed([0.90, 0.91, 0.89, 0.90, 0.90], [0.80, 0.80, 0.80, 0.81, 0.79], 0.3)
    _, table = tables(results)
    assert [row.marked_label for row in table.rows] == [
        "learning rate 0.1 (baseline)",
        "learning rate 0.3",
    ]
    (row,) = table.differences
    assert (row.comparison.verdict, row.comparison.n) == ("higher", 5)
    # Differences of mean 0.1 and deviation 0.01: the half-width is 2.776445 * 0.01 / sqrt(5).
    assert row.comparison.mean == pytest.approx(0.1)
    assert row.comparison.high == pytest.approx(0.1 + 0.0124166, abs=1e-7)
    assert table.notes[:2] == (
        "The winner of tuned, on fresh seeds against the baseline: learning rate 0.3 is higher "
        "(+10.00 points, +8.76 to +11.24).",
        "In the search, the winner had a mean validation accuracy of 94.00 % (2 seeds); with 5 "
        "seeds that had no part in its choice it is 91.00 %. The search's figure was too high by "
        "+3.00 points.",
    )


# Rounds

HALVED = load("""
name = "s"
seeds = 2
epochs = 20
[experiments.tuned]
title = "Tuned"
baseline.learning_rate = 0.1
[experiments.tuned.search]
configurations = 9
confirm = 5
halving = [2, 6]
learning_rate = { log = [1e-4, 1] }
""")


FACTS = DataFacts(1_000, 100, 4, 3, {"x_train": "1", "y_train": "2"})


def judged_by_rate(experiment: Experiment) -> list[RunResult]:
    """Runs of a round, whose validation accuracy is the learning rate."""
    return [
        finished(c.hyperparams, seed, 0.5, validation_accuracy=c.cell["learning_rate"])
        for c in configurations(experiment)
        for seed in experiment.seeds
    ]


def results_of(study: Study) -> list[RunResult]:
    """Results of all stages of a study, each run once."""
    runs = [run for experiment in study.experiments for run in judged_by_rate(experiment)]
    return [*{(run.hyperparams, run.seed): run for run in runs}.values()]


def rounds_of(study: Study) -> list[Study]:
    """The study before its first stage, and after each one."""
    found = [study]
    while (further := staged(study, results_of(found[-1]))) != found[-1]:
        found.append(further)
    return found


def test_each_round_trains_the_best_of_the_one_before_for_more_epochs() -> None:
    *_, study = rounds_of(HALVED)
    (first,) = HALVED.experiments
    rates = sorted((cell["learning_rate"] for cell in first.cells[1:]), reverse=True)
    # 9 x 2 epochs are 3 x 6 and, rounded down to no candidate but kept at one, 1 x 20.
    assert [(e.name, e.title) for e in study.experiments] == [
        ("tuned", "Tuned"),
        ("tuned-round-2", "Round 2 of Tuned"),
        ("tuned-round-3", "Round 3 of Tuned"),
        ("tuned-confirmation", "Confirmation of Tuned"),
    ]
    trained = [
        [(c.cell["learning_rate"], c.hyperparams.epochs) for c in configurations(e)]
        for e in study.experiments
    ]
    assert sorted(trained[0][1:], reverse=True) == [(rate, 2) for rate in rates]
    assert trained[1] == [(0.1, 6)] + [(rate, 6) for rate in rates[:3]]
    assert trained[2] == [(0.1, 20), (rates[0], 20)]
    assert trained[3] == trained[2]
    assert [{*e.seeds} for e in study.experiments] == [{0, 1}] * 3 + [{2, 3, 4, 5, 6}]


def test_rounds_are_added_one_after_the_other_and_never_change_those_before() -> None:
    studies = rounds_of(HALVED)
    assert [len(study.experiments) for study in studies] == [1, 2, 3, 4]
    for before, after in pairwise(studies):
        assert after.experiments[:-1] == before.experiments
        assert to_toml(after) == to_toml(HALVED)


def test_round_waits_for_the_other_experiments_of_the_study() -> None:
    other = Experiment("other", HPS[0.1], {}, (0, 1, 2), {})
    study = replace(HALVED, experiments=(*HALVED.experiments, other))
    results = judged_by_rate(HALVED.experiments[0])
    assert staged(study, results) == study
    every = [*results, *judged(HPS[0.1], [0.5] * 3)]
    assert [e.name for e in staged(study, every).experiments] == ["tuned", "tuned-round-2", "other"]


def test_later_stages_share_no_program_with_earlier_ones_and_so_cannot_change_their_bits() -> None:
    plan = make_plan(HALVED, FACTS)
    results: list[RunResult] = []
    for n_stages in (2, 3, 4, 4):
        groups = {group.cohorts for group in plan.groups}
        ids = {(run.hyperparams, run.seed): run.run_id for run in plan.runs}
        results = [
            replace(run, run_id=ids[run.hyperparams, run.seed]) for run in results_of(plan.study)
        ]
        plan = staged_plan(plan, results)
        assert len(plan.study.experiments) == n_stages
        assert groups <= {group.cohorts for group in plan.groups}
    assert staged_plan(make_plan(HALVED, FACTS), results) == plan


def test_fewer_candidates_remain_if_others_have_diverged() -> None:
    (first,) = HALVED.experiments
    results = judged_by_rate(first)
    alive = min({run.hyperparams.learning_rate for run in results} - {0.1})
    results = [
        r
        if r.hyperparams.learning_rate in (alive, 0.1)
        else diverged(r.hyperparams, r.seed, step=3)
        for r in results
    ]
    *_, second = staged(HALVED, results).experiments
    assert [cell["learning_rate"] for cell in second.cells] == [0.1, alive]
    assert second.search is not None
    assert second.search.configurations == 1


def test_tables_of_rounds_say_who_trains_again_and_what_that_risks() -> None:
    *_, study = rounds_of(HALVED)
    first, second, third, confirmation = tables(results_of(study), HALVED)
    for table in (first, second, third):
        assert {row.test_accuracy for row in table.rows} == {None}
    assert first.notes[0].startswith("9 candidates, drawn")
    assert "They are trained for 2 epochs at most." in first.notes[0]
    assert first.notes[1].startswith(
        "Of these, the first 3 candidates train again, for 6 epochs at most, in tuned-round-2. "
        "Candidates that learn slowly at first"
    )
    assert second.notes[0].startswith("The best 3 candidates of the round before, drawn")
    assert (
        "the first candidate trains again, for 20 epochs at most, in tuned-round-3"
        in second.notes[1]
    )
    assert third.notes[0].startswith("The best 1 candidate of the round before")
    assert "is the winner" in third.notes[1]
    best = study.experiments[-1].cells[1]["learning_rate"]
    assert any(
        f"the winner had a mean validation accuracy of {100 * best:.2f} % (2 seeds)" in note
        for note in confirmation.notes
    )


# Verdicts where the truth is known


def test_verdicts_on_equal_candidates_are_wrong_in_5_percent_and_naive_ones_far_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "seeds_to_settle", lambda *args, **named: None)  # slow
    rng = np.random.default_rng(0)
    n_repeats, n_candidates, n_search, n_confirm = 2000, 20, 5, 10
    runs = 0.9 + 0.01 * rng.standard_normal((n_repeats, n_candidates + 1, n_search + n_confirm))
    wrong = {"confirmed": 0, "naive": 0}
    optimism = []
    for baseline, *candidates in runs:
        best = max(candidates, key=lambda accuracies: float(accuracies[:n_search].mean()))
        optimism.append(best[:n_search].mean() - best[n_search:].mean())
        difference = best - baseline
        parts = {"naive": difference[:n_search], "confirmed": difference[n_search:]}
        for rule, pairs in parts.items():
            wrong[rule] += compare(pairs.tolist(), 1, 0.0).verdict in ("higher", "lower")
    # 5 % of 2000, and three standard deviations of their binomial distribution.
    assert wrong["confirmed"] <= 100 + 3 * (2000 * 0.05 * 0.95) ** 0.5
    assert wrong["naive"] > 2 * wrong["confirmed"]
    # The expected maximum of 20 standard normals is 1.867; a mean of 5 deviates by 0.01 / sqrt(5).
    assert np.mean(optimism) == pytest.approx(1.867 * 0.01 / 5**0.5, rel=0.05)
