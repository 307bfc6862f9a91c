"""What command-line flags change in a study, and the errors they cause."""

from typing import Any

import pytest
from study_texts import SMALL, load, problems

from jmlp.study.file import load_study
from jmlp.study.rules import HYPERPARAMETERS

KNOWN_AT_THE_TOP = (
    "name, title, data, seeds, split_seed, validation_fraction, smallest_difference, sequential, "
    "notes, label, missing, leave_out, header, test, stratify, "
    f"{', '.join(HYPERPARAMETERS)}, experiments"
)


def test_plain_override_wins_everywhere() -> None:
    study = load(SMALL, overrides=["epochs=2", "seeds = [4]"])
    assert [(e.base.epochs, e.seeds) for e in study.experiments] == [(2, (4,)), (2, (4,))]


def test_dotted_override_reaches_one_experiment() -> None:
    rate, size = load(SMALL, overrides=["experiments.size.patience=none"]).experiments
    assert (rate.base.patience, size.base.patience) == (2, None)


def test_later_override_wins() -> None:
    overrides = ["experiments.rate.epochs=1", "epochs=2", "experiments.rate.epochs=3"]
    rate, size = load(SMALL, overrides=overrides).experiments
    assert (rate.base.epochs, size.base.epochs) == (3, 2)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data=my digits.npz", "my digits.npz"),
        ('data = "1"', "1"),
        ("data=a=b", "a=b"),
        ("data = a b ", "a b"),
    ],
)
def test_value_of_an_override_is_toml_or_else_a_plain_string(text: str, data: str) -> None:
    assert load(SMALL, overrides=[text]).data == data


@pytest.mark.parametrize("typed", ["id, name", '["id", "name"]', "id,name,"])
def test_columns_to_leave_out_are_typed_with_commas_or_as_a_list(typed: str) -> None:
    table = ["data=x.csv", "label=species"]
    assert load(SMALL, overrides=[*table, f"leave_out={typed}"]).leave_out == ("id", "name")
    assert load(SMALL, overrides=[*table, "leave_out=id"]).leave_out == ("id",)


def test_flags_set_seeds_epochs_and_data() -> None:
    study = load(SMALL, seeds=2, epochs=1, data="synthetic")
    assert study.data == "synthetic"
    assert [(e.base.epochs, e.seeds) for e in study.experiments] == [(1, (0, 1)), (1, (0, 1))]


def test_chosen_experiments_are_kept_in_the_order_of_the_file() -> None:
    names = [e.name for e in load_study("original", experiments=["final", "dropout"]).experiments]
    assert names == ["dropout", "final"]


def test_axis_may_be_overridden_where_its_experiment_is_not_chosen() -> None:
    (size,) = load(SMALL, overrides=["drop_rate=0.5"], experiments=["size"]).experiments
    assert size.base.drop_rate == 0.5


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            {"overrides": ["drop_rate=0.5"]},
            "--set drop_rate: drop_rate is an axis of experiment rate: set it there, as in --set "
            "experiments.rate.drop_rate=VALUE, or choose other experiments with --experiment",
        ),
        (
            {"overrides": ["learning_rate=inf"]},
            "--set learning_rate: must be a finite number > 0, got inf",
        ),
        (
            {"overrides": ["experiments.size.axes.batch_size=[0]"]},
            "--set experiments.size.axes.batch_size: must be a list of different values, "
            "each an integer from 1 to 1,048,576, got 0 in [0]",
        ),
        (
            {"overrides": ["experiments.size.claims=[1]"]},
            "--set experiments.size.claims[0]: must be a table, got 1 (an integer)",
        ),
        (
            {"overrides": ["learning_rte=1"]},
            "--set learning_rte: unknown key; did you mean learning_rate?",
        ),
        (
            {"overrides": ["experiments.sise.epochs=1"]},
            "--set experiments.sise.epochs: there is no such experiment (there are: rate, size); "
            "did you mean size?",
        ),
        (
            {"overrides": ["epochs.max=1"]},
            "--set epochs.max: epochs is not a table",
        ),
        (
            {"overrides": ["epochs"]},
            "--set epochs: must be key=value, as in learning_rate=0.1 "
            "or experiments.NAME.patience=5",
        ),
        (
            {"overrides": ["#a=1"]},
            "--set #a=1: must be key=value, as in learning_rate=0.1 or experiments.NAME.patience=5",
        ),
        (
            {"overrides": ["a.\nb=1"]},
            "--set 'a.\\nb=1': must be key=value, as in learning_rate=0.1 "
            "or experiments.NAME.patience=5",
        ),
        (
            {"overrides": ["epochs=1\nseeds=1"]},
            "--set epochs: must be an integer from 1 to 100,000, got '1\\nseeds=1' (a string)",
        ),
        ({"epochs": 0}, "--epochs: must be an integer from 1 to 100,000, got 0"),
        (
            {"seeds": -1},
            "--seeds: must be an integer from 1 to 100,000, or a list of distinct integers "
            "from 0 to 2**63 - 1, got -1",
        ),
        (
            {"data": ""},
            "--data: must be the name of a data set (jmlp data list) or a path, a string of 1 to "
            "4,096 characters without line ends, control or direction marks, got ''",
        ),
        (
            {"data": "moons:noise=2"},
            "--data: must be the name of a data set (jmlp data list) or a path, a string of 1 to "
            "4,096 characters without line ends, control or direction marks, got "
            "'moons:noise=2': noise must be a finite number from 0 to 1, got 2",
        ),
        (
            {"experiments": ["siz"]},
            "--experiment siz: there is no such experiment (there are: rate, size); "
            "did you mean size?",
        ),
    ],
)
def test_wrong_flag_is_named(flags: dict[str, Any], told: str) -> None:
    assert problems(SMALL, **flags) == [told]


def axes_of(*overrides: str, text: str = SMALL, name: str = "rate") -> Any:
    """The axes and the baseline of an experiment after these overrides."""
    study = load(text, overrides=overrides)
    (experiment,) = [e for e in study.experiments if e.name == name]
    return dict(experiment.axes), dict(experiment.baseline)


@pytest.mark.parametrize(
    ("overrides", "axes", "baseline"),
    [
        (  # a new axis in every experiment, after those that are there
            ["learning_rate=0.01, 0.03*, 0.1"],
            {"drop_rate": (0.0, 0.5), "learning_rate": (0.01, 0.03, 0.1)},
            {"drop_rate": 0.0, "learning_rate": 0.03},
        ),
        (  # in one experiment; the study's own value is the baseline if it is among them
            ["experiments.rate.batch_size=64, 128"],
            {"drop_rate": (0.0, 0.5), "batch_size": (64, 128)},
            {"drop_rate": 0.0, "batch_size": 128},
        ),
        (  # other values for an axis; the baseline is no longer there
            ["experiments.rate.drop_rate=0.1 | 0.2"],
            {"drop_rate": (0.1, 0.2)},
            {"drop_rate": 0.1},
        ),
        (  # another axis in place of this one
            ["experiments.rate.drop_rate=0.2", "experiments.rate.hidden=64 | 64,32*"],
            {"hidden": ((64,), (64, 32))},
            {"hidden": (64, 32)},
        ),
        (["experiments.rate.drop_rate=0.2"], {}, {}),
    ],
)
def test_several_values_are_an_axis_and_one_for_an_experiment_removes_it(
    overrides: list[str], axes: Any, baseline: Any
) -> None:
    assert axes_of(*overrides) == (axes, baseline)


def test_value_that_removes_an_axis_holds_for_its_experiment() -> None:
    rate, size = load(SMALL, overrides=["experiments.rate.drop_rate=0.2"]).experiments
    assert (rate.base.drop_rate, rate.axes, rate.baseline) == (0.2, {}, {})
    assert (size.base.drop_rate, dict(size.axes)) == (0.0, {"batch_size": (16, 32)})


def test_axis_is_fixed_where_an_override_for_all_would_not_be_allowed() -> None:
    overrides = ["drop_rate=0.5", "experiments.rate.drop_rate=0.2"]
    rate, size = load(SMALL, overrides=overrides).experiments
    assert (rate.base.drop_rate, size.base.drop_rate) == (0.2, 0.5)


def test_seeds_are_a_number_or_a_list_typed_in_any_way() -> None:
    typed = ["5", "[4, 9]", "4, 9", "10..12 +1"]
    seeds = [load(SMALL, overrides=[f"seeds={text}"]).experiments[0].seeds for text in typed]
    assert seeds == [(0, 1, 2, 3, 4), (4, 9), (4, 9), (10, 11, 12)]


def test_claims_and_figures_about_other_configurations_are_left_out() -> None:
    overrides = ["experiments.final.batch_norm=true", "experiments.batch-size.batch_size=64, 128"]
    before, after = load_study("original"), load_study("original", overrides=overrides)
    counts = [[(len(e.claims), len(e.reference)) for e in s.experiments] for s in (before, after)]
    assert counts == [[(1, 8), (1, 0), (2, 4)], [(1, 2), (1, 0), (0, 0)]]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "learning_rate=0.01, -1",
            "--set learning_rate: must be a list of different values, each a finite number > 0, "
            "got -1 in [0.01, -1]",
        ),
        (
            "experiments.rate.momentum=0.5, 0.9",
            "--set experiments.rate.momentum: has no effect without optimizer = 'momentum' or "
            "'nesterov': set that, or leave momentum out",
        ),
        (
            "experiments.size.drop_rate=0, 0.5",
            "--set experiments.size.drop_rate: 0, 0.5 could be several drop rates, which are "
            "typed as 0 | 0.5, or one for each hidden layer: [0, 0.5]",
        ),
        (
            "experiments.none.hidden=3 | 4",
            "--set experiments.none.hidden: there is no such experiment (there are: rate, size)",
        ),
    ],
)
def test_wrong_values_of_an_axis_are_named(override: str, told: str) -> None:
    assert problems(SMALL, overrides=[override]) == [told]


def test_mistake_in_the_file_is_reported_even_where_a_flag_hides_it() -> None:
    text = SMALL.replace("epochs = 9", "epochs = 0")
    assert problems(text, epochs=5) == ["epochs: must be an integer from 1 to 100,000, got 0"]


def test_problems_of_file_and_flags_are_reported_together_and_once() -> None:
    text = SMALL.replace("epochs = 9", "epochs = 0\ncolour = 1")
    assert problems(text, overrides=["x"], epochs=-5, experiments=["size"]) == [
        "epochs: must be an integer from 1 to 100,000, got 0",
        f"colour: unknown key; known here: {KNOWN_AT_THE_TOP}",
        "--set x: must be key=value, as in learning_rate=0.1 or experiments.NAME.patience=5",
        "--epochs: must be an integer from 1 to 100,000, got -5",
    ]
