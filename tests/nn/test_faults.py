"""Faulty derivatives: each is the mistake it says, the check names it, and training uses it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import SMALL_DATA, experiment, plan, study, trained

from jmlp.errors import ConfigError
from jmlp.nn import cost, dense, faults, model
from jmlp.nn.batchnorm import BatchNormCache
from jmlp.nn.dense import DenseCache, DenseParams
from jmlp.nn.derivatives import CORRECT
from jmlp.nn.gradcheck import check_network
from jmlp.results import crosschecks
from jmlp.results.tables import study_tables
from jmlp.study.config import Hyperparams, check
from jmlp.training.plan import data_facts

# Where each mistake has an effect: batch norm, drop rate, and layers before the last.
EFFECTS: dict[str, tuple[tuple[int, ...], Any, float]] = {
    "batch_norm": ((8,), "after", 0.0),
    "dropout_mask": ((8,), None, 0.4),
    "relu_mask": ((8,), None, 0.0),
    "batch_mean": ((), None, 0.0),
    "updated_weights": ((8,), None, 0.0),
}


def test_every_fault_is_listed_and_described() -> None:
    assert set(EFFECTS) == set(faults.NAMES)
    assert faults.__doc__ is not None
    assert all(f"    {name} " in faults.__doc__ for name in faults.NAMES)


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
    hidden, place, drop_rate = (5, 4), EFFECTS[name][1], EFFECTS[name][2]
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


@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"batch_size": 129}])
def test_updated_weights_is_refused_where_it_is_not_defined(changes: dict[str, Any]) -> None:
    made = study(experiment(backward_fault="updated_weights", **changes))
    with pytest.raises(ConfigError, match="updated_weights is defined for SGD"):
        crosschecks.refuse(made, data_facts(SMALL_DATA))
    assert plan(experiment(backward_fault="updated_weights")).runs
