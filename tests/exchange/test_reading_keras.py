"""Networks that Keras saved give the logits that Keras computes."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import numpy as np
import pytest
from exchanged import examples, logits
from keras import layers
from scipy.special import softmax

import jmlp
from jmlp.data.arrays import own_dataset
from jmlp.data.dataset import Dataset
from jmlp.errors import CheckpointError, ConfigError

# Keras's own, when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X = examples()
Y = np.arange(len(X)) % 3


@pytest.fixture(autouse=True)
def _types_mix() -> Iterator[None]:
    with jax.numpy_dtype_promotion("standard"):  # as Keras needs it
        yield


def data(x: Any = None) -> Dataset:
    """Pictures of 7 x 1 numbers, and three classes."""
    x = X[:, :, None] if x is None else x
    return own_dataset("seven", {"x_train": x, "y_train": Y}, "seven")


def made(*parts: Any, x: Any = X) -> Any:
    """A sequence of layers whose parameters and statistics all differ from those of a new one."""
    model = keras.Sequential([layers.Input(x.shape[1:]), *parts])
    rng = np.random.default_rng(2)
    for layer in model.layers:
        for weight in layer.weights:
            if "seed" not in weight.name:
                low = 0.1 if "variance" in weight.name else -0.6
                weight.assign(rng.uniform(low, 0.9, weight.shape).astype(np.float32))
    return model


def read(model: Any, path: Path, **options: Any) -> jmlp.Network:
    model.save(path)
    dataset = options.pop("data", None) or data()
    with jax.numpy_dtype_promotion("strict"):
        return jmlp.read_network(path, dataset, **options)


def outputs(model: Any, x: Any = X) -> Any:
    return np.asarray(model(x, training=False))


def assert_same(network: jmlp.Network, wanted: Any, x: Any = X) -> None:
    with jax.numpy_dtype_promotion("strict"):
        got = logits(network, x)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "silu", "swish"])
def test_the_activation_is_that_of_the_file(activation: str, tmp_path: Path) -> None:
    model = made(
        layers.Dense(6, activation=activation), layers.Dense(5, activation), layers.Dense(3)
    )
    network = read(model, tmp_path / "n.keras")
    assert_same(network, outputs(model))
    assert network.hyperparams.activation == activation.replace("swish", "silu")
    assert (network.about["program"], network.about["notes"]) == ("Keras", [])


def test_activations_may_be_layers_and_differ(tmp_path: Path) -> None:
    model = made(
        layers.Dense(6, name="the_last"),
        layers.LeakyReLU(negative_slope=0.01),
        layers.Dense(5, use_bias=False, name="dense_7"),
        layers.Activation("tanh"),
        layers.Dense(4),
        layers.ReLU(),
        layers.Dense(3, name="a"),
    )
    network = read(model, tmp_path / "n.keras")
    assert_same(network, outputs(model))
    assert network.hyperparams.activation == ("leaky_relu", "tanh", "relu")


@pytest.mark.parametrize("options", [{}, {"epsilon": 1e-5}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("place", ["before", "after"])
def test_batch_norm_has_the_epsilon_of_jmlp(
    place: str, options: dict[str, Any], tmp_path: Path
) -> None:
    parts: list[Any] = []
    for units in (6, 5):
        middle = [layers.BatchNormalization(**options), layers.Activation("relu")]
        parts += [layers.Dense(units), *(middle if place == "before" else middle[::-1])]
    model = made(*parts, layers.Dense(3))
    network = read(model, tmp_path / "n.keras")
    assert_same(network, outputs(model))
    assert network.hyperparams.batch_norm_place == place
    said = "batch norm has an epsilon of 0.001 in it, and 1e-05 in jmlp" in str(network.about)
    assert said == ("epsilon" not in options)


def test_an_epsilon_that_would_make_a_variance_negative_is_refused(tmp_path: Path) -> None:
    model = made(
        layers.Dense(6), layers.BatchNormalization(epsilon=1e-7), layers.ReLU(), layers.Dense(3)
    )
    assert_same(read(model, tmp_path / "a.keras"), outputs(model))
    model.layers[1].moving_variance.assign(np.full(6, 1e-6, np.float32))
    with pytest.raises(CheckpointError, match="the variance would be negative"):
        read(model, tmp_path / "b.keras")


def test_what_has_no_effect_is_left_out_and_said(tmp_path: Path) -> None:
    model = made(
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(3, activation="softmax"),
        x=X[:, :, None],
    )
    network = read(model, tmp_path / "n.keras")
    with jax.numpy_dtype_promotion("strict"):
        got = softmax(logits(network, X), axis=1)
    np.testing.assert_allclose(got, outputs(model, X[:, :, None]), atol=1e-5)
    dropout, end = network.about["notes"]
    assert re.fullmatch(
        r"layer dropout\w*, Dropout, is left out: it is off in predictions", dropout
    )
    assert end == "the softmax at its end is left out: jmlp's networks give logits"


@pytest.mark.parametrize("rescaling", [{"scale": 1 / 255}, {"scale": 1 / 127.5, "offset": -1}])
def test_a_rescaling_of_pixels_is_read(rescaling: dict[str, float], tmp_path: Path) -> None:
    x = np.random.default_rng(3).integers(0, 256, (50, 7, 1), np.uint8)
    model = made(
        layers.Rescaling(**rescaling),
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dense(3),
        x=x,
    )
    network = read(model, tmp_path / "n.keras", data=data(x))
    assert_same(network, outputs(model, x.astype(np.float32)), x.reshape(50, 7))
    assert (network.about["notes"] == []) == ("offset" not in rescaling)
    with pytest.raises(ConfigError, match="has a layer that scales its inputs"):
        read(model, tmp_path / "n.keras", data=data(x), raw=True)


def test_a_functional_model_is_read_if_it_is_a_chain(tmp_path: Path) -> None:
    inputs = keras.Input((7,))
    first = layers.Dense(6, activation="relu")(inputs)
    second = layers.Dense(6, activation="tanh")(first)
    model = keras.Model(inputs, layers.Dense(3)(second))
    assert_same(read(model, tmp_path / "n.keras"), outputs(model))
    around = keras.Model(inputs, layers.Dense(3)(layers.Add()([first, second])))
    with pytest.raises(CheckpointError, match="jmlp's networks are chains"):
        read(around, tmp_path / "n.keras")
    several = keras.Model(inputs, [first, layers.Dense(3)(second)])
    with pytest.raises(CheckpointError, match="its output is not that of its last layer alone"):
        read(several, tmp_path / "n.keras")


class Doubled(layers.Dense):  # type: ignore[misc]
    """A layer of the user's."""


REFUSED: list[tuple[Any, str]] = [
    (lambda: [layers.Dense(6, "elu"), layers.Dense(3)], "has the activation elu: jmlp has relu,"),
    (lambda: [layers.Dense(6, "softmax"), layers.Dense(3)], "softmax in the middle"),
    (lambda: [layers.Dense(6), layers.Dense(3)], "linear layer 1 has no activation function"),
    (lambda: [layers.Dense(6, "relu"), layers.Dense(3, "sigmoid")], "the last layer of jmlp's"),
    (lambda: [layers.Dense(6), layers.LeakyReLU(), layers.Dense(3)], "has the slope 0.3"),
    (lambda: [layers.Dense(6, "leaky_relu"), layers.Dense(3)], "of slope 0.2"),
    (lambda: [layers.Dense(6), layers.ReLU(max_value=6), layers.Dense(3)], "with a limit"),
    (lambda: [layers.Dense(6, "relu"), layers.LayerNormalization(), layers.Dense(3)], "LayerNorm"),
    (lambda: [Doubled(6, "relu"), layers.Dense(3)], "is of the model's own class Doubled"),
    (lambda: [layers.BatchNormalization(), layers.Dense(3)], "batch norm before the first linear"),
    (
        lambda: [
            *(layers.Dense(6), layers.BatchNormalization(), layers.ReLU()),
            *(layers.Dense(5, "relu"), layers.Dense(3)),
        ],
        "batch norm differs between its hidden layers",
    ),
    (lambda: [layers.Dense(6, "relu"), layers.Dense(4)], "4 outputs, but the data have 3 classes"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED)
def test_a_layer_that_jmlp_lacks_is_refused_by_name(
    parts: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        read(made(*parts()), tmp_path / "n.keras")


def repacked(path: Path, change: Any) -> Path:
    """The same archive with other contents: `change` takes and gives a dict of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    return target


def test_a_damaged_or_malicious_file_is_refused(tmp_path: Path) -> None:
    model = made(layers.Dense(6, "relu"), layers.Dense(3))
    model.save(tmp_path / "n.keras")

    def linked(members: dict[str, bytes]) -> dict[str, bytes]:
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as opened:
            group = opened["layers/dense/vars"]
            del group["0"]
            group["0"] = h5py.ExternalLink("/etc/other.h5", "x")
        return {**members, "model.weights.h5": file.getvalue()}

    def swapped(members: dict[str, bytes]) -> dict[str, bytes]:
        text = members["config.json"].decode().replace('"units": 6', '"units": 9')
        return {**members, "config.json": text.encode()}

    def shallow(members: dict[str, bytes]) -> dict[str, bytes]:
        return {**members, "config.json": json.dumps([1]).encode()}

    def cut(members: dict[str, bytes]) -> dict[str, bytes]:
        return {**members, "model.weights.h5": members["model.weights.h5"][:500]}

    def missing(members: dict[str, bytes]) -> dict[str, bytes]:
        return {name: c for name, c in members.items() if name != "model.weights.h5"}

    for change, message in (
        (linked, "layers/dense/vars/0 is missing, or lies in another file"),
        (swapped, "has shape \\(7, 6\\), which its layer cannot have"),
        (shallow, "config.json in it is no description of a model"),
        (cut, "model.weights.h5 in it is damaged"),
        (missing, "not a file of Keras 3, or damaged"),
    ):
        with pytest.raises(CheckpointError, match=message):
            jmlp.read_network(repacked(tmp_path / "n.keras", change), data())
    (tmp_path / "n.keras").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="not a file of Keras 3, or damaged"):
        jmlp.read_network(tmp_path / "n.keras", data())


def test_what_the_file_says_itself_is_not_to_be_said(tmp_path: Path) -> None:
    model = made(layers.Dense(6, "relu"), layers.Dense(3))
    with pytest.raises(ConfigError, match=r"activation: a \.keras file says it itself"):
        read(model, tmp_path / "n.keras", activation="relu")
