"""Tables: small hand-made runs, and exactly the strings that must be shown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from table_runs import (
    HP,
    SEEDS,
    SPREAD,
    STUDY,
    diverged,
    finished,
    grid,
    grid_runs,
    runs,
    shifted,
    size,
    sizes,
)

from jmlp.results.tables import ExperimentTable, experiment_table, labelled, study_tables
from jmlp.results.tables.wording import p_text, points, summarise_epochs
from jmlp.study.config import Claim, Experiment, Reference
from jmlp.training.plan import DataFacts
from jmlp.training.records import RunResult


def column(table: ExperimentTable, title: str) -> list[str]:
    index = [c.title for c in table.columns].index(title)
    return [row.cells[index] for row in table.rows]


# ---- the whole of one table


def whole_table() -> ExperimentTable:
    experiment = sizes(
        16,
        128,
        claims=(Claim("batch size 128 is best.", best={"batch_size": 128}),),
        reference=(
            Reference({"batch_size": 16}, test_accuracy=0.1028, stopped=1),
            Reference({"batch_size": 128}, test_accuracy=0.9232),
        ),
        title="Batch size",
    )
    return experiment_table(STUDY, experiment, [*runs(size(16), shifted(-0.03)), *runs(HP, SPREAD)])


def test_a_complete_table_has_exactly_these_cells() -> None:
    table = whole_table()
    assert (table.name, table.title, table.n_runs, table.n_ended) == ("sizes", "Batch size", 10, 10)
    assert [c.title for c in table.columns] == [
        "configuration",
        "seeds",
        "training accuracy %",
        "validation accuracy %",
        "test accuracy %",
        "best epoch",
        "stopped epoch",
        "diverged",
        "collapsed",
        "original test %",
        "prediction interval %",
        "original is",
        "seeds below it",
        "original stopped",
    ]
    small, baseline = (row.cells for row in table.rows)
    assert small == (
        *("batch size 16", "5", "91.00 ± 2.16", "90.00 ± 2.16", "89.00 ± 2.16"),
        *("42, 40–44", "44, 42–46", "0", "0"),
        *("10.28", "83.71 to 94.29", "below", "0 of 5", "1"),
    )
    assert baseline == (
        *("batch size 128 (baseline, best)", "5", "94.00 ± 1.96", "93.00 ± 1.96", "92.00 ± 1.96"),
        *("42, 40–44", "44, 42–46", "0", "0"),
        *("92.32", "87.19 to 96.81", "inside", "3 of 5", "–"),
    )


def test_the_differences_and_claims_of_a_complete_table_are_exactly_these() -> None:
    # differences -0.032 … -0.028: s = 0.0015811, half-width 2.776445·s/√5 = 0.0019632
    table = whole_table()
    assert [c.title for c in table.difference_columns] == [
        "configuration",
        "difference, points",
        "simultaneous 95 % interval",
        "p",
        "pairs",
        "left out",
        "verdict",
    ]
    assert [row.cells for row in table.differences] == [
        ("batch size 16", "-3.00", "-3.20 to -2.80", "<0.0001", "5", "0", "lower")
    ]
    assert [answer.sentence for answer in table.claims] == [
        "The original says: batch size 128 is best. Supported: every other configuration is lower, "
        "by at least 2.80 points."
    ]


def test_the_notes_of_a_complete_table_are_exactly_these() -> None:
    assert whole_table().notes == (
        "The best configuration has the lowest mean validation cost (0.0800); nothing is selected "
        "on the test set.",
        "± is half the 95 % t-interval of the mean over seeds. It covers initialisation, batch "
        "order and dropout, not the split or the sampling of the test set.",
        "The prediction interval (95 %) is for the test accuracy of one further run of ours: an "
        "original figure outside it is unlike our runs.",
        "Differences are in test accuracy to batch size 128, paired by seed. Their intervals hold "
        "simultaneously at 95 %, and p is adjusted accordingly (Bonferroni, 1); with fewer than 5 "
        "pairs there is no verdict.",
        "Verdicts are about runs that do not fail. Where none of 5 runs diverged or collapsed, up "
        "to 45 % of further runs may still do so (95 % confidence, for one configuration).",
        "Batch sizes are compared at equal learning rate and limit of epochs, not at equal "
        "updates: batch size 16 makes about 8 times as many updates per epoch as 128.",
    )


def test_every_row_has_a_cell_for_every_column() -> None:
    table = whole_table()
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert {len(row.cells) for row in table.differences} == {len(table.difference_columns)}


def test_numbers_stand_beside_their_strings() -> None:
    row = whole_table().rows[0]
    assert row.test_accuracy is not None
    assert row.original is not None
    assert row.test_accuracy.mean == pytest.approx(0.89)
    assert row.original.interval == pytest.approx((0.8371, 0.9429), abs=1e-4)
    assert (row.label, row.n, row.is_baseline, row.is_best) == ("batch size 16", 5, False, False)


def test_a_study_has_a_table_for_each_experiment() -> None:
    study = replace(STUDY, experiments=(sizes(16, 128), sizes(128, name="other")))
    assert [t.name for t in study_tables(study, runs(HP, SPREAD))] == ["sizes", "other"]


# ---- tables that lack something


def test_a_table_without_any_run_shows_dashes_and_no_verdict() -> None:
    table = experiment_table(STUDY, sizes(16, 128), [])
    assert table.rows[0].cells == ("batch size 16", "0 of 5", *["–"] * 5, "0", "0")
    assert table.differences[0].cells == (
        "batch size 16",
        *["–"] * 3,
        "0",
        "0",
        "too few pairs",
    )


def test_an_incomplete_table_counts_its_seeds_says_so_and_marks_no_best() -> None:
    table = experiment_table(STUDY, sizes(16, 128), [*runs(HP, SPREAD), *runs(size(16), [0.9])])
    assert column(table, "seeds") == ["1 of 5", "5"]
    assert column(table, "test accuracy %") == ["90.00", "92.00 ± 1.96"]
    assert column(table, "configuration") == ["batch size 16", "batch size 128 (baseline)"]
    assert table.notes[0] == (
        "Incomplete: 6 of 10 runs have ended. Verdicts and answers may change, and no "
        "configuration is marked best yet."
    )


def test_one_seed_has_no_interval_and_says_so() -> None:
    table = experiment_table(STUDY, sizes(128, seeds=(0,)), runs(HP, [0.9]))
    assert column(table, "test accuracy %") == ["90.00"]
    assert "A single seed has no interval." in table.notes


def test_without_a_test_set_there_is_no_test_column_no_comparison_and_no_answer() -> None:
    experiment = sizes(
        16,
        128,
        claims=(Claim("128 is best", best={"batch_size": 128}),),
        reference=(Reference({"batch_size": 16}, test_accuracy=0.1),),
    )
    results = [run for hp in (HP, size(16)) for run in runs(hp, SPREAD, test_accuracy=None)]
    table = experiment_table(STUDY, experiment, results)
    assert [c.title for c in table.columns if c.group in {"accuracy", "original"}] == [
        "training accuracy %",
        "validation accuracy %",
    ]
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert (table.differences, table.difference_columns) == ((), ())
    assert [c.sentence for c in table.claims] == [
        "The original says: 128 is best. Not settled: there is no test set, and only test accuracy "
        "answers a claim."
    ]
    assert table.notes[1:3] == (
        "± is half the 95 % t-interval of the mean over seeds. It covers initialisation, batch "
        "order and dropout, not the split.",
        "There is no test set, so nothing is compared and no claim is answered: both use test "
        "accuracy only.",
    )


def test_an_experiment_without_axes_is_one_row() -> None:
    experiment = Experiment("one", HP, {}, SEEDS, {}, (Claim("it is best", best={}),))
    table = experiment_table(STUDY, experiment, runs(HP, SPREAD))
    assert column(table, "configuration") == ["all runs"]
    assert table.differences == ()
    assert [c.sentence for c in table.claims] == [
        "The original says: it is best. Not settled: there is no other configuration."
    ]


# ---- diverged and collapsed runs


def test_diverged_runs_are_counted_named_left_out_and_never_best() -> None:
    small = [
        *runs(size(16), shifted(0.03))[:3],
        diverged(size(16), 3, 12),
        diverged(size(16), 4, 7),
    ]
    table = experiment_table(STUDY, sizes(16, 128), [*small, *runs(HP, SPREAD)])
    assert column(table, "diverged") == ["2", "0"]
    assert column(table, "seeds") == ["3 of 5", "5"]
    assert [row.is_best for row in table.rows] == [False, True]
    assert table.differences[0].cells[4:] == ("3", "2", "too few pairs")
    assert table.notes[1] == (
        "batch size 16: seed 3 diverged @12, seed 4 diverged @7. A diverged run (@ the update that "
        "gave a number that is not finite) has no accuracy: it is left out of means and pairs. It "
        "counts as a failure: no verdict favours a configuration by its other runs."
    )


@pytest.mark.parametrize(
    ("change", "diverged_in", "verdict"),
    [
        (0.03, "other", "not settled (runs failed)"),  # better by its survivors
        (-0.03, "other", "lower"),
        (0.03, "baseline", "higher"),
        (-0.03, "baseline", "not settled (runs failed)"),
        (0.0, "other", "not settled (runs failed)"),
        (0.0, "baseline", "not settled (runs failed)"),
        (0.03, "none", "higher"),
    ],
)
@pytest.mark.parametrize("collapse", [False, True])
def test_no_verdict_favours_a_configuration_by_the_survivors_of_failed_runs(
    change: float, diverged_in: str, verdict: str, collapse: bool
) -> None:
    spread = [*SPREAD, *SPREAD]
    seeds = range(len(spread))
    failure: dict[str, Any] = {"collapsed": True, "validation_accuracy": 0.1}
    experiment = replace(sizes(16, 128), seeds=tuple(seeds))
    small = [
        finished(size(16), s, a + change + s / 1e5) for s, a in zip(seeds, spread, strict=True)
    ]
    large = [finished(HP, s, a) for s, a in zip(seeds, spread, strict=True)]
    if diverged_in == "other":
        small[0] = replace(small[0], **failure) if collapse else diverged(size(16), 0, 12)
    elif diverged_in == "baseline":
        large[0] = replace(large[0], **failure) if collapse else diverged(HP, 0, 12)
    claims = (
        Claim("16 is best.", best={"batch_size": 16}),
        Claim("128 is best.", best={"batch_size": 128}),
    )
    table = experiment_table(STUDY, replace(experiment, claims=claims), [*small, *large])
    assert table.differences[0].cells[-1] == verdict
    answers = [claim.answer for claim in table.claims]
    if verdict.startswith("not"):
        assert answers == ["not settled", "not settled"]
        assert "cannot be judged, because runs diverged or collapsed" in table.claims[0].sentence
    assert (answers[0] == "supported") == (verdict == "higher")


def test_an_interval_that_would_pass_100_is_cut_there_and_says_so() -> None:
    accuracies = [0.99, 0.99, 0.99, 0.99, 0.5]
    table = experiment_table(STUDY, sizes(128), runs(HP, accuracies))
    # 0.892 ± 2.776445 · 0.219135 / √5 = 0.892 ± 0.272092
    assert column(table, "test accuracy %") == ["89.20 (61.99–100)"]
    note = (
        "An interval given by its ends in brackets is the t-interval, cut at 0 or 100 %: it would "
        "pass that, so the runs are far from normal."
    )
    assert note in table.notes
    assert note not in whole_table().notes


def test_what_the_sampling_of_the_test_set_adds_is_said_in_one_line() -> None:
    accuracies = [0.9406 + d / 1000 for d in (-2, -1, 0, 1, 2)]
    facts = DataFacts(60_000, 10_000, 784, 10, {})
    table = experiment_table(STUDY, sizes(128), runs(HP, accuracies), facts)
    # 1.959964 · √(0.9406 · 0.0594 / 10,000) = 0.004633
    assert (
        "The sampling of the test set, which no interval here covers, adds about ±0.46 points to "
        "an accuracy (10,000 examples at 94.06 %, 95 %); it is the same set for all runs, so it "
        "adds less to a difference."
    ) in table.notes


def test_a_pair_whose_two_runs_diverged_is_left_out_once() -> None:
    results = [run for hp in (HP, size(16)) for run in [*runs(hp, SPREAD)[:4], diverged(hp, 4, 1)]]
    assert experiment_table(STUDY, sizes(16, 128), results).differences[0].left_out == 1


def test_collapsed_runs_are_counted_and_stay_in_the_mean() -> None:
    results = [*runs(HP, SPREAD)[:4], finished(HP, 4, 0.1, collapsed=True)]
    table = experiment_table(STUDY, sizes(128), results)
    assert column(table, "collapsed") == ["1"]
    assert column(table, "test accuracy %") == ["91.50 × 4, 10.00 × 1"]
    assert any("accuracies have two modes" in note for note in table.notes)
    assert table.rows[0].n == 5
    assert "A collapsed run predicts one class for the whole validation part." in table.notes


def test_runs_that_all_collapsed_have_one_mean_and_a_verdict() -> None:
    small = [finished(size(16), s, 0.1 + s / 1000, collapsed=True) for s in SEEDS]
    reference = (Reference({"batch_size": 16}, test_accuracy=0.1),)
    experiment = sizes(16, 128, reference=reference)
    table = experiment_table(STUDY, experiment, [*small, *runs(HP, SPREAD)])
    assert column(table, "test accuracy %")[0] == "10.20 ± 0.20"
    assert table.differences[0].cells[-1] == "lower"
    assert column(table, "original is")[0] == "inside"
    hardly_better = [replace(small[0], collapsed=False), *small[1:]]
    table = experiment_table(STUDY, experiment, [*hardly_better, *runs(HP, SPREAD)])
    assert column(table, "test accuracy %")[0] == "10.20 ± 0.20"
    assert table.differences[0].cells[-1] == "lower"
    mixed = [finished(size(16), SEEDS[0], 0.9), *small[1:]]
    table = experiment_table(STUDY, experiment, [*mixed, *runs(HP, SPREAD)])
    assert column(table, "original is")[0] == column(table, "prediction interval %")[0] == "–"
    assert column(table, "seeds below it")[0] == "0 of 5"


TEN = tuple(range(10))


def mostly_collapsed(n_collapsed: int, seeds: Sequence[int] = TEN) -> list[RunResult]:
    """Runs of batch size 16, the first of which collapsed."""
    return [
        finished(size(16), s, 0.1 + s / 1000, collapsed=True)
        if s < n_collapsed
        else finished(size(16), s, 0.92 + s / 1000)
        for s in seeds
    ]


def verdict_on(found: list[RunResult], n_seeds: int, *, sequential: bool = False) -> str:
    """Against a baseline that never collapsed."""
    baseline = [finished(HP, seed, 0.92) for seed in range(n_seeds)]
    experiment = replace(sizes(16, 128), seeds=TEN[:n_seeds])
    study = replace(STUDY, sequential=sequential)
    return experiment_table(study, experiment, [*found, *baseline]).differences[0].cells[-1]


def test_a_verdict_against_runs_that_mostly_collapsed_needs_enough_seeds_for_ranks() -> None:
    assert verdict_on(mostly_collapsed(9), 10) == "lower"
    assert verdict_on(mostly_collapsed(4)[:5], 5) == "not settled (runs failed)"
    assert verdict_on(mostly_collapsed(5)[:5], 5) == "lower"  # all collapsed: one mode
    assert verdict_on(mostly_collapsed(9), 10, sequential=True) == "not settled (runs failed)"


@pytest.mark.parametrize(
    ("sequential", "against"),
    [
        (False, "one against it also needs a signed-rank test."),
        (True, "none is given against it."),
    ],
)
def test_the_note_on_two_modes_says_what_a_verdict_against_it_needs(
    sequential: bool, against: str
) -> None:
    study = replace(STUDY, sequential=sequential)
    table = experiment_table(study, sizes(16, 128), mostly_collapsed(4)[:5])
    (note,) = [note for note in table.notes if "two modes" in note]
    assert note.endswith(f"no verdict favours such a configuration, and {against}")


def test_the_note_on_failures_is_for_the_fewest_runs_without_any() -> None:
    # Eight runs of one that never failed, and ten of another; fewer of those that did.
    experiment = replace(sizes(16, 32, 64, 128), seeds=TEN)
    found = [
        *mostly_collapsed(2, TEN[:7]),
        diverged(size(32), 9, 1),
        *[finished(size(32), s, 0.90 + s / 500) for s in range(6)],
        *[finished(size(64), s, 0.90 + s / 500) for s in range(10)],
        *[finished(HP, s, 0.92) for s in range(8)],
    ]
    notes = experiment_table(STUDY, experiment, found).notes
    assert any("Where none of 8 runs diverged or collapsed, up to 31 %" in note for note in notes)


def test_a_grid_of_a_single_configuration_has_no_marks() -> None:
    axes = {"batch_norm": (True,), "drop_rate": (0.5,)}
    baseline = {"batch_norm": True, "drop_rate": 0.5}
    experiment = Experiment("one", HP, axes, SEEDS, baseline)
    table = experiment_table(STUDY, experiment, [])
    assert [c.title for c in table.columns[:3]] == ["batch norm", "drop rate", "seeds"]
    assert table.rows[0].cells[:3] == ("yes", "0.5", "0 of 5")


def test_a_grid_with_labels_is_the_same_table_with_one_column_of_names() -> None:
    table = experiment_table(STUDY, grid(), grid_runs(0.02, -0.03))
    named = labelled(table)
    assert [c.title for c in named.columns[:2]] == ["configuration", "seeds"]
    assert [row.cells[0] for row in named.rows] == [row.marked_label for row in table.rows]
    assert [row.cells[1:] for row in named.rows] == [row.cells[3:] for row in table.rows]
    assert [row.cells[0] for row in named.differences] == [r.label for r in table.differences]
    assert [row.cells[1:] for row in named.differences] == [
        row.cells[2:] for row in table.differences
    ]
    one_axis = experiment_table(STUDY, sizes(16, 128), runs(HP, SPREAD))
    assert labelled(one_axis) == one_axis


def test_a_sequential_table_takes_pairs_in_the_order_of_the_seeds() -> None:
    # Which runs end first depends on their results, so a later pair waits for an earlier one.
    seeds = (4, 0, 1, 2, 3, 5, 6)
    experiment = replace(sizes(16, 128), seeds=seeds)
    baseline = [finished(HP, seed, 0.9) for seed in seeds]
    small = {seed: finished(size(16), seed, 0.9 + seed / 100) for seed in seeds}
    for missing, once, sequentially in (
        ([], 7, 7),
        ([6], 6, 6),
        ([3], 6, 4),
        ([4], 6, 0),
    ):
        ended = [*baseline, *(run for seed, run in small.items() if seed not in missing)]
        for is_sequential, n in ((False, once), (True, sequentially)):
            study = replace(STUDY, sequential=is_sequential)
            table = experiment_table(study, experiment, ended)
            assert table.differences[0].comparison.n == n
            expected = [small[s].test_accuracy - 0.9 for s in seeds if s not in missing][:n]  # type: ignore[operator]
            assert table.differences[0].comparison.mean == (
                pytest.approx(sum(expected) / n) if n else None
            )


def test_a_diverged_run_is_left_out_of_a_sequential_table_and_ends_nothing() -> None:
    small = [diverged(size(16), 0, 1), *runs(size(16), shifted(0.03))[1:]]
    study = replace(STUDY, sequential=True)
    table = experiment_table(study, sizes(16, 128), [*runs(HP, SPREAD), *small])
    assert (table.differences[0].comparison.n, table.differences[0].left_out) == (4, 1)


def test_a_table_of_a_grid_has_one_column_per_axis() -> None:
    table = experiment_table(STUDY, grid(), grid_runs(0.02, -0.03))
    titles = [c.title for c in table.columns]
    assert titles[:4] == ["batch norm", "drop rate", "mark", "seeds"]
    assert [c.align for c in table.columns[:2]] == ["left", "right"]
    assert [row.cells[:4] for row in table.rows] == [
        ("no", "none", "baseline", "5"),
        ("no", "0.5", "", "5"),
        ("yes", "none", "best", "5"),
        ("yes", "0.5", "", "5"),
    ]
    assert [c.title for c in table.difference_columns][:3] == [
        "batch norm",
        "drop rate",
        "difference, points",
    ]
    assert [row.cells[:3] for row in table.differences] == [
        ("no", "0.5", "0.00"),
        ("yes", "none", "+2.00"),
        ("yes", "0.5", "-3.00"),
    ]
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert {len(row.cells) for row in table.differences} == {len(table.difference_columns)}
    assert table.rows[2].marked_label == "batch norm yes, drop rate none (best)"


# ---- epochs


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        ([(45, False)], "45"),
        ([(45, False)] * 3, "45"),
        ([(77, False), (34, False), (45, False)], "45, 34–77"),
        ([(34, False), (45, False)], "39.5, 34–45"),
        ([(100, True)] * 4, "100 (limit)"),
        ([(45, False), (34, False), (100, True)], "45, 34–100 (limit)"),
        ([(100, True), (34, False), (100, True)], "100 (limit), 34–100 (limit)"),
        ([(60, False), (100, True)], "≥ 80, 60–100 (limit)"),
        ([(9, False), (9, True), (9, False)], "9 (limit in 1 of 3)"),
        ([(9, False), (9, True)], "≥ 9 (limit in 1 of 2)"),
    ],
)
def test_epochs_are_median_and_range_and_say_where_they_met_the_limit(
    epochs: list[tuple[int, bool]], text: str
) -> None:
    summary = summarise_epochs(epochs)
    assert summary is not None
    assert summary.text == text


def test_runs_at_the_limit_are_marked_and_explained() -> None:
    results = [
        finished(HP, 0, 0.9, best_epoch=100, stopped_epoch=100, reached_limit=True),
        finished(HP, 1, 0.9, best_epoch=98, stopped_epoch=100, reached_limit=True),
        finished(HP, 2, 0.9, best_epoch=97, stopped_epoch=100, reached_limit=True),
    ]
    table = experiment_table(STUDY, sizes(128, seeds=(0, 1, 2)), results)
    assert column(table, "best epoch") == ["98, 97–100 (limit)"]
    assert column(table, "stopped epoch") == ["100 (limit)"]
    assert (
        "Epochs are median and range; a run marked (limit) was stopped by the limit of epochs and "
        "might have continued." in table.notes
    )


# ---- the original's figures


@pytest.mark.parametrize(
    ("figure", "place", "below"),
    [(0.90, "inside", "0 of 5"), (0.87, "below", "0 of 5"), (0.97, "above", "5 of 5")],
)
def test_an_original_is_judged_by_the_prediction_interval(
    figure: float, place: str, below: str
) -> None:
    experiment = sizes(128, reference=(Reference({"batch_size": 128}, test_accuracy=figure),))
    table = experiment_table(STUDY, experiment, runs(HP, SPREAD))
    assert column(table, "original is") == [place]
    assert column(table, "seeds below it") == [below]


def test_a_prediction_interval_ends_where_accuracies_end() -> None:
    experiment = sizes(128, reference=(Reference({"batch_size": 128}, test_accuracy=0.5),))
    table = experiment_table(STUDY, experiment, runs(HP, [a + 0.05 for a in SPREAD]))
    assert column(table, "prediction interval %") == ["92.19 to 100.00"]
    note = "A prediction interval that ends at 0.00 or 100.00 is cut there."
    assert note in table.notes
    assert note not in whole_table().notes


# ---- numbers as text


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0062, "+0.62"), (-0.0062, "-0.62"), (-0.00001, "0.00"), (0, "0.00")]
)
def test_points_have_a_sign_unless_they_round_to_zero(difference: float, text: str) -> None:
    assert points(difference) == text


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0496, "0.0496"), (0.00009, "<0.0001"), (1.0, "1.0000")]
)
def test_p_is_written_with_four_decimals(p: float | None, text: str) -> None:
    assert p_text(p) == text


# ---- what is refused, and what is ignored


def test_runs_of_other_experiments_and_seeds_are_ignored() -> None:
    results = [*runs(HP, SPREAD), finished(HP, 9, 0.1), finished(size(7), 0, 0.1)]
    assert experiment_table(STUDY, sizes(128), results).rows[0].n == 5


def test_two_runs_for_one_place_are_refused() -> None:
    results = [finished(HP, 0, 0.9, run_id="a"), finished(HP, 0, 0.9, run_id="b")]
    with pytest.raises(ValueError, match="runs a and b have equal hyperparameters and seed; "):
        experiment_table(STUDY, sizes(128), results)


def test_test_accuracies_of_some_runs_only_are_refused() -> None:
    results = [finished(HP, 0, 0.9), finished(HP, 1, 0.9, test_accuracy=None)]
    with pytest.raises(ValueError, match="some runs of the experiment have a test accuracy, "):
        experiment_table(STUDY, sizes(128), results)
