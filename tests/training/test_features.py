"""Parts of the mathematics that can be off are not in the program then; on, they are swept."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    N_CLASSES,
    N_IN,
    SMALL,
    SMALL_DATA,
    assert_equal_bits,
    experiment,
    plan,
    results,
)
from jax import Array

from jmlp.nn import cost, dense, relu
from jmlp.nn.dense import DenseParams
from jmlp.nn.optimizers import learning_rate
from jmlp.study.config import OFF, SWEPT_FIELDS, Hyperparams, features
from jmlp.training import engine, single_run
from jmlp.training import plan as planning
from jmlp.training.plan import Plan
from jmlp.training.program import random_inputs, root_key, stack_hyperparams
from jmlp.training.records import Progress, RunResult
from jmlp.training.single_run import TrainState

# Everything that can be on, with AdamW, which weight decay needs.
ALL: dict[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "l2": 0.01,
    "max_norm": 1.2,
    "clip_norm": 0.4,
    "label_smoothing": 0.1,
    "input_drop_rate": 0.2,
    "warmup": 0.5,
}
OTHER: dict[str, Any] = {
    "weight_decay": 0.5,
    "l2": 0.1,
    "max_norm": 0.8,
    "clip_norm": 0.2,
    "label_smoothing": 0.3,
    "input_drop_rate": 0.4,
    "warmup": 1.0,
}
X, Y = jnp.asarray(SMALL_DATA.x_train[:16]), jnp.asarray(SMALL_DATA.y_train[:16])


def lane(hp: Hyperparams) -> Hyperparams:
    """The hyperparameters of one lane, as a step gets them, without dropout of hidden units."""
    stacked: Hyperparams = jax.tree.map(lambda a: jnp.asarray(a[0]), stack_hyperparams([hp]))
    swept, _ = random_inputs(stacked, None, can_drop=False, augments=False)
    return swept


def key() -> Array:
    wrapped: Array = jax.random.wrap_key_data(jnp.asarray(root_key(0)), impl="threefry2x32")
    return wrapped


def operations(jaxpr: Any) -> Counter[str]:
    """How often each primitive is in a program, inner programs included."""
    found: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        found[equation.primitive.name] += 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", None)
            found += operations(inner) if hasattr(inner, "eqns") else Counter()
    return found


def step(hp: Hyperparams, state: TrainState, step_key: Array | None = None) -> TrainState:
    return single_run.train_step(state, hp, X, Y, step_key, jnp.int32(1), n_steps=10)


# Off


def test_all_that_can_be_off_is_off_by_default() -> None:
    assert features(Hyperparams()) == ()
    assert features(replace(SMALL, optimizer="adamw")) == ("weight_decay",)
    assert features(replace(SMALL, optimizer="adamw", weight_decay=0.0)) == ()
    assert set(features(replace(SMALL, **ALL))) == set(OFF) == set(ALL) - {"optimizer"}
    stacked = stack_hyperparams([SMALL])
    assert {n for n in SWEPT_FIELDS if getattr(stacked, n) is None} == set(OFF)


def test_a_step_without_features_computes_only_what_plain_backpropagation_needs() -> None:
    def reference(state: TrainState, hp: Hyperparams) -> TrainState:
        """The same step, of these two hidden layers, written out."""
        first, second, last = (layer.dense for layer in state.params)
        A = (X.astype(jnp.float32) / 255).T
        Z1, cache1 = dense.forward(first, A)
        A1, relu1 = relu.forward(Z1)
        Z2, cache2 = dense.forward(second, A1)
        A2, relu2 = relu.forward(Z2)
        logits, cache3 = dense.forward(last, A2)
        costs, cost_cache = cost.per_example(logits, Y)
        value = jnp.mean(costs)
        dlogits = cost.backward(1.0, cost_cache)
        dA2, d3 = dense.backward(dlogits, cache3)
        dA1, d2 = dense.backward(relu.backward(dA2, relu2), cache2)
        _, d1 = dense.backward(relu.backward(dA1, relu1), cache1)

        rate = learning_rate("constant", hp.learning_rate, jnp.int32(1), 10, hp.epochs)

        def updated(params: DenseParams, grads: DenseParams) -> DenseParams:
            moved: DenseParams = jax.tree.map(lambda p, g: p - rate * g, params, grads)
            return moved

        new = tuple(
            layer._replace(dense=updated(layer.dense, grads))
            for layer, grads in zip(state.params, (d1, d2, d3), strict=True)
        )
        value = 1.0 * value  # the share of the mini-batch
        finite = jnp.isfinite(value) & single_run.all_finite(new)
        continues = state.active & finite
        return state._replace(
            params=single_run.select(continues, new, state.params),
            active=continues,
            diverged_at=jnp.where(state.active & ~finite, jnp.int32(1), state.diverged_at),
            batch_costs=jnp.where(continues, state.batch_costs + value, state.batch_costs),
        )

    hp = lane(SMALL)
    state = single_run.init(hp, N_IN, N_CLASSES, key())
    found = operations(jax.make_jaxpr(step)(hp, state).jaxpr)
    wanted = operations(jax.make_jaxpr(reference)(state, hp).jaxpr)
    assert not found - wanted, found - wanted
    assert_equal_bits(step(hp, state).params, reference(state, hp).params)
    # What is on is in the program.
    with_l2 = operations(jax.make_jaxpr(step)(lane(replace(SMALL, l2=0.1)), state).jaxpr)
    assert with_l2["mul"] == found["mul"] + 3


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("step_sign", {"neg"}),
        ("labels_off_by_one", {"sub", "rem"}),
        ("raw_softmax", {"div"}),
        ("no_shuffle", set()),
    ],
)
def test_only_a_step_with_a_training_fault_has_the_operations_of_it(
    fault: Any, more: set[str]
) -> None:
    hp = lane(SMALL)
    state = single_run.init(hp, N_IN, N_CLASSES, key())
    plain = operations(jax.make_jaxpr(step)(hp, state).jaxpr)
    broken = operations(
        jax.make_jaxpr(step)(lane(replace(SMALL, training_fault=fault)), state).jaxpr
    )
    assert more <= (broken - plain).keys()
    assert bool(more) == (broken != plain)


def test_raw_inputs_cost_one_operation_less() -> None:
    raw = replace(SMALL, training_fault="raw_inputs")
    plain, broken = (
        operations(
            jax.make_jaxpr(step)(lane(hp), single_run.init(hp, N_IN, N_CLASSES, key())).jaxpr
        )
        for hp in (SMALL, raw)
    )
    assert plain - broken == Counter({"div": 1})
    assert not broken - plain


@pytest.mark.parametrize("name", OFF)
def test_runs_with_and_without_a_feature_are_of_different_groups(name: str) -> None:
    values = (OFF[name], ALL[name], OTHER[name])
    decay: dict[str, Any] = {"optimizer": "adamw"} if name == "weight_decay" else {}
    made = plan(experiment({name: values}, **decay))
    found = [[getattr(r.hyperparams, name) for r in group.cohorts[0].runs] for group in made.groups]
    assert sorted(map(len, found)) == [1, 2]
    assert [OFF[name]] in found
    named = [planning.group_name(group) for group in made.groups]
    assert [f"with {name.replace('_', ' ')}" in text for text in named] == [True, False]


def test_a_group_cannot_be_stacked_of_runs_with_and_without() -> None:
    stacked = stack_hyperparams([replace(SMALL, l2=0.1), replace(SMALL, l2=0.2)])
    assert_equal_bits(stacked.l2, np.array([0.1, 0.2], np.float32))
    assert stacked.clip_norm is None


# On


# The batch costs of three steps, summed: numbers that must not change unseen.
GOLDEN: list[tuple[dict[str, Any], float]] = [
    ({}, 3.285320),
    ({"activation": "leaky_relu"}, 3.289368),
    ({"activation": "tanh"}, 3.690082),
    ({"activation": "sigmoid"}, 3.757949),
    ({"activation": "gelu"}, 3.390711),
    ({"activation": "silu"}, 3.421506),
    ({"optimizer": "nesterov"}, 3.276461),
    ({"optimizer": "adamw", "weight_decay": 3.0}, 3.238166),
    ({"initialization": "glorot"}, 3.290051),
    ({"initialization": "lecun"}, 3.291214),
    ({"initialization": "zero"}, 3.295085),
    ({"schedule": "cosine"}, 3.285754),
    ({"class_weight": "balanced"}, 3.280787),
    ({"l2": 0.5}, 3.286820),
    ({"max_norm": 0.8}, 3.283947),
    ({"clip_norm": 0.05}, 3.293710),
    ({"label_smoothing": 0.3}, 3.290887),
    ({"input_drop_rate": 0.3}, 3.308925),
    ({"warmup": 1.5}, 3.291331),
]


def after_three_steps(hp: Hyperparams) -> TrainState:
    def many(hp: Hyperparams, state: TrainState) -> TrainState:
        weights = jnp.asarray(cost.balanced_weights(np.bincount(Y, minlength=N_CLASSES)))
        for number in range(1, 4):
            state = single_run.train_step(
                state,
                hp,
                X,
                Y,
                single_run.dropout_key(key(), jnp.int32(number)),
                jnp.int32(number),
                n_steps=2,
                class_weights=weights if hp.class_weight == "balanced" else None,
            )
        return state

    hp = lane(replace(hp, epochs=2))
    state: TrainState = jax.jit(many)(hp, single_run.init(hp, N_IN, N_CLASSES, key()))
    return state


def test_golden_costs() -> None:
    found = [float(after_three_steps(replace(SMALL, **hp)).batch_costs) for hp, _ in GOLDEN]
    np.testing.assert_allclose(found, [value for _, value in GOLDEN], rtol=2e-5)
    # Everything has an effect on the numbers.
    assert len({round(value, 5) for _, value in GOLDEN}) == len(GOLDEN)


SHORT: dict[str, Any] = {"epochs": 2, "patience": None}


def in_one_cohort(others: dict[str, Any]) -> Plan:
    """A run with everything on, and for each feature one that differs only in it."""
    made = plan(
        *(experiment({n: (ALL[n], v)}, name=n, **{**ALL, **SHORT}) for n, v in others.items())
    )
    assert [group.width for group in made.groups] == [8]
    return made


def by_change(training: Iterable[Progress]) -> dict[str, RunResult]:
    """Each run by the feature in which it differs from the first."""
    return {
        "".join(n for n in OTHER if getattr(run.hyperparams, n) != ALL[n]): run
        for run in results(training)
    }


@pytest.fixture(scope="module")
def swept() -> dict[str, RunResult]:
    return by_change(engine.run(in_one_cohort(OTHER), SMALL_DATA))


def test_each_feature_is_swept_and_changes_no_other_lane(swept: dict[str, RunResult]) -> None:
    assert set(swept) == {"", *OTHER}
    assert len({run.validation_cost for run in swept.values()}) == 8
    company = {name: (value + ALL[name]) / 2 for name, value in OTHER.items()}
    others = by_change(engine.run(in_one_cohort(company), SMALL_DATA))  # by the same program
    assert_equal_bits(others[""].params, swept[""].params)
    assert others[""].costs == swept[""].costs
    assert others["l2"].costs != swept["l2"].costs


def test_a_run_with_everything_on_resumes_bit_for_bit(swept: dict[str, RunResult]) -> None:
    interrupted = engine.Training(in_one_cohort(OTHER), SMALL_DATA)
    # The first copy is made after the first evaluation.
    (copy,) = next(copies for _ in interrupted if (copies := interrupted.copies()))
    resumed = engine.Training(in_one_cohort(OTHER), SMALL_DATA, saved=lambda cohort, width: copy)
    for name, run in by_change(resumed).items():
        assert_equal_bits(run.params, swept[name].params)
        assert run.costs == swept[name].costs
