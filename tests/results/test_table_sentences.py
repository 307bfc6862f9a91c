"""Answers to claims and notes: exactly the sentences that must be shown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from table_runs import (
    CPU,
    HP,
    SEEDS,
    SPREAD,
    STUDY,
    grid,
    grid_runs,
    runs,
    shifted,
    size,
    sizes,
)

from jmlp.errors import ConfigError
from jmlp.results.tables import experiment_table
from jmlp.study.config import Claim, Experiment
from jmlp.training.records import Provenance, RunResult


def claim_sentence(experiment: Experiment, results: Sequence[RunResult]) -> str:
    (answer,) = experiment_table(STUDY, experiment, results).claims
    assert answer.sentence.startswith(f"The original says: {answer.claim.text}. ")
    assert answer.answer.capitalize() in answer.sentence
    return answer.sentence.removeprefix(f"The original says: {answer.claim.text}. ")


# ---- claims


def best_of(*values: int) -> Experiment:
    return sizes(*values, claims=(Claim("128 is best", best={"batch_size": 128}),))


def test_a_best_that_another_beats_is_contradicted_by_name() -> None:
    # family of 2: t = 3.495406, half-width 3.495406·0.0015811/√5 = 0.0024716
    results = [
        *runs(size(16), shifted(-0.03)),
        *runs(size(64), shifted(0.02)),
        *runs(HP, SPREAD),
    ]
    assert claim_sentence(best_of(16, 64, 128), results) == (
        "Contradicted: batch size 64 is higher (+2.00 points, +1.75 to +2.25)."
    )


def test_a_best_that_beats_every_other_says_by_how_much_at_least() -> None:
    results = [
        *runs(size(16), shifted(-0.03)),
        *runs(size(64), shifted(-0.02)),
        *runs(HP, SPREAD),
    ]
    assert claim_sentence(best_of(16, 64, 128), results) == (
        "Supported: every other configuration is lower, by at least 1.75 points."
    )


def test_a_best_that_is_open_says_what_each_other_configuration_showed() -> None:
    # family of 5: t at 0.995 is 4.604095; half-widths 0.0032556 (spread 0.001), 0.032556 (0.01)
    results = [
        *runs(size(8), shifted(-0.03)),
        *runs(size(16), shifted(0.001)),
        *runs(size(32), shifted(0.01, spread=0.01)),
        *runs(size(64), SPREAD[:3]),
        *runs(size(256), [a - 0.01 for a in SPREAD]),
        *runs(HP, SPREAD),
    ]
    assert claim_sentence(best_of(8, 16, 32, 64, 128, 256), results) == (
        "Not settled: batch size 16 is within ±0.5 points (+0.10 points, -0.23 to +0.43); "
        "batch size 32 may be higher or lower (+1.00 points, -2.26 to +4.26; about 33 seeds would "
        "settle it); batch size 64 has too few pairs (3, and 5 are needed); batch size 256 differs "
        "by -1.00 points in every pair, which has no interval; 1 of the 5 others is lower."
    )


def test_what_several_configurations_have_in_common_is_stated_once_with_the_largest() -> None:
    beaten = [
        *runs(size(16), shifted(0.01)),
        *runs(size(64), shifted(0.02)),
        *runs(HP, SPREAD),
    ]
    assert claim_sentence(best_of(16, 64, 128), beaten) == (
        "Contradicted: 2 of the 2 others are higher, most of all: "
        "batch size 64 is higher (+2.00 points, +1.75 to +2.25)."
    )
    few = [*runs(size(16), SPREAD[:3]), *runs(size(64), SPREAD[:3]), *runs(HP, SPREAD[:3])]
    assert claim_sentence(best_of(16, 64, 128), few) == (
        "Not settled: 2 of the 2 others have too few pairs (5 are needed)."
    )


NO_HELP = Claim(
    "batch norm does not help", not_higher={"batch_norm": True}, than={"batch_norm": False}
)


@pytest.mark.parametrize(
    ("plain", "dropped", "sentence"),
    [
        (
            0.0,
            -0.03,
            "Supported: batch norm yes, {0} against batch norm no, {0} is within ±0.5 points "
            "(0.00 points, -0.28 to +0.28); batch norm yes, {1} against batch norm no, {1} is "
            "lower (-3.00 points, -3.28 to -2.72).",
        ),
        (
            0.02,
            -0.03,
            "Contradicted: batch norm yes, {0} against batch norm no, {0} is higher "
            "(+2.00 points, +1.72 to +2.28).",
        ),
        (
            0.0024,
            -0.03,
            "Not settled: batch norm yes, {0} against batch norm no, {0} may be higher or lower "
            "(+0.24 points, -0.04 to +0.52; about 6 seeds would settle it); batch norm yes, {1} "
            "against batch norm no, {1} is lower (-3.00 points, -3.28 to -2.72).",
        ),
    ],
)
def test_not_higher_pairs_what_is_equal_but_for_the_claim(
    plain: float, dropped: float, sentence: str
) -> None:
    # family of 3, as in the table of differences: t = 3.960886, half-width 0.0028008
    expected = sentence.format("drop rate none", "drop rate 0.5")
    assert claim_sentence(grid(NO_HELP), grid_runs(plain, dropped)) == expected


def test_a_pair_shown_in_the_differences_and_in_a_claim_shows_the_same_numbers() -> None:
    table = experiment_table(STUDY, grid(NO_HELP), grid_runs(0.02, -0.03))
    low_to_high = table.differences[1].cells[3]
    assert low_to_high == "+1.72 to +2.28"
    assert low_to_high in table.claims[0].sentence


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            sizes(16, 128, baseline={"batch_size": 64}),
            'experiment "sizes": baseline = batch size 64 names 0 configurations of 2; give one '
            "value of each axis",
        ),
        (
            grid(Claim("no norm is best", best={"batch_norm": False})),
            'experiment "final": claim "no norm is best": best = batch norm no names 2 '
            "configurations of 4; give one value of each axis",
        ),
        (
            grid(Claim("x", not_higher={"drop_rate": 0.5}, than={"drop_rate": 0.1})),
            'experiment "final": claim "x": not_higher = drop rate 0.5, than = drop rate 0.1 names '
            "configurations that the experiment does not have; give values of its axes",
        ),
    ],
)
def test_a_name_without_its_configuration_is_an_error(experiment: Experiment, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        experiment_table(STUDY, experiment, [])
    assert str(error.value) == message


# ---- notes


def test_a_varying_split_is_stated_as_covered_by_the_interval() -> None:
    table = experiment_table(replace(STUDY, split_seed="seed"), sizes(128), runs(HP, SPREAD))
    assert (
        "± is half the 95 % t-interval of the mean over seeds. It covers initialisation, batch "
        "order, dropout and the split, not the sampling of the test set." in table.notes
    )


DISHARMONY = (
    "Where batch norm follows dropout, its running statistics, collected with dropout on, differ "
    "from what it meets in prediction, which can lower accuracy there (Li et al. 2019, "
    "arXiv:1801.05134)."
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_norm": True, "drop_rate": 0.5}, True),
        ({"batch_norm": True, "drop_rate": (0.5, 0.0, 0.0)}, True),
        ({"batch_norm": True, "drop_rate": (0.0, 0.0, 0.5)}, False),  # no batch norm follows it
        ({"batch_norm": True}, False),
        ({"drop_rate": 0.5}, False),
    ],
)
def test_batch_norm_after_dropout_is_noted(changes: dict[str, Any], said: bool) -> None:
    experiment = Experiment("one", replace(HP, **changes), {}, SEEDS, {})
    assert (DISHARMONY in experiment_table(STUDY, experiment, []).notes) == said


def test_runs_of_mixed_devices_widths_and_versions_are_noted() -> None:
    other = Provenance("gpu", 16, "", {"jax": "0.12.0"}, True)
    results = [*runs(HP, SPREAD)[:3], *runs(HP, SPREAD, provenance=other)[3:]]
    assert (
        "The runs mix devices: cpu (3 runs), gpu (2 runs); lane widths: 8 (3 runs), 16 (2 runs); "
        "programs: with dropout (2 runs), without dropout (3 runs); "
        "versions of jax: 0.10.0 (3 runs), 0.12.0 (2 runs). Between these, identical runs may "
        "differ slightly." in experiment_table(STUDY, sizes(128), results).notes
    )


def test_runs_of_mixed_settings_and_sources_are_noted_and_missing_old_fields_are_unknown() -> None:
    usual = replace(CPU, settings={}, source="00ff")
    other = replace(CPU, settings={"jax_optimization_level": "O1"}, source="11ff")
    first, second, third, *same = runs(HP, SPREAD)
    results = [
        first,  # as a file of an earlier version
        replace(second, provenance=other),
        *(replace(run, provenance=usual) for run in (third, *same)),
    ]
    assert (
        "The runs mix jmlp's source, by digests: 00ff (3 runs), 11ff (1 run), unknown (1 run); "
        "jax_optimization_level: O1 (1 run), as usual (3 runs), unknown (1 run). Between these, "
        "identical runs may differ slightly." in experiment_table(STUDY, sizes(128), results).notes
    )


def test_the_notes_explain_the_seeds_beside_a_verdict() -> None:
    results = [*runs(HP, SPREAD), *runs(size(16), shifted(0.01, spread=0.01))]
    table = experiment_table(STUDY, sizes(16, 128), results)
    assert table.differences[0].cells[-1] == "not settled (about 22 seeds)"
    assert (
        "A new study with the number of seeds next to a verdict would settle that comparison with "
        "a probability of 80 %, if the present mean and spread are the true ones. Verdicts are for "
        "a number of seeds that was fixed before looking. To add seeds until all are settled, set "
        "sequential = true before the first look." in table.notes
    )


def test_the_notes_of_a_sequential_table_say_what_its_intervals_hold_for() -> None:
    results = [*runs(HP, SPREAD), *runs(size(16), shifted(0.01, spread=0.01))]
    table = experiment_table(replace(STUDY, sequential=True), sizes(16, 128), results)
    assert table.differences[0].cells[-1] == "not settled (about 49 seeds)"
    assert (
        "Differences are in test accuracy to batch size 128, paired by seed. Their intervals hold "
        "simultaneously at 95 % and at every number of seeds, so that seeds may be added after "
        "looking (sequential t-test, Wang and Ramdas 2024, arXiv:2310.03722), and p is adjusted "
        "accordingly (Bonferroni, 1); with fewer than 5 pairs there is no verdict." in table.notes
    )
    assert (
        "The number of seeds next to a verdict would settle that comparison with a probability of "
        "80 %, if the present mean and spread are the true ones. An earlier look may settle it "
        "already." in table.notes
    )


def test_a_note_gives_the_failures_that_the_seeds_cannot_rule_out() -> None:
    note = (
        "Verdicts are about runs that do not fail. Where none of 5 runs diverged or collapsed, up "
        "to 45 % of further runs may still do so (95 % confidence, for one configuration)."
    )
    better = runs(size(16), shifted(0.03))
    assert note in experiment_table(STUDY, sizes(16, 128), [*runs(HP, SPREAD), *better]).notes
    few = experiment_table(STUDY, sizes(16, 128), [*runs(HP, SPREAD), *better[:4]])
    assert not any("do not fail" in text for text in few.notes)
    collapsed = runs(size(16), [0.1 + seed / 1000 for seed in range(5)], collapsed=True)
    table = experiment_table(STUDY, sizes(16, 128), [*runs(HP, SPREAD), *collapsed])
    assert note in table.notes  # for the baseline
