"""Faulty derivatives: each is the mistake it says, the check names it, and training uses it."""

from dataclasses import replace
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import FACTS, SMALL, SMALL_DATA, experiment, plan, study, trained

from jmlp.data.order import mini_batches, unshuffled
from jmlp.errors import ConfigError
from jmlp.nn import cost, dense, faults, model
from jmlp.nn.batchnorm import BatchNormCache
from jmlp.nn.dense import DenseCache, DenseParams
from jmlp.nn.derivatives import CORRECT
from jmlp.nn.gradcheck import check_network
from jmlp.results import crosschecks
from jmlp.results.tables import study_tables
from jmlp.study.config import Hyperparams, changed, check
from jmlp.study.mistakes import MISTAKES
from jmlp.study.rules import TrainingFault
from jmlp.training import single_run
from jmlp.training.plan import DataFacts, data_facts, examples_of_updates

# Where each mistake has an effect: batch norm, drop rate, and layers before the last.
EFFECTS: dict[str, tuple[tuple[int, ...], Any, float]] = {
    "batch_norm": ((8,), "after", 0.0),
    "dropout_mask": ((8,), None, 0.4),
    "relu_mask": ((8,), None, 0.0),
    "batch_mean": ((), None, 0.0),
    "updated_weights": ((8,), None, 0.0),
    "weights_transposed": ((8, 8), None, 0.0),
    "bias_of_last": ((8,), None, 0.0),
    "bias_mean": ((8,), None, 0.0),
}
TRAINING_FAULTS = tuple(name for name in get_args(TrainingFault) if name != "none")


def test_every_fault_is_listed_and_described() -> None:
    assert set(EFFECTS) == set(faults.NAMES)
    assert faults.__doc__ is not None
    assert all(f"    {name} " in faults.__doc__ for name in (*faults.NAMES, *TRAINING_FAULTS))
    described = {(mistake.setting, mistake.setting_value) for mistake in MISTAKES}
    assert described == {
        *(("backward_fault", name) for name in faults.NAMES),
        *(("training_fault", name) for name in TRAINING_FAULTS),
        ("initialization", "zero"),
    }


def test_without_a_fault_the_derivatives_are_those_of_the_layers() -> None:
    assert faults.derivatives("none") is CORRECT
    assert Hyperparams().backward_fault == "none"


# By hand


def test_the_mistakes_are_hand_computed() -> None:
    d_output = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    unmasked: tuple[Any, ...] = (
        faults.derivatives("dropout_mask").dropout,
        faults.derivatives("relu_mask").activation,
    )
    for faulty in unmasked:
        assert faulty(d_output, jnp.zeros((2, 2))).tolist() == d_output.tolist()
    cache = BatchNormCache(jnp.full((2, 1), 5.0), jnp.array([[-1.0, 1], [1, -1]]), jnp.ones((2, 1)))
    dZ, d_params = faults.derivatives("batch_norm").batchnorm(d_output, cache)
    assert dZ.tolist() == d_output.tolist()
    assert [leaf.tolist() for leaf in d_params] == [[[1], [-1]], [[3], [7]]]
    logits, labels = jnp.zeros((2, 4)), jnp.array([0, 0, 1, 1])
    _, cost_cache = cost.forward(logits, labels)
    summed = faults.derivatives("batch_mean").cost(0.25, cost_cache)
    assert summed.tolist() == [[-0.5, -0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5]]
    dense_cache = DenseCache(DenseParams(jnp.array([[1.0, 2.0]]), None), jnp.array([[3.0], [4.0]]))
    # dW = 10 · (3, 4); W - 0.1 dW = (-2, -2)
    dA, (dW, _) = faults.derivatives("updated_weights", rate=0.1).dense(
        jnp.array([[10.0]]), dense_cache
    )
    assert (dW.tolist(), dA.tolist()) == ([[30, 40]], [[-20], [-20]])
    assert dense.backward(jnp.array([[10.0]]), dense_cache)[0].tolist() == [[10], [20]]


def test_the_mistakes_of_a_dense_layer_are_hand_computed() -> None:
    W, b, A = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.zeros((2, 1)), jnp.array([[1.0, 0], [0, 1]])
    cache, dZ = DenseCache(DenseParams(W, b), A), jnp.array([[1.0, 3.0], [2.0, 5.0]])
    dA, (dW, db) = dense.backward(dZ, cache)
    assert [np.asarray(a).tolist() for a in (dA, dW, db)] == [
        [[7, 18], [10, 26]],
        [[1, 3], [2, 5]],
        [[4], [7]],
    ]
    dA, (dW, db) = faults.derivatives("weights_transposed").dense(dZ, cache)
    assert [np.asarray(a).tolist() for a in (dA, dW, db)] == [
        [[5, 13], [11, 29]],
        [[1, 3], [2, 5]],
        [[4], [7]],
    ]
    for name, wrong in (("bias_of_last", [[3], [5]]), ("bias_mean", [[2], [3.5]])):
        dA, (dW, db) = faults.derivatives(name).dense(dZ, cache)  # type: ignore[arg-type]
        assert [np.asarray(a).tolist() for a in (dA, dW, db)] == [
            [[7, 18], [10, 26]],
            [[1, 3], [2, 5]],
            wrong,
        ]
        without = faults.derivatives(name).dense(  # type: ignore[arg-type]
            dZ, DenseCache(DenseParams(W, None), A)
        )
        assert without[1].b is None
    # A matrix that is not square can only be transposed.
    narrow = DenseCache(DenseParams(W[:1], b[:1]), A)
    dA, _ = faults.derivatives("weights_transposed").dense(dZ[:1], narrow)
    assert dA.tolist() == [[1, 3], [2, 6]]


def test_the_mistakes_outside_the_backward_pass_are_hand_computed() -> None:
    y = jnp.array([0, 1, 2, 0])
    assert faults.labels("labels_off_by_one", y, 3).tolist() == [2, 0, 1, 2]
    assert faults.labels("none", y, 3) is y
    grads = {"W": jnp.array([1.0, -2.0])}
    assert faults.step("step_sign", grads)["W"].tolist() == [-1, 2]
    assert faults.step("none", grads) is grads
    assert faults.log_softmax("none") is None
    assert unshuffled(np.array([7, 0, 9, 3], np.int32)).tolist() == [1, 3, 0, 2]


def test_softmax_without_its_maximum_is_the_same_until_it_overflows() -> None:
    y = jnp.array([0, 1])
    small = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    raw = faults.log_softmax("raw_softmax")
    for logits in (small, 40 * small / 3):
        (right, cache), (wrong, faulty) = (
            cost.forward(logits, y),
            cost.forward(logits, y, faulty=raw),
        )
        np.testing.assert_allclose(right, wrong, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(cost.backward(1.0, cache), cost.backward(1.0, faulty), atol=1e-6)
    (right, _), (wrong, _) = cost.forward(30 * small, y), cost.forward(30 * small, y, faulty=raw)
    assert np.isfinite(right)
    assert np.isnan(wrong)


# Oracles


def test_a_gradient_with_wrong_labels_is_that_of_jax_for_the_wrong_cost() -> None:
    hp = replace(SMALL, training_fault="labels_off_by_one")
    params, state = model.init(hp, 20, 3, jax.random.key(0))
    x, y = jnp.asarray(SMALL_DATA.x_train[:16]), jnp.asarray(SMALL_DATA.y_train[:16])
    _, found, _ = single_run.gradient(params, state, hp, x, y, None, 0.1)

    def wrong_cost(params: model.Params) -> Any:
        logits, _, _ = model.forward(params, state, x, None, None)
        shares = jax.nn.log_softmax(logits, axis=0)
        return -jnp.mean(shares[y - 1, jnp.arange(len(y))])

    with jax.numpy_dtype_promotion("standard"):
        expected = jax.grad(wrong_cost)(params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_step_of_the_wrong_sign_goes_as_far_to_the_other_side() -> None:
    plain = changed(SMALL, weight_decay=None)
    params, _ = model.init(SMALL, 20, 3, jax.random.key(0))
    grads = jax.tree.map(jnp.ones_like, params)
    right, _ = single_run.update(params, grads, (), plain, 0.1)
    ascending = changed(plain, training_fault="step_sign")
    wrong, _ = single_run.update(params, grads, (), ascending, 0.1)
    for old, a, b in zip(*map(jax.tree.leaves, (params, right, wrong)), strict=True):
        np.testing.assert_allclose(b - old, old - a, atol=1e-6)


def test_a_network_of_raw_inputs_reads_pixels_as_they_are_wherever_it_is_used() -> None:
    raw = replace(SMALL, training_fault="raw_inputs")
    params, state = model.init(raw, 20, 3, jax.random.key(0))
    scaled, _ = model.init(SMALL, 20, 3, jax.random.key(0))
    x = jnp.asarray(SMALL_DATA.x_train[:16])
    wanted = model.predict(scaled, state, x.astype(jnp.float32))
    np.testing.assert_array_equal(model.predict(params, state, x), wanted)
    np.testing.assert_allclose(model.forward(params, state, x, None, None)[0].T, wanted, rtol=1e-5)
    assert jax.tree.map(jnp.zeros_like, params)[0].raw == params[0].raw == model.RawInputs()


def test_unshuffled_mini_batches_are_in_the_order_of_the_data_in_every_epoch() -> None:
    training, _ = SMALL_DATA.split(0, 0.2)
    hp = replace(SMALL, training_fault="no_shuffle")
    rows = training[examples_of_updates(hp, 0, 0, 25, training)]
    in_order = np.sort(training)[:160].reshape(10, 16)
    np.testing.assert_array_equal(rows, np.concatenate([in_order, in_order, in_order[:5]]))
    shuffled = training[examples_of_updates(SMALL, 0, 0, 25, training)]
    np.testing.assert_array_equal(shuffled, training[mini_batches(0, 0, 25, len(training), 16)])


# The check of the gradient


@pytest.mark.parametrize("name", faults.NAMES)
def test_the_check_finds_each_mistake_and_names_it_and_no_other(name: Any) -> None:
    hidden, place, drop_rate = EFFECTS[name]
    checks = check_network(hidden, place, drop_rate, 0, name)
    wrong = [leaf for leaf in checks if not leaf.ok]
    assert wrong
    assert {leaf.same_as for leaf in checks} == {(name,)}
    # The layers after the mistake are right, except if it is in the cost.
    last = {leaf.leaf for leaf in checks if leaf.leaf.startswith(f"[{len(hidden)}]")}
    assert (last <= {leaf.leaf for leaf in wrong}) == (name == "batch_mean")


@pytest.mark.parametrize("place", ["before", "after"])
def test_batch_norm_in_either_place_has_the_right_gradient_and_no_fault(place: Any) -> None:
    checks = check_network((6, 5), place, 0.4, 1)
    assert all(leaf.ok and leaf.same_as == () for leaf in checks)
    names = {leaf.leaf for leaf in checks}
    assert ("[0].dense.b" in names) == (place == "after")


# Training


@pytest.mark.parametrize("name", faults.NAMES)
def test_training_with_a_fault_starts_alike_and_goes_another_way(name: Any) -> None:
    hidden, place, drop_rate = (5, 5), EFFECTS[name][1], EFFECTS[name][2]
    batch_norm = {"batch_norm": True, "batch_norm_place": place} if place else {}
    base: dict[str, Any] = {
        "hidden": hidden,
        "drop_rate": drop_rate,
        "epochs": 2,
        "patience": None,
        **batch_norm,
    }
    (right,) = trained(experiment(**base))
    (faulty,) = trained(experiment(backward_fault=name, **base))
    assert faulty.run_id != right.run_id
    assert faulty.costs[0] == right.costs[0]
    assert faulty.costs[1].validation_cost != right.costs[1].validation_cost
    assert faulty.hyperparams.backward_fault == name


@pytest.mark.parametrize("name", TRAINING_FAULTS)
def test_training_with_another_fault_starts_alike_and_goes_another_way(name: Any) -> None:
    base: dict[str, Any] = {"epochs": 2, "patience": None}
    (right,) = trained(experiment(**base))
    (faulty,) = trained(experiment(training_fault=name, **base))
    assert faulty.run_id != right.run_id
    assert (faulty.costs[0] == right.costs[0]) == (name != "raw_inputs")
    # The softmax of small logits is the same function, with other last digits.
    near = 1e-4 if name == "raw_softmax" else 0.0
    same = np.isclose(faulty.costs[1].validation_cost, right.costs[1].validation_cost, rtol=near)
    assert same == (name == "raw_softmax")


def test_evaluations_of_a_broken_network_are_right() -> None:
    for name in TRAINING_FAULTS:
        (run,) = trained(experiment(training_fault=name, epochs=2, patience=None))
        x = jnp.asarray(SMALL_DATA.x_test)
        logits = np.asarray(model.predict(run.params, run.state, x))
        assert np.mean(np.argmax(logits, axis=1) == SMALL_DATA.y_test) == run.test_accuracy


def test_a_run_whose_softmax_overflows_diverges_and_the_right_one_does_not() -> None:
    large: dict[str, Any] = {"initialization": "normal", "weight_std": 8.0, "learning_rate": 1e-6}
    made = experiment({"training_fault": ("none", "raw_softmax")}, epochs=1, **large)
    right, wrong = sorted(trained(made), key=lambda run: run.hyperparams.training_fault)
    assert (right.status, wrong.status, wrong.diverged_at) == ("finished", "diverged", 1)


def test_without_a_scale_batch_norm_keeps_scale_1_and_shift_0() -> None:
    for optimizer in ("sgd", "momentum", "adam"):
        (run,) = trained(
            experiment(batch_norm=True, batch_norm_scale=False, optimizer=optimizer, epochs=2)
        )
        assert run.last is not None
        for layer in run.last.params[:-1]:
            np.testing.assert_array_equal(
                layer.batchnorm.gamma, np.ones_like(layer.batchnorm.gamma)
            )
            np.testing.assert_array_equal(layer.batchnorm.beta, np.zeros_like(layer.batchnorm.beta))
        (learned,) = trained(experiment(batch_norm=True, optimizer=optimizer, epochs=2))
        assert learned.last is not None
        assert np.any(learned.last.params[0].batchnorm.gamma != 1)


def test_batch_norm_after_relu_trains_and_predicts() -> None:
    (run,) = trained(experiment(batch_norm=True, batch_norm_place="after", epochs=8, patience=None))
    logits = model.predict(run.params, run.state, jnp.asarray(SMALL_DATA.x_test))
    assert np.mean(np.argmax(logits, axis=1) == SMALL_DATA.y_test) == run.test_accuracy
    assert run.test_accuracy is not None
    assert run.test_accuracy > 0.8
    assert run.params[0].batchnorm is None
    assert run.params[0].dense.b is not None
    assert jax.tree.leaves(run.params[0].batchnorm_after)


# Notes and errors


def test_results_with_a_fault_say_so() -> None:
    made = experiment({"backward_fault": ("none", "relu_mask")}, (0, 1), epochs=1)
    (table,) = study_tables(study(made), trained(made))
    text = (
        "The backward pass has a mistake on purpose (backward_fault: relu_mask): these are not "
        "results of the correct algorithm."
    )
    assert text in table.notes
    (plain,) = study_tables(study(experiment()), [])
    assert not any("mistake on purpose" in note for note in plain.notes)
    names = {row.label for row in table.rows}
    assert names == {"backward fault none", "backward fault relu_mask"}


@pytest.mark.parametrize(
    ("hyperparams", "problem"),
    [
        ({"backward_fault": "relu"}, "backward_fault: must be 'none', 'batch_norm', "),
        (
            {"batch_norm_place": "after"},
            "batch_norm_place: has no effect without batch_norm = true",
        ),
        ({"batch_norm_scale": False}, "batch_norm_scale: has no effect without batch_norm = true"),
        ({"batch_norm": True, "batch_norm_place": "within"}, "batch_norm_place: must be 'before' "),
    ],
)
def test_a_wrong_setting_is_refused(hyperparams: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match="^" + problem.replace("(", r"\(")):
        check(Hyperparams(**hyperparams))


NUMBERS = replace(data_facts(SMALL_DATA), pixel_bytes=4)


@pytest.mark.parametrize(
    ("hyperparams", "facts", "problem"),
    [
        ({"backward_fault": "batch_norm"}, FACTS, "batch_norm has no effect without batch norm"),
        ({"backward_fault": "dropout_mask"}, FACTS, "dropout_mask has no effect without dropout"),
        ({"backward_fault": "weights_transposed"}, FACTS, "where no W after the first layer is "),
        ({"backward_fault": "bias_mean", "batch_size": 129}, FACTS, "bias_mean is defined for "),
        ({"backward_fault": "bias_of_last", "batch_size": 1}, FACTS, "with a batch_size of 1"),
        ({"training_fault": "raw_inputs"}, NUMBERS, "raw_inputs has no effect on numbers that "),
    ],
)
def test_a_mistake_without_effect_is_refused(
    hyperparams: dict[str, Any], facts: DataFacts, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        crosschecks.refuse(study(experiment(**hyperparams)), facts)


@pytest.mark.parametrize("hidden", [(5, 5), (5, 3)])
def test_weights_are_transposed_where_hidden_or_output_weights_are_square(hidden: Any) -> None:
    crosschecks.refuse(study(experiment(backward_fault="weights_transposed", hidden=hidden)), FACTS)


def test_a_mistake_with_an_effect_in_one_configuration_is_accepted_and_the_others_are_named() -> (
    None
):
    made = experiment(
        {"backward_fault": ("none", "dropout_mask"), "drop_rate": (0.0, 0.5)}, epochs=1
    )
    crosschecks.refuse(study(made), FACTS)
    texts = [text for text, _ in crosschecks.remarks_before(study(made), FACTS)]
    assert any(
        "These train the same network, and have equal results: backward fault none, drop rate "
        "none and backward fault dropout_mask, drop rate none." in text
        for text in texts
    )


@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"batch_size": 129}])
def test_updated_weights_is_refused_where_it_is_not_defined(changes: dict[str, Any]) -> None:
    made = study(experiment(backward_fault="updated_weights", **changes))
    with pytest.raises(ConfigError, match="updated_weights is defined for SGD"):
        crosschecks.refuse(made, data_facts(SMALL_DATA))
    assert plan(experiment(backward_fault="updated_weights")).runs
