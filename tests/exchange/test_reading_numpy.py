"""Networks as NumPy arrays, computed here by hand in NumPy, give the same logits when read."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchanged import examples, logits
from scipy.special import softmax
from sklearn.neural_network import MLPClassifier

import jmlp
from jmlp.data.arrays import own_dataset
from jmlp.data.dataset import Dataset
from jmlp.data.sources import load
from jmlp.errors import CheckpointError, ConfigError
from jmlp.exchange import reading
from jmlp.exchange.found import Told

X = examples()


def data(n_in: int = 7, n_classes: int = 3) -> Dataset:
    x = np.random.default_rng(0).normal(size=(50, n_in, 1)).astype(np.float32)
    return own_dataset("own", {"x_train": x, "y_train": np.arange(50) % n_classes}, "own")


def arrays(*sizes: int) -> dict[str, Any]:
    """W1 `(n_in, n_out)`, b1 and so on, float64."""
    rng = np.random.default_rng(1)
    made = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        made[f"W{layer}"] = rng.normal(0, 0.5, (n_in, n_out))
        made[f"b{layer}"] = rng.normal(0, 0.5, n_out)
    return made


def by_hand(a: dict[str, Any], x: Any = X) -> Any:
    """Logits of a network with one or two hidden layers of tanh, examples as rows."""
    n = len(a) // 2
    for layer in range(1, n):
        x = np.tanh(x @ a[f"W{layer}"] + a[f"b{layer}"])
    return x @ a[f"W{n}"] + a[f"b{n}"]


def named(form: str, a: dict[str, Any]) -> dict[str, Any]:
    """The same arrays under other names and in other shapes."""
    n = len(a) // 2
    pairs = [(a[f"W{layer}"], a[f"b{layer}"]) for layer in range(1, n + 1)]
    if form == "rows":
        return {name.lower(): array for name, array in a.items()}
    if form == "columns":
        return {n: x.T if n[0] == "W" else x[:, None] for n, x in a.items()}
    if form == "by layer":
        found: dict[str, Any] = {}
        for layer, (W, b) in enumerate(pairs):
            found |= {f"layer{layer + 9}.weight": W.T, f"layer{layer + 9}.bias": b}
        return found
    if form == "lists":
        return {f"weights_{i}": W for i, (W, _) in enumerate(pairs)} | {
            f"biases_{i}": b[None] for i, (_, b) in enumerate(pairs)
        }
    return {f"arr_{i}": array for i, array in enumerate(x for pair in pairs for x in pair)}


@pytest.mark.parametrize("form", ["rows", "columns", "by layer", "lists", "numbers"])
def test_the_logits_are_those_computed_by_hand(form: str, tmp_path: Path) -> None:
    a = arrays(7, 6, 5, 3)
    np.savez(tmp_path / "n.npz", **named(form, a))
    read = jmlp.read_network(tmp_path / "n.npz", data(), activation="tanh")
    np.testing.assert_allclose(logits(read, X), by_hand(a), atol=1e-5)
    axis = "columns" if form in ("columns", "by layer") else "rows"
    assert read.about["notes"] == [
        f"examples are {axis} in it, as the shapes say",
        "float64 was rounded to float32",
    ]
    assert (read.about["read_from"], read.about["program"]) == ("n.npz", "NumPy")


def test_float32_is_read_bit_by_bit(tmp_path: Path) -> None:
    a = {name: array.astype(np.float32) for name, array in arrays(7, 6, 3).items()}
    np.savez_compressed(tmp_path / "n.npz", **a)
    params = jmlp.read_network(tmp_path / "n.npz", data(), activation="gelu").params
    for layer in (1, 2):
        assert params[layer - 1].dense.W.tobytes() == a[f"W{layer}"].T.tobytes()
        assert params[layer - 1].dense.b.tobytes() == a[f"b{layer}"].tobytes()


def test_weights_alone_have_biases_of_zero(tmp_path: Path) -> None:
    a = arrays(7, 6, 3)
    np.savez(tmp_path / "n.npz", a["W1"], a["W2"])
    read = jmlp.read_network(tmp_path / "n.npz", data(), activation="tanh")
    zeros = {"b1": np.zeros(6), "b2": np.zeros(3)}
    np.testing.assert_allclose(logits(read, X), by_hand(a | zeros), atol=1e-5)
    assert "layer 1 has no bias: it is 0" in read.about["notes"]


def test_only_square_weights_need_to_be_told_the_axis(tmp_path: Path) -> None:
    a = arrays(3, 3, 3)
    np.savez(tmp_path / "n.npz", **a)
    with pytest.raises(ConfigError, match=r"all weights are square.*give rows or columns"):
        jmlp.read_network(tmp_path / "n.npz", data(3), activation="tanh")
    x = X[:, :3]
    rows = jmlp.read_network(tmp_path / "n.npz", data(3), activation="tanh", examples="rows")
    np.testing.assert_allclose(logits(rows, x), by_hand(a, x), atol=1e-5)
    turned = {name: array.T for name, array in a.items()}
    columns = jmlp.read_network(tmp_path / "n.npz", data(3), activation="tanh", examples="columns")
    np.testing.assert_allclose(logits(columns, x), by_hand(turned, x), atol=1e-5)


def test_the_axis_that_is_told_must_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "n.npz", **arrays(7, 6, 3))
    with pytest.raises(CheckpointError, match="classes with examples as columns"):
        jmlp.read_network(tmp_path / "n.npz", data(), activation="relu", examples="columns")


def without(name: str) -> dict[str, Any]:
    return {key: array for key, array in arrays(7, 6, 3).items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"gamma1": np.ones(6), **arrays(7, 6, 3)}, "gamma1: neither weights nor biases by its"),
        (without("W2"), "b2: there are no weights of that layer"),
        (arrays(8, 6, 3), "do not lead from the 7 inputs of the data to their 3 classes"),
        (arrays(7, 6, 4), "do not lead from the 7 inputs of the data to their 3 classes"),
        ({"arr_0": np.ones(3), "arr_1": np.ones((7, 3))}, "must be weights and biases in turn"),
        ({**without("b1"), "b1": np.ones((6, 2))}, "b1 has shape (6, 2): a bias has one number"),
        ({**without("b1"), "b1": np.ones(5)}, "linear layer 1 has 6 outputs, but a bias of shape"),
        ({**without("b1"), "b1": np.full(6, np.nan)}, "b of layer 1 holds numbers that are not"),
        ({**without("b1"), "b1": np.ones(6, int)}, "b1 is of type int64: parameters must be"),
        ({**without("W1"), "W1": np.ones((7, 6, 1))}, "weights of shape (7, 6, 1): they must have"),
        ({**arrays(7, 6, 3), "w1": np.ones((7, 6))}, "W1 and w1 are both of the same layer"),
        ({"W1": np.array([{}], object)}, "W1: has type |O; only plain numbers are read"),
    ],
)
def test_what_is_no_such_network_is_refused(
    content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "n.npz", **content)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        jmlp.read_network(tmp_path / "n.npz", data(), activation="relu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.npz", b"", "n.npz: is empty"),
        ("n.npz", b"no archive", "n.npz: not an .npz file, or damaged"),
        ("n.pkl", b"x", "n.pkl: files of networks end in .safetensors.*pickles can run code"),
        ("n.h5", b"x", "model.save"),
        ("n.txt", b"x", "n.txt: files of networks end in .safetensors"),
    ],
)
def test_other_files_are_refused_with_what_to_do(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        jmlp.read_network(tmp_path / name, data(), activation="relu")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.npz: cannot be read: No such file"):
        jmlp.read_network(tmp_path / "none.npz", data(), activation="relu")


def test_a_network_for_a_table_takes_its_columns_standardised_or_raw(tmp_path: Path) -> None:
    a, iris = arrays(4, 6, 3), load("iris")
    np.savez(tmp_path / "n.npz", **a)
    rows = np.asarray(iris.x_train, np.float64)
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    raw_rows = {c.name: rows[:, i] for i, c in enumerate(iris.columns.features)}  # type: ignore[union-attr]
    for raw, taken in ((False, scaled), (True, rows)):
        read = jmlp.read_network(tmp_path / "n.npz", "iris", activation="tanh", raw=raw)
        wanted = softmax(by_hand(a, taken), axis=1)
        np.testing.assert_allclose(read.predict_proba(raw_rows), wanted, atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_of_scikit_learn_gives_its_probabilities(tmp_path: Path) -> None:
    iris = load("iris")
    x, y = np.asarray(iris.x_train, np.float64), iris.y_train
    known = MLPClassifier((8, 5), activation="tanh", max_iter=30, random_state=0).fit(x, y)
    np.savez(
        tmp_path / "n.npz",
        **{f"coefs_{i}": W for i, W in enumerate(known.coefs_)},
        **{f"intercepts_{i}": b for i, b in enumerate(known.intercepts_)},
    )
    read = jmlp.read_network(tmp_path / "n.npz", iris, activation="tanh", raw=True)
    np.testing.assert_allclose(read.predict_proba(x), known.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("name", ["iris", "moons", "digits-8x8"])
def test_the_score_is_that_of_the_network_on_the_data(name: str, tmp_path: Path) -> None:
    dataset = load(name)
    np.savez(tmp_path / "n.npz", **arrays(dataset.n_in, 6, dataset.n_classes))
    read = reading.read(tmp_path / "n.npz", dataset, Told("relu"))
    scored = reading.score(read)
    x, y = dataset.x_test, dataset.y_test
    x, y, part = (dataset.x_train, dataset.y_train, "training") if x is None else (x, y, "test")
    given: Any = x
    if dataset.columns is not None:
        given = {c.name: x[:, i] for i, c in enumerate(dataset.columns.features)}
    classes = np.array(dataset.class_names)[y] if dataset.class_names else y
    assert (scored.n, scored.part) == (len(x), part)
    assert scored.accuracy == pytest.approx(read.network.score(given, classes))
    assert scored.cost == pytest.approx(read.network.score(given, classes, "cost"))
