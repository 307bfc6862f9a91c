"""What became of a broken network, in words that follow from the verdict alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from table_runs import HP, SEEDS, SPREAD, STUDY, diverged, runs, shifted

from jmlp.results.broken import in_words
from jmlp.results.tables import experiment_table
from jmlp.study.config import Experiment, Hyperparams
from jmlp.study.mistakes import find
from jmlp.training.records import RunResult

BROKEN = replace(HP, backward_fault="relu_mask")
MADE = Experiment("broken", HP, {"backward_fault": ("none", "relu_mask")}, SEEDS)


def words(wrong: Sequence[RunResult], made: Experiment = MADE, mistake: str = "relu_mask") -> str:
    table = experiment_table(STUDY, made, [*runs(HP, SPREAD), *wrong])
    return in_words(STUDY, table, find(mistake))


@pytest.mark.parametrize(
    ("difference", "verdict", "conclusion"),
    [
        (-0.2, "lower (-20.00 points, ", "): the mistake shows."),
        (
            0.0,
            "within ±0.5 points (0.00 points, ",
            "): it does as well as the right one, so that its accuracy does not give the mistake "
            "away. The check of the gradient does.",
        ),
        (
            0.2,
            "higher (+20.00 points, ",
            "): it is the better one here, so that its accuracy does not give the mistake away. "
            "The check of the gradient does.",
        ),
    ],
)
def test_each_verdict_has_its_words(difference: float, verdict: str, conclusion: str) -> None:
    found = words(runs(BROKEN, shifted(difference)))
    assert found.startswith(f"In test accuracy, the broken network is {verdict}")
    assert found.endswith(conclusion)


def test_what_is_not_settled_concludes_nothing() -> None:
    found = words(runs(BROKEN, shifted(-0.005, spread=0.01)))
    assert found.startswith("In test accuracy, the broken network may be higher or lower (")
    assert found.endswith("would settle it).")


def test_no_check_is_named_that_does_not_find_the_mistake() -> None:
    hp = replace(HP, training_fault="no_shuffle")
    made = Experiment("broken", HP, {"training_fault": ("none", "no_shuffle")}, SEEDS)
    found = words(runs(hp, shifted(0.0)), made, "no_shuffle")
    assert found.endswith("does not give the mistake away.")


def test_networks_that_all_diverged_have_no_accuracy() -> None:
    all_diverged = [diverged(BROKEN, seed, 3) for seed in SEEDS]
    assert words(all_diverged) == (
        "Every run of the broken network diverged, and has no accuracy: the mistake shows."
    )
    some = [*all_diverged[:2], *runs(BROKEN, shifted(-0.2))[2:]]
    assert words(some) == (
        "Over 3 seeds, the test accuracy of the broken network differs by -19.90 points on "
        f"average; a verdict needs 5 seeds. 2 of its {len(SEEDS)} runs diverged."
    )


def test_collapsed_networks_are_called_so() -> None:
    found = words(runs(BROKEN, shifted(-0.8), collapsed=True))
    assert found.endswith("It collapsed in every run: it gives one answer to everything.")


def test_other_tables_have_no_words() -> None:
    assert words(runs(BROKEN, SPREAD)[:4]) == ""
    rates: tuple[Hyperparams, ...] = (HP, replace(HP, learning_rate=0.1))
    made = replace(
        MADE,
        axes={**MADE.axes, "learning_rate": (0.009, 0.1)},
        baseline={
            "backward_fault": "none",
            "learning_rate": 0.009,
        },
    )
    results = [
        r
        for hp in rates
        for b in (hp, replace(hp, backward_fault="relu_mask"))
        for r in runs(b, SPREAD)
    ]
    assert in_words(STUDY, experiment_table(STUDY, made, results), find("relu_mask")) == ""
