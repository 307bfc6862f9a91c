"""What is seen inside the networks of a run, by oracles: autodiff, real steps, known networks."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import N_CLASSES, N_STEPS, N_TRAINING, SMALL
from inspected_runs import IMAGE_SHAPE, inspect, trained, write_data
from scipy.special import log_softmax

import jmlp
from jmlp import data
from jmlp.data import TableOptions, batch_order, split
from jmlp.data.dataset import Dataset
from jmlp.inspection import compute
from jmlp.inspection.records import Inspection, Part
from jmlp.nn.activations import ACTIVATIONS
from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
from jmlp.nn.dense import DenseParams
from jmlp.nn.model import Layer
from jmlp.nn.optimizers import OPTIMIZERS
from jmlp.nn.tensors import name_tensors
from jmlp.store import Store, networks
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams
from jmlp.training import plan as planning
from jmlp.training import program
from jmlp.training import single_run as one_run

TRAINING, VALIDATION = split(208, 0, 0.2)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_data(tmp_path)


def relative_changes(before: Any, after: Any) -> list[float]:
    """Of each layer, ‖θ' − θ‖/‖θ‖ in float64."""

    def flat(layer: Any) -> Any:
        return np.concatenate([np.float64(leaf).ravel() for leaf in jax.tree.leaves(layer)])

    return [
        float(np.linalg.norm(flat(new) - flat(old)) / np.linalg.norm(flat(old)))
        for old, new in zip(before, after, strict=True)
    ]


def made_networks(layers: list[Layer], state: Any, hp: Hyperparams, **changes: Any) -> Networks:
    """One network that never was trained, on the small data."""
    found = Networks(
        run_id="f" * 64,
        key="0" * 32,
        hyperparams=hp,
        seed=0,
        split_seed=0,
        validation_fraction=0.2,
        data={},
        can_drop=False,
        epochs=(0,),
        tensors=(name_tensors(layers, state),),
        best=0,
        diverged_at=None,
    )
    return replace(found, **changes)


def dense(W: Any, b: Any) -> DenseParams:
    weights: Any = np.array(W, np.float32)
    bias: Any = None if b is None else np.array(b, np.float32)[:, None]
    return DenseParams(weights, bias)


# ---- gradients and updates


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradient_norms_are_those_of_autodiff_in_float64_on_the_training_sample(
    batch_norm: bool, tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, batch_norm=batch_norm, drop_rate=0.3)
    found = inspect(tmp_path, run.run_id)
    x, y = np.float64(dataset.x_train[TRAINING]) / 255, dataset.y_train[TRAINING]
    with jax.enable_x64(True):

        def cost_of(params: Any) -> Any:
            A = jnp.asarray(x.T)
            for layer in params[:-1]:
                Z = layer.dense.W @ A
                if batch_norm:
                    Z = (Z - Z.mean(axis=1, keepdims=True)) / jnp.sqrt(
                        Z.var(axis=1, keepdims=True) + 1e-5
                    )
                    Z = layer.batchnorm.gamma * Z + layer.batchnorm.beta
                else:
                    Z = Z + layer.dense.b
                A = jnp.maximum(Z, 0)
            logits = (params[-1].dense.W @ A + params[-1].dense.b).T
            shares = jax.nn.log_softmax(logits, axis=1)
            return -jnp.mean(shares[jnp.arange(len(y)), jnp.asarray(y)])

        for e, snapshot in enumerate(run.snapshots):
            wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), snapshot.params)
            for index, layer in enumerate(jax.grad(cost_of)(wide)):
                g = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(layer)])
                wanted = np.linalg.norm(g) / np.sqrt(len(g))
                assert found.gradient_norm[e, index] == pytest.approx(wanted, rel=1e-4)


def test_with_sgd_the_update_is_that_of_the_next_training_step(
    tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, batch_norm=True, drop_rate=(0.3, 0.2))
    found = inspect(tmp_path, run.run_id)
    hp = replace(run.hyperparams, drop_rate=0.0)
    lane = jax.tree.map(lambda a: jnp.asarray(a[0]), program.stack_hyperparams([run.hyperparams]))
    key = jax.random.wrap_key_data(jnp.asarray(program.root_key(0)), impl="threefry2x32")
    fresh = one_run.init(hp, 20, N_CLASSES, key)
    train_step = jax.jit(one_run.train_step, static_argnames="n_steps")
    for e, snapshot in enumerate(run.snapshots):
        params, bn_state = jax.tree.map(jnp.asarray, (snapshot.params, snapshot.state))
        state = fresh._replace(params=params, bn_state=bn_state)
        rows = TRAINING[batch_order(0, int(snapshot.epoch) + 1, N_TRAINING)[:16]]
        step = jnp.int32(snapshot.epoch * N_STEPS + 1)
        x, y = jnp.asarray(dataset.x_train[rows]), jnp.asarray(dataset.y_train[rows])
        step_key = one_run.dropout_key(key, step)
        after = train_step(state, lane, x, y, step_key, step, n_steps=N_STEPS)
        wanted = relative_changes(snapshot.params, after.params)
        np.testing.assert_allclose(found.update_ratio[e], wanted, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"drop_rate": 0.4},
        {"drop_rate": 0.4, "schedule": "linear"},
        {"drop_rate": 0.4, "shift": 1, "rotation": 40.0, "elastic": 0.5},
        {
            "activation": "tanh",
            "schedule": "cosine",
            "warmup": 2.0,
            "input_drop_rate": 0.2,
            "label_smoothing": 0.1,
            "class_weight": "balanced",
            "l2": 0.1,
            "clip_norm": 0.5,
            "max_norm": 1.0,
        },
    ],
    ids=["constant", "linear", "augmented", "all options"],
)
def test_with_sgd_and_one_step_per_epoch_the_update_leads_to_the_next_snapshot(
    options: Any, tmp_path: Path, dataset: Dataset
) -> None:
    changes = {"learning_rate": 0.5, **options}
    run = trained(tmp_path, dataset, batch_size=160, **changes)
    found = inspect(tmp_path, run.run_id)
    assert found.epochs[:4] == (0, 1, 2, 3)
    for e, (before, after) in enumerate(pairwise(run.snapshots)):
        wanted = relative_changes(before.params, after.params)
        np.testing.assert_allclose(found.update_ratio[e], wanted, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_with_another_optimiser_it_is_the_mean_net_change_since_the_network_before(
    optimizer: Any, tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, optimizer=optimizer, learning_rate=0.01, epochs=5)
    found = inspect(tmp_path, run.run_id)
    assert found.epochs == (0, 1, 2, 3, *found.epochs[4:])
    assert np.isnan(found.update_ratio[0]).all()
    for e, (before, after) in enumerate(pairwise(run.snapshots), start=1):
        updates = (after.epoch - before.epoch) * N_STEPS
        wanted = np.array(relative_changes(after.params, before.params)) / updates
        np.testing.assert_allclose(found.update_ratio[e], wanted, rtol=1e-12)
    assert found.update_words == f"{compute.UPDATE_WORDS[optimizer]}."


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_update_follows_the_last_finite_network_even_where_all_its_numbers_are_finite(
    optimizer: Any, dataset: Dataset
) -> None:
    hp = replace(SMALL, hidden=(2,), optimizer=optimizer)
    layers = [
        Layer(dense(np.ones((2, 20)), [0, 0]), None),
        Layer(dense(np.ones((3, 2)), [0, 0, 0]), None),
    ]
    found = made_networks(layers, (None, None), hp, best=None, diverged_at=15)
    found = replace(found, epochs=(0, 1, 2), tensors=found.tensors * 3)
    seen = compute.look(found, dataset, "validation")
    assert np.isfinite(seen.gradient_norm).all()
    assert np.isfinite(seen.update_ratio[1]).all()
    assert np.isnan(seen.update_ratio[2]).all()


def test_every_optimiser_has_words() -> None:
    assert compute.UPDATE_WORDS.keys() == OPTIMIZERS.keys()


# ---- answers


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_kept_network_answers_as_predict_does_and_as_the_result_says(
    part: Part, tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, batch_norm=True, drop_rate=0.2)
    found = inspect(tmp_path, run.run_id, part)
    x, y = dataset.x_train[VALIDATION], dataset.y_train[VALIDATION]
    if part == "test":
        assert dataset.x_test is not None
        assert dataset.y_test is not None
        x, y = dataset.x_test, dataset.y_test
    assert found.best is not None
    shares = log_softmax(np.float64(jmlp.predict(run.params, run.state, x)), axis=1)
    np.testing.assert_array_equal(found.labels, y)
    np.testing.assert_array_equal(found.predicted[found.best], shares.argmax(axis=1))
    np.testing.assert_allclose(found.confidence[found.best], np.exp(shares.max(axis=1)), rtol=1e-5)
    accuracy, cost = getattr(run, f"{part}_accuracy"), getattr(run, f"{part}_cost")
    assert found.accuracy[found.best] == accuracy
    assert found.cost[found.best] == pytest.approx(cost, rel=1e-5)


def test_blocks_that_are_not_full_change_no_answer(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, dataset)
    wanted = inspect(tmp_path, run.run_id)
    monkeypatch.setattr(planning, "EVALUATION_BLOCK", 13)
    found = inspect(tmp_path, run.run_id)
    np.testing.assert_array_equal(found.predicted, wanted.predicted)
    np.testing.assert_array_equal(found.dead_units, wanted.dead_units)
    np.testing.assert_allclose(found.cost, wanted.cost, rtol=1e-6)


def test_dead_units_are_those_that_give_0_for_every_example(dataset: Dataset) -> None:
    hp = replace(SMALL, hidden=(4, 2))
    sums = np.sort(np.sum(np.float32(dataset.x_train[VALIDATION]) / 255, axis=1))
    between = (sums[-1] + sums[-2]) / 2
    assert sums[-1] - between > 1e-3, "one example is clearly the brightest"
    layers = [
        # alive; never more than 0; exactly 0; alive for one single example
        Layer(
            dense([np.ones(20), -np.ones(20), np.zeros(20), np.ones(20)], [1, -1, 0, -between]),
            None,
        ),
        Layer(dense([[0, 1, 1, 0], [0, 0, 0, 1]], [0, 0]), None),  # of dead units; of the last one
        Layer(dense(np.ones((3, 2)), [0, 0, 0]), None),
    ]
    found = compute.look(made_networks(layers, (None,) * 3, hp), dataset, "validation")
    assert found.n_units.tolist() == [4, 2]
    assert found.dead_units.tolist() == [[2, 1]]


def test_a_unit_that_batch_norm_shifts_below_0_is_dead(dataset: Dataset) -> None:
    hp = replace(SMALL, hidden=(3,), batch_norm=True)
    ones: Any = np.ones((3, 1), np.float32)
    # By its running statistics, mean 0 and variance 1: those of the examples would say otherwise.
    gamma: Any = np.array([[1], [0], [-1]], np.float32)
    beta: Any = np.array([[0], [-1], [0]], np.float32)
    first = Layer(dense(np.ones((3, 20)), None), BatchNormParams(gamma, beta))
    layers = [first, Layer(dense(np.ones((3, 3)), [0, 0, 0]), None)]
    state = (BatchNormState(0 * ones, ones), None)
    found = compute.look(made_networks(layers, state, hp), dataset, "validation")
    assert found.dead_units.tolist() == [[2]]


def test_a_relu_unit_is_dead_whatever_batch_norm_makes_of_it_afterwards(dataset: Dataset) -> None:
    hp = replace(SMALL, hidden=(2,), batch_norm=True, batch_norm_place="after")
    ones: Any = np.ones((2, 1), np.float32)
    shifted = BatchNormParams(ones, 3 * ones)
    first = Layer(dense([np.ones(20), -np.ones(20)], [0, 0]), None, shifted)
    layers = [first, Layer(dense(np.ones((3, 2)), [0, 0, 0]), None)]
    state = (BatchNormState(0 * ones, ones), None)
    found = compute.look(made_networks(layers, state, hp), dataset, "validation")
    assert found.dead_units.tolist() == [[1]]


def test_only_units_with_relu_can_be_dead(dataset: Dataset) -> None:
    hp = replace(SMALL, hidden=(2, 2), activation=("tanh", "relu"))
    nothing = dense(np.zeros((2, 20)), [0, 0])
    layers = [
        Layer(nothing, None, activation=ACTIVATIONS["tanh"]),
        Layer(dense(np.zeros((2, 2)), [0, 0]), None),
        Layer(dense(np.ones((3, 2)), [0, 0, 0]), None),
    ]
    found = compute.look(made_networks(layers, (None,) * 3, hp), dataset, "validation")
    assert (found.activations, found.relu_layers) == (("tanh", "relu"), (1,))
    assert found.dead_units.tolist() == [[0, 2]]
    assert np.isnan(found.update_ratio[0, :2]).all()  # of layers whose size is 0


# ---- rows


def looked_at(folder: Path, dataset: Dataset, part: Part = "validation") -> Inspection:
    """What is seen inside a run that was trained on these data."""
    run = trained(folder, dataset)
    with Store(folder, viewer=True) as store:
        stored = networks.read(store, run.run_id)
    return compute.look(stored, dataset, part)


def test_rows_of_a_table_are_kept_raw_and_weights_belong_to_its_inputs(tmp_path: Path) -> None:
    penguins = data.load("penguins", options=TableOptions(missing="mean"))
    found = looked_at(tmp_path, penguins)
    assert penguins.columns is not None
    assert found.columns == penguins.columns.features
    assert found.input_names[:3] == ("island = Biscoe", "island = Dream", "island = Torgersen")
    _, validation = penguins.split(0, 0.2)
    np.testing.assert_array_equal(found.rows, penguins.x_train[validation][found.examples])
    assert found.images.shape == (0, len(found.input_names))
    assert found.weights.shape[2] == len(found.input_names)
    example = int(found.mistakes(0)[0])
    values = found.row_of(example)
    assert values is not None
    assert values[0] in ("Biscoe", "Dream", "Torgersen")


def test_a_point_of_a_toy_is_a_row_of_its_coordinates(tmp_path: Path) -> None:
    moons = data.load("moons:n=100")
    found = looked_at(tmp_path, moons, "test")
    assert found.input_names == ("input 0", "input 1")
    assert moons.x_test is not None
    np.testing.assert_array_equal(found.rows, moons.x_test[found.examples])
    example = int(found.examples[0])
    assert found.row_of(example) == tuple(map(str, moons.x_test[example]))


# ---- pictures


def test_pictures_are_those_of_the_mistakes(tmp_path: Path, dataset: Dataset) -> None:
    run = trained(tmp_path, dataset)
    found = inspect(tmp_path, run.run_id)
    wanted = {int(i) for e in range(len(found.epochs)) for i in found.mistakes(e)}
    assert wanted
    assert found.examples.tolist() == sorted(wanted)
    raw = dataset.x_train[VALIDATION].reshape(-1, *IMAGE_SHAPE)
    np.testing.assert_array_equal(found.images, raw[found.examples])


def test_pixels_that_are_no_bytes_are_spread_over_0_to_255(tmp_path: Path) -> None:
    dataset = write_data(tmp_path, floats=True)
    run = trained(tmp_path, dataset)
    found = inspect(tmp_path, run.run_id)
    part = dataset.x_train[VALIDATION]
    low, high = part.min(), part.max()
    wanted = 255 * (part[found.examples] - low) / (high - low)
    np.testing.assert_allclose(found.images.reshape(len(wanted), -1), wanted, atol=0.51)


def test_as_many_confident_mistakes_of_each_network_are_kept_as_fit() -> None:
    labels = np.zeros(6, np.int32)
    predicted = np.array([[1, 1, 1, 0, 0, -1], [0, 1, 1, 0, 1, 1]], np.int16)
    confidence = np.array([[0.5, 0.9, 0.8, 1, 1, np.nan], [1, 0.6, 0.7, 1, 0.5, 0.99]], np.float32)
    sizes = [(60, 9), (60, 4), (60, 2), (60, -1), (1, 9)]
    kept = [compute._confident_mistakes(predicted, confidence, labels, *size) for size in sizes]
    # Surest first: 1, 2, 0 of the first network, and 5, 2, 1, 4 of the second one.
    assert [k.tolist() for k in kept] == [[0, 1, 2, 4, 5], [0, 1, 2, 5], [1, 5], [], [1, 5]]


def test_weights_and_pictures_are_left_out_beyond_the_size_of_a_file(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, dataset)
    whole = inspect(tmp_path, run.run_id)
    monkeypatch.setattr(compute, "FILE_BYTES", 4000)
    found = inspect(tmp_path, run.run_id)
    E = len(found.epochs)
    assert found.weights.shape == (E, 2000 // (E * 80), 20)
    assert len(found.examples) < len(whole.examples)
    arrays = [value for value in vars(found).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 4000
