"""The boundary of a run with two inputs: by the network itself, by traces, and by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import SMALL, experiment
from inspected_runs import save_midway, submit, train, write_data
from scipy.special import softmax

import jmlp
from jmlp import data
from jmlp.data import TableOptions
from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import CheckpointError, ConfigError, DataError
from jmlp.inspection import boundary, boundary_records
from jmlp.inspection.boundary_records import Boundary
from jmlp.nn import model
from jmlp.nn.tensors import name_tensors
from jmlp.nn.trace import trace_prediction
from jmlp.results import tensor_files
from jmlp.results.weights import Network, restore
from jmlp.store import Store, networks
from jmlp.store.networks import Networks
from jmlp.training import group_training

SIZE = 9
OPTIONS = TableOptions(label="kind")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMLP_HOME", str(tmp_path / "home"))


def table(folder: Path, n: int = 120) -> Dataset:
    """Rows of two columns on very different scales, of three kinds."""
    lines = [
        f"{1000 + 10 * np.sin(k) + 5 * (k % 3):.3f},{0.01 * np.cos(2 * k) * (1 + k % 3):.5f},"
        f"kind {'abc'[k % 3]}"
        for k in range(n)
    ]
    (folder / "kinds.csv").write_text("\n".join(["width,depth,kind", *lines]) + "\n")
    return data.load(folder / "kinds.csv", options=OPTIONS)


def untrained(dataset: Dataset, n: int = 2, **hyperparams: Any) -> Networks:
    """Networks whose numbers are all random: weights, biases, and statistics of batch norm."""
    hp = replace(SMALL, **hyperparams)
    random = np.random.default_rng(7)
    tensors = []
    for _ in range(n):
        shapes = name_tensors(*model.init(hp, 2, dataset.n_classes, jax.random.key(0)))
        named = {name: random.normal(size=array.shape) for name, array in shapes.items()}
        tensors.append(
            {
                name: np.asarray(array**2 if name.endswith(".var") else array, np.float32)
                for name, array in named.items()
            }
        )
    return Networks(
        run_id="f" * 64,
        key="0" * 32,
        hyperparams=hp,
        seed=0,
        split_seed=0,
        validation_fraction=0.2,
        data={"name": dataset.name},
        can_drop=False,
        epochs=tuple(range(n)),
        tensors=tuple(tensors),
        best=n - 1,
        diverged_at=None,
    )


def network_at(stored: Networks, dataset: Dataset, e: int) -> Network:
    """A stored network, with the contract by which it takes raw rows."""
    training, _ = dataset.split(stored.split_seed, stored.validation_fraction)
    contract = replace(contract_of(dataset), scale=dataset.scale(training))
    params, state = restore(stored.tensors[e], stored.hyperparams, 2, dataset.n_classes)
    return Network(stored.hyperparams, contract, params, state, {})


def grid_rows(found: Boundary) -> Any:
    return np.array([(x, y) for y in found.y for x in found.x])


# ---- probabilities


@pytest.mark.parametrize("norm", [{}, {"batch_norm": True}])
@pytest.mark.parametrize("kind", ["toy", "table"])
def test_the_grid_has_what_the_network_predicts_of_its_raw_rows(
    kind: str, norm: dict[str, Any], tmp_path: Path
) -> None:
    dataset = table(tmp_path) if kind == "table" else data.load("blobs:n=120,classes=3")
    stored = untrained(dataset, **norm)
    found = boundary.draw(stored, dataset, SIZE)
    assert found.probability.shape == (len(stored.epochs), SIZE, SIZE, 3)
    np.testing.assert_allclose(found.probability.sum(axis=-1), 1, atol=1e-6)
    for e in range(len(stored.epochs)):
        network = network_at(stored, dataset, e)
        rows = grid_rows(found)
        wanted = network.predict_proba(rows).reshape(SIZE, SIZE, 3)
        np.testing.assert_allclose(found.probability[e], wanted, atol=1e-6)
        names = np.array(found.class_names)
        shown = names[boundary_records.classes(found.probability[e]).ravel()]
        np.testing.assert_array_equal(shown, network.predict(rows).astype(str))
        named = names[found.predicted[e]]
        np.testing.assert_array_equal(named, network.predict(found.points).astype(str))
    assert (found.best, found.epochs) == (stored.best, stored.epochs)


def test_the_grid_of_a_trained_toy_is_what_the_library_predicts(tmp_path: Path) -> None:
    dataset = data.load("moons:n=100")
    (run,) = train(tmp_path, dataset, experiment())
    with Store(tmp_path, viewer=True) as store:
        found = boundary.draw(networks.read(store, run.run_id), dataset, SIZE)
    assert found.best is not None
    assert found.epochs[found.best] == run.best_epoch
    logits = jmlp.predict(run.params, run.state, jnp.asarray(grid_rows(found), jnp.float32))
    wanted = softmax(logits, axis=1)
    at = found.probability[found.best].reshape(-1, 2)
    np.testing.assert_allclose(at, wanted, atol=1e-6)


def test_the_plane_reaches_a_tenth_beyond_the_examples(tmp_path: Path) -> None:
    dataset = table(tmp_path)
    found = boundary.draw(untrained(dataset), dataset, SIZE)
    for values, column in ((found.x, 0), (found.y, 1)):
        low, high = dataset.x_train[:, column].min(), dataset.x_train[:, column].max()
        room = 0.1 * (high - low)
        np.testing.assert_allclose(values, np.linspace(low - room, high + room, SIZE))
    assert found.columns == ("width", "depth")
    assert found.class_names == ("kind a", "kind b", "kind c")


def test_the_examples_are_those_of_both_parts_with_their_labels(tmp_path: Path) -> None:
    dataset = data.load("xor:n=100")
    found = boundary.draw(untrained(dataset), dataset, SIZE)
    training, validation = dataset.split(0, 0.2)
    rows = np.concatenate([np.sort(training), np.sort(validation)])
    np.testing.assert_array_equal(found.points, dataset.x_train[rows])
    np.testing.assert_array_equal(found.labels, dataset.y_train[rows])
    assert found.is_training.tolist() == [True] * 80 + [False] * 20
    assert (found.n_training, found.n_validation) == (80, 20)
    assert found.columns == ("input 0", "input 1")


def test_of_many_examples_some_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "MOST_POINTS", 15)
    dataset = data.load("xor:n=100")
    found = boundary.draw(untrained(dataset), dataset, SIZE)
    assert found.is_training.tolist() == [True] * 15 + [False] * 15
    assert (found.n_training, found.n_validation) == (80, 20)


def test_a_row_without_a_value_is_no_point(tmp_path: Path) -> None:
    (tmp_path / "gaps.csv").write_text(
        "a,b,kind\n" + "".join(f"{k % 7 or ''},{k % 5},{'yn'[k % 2]}\n" for k in range(70))
    )
    options = replace(OPTIONS, missing="mean")
    dataset = data.load(tmp_path / "gaps.csv", options=options)
    found = boundary.draw(untrained(dataset), dataset, SIZE)
    assert np.isfinite(found.points).all()
    assert (len(found.points), found.n_training + found.n_validation) == (60, 70)
    assert np.isfinite(found.probability).all()


def test_a_grid_that_would_need_too_much_room_has_fewer_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = data.load("moons:n=100")
    stored = untrained(dataset, 3)
    monkeypatch.setattr(boundary, "FILE_BYTES", 4 * 3 * 2 * 5**2 + 3)
    assert boundary.draw(stored, dataset, SIZE).probability.shape == (3, 5, 5, 2)
    with pytest.raises(ConfigError, match=r"^boundary: size: must be at least 2, got 1$"):
        boundary.draw(stored, dataset, size=1)


def test_pairs_of_bytes_are_scaled_as_in_training() -> None:
    x = (np.arange(200).reshape(-1, 2) * 37 % 256).astype(np.uint8)
    y = np.arange(100) % 2
    scaled = make_dataset("scaled", {"x_train": x / np.float32(255), "y_train": y}, "scaled")
    raw = make_dataset("raw", {"x_train": x, "y_train": y}, "raw")
    stored = untrained(raw)
    found, wanted = (boundary.draw(stored, dataset, SIZE) for dataset in (raw, scaled))
    np.testing.assert_allclose(found.x, 255 * wanted.x, atol=1e-4)
    np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-5)
    np.testing.assert_array_equal(found.predicted, wanted.predicted)
    np.testing.assert_allclose(found.lines * [255, 255, 1], wanted.lines)


# ---- lines


@pytest.mark.parametrize(
    "hyperparams", [{}, {"batch_norm": True}, {"batch_norm": True, "batch_norm_place": "after"}]
)
@pytest.mark.parametrize("kind", ["toy", "table"])
def test_the_pre_activation_of_each_unit_is_0_on_its_line_by_the_trace(
    kind: str, hyperparams: dict[str, Any], tmp_path: Path
) -> None:
    dataset = table(tmp_path) if kind == "table" else data.load("moons:n=120")
    stored, e = untrained(dataset, **hyperparams), 1
    found = boundary.draw(stored, dataset, SIZE)
    network = network_at(stored, dataset, e)
    training, _ = dataset.split(stored.split_seed, stored.validation_fraction)
    scale = dataset.scale(training)
    mean = np.zeros(2) if scale is None else np.array(scale.mean)
    std = np.ones(2) if scale is None else np.array(scale.std)
    before = network.hyperparams.batch_norm and network.hyperparams.batch_norm_place == "before"
    size = found.x[-1] - found.x[0], found.y[-1] - found.y[0]
    for unit, (a, b, c) in enumerate(found.lines[e]):
        # Two points of the line, some way from that of its points which is nearest to the middle.
        assert abs(a) * size[0] + abs(b) * size[1] > 0
        middle = np.array([found.x.mean(), found.y.mean()])
        weights = np.array([a * size[0], b * size[1]])
        off = (a * middle[0] + b * middle[1] + c) / (weights @ weights)
        foot = middle - off * weights * size
        along = np.array([-weights[1], weights[0]]) / np.linalg.norm(weights) * size
        rows = np.stack([foot + s * along for s in (-0.4, 0.0, 0.3)])
        inputs = ((rows - mean) / std).astype(np.float32)
        trace = trace_prediction(network.params, network.state, inputs, jnp.zeros(3, jnp.int32))
        first, second, *_ = trace.layers[0].operations
        Z = second["Y"] if before else first["Z"]
        away = (
            trace_prediction(
                network.params,
                network.state,
                ((rows[:1] + weights * size / np.linalg.norm(weights) - mean) / std).astype(
                    np.float32
                ),
                jnp.zeros(1, jnp.int32),
            )
            .layers[0]
            .operations
        )
        positive = (away[1]["Y"] if before else away[0]["Z"])[unit, 0]
        assert positive > 0
        np.testing.assert_allclose(Z[unit] / positive, 0, atol=2e-4)


def test_a_line_by_hand() -> None:
    """Z = 2 (x - 10) / 4 - 3 (y - 1) / 0.5 + 1, then batch norm by hand."""
    from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
    from jmlp.nn.dense import DenseParams
    from jmlp.nn.model import Layer

    def column(value: float) -> Any:
        return np.full((1, 1), value, np.float32)

    W: Any = np.array([[2, -3]], np.float32)
    last = Layer(DenseParams(column(1), column(0)), None)
    mean, std = np.array([10.0, 1.0]), np.array([4.0, 0.5])
    plain = Layer(DenseParams(W, column(1)), None)
    found = boundary._lines((plain, last), (None, None), mean, std)
    np.testing.assert_allclose(found, [[0.5, -6, -5 + 6 + 1]])
    normed = Layer(DenseParams(W, None), BatchNormParams(column(3), column(-2)))
    state = BatchNormState(column(0.5), column(4 - 1e-5))
    found = boundary._lines((normed, last), (state, None), mean, std)
    np.testing.assert_allclose(found, [[0.75, -9, 1.5 * (1 - 0.5) - 2]], rtol=1e-6)
    constant = boundary._lines((plain, last), (None, None), mean, np.array([4.0, 0.0]))
    np.testing.assert_allclose(constant, [[0.5, 0, -5 + 1]])


def test_the_part_of_a_line_within_a_rectangle() -> None:
    across = boundary_records.line_across
    assert across((1, 0, -2), (0, 4), (-1, 1)) == ((2, -1), (2, 1))
    assert across((0, 2, -1), (0, 4), (-1, 1)) == ((0, 0.5), (4, 0.5))
    assert across((1, -1, 0), (0, 4), (-1, 1)) == ((0, 0), (1, 1))
    assert across((1, 0, -5), (0, 4), (-1, 1)) is None
    assert across((0, 0, 3), (0, 4), (-1, 1)) is None
    assert across((0, 0, 0), (0, 4), (-1, 1)) is None
    assert across((np.nan, 1, 3), (0, 4), (-1, 1)) is None


# ---- several networks


def test_the_mean_and_the_disagreement_of_networks_by_hand() -> None:
    one, other, third = (
        np.array([[[0.9, 0.1], [0.4, 0.6]]]),
        np.array([[[0.7, 0.3], [0.8, 0.2]]]),
        np.array([[[0.6, 0.4], [0.45, 0.55]]]),
    )
    mean = boundary_records.mean_probability([one, other, third])
    np.testing.assert_allclose(mean, [[[2.2 / 3, 0.8 / 3], [1.65 / 3, 1.35 / 3]]])
    share = boundary_records.disagreement([one, other, third])
    np.testing.assert_allclose(share, [[0, 1 / 3]])
    assert boundary_records.disagreement([one, one]).tolist() == [[0, 0]]
    unknown = np.full((1, 2, 2), np.nan)
    np.testing.assert_allclose(boundary_records.disagreement([one, unknown]), [[0.5, 0.5]])
    assert np.isnan(boundary_records.mean_probability([one, unknown])).all()
    assert boundary_records.classes(one).tolist() == [[0, 1]]
    assert boundary_records.classes(unknown).tolist() == [[-1, -1]]


def test_seeds_have_one_plane_and_other_data_have_another(tmp_path: Path) -> None:
    moons, xor = data.load("moons:n=100"), data.load("xor:n=100")
    found = [boundary.draw(untrained(moons, n), moons, SIZE) for n in (1, 2)]
    boundary_records.check_same_plane(found)
    found.append(boundary.draw(untrained(xor), xor, SIZE))
    with pytest.raises(ConfigError, match="have boundaries of different data or grids"):
        boundary_records.check_same_plane(found)


# ---- which runs


def test_a_diverged_run_ends_with_its_last_finite_network(tmp_path: Path) -> None:
    dataset = data.load("moons:n=100")
    (run,) = train(tmp_path, dataset, experiment(learning_rate=1e20))
    assert run.diverged_at is not None
    with Store(tmp_path, viewer=True) as store:
        found = boundary.draw(networks.read(store, run.run_id), dataset, SIZE)
    assert (found.best, found.diverged_at) == (None, run.diverged_at)
    assert found.epochs[-1] == run.stopped_epoch
    unknown = np.isnan(found.probability[-1]).all(axis=-1)
    np.testing.assert_array_equal(unknown, np.isnan(found.probability[-1]).any(axis=-1))
    classes = boundary_records.classes(found.probability[-1])
    np.testing.assert_array_equal(classes == boundary_records.UNKNOWN, unknown)
    assert found.index_at(None) == len(found.epochs) - 1


def test_a_run_in_training_is_that_of_its_newest_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 2)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
    dataset = data.load("moons:n=100")
    seen = []
    for epoch in (1, 3):
        with Store(tmp_path) as store:
            made = submit(store, dataset, experiment())
            save_midway(store, made, dataset, epoch=epoch, step=0)
        path = boundary.boundary(tmp_path, made.runs[0].run_id, print, SIZE)
        seen.append(boundary_records.read(path).epochs)
    assert seen == [(0, 1), (0, 1, 2, 3)]
    assert len(list(path.parent.iterdir())) == 1, "the one before is replaced"


@pytest.mark.parametrize("kind", ["pictures", "columns", "category"])
def test_other_data_than_two_numbers_are_refused(kind: str, tmp_path: Path) -> None:
    if kind == "pictures":
        dataset, what = write_data(tmp_path), "pictures of 4 × 5"
    elif kind == "columns":
        dataset, what = data.load("iris"), "4"
    else:
        rows = (f"{'pq'[k % 2]},{k}.5,{'yn'[k % 3 % 2]}" for k in range(60))
        (tmp_path / "two.csv").write_text("\n".join(["a,b,kind", *rows]))
        dataset = data.load(tmp_path / "two.csv", options=OPTIONS)
        what = "2, of which 1 is no number"
    with pytest.raises(DataError) as refused:
        boundary.column_names(dataset)
    wanted = f"the boundary needs two numerical inputs; this data has {what}"
    assert str(refused.value) == f"{dataset.source}: {wanted}"
    assert boundary_records.plane_columns(contract_of(dataset)) == ()


# ---- the file


def test_what_is_read_is_what_was_computed(tmp_path: Path) -> None:
    dataset = table(tmp_path)
    (run,) = train(tmp_path, dataset, experiment(), options=OPTIONS)
    with Store(tmp_path, viewer=True) as store:
        stored = networks.read(store, run.run_id)
    computed = boundary.draw(stored, dataset, SIZE)
    path = boundary.boundary(tmp_path, run.run_id, print, SIZE)
    read = boundary_records.read(path)
    assert path == boundary_records.path_of(run.run_id, SIZE, stored.key)
    for name, value in vars(computed).items():
        found = getattr(read, name)
        if isinstance(value, np.ndarray):
            assert (found.dtype, found.tobytes()) == (value.dtype, value.tobytes()), name
            assert not found.flags.writeable
        else:
            assert found == value, name


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("x", np.zeros(3), "probability is float32 (2, 9, 9, 2), expected float32 (2, 9, 3, 2)"),
        ("labels", np.zeros(100), "labels is float64 (100,), expected int16 (100,)"),
        ("columns", ("x",), "1 names of 2 inputs"),
    ],
)
def test_arrays_that_do_not_fit_the_record_are_refused(
    name: str, value: Any, what: str, tmp_path: Path
) -> None:
    dataset = data.load("moons:n=100")
    path = tmp_path / "it"
    made = boundary.draw(untrained(dataset), dataset, SIZE)
    boundary_records.write(path, replace(made, **{name: value}))
    with pytest.raises(CheckpointError) as refused:
        boundary_records.read(path)
    assert str(refused.value) == f"{path}: its header does not fit its numbers: {what}"
    tensors, about = tensor_files.read(path, boundary_records.FORMAT)
    del tensors["lines"]
    tensor_files.write(path, tensors, about)
    with pytest.raises(CheckpointError, match=r"does not fit its numbers: .*'lines'"):
        boundary_records.read(path)
