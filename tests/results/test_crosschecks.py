"""Settings that make no sense together or with the data: what is refused, what is a remark."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import FACTS, arrays, experiment, study
from table_runs import HP, finished

import jmlp
from jmlp.client.plans import checked_plan, plan_notes
from jmlp.data.arrays import own_dataset
from jmlp.data.order import split
from jmlp.errors import ConfigError
from jmlp.nn import batchnorm
from jmlp.results.crosschecks import BATCH_NORM_DECAY, refuse
from jmlp.results.tables import experiment_table
from jmlp.study.config import Experiment, Hyperparams
from jmlp.training.outcome import Outcome
from jmlp.training.plan import DataFacts, data_facts, make_plan
from jmlp.training.records import Evaluations, Provenance
from jmlp.training.single_run import Evaluation

SEEDS = range(5)  # enough for verdicts
MANY = DataFacts(60_000, 10_000, 784, 10, {})


def notes(*experiments: Experiment, facts: DataFacts = MANY, **changes: Any) -> list[str]:
    return plan_notes(make_plan(study(*experiments, **changes), facts))


def refusals(*experiments: Experiment, facts: DataFacts = MANY) -> Sequence[str]:
    with pytest.raises(ConfigError) as error:
        checked_plan(study(*experiments), facts, 1)
    return error.value.problems


def test_ordinary_studies_have_no_remark() -> None:
    swept = experiment(
        {"drop_rate": (0.0, 0.5), "batch_norm": (False, True), "patience": (1, 3, None)}, SEEDS
    )
    assert notes(swept, experiment(batch_size=128)) == []


# Refused


@pytest.mark.parametrize(
    ("axes", "hyperparams"),
    [
        ({}, {"batch_norm": True, "batch_size": 1}),
        ({"batch_norm": (False, True), "batch_size": (1, 16)}, {}),
        ({"batch_size": (16, 1)}, {"batch_norm": True}),
    ],
)
def test_batch_norm_of_one_example_is_refused(axes: Any, hyperparams: Any) -> None:
    assert refusals(experiment(axes, SEEDS, **hyperparams)) == (
        "study: batch_size: with batch norm there must be at least 2 examples in a mini-batch: "
        "with 1 every normalised value is 0, and nothing can be learned; use a larger batch_size, "
        "or batch_norm = false",
    )


def test_one_example_without_batch_norm_and_two_with_it_are_trained() -> None:
    assert checked_plan(study(experiment(batch_size=1)), FACTS, 1).runs
    assert checked_plan(study(experiment(batch_size=2, batch_norm=True)), FACTS, 1).runs


@pytest.mark.parametrize(
    ("hyperparams", "problem"),
    [
        (
            {"learning_rate": 1e-46},
            "learning_rate: 1e-46 is 0 in float32, in which jmlp computes: use 1.2e-38 or more",
        ),
        (
            {"initialization": "normal", "weight_std": 1e-40},
            "weight_std: 1e-40 is 0 in float32, in which jmlp computes: use 1.2e-38 or more",
        ),
        (
            {"drop_rate": (0.5, 0.999999999)},
            "drop_rate: 0.999999999 is 1 in float32, in which jmlp computes, so that every unit is "
            "dropped: use a smaller one",
        ),
        (
            {"optimizer": "momentum", "momentum": 0.999999999},
            "momentum: 0.999999999 is 1 in float32, in which jmlp computes, so that nothing is "
            "forgotten: use a smaller one",
        ),
        (
            {"clip_norm": 1e-46},
            "clip_norm: 1e-46 is 0 in float32, in which jmlp computes: use 1.2e-38 or more",
        ),
        (
            {"input_drop_rate": 0.999999999},
            "input_drop_rate: 0.999999999 is 1 in float32, in which jmlp computes, so that every "
            "input is dropped: use a smaller one",
        ),
        (
            {"label_smoothing": 0.999999999},
            "label_smoothing: 0.999999999 is 1 in float32, in which jmlp computes, so that nothing "
            "of a label is left: use a smaller one",
        ),
    ],
)
def test_a_number_equal_to_the_limit_in_float32_is_refused(hyperparams: Any, problem: str) -> None:
    assert refusals(experiment(**hyperparams)) == (f"study: {problem}",)


def test_the_smallest_number_that_is_allowed_moves_a_parameter() -> None:
    smallest = jnp.float32(np.finfo(np.float32).tiny)
    assert jax.jit(lambda rate: rate * 1.0)(smallest) > 0


def test_fit_and_run_study_refuse_the_same() -> None:
    x, y = arrays(60)
    hp = Hyperparams(hidden=(4,), batch_size=1, batch_norm=True)
    with pytest.raises(ConfigError, match="every normalised value is 0"):
        jmlp.fit(hp, x, y)
    with pytest.raises(ConfigError, match="every normalised value is 0"):
        next(
            jmlp.run_study(
                study(experiment(batch_size=1, batch_norm=True)), jmlp.data.synthetic(60, 10)
            )
        )


# Shown with the plan and the results


def test_zero_weights_are_trained_with_a_remark() -> None:
    (note,) = notes(experiment({"initialization": ("zero", "glorot")}, SEEDS))
    assert "all units of a hidden layer begin equal" in note
    assert notes(experiment(initialization="lecun")) == []


def test_batch_norm_of_two_examples_keeps_only_their_order() -> None:
    # What the remark says, of the layer itself.
    params, state = batchnorm.init(3, jnp.dtype("float32"))
    Z = jnp.asarray([[0.1, 7.0], [5.0, -2.0], [1.0, 1.5]], jnp.float32)
    out = batchnorm.forward(params, state, Z)[0]
    np.testing.assert_allclose(out, [[-1, 1], [1, -1], [-1, 1]], atol=1e-3)
    assert notes(experiment(batch_size=2, batch_norm=True)) == [
        "Batch norm over mini-batches of 2 examples keeps only which of them has the larger value: "
        "every normalised value is close to -1 or +1."
    ]


@pytest.mark.parametrize(("size", "said"), [(3, True), (7, True), (8, False)])
def test_batch_norm_of_a_few_examples_is_noted(size: int, said: bool) -> None:
    assert ["only" in note for note in notes(experiment(batch_size=size, batch_norm=True))] == (
        [True] if said else []
    )
    assert notes(experiment(batch_size=size)) == []


@pytest.mark.parametrize(
    ("axes", "hyperparams", "pairs"),
    [
        (
            {"patience": (2, 9, 4, None)},
            {},
            "patience 9 and patience 4; patience 9 and patience none",
        ),
        (
            {"learning_rate": (0.1, 0.100000000001)},
            {},
            "learning rate 0.1 and learning rate 0.100000000001",
        ),
        (
            {"optimizer": ("sgd", "momentum")},
            {"momentum": 0.0},
            "optimizer sgd and optimizer momentum",
        ),
        (
            {"optimizer": ("nesterov", "sgd")},
            {"momentum": 0.0},
            "optimizer nesterov and optimizer sgd",
        ),
        (
            {"optimizer": ("adam", "adamw")},
            {"weight_decay": 0.0},
            "optimizer adam and optimizer adamw",
        ),
        ({"clip_norm": (None, 1.0, 1.000000001)}, {}, "clip norm 1 and clip norm 1.000000001"),
        (
            {"drop_rate": (0.1, 0.5, (0.1, 0.1))},
            {},
            "drop rate 0.1 and drop rate 0.1–0.1",
        ),
    ],
)
def test_rows_that_cannot_differ_are_noted(axes: Any, hyperparams: Any, pairs: str) -> None:
    expected = f"These train the same network, and have equal results: {pairs}."
    swept = experiment(axes, SEEDS, **hyperparams)  # of 4 epochs
    assert notes(swept) == [expected]
    assert expected in experiment_table(study(swept), swept, []).notes


def test_rows_of_one_run_each_show_it() -> None:
    swept = experiment({"drop_rate": (0.1, (0.1, 0.1))}, (0, 1, 2), epochs=1)
    found = [r for p in jmlp.run_study(study(swept), small()) for r in p.results]
    assert len(found) == 3
    assert [row.n for row in experiment_table(study(swept), swept, found).rows] == [3, 3]


def test_what_is_refused_now_is_a_sentence_beside_results_of_an_earlier_version() -> None:
    swept = experiment(batch_size=1, batch_norm=True)
    (note,) = (
        n for n in experiment_table(study(swept), swept, []).notes if "normalised value" in n
    )
    assert note.startswith("With batch norm there must be at least 2 examples")
    assert note.endswith("batch_norm = false.")


def test_rows_reported_as_equal_train_to_equal_bits() -> None:
    swept = experiment({"patience": (4, 9, None)})
    found = [r for p in jmlp.run_study(study(swept), small()) for r in p.results]
    assert len({r.run_id for r in found}) == 3
    assert len({tuple(map(repr, r.costs)) for r in found}) == 1


def small() -> Any:
    from helpers import SMALL_DATA

    return SMALL_DATA


@pytest.mark.parametrize(
    ("hyperparams", "text"),
    [
        (
            {"drop_rate": 0.9, "hidden": (8, 5)},
            "A drop rate of 0.9 drops all 5 units of a hidden layer at once in 59 %",
        ),
        (
            {"drop_rate": (0.0, 0.5), "hidden": (8, 1)},
            "A drop rate of 0.5 drops the only unit of a hidden layer at once in 50 %",
        ),
        ({"drop_rate": (0.5, 0.0), "hidden": (8, 1)}, ""),
        ({"drop_rate": 0.8, "hidden": (8, 5)}, ""),
    ],
)
def test_a_layer_that_is_often_dropped_as_a_whole_is_noted(hyperparams: Any, text: str) -> None:
    found = notes(experiment(**hyperparams))
    assert found == ([f"{text} of cases, and then nothing passes through it."] if text else [])


def test_epochs_of_one_update_and_large_remainders_are_noted() -> None:
    swept = experiment({"batch_size": (16, 60, 100, 166)}, SEEDS, patience=None)
    assert notes(swept, facts=FACTS, smallest_difference=0.02) == [
        "Of the 166 examples of the training part: at batch size 60 an epoch is 2 updates and "
        "leaves out 46; at batch size 100 an epoch is 1 update and leaves out 66; at batch size "
        "166 an epoch is 1 update."
    ]


def test_running_averages_that_have_hardly_begun_are_noted() -> None:
    assert BATCH_NORM_DECAY == batchnorm.MOMENTUM
    few = experiment(batch_size=83, epochs=5, batch_norm=True, patience=None)  # 10 updates
    assert notes(few, facts=FACTS) == [
        "Batch norm predicts by running averages: after 10 updates in all, 35 % of them is still "
        "what they began with."
    ]
    assert notes(replace(few, base=replace(few.base, epochs=20)), facts=FACTS) == []


IRIS = DataFacts(150, 0, 4, 3, {}, class_counts=(50, 50, 50))


def early(patience: int, stopped: int, **changes: Any) -> Any:
    hp = replace(HP, batch_size=32, patience=patience)
    return finished(hp, 0, 0.3, best_epoch=stopped - patience, stopped_epoch=stopped, **changes)


def test_patience_of_few_updates_is_noted_with_the_plan_and_beside_runs_that_it_stopped() -> None:
    text = (
        "Early stopping waits for few updates here (patience 2 at batch size 32 is 6 updates): a "
        "run may be stopped long before it has learned what it can."
    )
    one = Experiment("one", replace(HP, batch_size=32), {}, (0,), {})
    assert notes(one, facts=IRIS) == [text]
    shown = {
        "stopped": experiment_table(study(one), one, [early(2, 3)], IRIS).notes,
        "limit": experiment_table(study(one), one, [early(2, 100, reached_limit=True)], IRIS).notes,
        "none": experiment_table(study(one), one, [], IRIS).notes,
        "no facts": experiment_table(study(one), one, [early(2, 3)]).notes,
    }
    assert {name for name, said in shown.items() if text in said} == {"stopped"}
    assert notes(replace(one, base=replace(HP, batch_size=8)), facts=IRIS) == []  # 30 updates


def test_a_linear_schedule_that_patience_can_cut_off_is_noted() -> None:
    linear = experiment(schedule="linear", patience=2, epochs=10)
    assert notes(linear) == [
        "The learning rate falls to 0 over the limit of 10 epochs: where patience stops a run "
        "earlier, it has not fallen so far."
    ]
    assert notes(replace(linear, base=replace(linear.base, patience=None))) == []


def test_patience_that_can_end_a_run_within_its_warmup_is_noted() -> None:
    text = (
        "Patience can stop a run within its warm-up (patience 5 is 5 epochs, the warm-up 5 epochs),"
        " before it has trained with its full learning rate: use a larger patience or a shorter "
        "warm-up."
    )
    warmed = experiment(warmup=5.0, patience=5, epochs=10)
    changes = {
        "longer patience": notes(replace(warmed, base=replace(warmed.base, patience=6))),
        "no patience": notes(replace(warmed, base=replace(warmed.base, patience=None))),
        "unused patience": notes(replace(warmed, base=replace(warmed.base, epochs=5))),
    }
    assert notes(warmed) == [text]
    assert {name: said for name, said in changes.items() if said} == {}


def test_the_epochs_of_patience_depend_on_how_often_a_run_is_evaluated() -> None:
    often = experiment(warmup=1.0, patience=10, epochs=10, evaluate_every=240)
    (text,) = notes(often)  # of 3,000 updates per epoch
    assert "(patience 10 is 0.8 epochs, the warm-up 1 epoch)" in text
    assert notes(replace(often, base=replace(often.base, patience=13))) == []


def test_few_validation_examples_are_noted() -> None:
    text = (
        "The validation part has 2 examples: early stopping and the best configuration rest on "
        "them, and they are too few to call a run collapsed."
    )
    assert notes(
        experiment(batch_size=4), facts=replace(MANY, n_examples=150), validation_fraction=0.0133
    ) == [text]
    assert notes(experiment(batch_size=4), facts=replace(MANY, n_examples=150)) == []


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((100, 45, 5), ""),
        ((100, 46, 4), "There are 4 examples of class 2"),
        ((1, 3, 146), "There is 1 example of class 0; 3 examples of class 1"),
    ],
)
def test_classes_that_a_part_may_lack_are_noted(counts: tuple[int, ...], text: str) -> None:
    facts = replace(MANY, n_examples=150, class_counts=counts)
    rest = ": the training part or the validation part may have none of them."
    assert notes(experiment(batch_size=4), facts=facts) == ([text + rest] if text else [])


def test_the_examples_of_each_class_are_counted() -> None:
    assert data_facts(small()).class_counts == (70, 69, 69)


@pytest.mark.parametrize(
    ("largest", "text"),
    [
        (20.0, ""),
        (255.0, "The inputs are as large as 255, "),
        (1000.0, "The inputs are as large as 1,000, "),
    ],
)
def test_inputs_far_from_0_to_1_are_noted(largest: float, text: str) -> None:
    rest = (
        "and are used as they are: networks learn better from numbers around -1 to 1. Pixels of "
        "type uint8 are scaled to 0-1."
    )
    facts = replace(MANY, largest_input=largest)
    assert notes(experiment(), facts=facts) == ([text + rest] if text else [])


def test_inputs_on_which_networks_collapse_are_refused_with_the_remedy() -> None:
    facts = replace(MANY, largest_input=1680.0)
    with pytest.raises(ConfigError, match=r"data: inputs as large as 1,680 .* as a table"):
        refuse(study(experiment()), facts)


def test_inputs_close_to_0_are_noted() -> None:
    (note,) = notes(experiment(), facts=replace(MANY, largest_input=0.002))
    assert note.startswith("The inputs are at most 0.002, and are used as they are")


def test_the_largest_input_is_that_which_the_network_gets() -> None:
    pixels = small()
    negative = replace(pixels, x_train=pixels.x_train * np.float32(-2))
    facts = data_facts(pixels), data_facts(negative)
    assert [fact.largest_input for fact in facts] == [1.0, 2.0 * pixels.x_train.max()]


def test_too_few_seeds_for_a_verdict_are_noted_before_training_only() -> None:
    swept = experiment({"drop_rate": (0.0, 0.5)}, seeds=range(4))
    text = "With 4 seeds there is no verdict and no claim is settled: 5 are needed."
    assert notes(swept) == [text]
    assert text not in experiment_table(study(swept), swept, []).notes
    assert notes(experiment(seeds=range(4))) == []  # nothing is compared
    assert notes(swept, facts=replace(MANY, n_test=0)) == [
        "There is no test set: nothing is compared, and no claim is answered."
    ]


def test_a_smallest_difference_below_one_test_example_is_noted() -> None:
    swept = experiment({"drop_rate": (0.0, 0.5)}, SEEDS)
    text = (
        "One of the 60 test examples is 1.7 points of accuracy, more than the smallest difference "
        "that counts (0.5)."
    )
    assert notes(swept, facts=replace(MANY, n_test=60)) == [text]
    assert notes(swept, facts=replace(MANY, n_test=200)) == []
    assert notes(swept, facts=replace(MANY, n_test=60), smallest_difference=0.0) == []


def test_a_note_names_its_experiments_unless_it_holds_for_all() -> None:
    odd = experiment(batch_size=2, batch_norm=True, name="odd")
    (note,) = notes(odd, experiment(name="even"))
    assert note.startswith("odd: Batch norm over")
    (note,) = notes(odd, replace(odd, name="odder"))
    assert note.startswith("Batch norm over")


def with_rare_class(rows: Sequence[int]) -> DataFacts:
    """Facts of 100 examples of three classes, of which class 2 has only these rows."""
    x, y = np.arange(400, dtype=np.uint8).reshape(100, 4) % 251, np.arange(100) % 2
    y[list(rows)] = 2
    return data_facts(own_dataset("own", {"x_train": x, "y_train": y}, "own"))


def test_a_class_that_is_not_in_the_training_part_is_named() -> None:
    training, validation = split(100, 0, 0.2)
    never = (
        "The training part has no example of class 2: a network cannot learn a class that it never "
        "sees."
    )
    one = experiment(patience=None)
    assert never in notes(one, facts=with_rare_class(validation[:3].tolist()))
    seen = with_rare_class([training[0], *validation[:3]])
    assert not any("never sees" in note for note in notes(one, facts=seen))
    assert not any("never sees" in note for note in notes(one, facts=with_rare_class(range(60))))


def test_the_splits_in_which_a_class_is_not_in_the_training_part_are_counted() -> None:
    row = split(100, 3, 0.2)[1][0]
    lacking = [seed for seed in range(5) if row in split(100, seed, 0.2)[1]]
    facts = with_rare_class([row])
    of = f"In {len(lacking)} of 5 splits the training part has no example of class 2"
    found = notes(experiment(seeds=range(5), patience=None), facts=facts, split_seed="seed")
    assert 0 < len(lacking) < 5
    assert any(note.startswith(of) for note in found)


@pytest.mark.parametrize("stratify", [True, False])
def test_a_stratified_split_leaves_no_class_without_training_examples(stratify: bool) -> None:
    _, validation = split(100, 0, 0.2)
    y = np.arange(100) % 2
    y[validation[:2]] = 2
    x = np.arange(300.0).reshape(100, 3) % 7
    data = own_dataset("own", {"x_train": x, "y_train": y}, "own", stratify=stratify)
    found = notes(experiment(patience=None), facts=data_facts(data), stratify=stratify)
    assert any("no example of class 2" in note for note in found) != stratify


@pytest.mark.filterwarnings("ignore:There are 2 examples")
def test_fit_warns_of_a_class_that_is_not_in_the_training_part() -> None:
    _, validation = split(100, 0, 0.2)
    x, y = arrays(100, n_classes=2)
    y[validation[:2]] = 2
    hp = Hyperparams(hidden=(4,), batch_size=16, epochs=2, patience=None)
    with pytest.warns(UserWarning, match="has no example of class 2"):
        jmlp.fit(hp, x, y)


def test_fit_warns_of_what_bears_on_its_result() -> None:
    x, y = arrays(60)
    hp = Hyperparams(hidden=(4,), batch_size=2, batch_norm=True, epochs=2, patience=None)
    with pytest.warns(UserWarning, match="keeps only which of them has the larger value"):
        jmlp.fit(hp, x, y, validation=0.5)


# Collapse


@pytest.mark.parametrize(
    ("n", "most", "correct", "collapsed"),
    [
        (1, 1, 0, False),
        (2, 2, 1, False),
        (19, 19, 0, False),
        (20, 20, 10, True),
        (20, 19, 10, False),
        (20, 20, 15, True),
        (20, 20, 16, False),  # nearly all are of that class
        (100, 100, 100, False),  # all are
    ],
)
def test_a_run_has_collapsed_if_one_answer_is_wrong_often_enough(
    n: int, most: int, correct: int, collapsed: bool
) -> None:
    outcome = Outcome(Evaluations(10), 166, n, 60, Provenance("cpu", 1, "", {}, False))
    evaluation = Evaluation(jnp.float32(1), jnp.int32(correct), jnp.int32(most))
    assert outcome.collapsed(evaluation) == collapsed
    assert not outcome.collapsed(None)
