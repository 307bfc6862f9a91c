"""A saved network is what was saved, or it is refused: nothing is ever loaded in part."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import assert_equal_bits
from safetensors.numpy import load_file

from jmlp.data import mnist
from jmlp.data.contract import Contract, Looks
from jmlp.errors import CheckpointError, StoreError
from jmlp.nn import model
from jmlp.nn.tensors import Tensors
from jmlp.results import tensor_files, weights
from jmlp.results.weights import Network
from jmlp.study.config import Hyperparams

HP = Hyperparams(hidden=(2, 3), batch_norm=True, drop_rate=(0.25, 0.5), patience=None)
PARAMS, STATE = jax.device_get(model.init(HP, 2, 2, jax.random.key(0)))
RANGE = (0.1, 0.2, 0.3)
LOOKS = Looks(ink=RANGE, stroke=RANGE, box=RANGE, offset=RANGE, paper="dark")
CONTRACT = Contract((1, 2), 2, "float32", -1.5, 2.0, LOOKS)
NETWORK = Network(HP, CONTRACT, PARAMS, STATE, {"seed": 7, "note": "±"})
Header = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved network."""
    weights.save(tmp_path / "net.safetensors", NETWORK)
    return tmp_path / "net.safetensors"


def refusal(path: Path) -> str:
    """The error message for a file, without its path."""
    with pytest.raises(CheckpointError) as error:
        weights.load(path)
    assert error.value.exit_code == 5
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "hp", [HP, replace(HP, batch_norm=False, drop_rate=0.5, patience=3), Hyperparams(hidden=(4,))]
)
def test_network_comes_back_as_it_was(hp: Hyperparams, tmp_path: Path) -> None:
    params, state = jax.device_get(model.init(hp, 2, 2, jax.random.key(1)))
    saved = replace(NETWORK, hyperparams=hp, params=params, state=state)
    weights.save(tmp_path / "new" / "net", saved)
    loaded = weights.load(tmp_path / "new" / "net")
    assert_equal_bits((loaded.params, loaded.state), (params, state))
    assert replace(loaded, params=None, state=None) == replace(saved, params=None, state=None)


def test_safetensors_itself_reads_the_file(path: Path) -> None:
    tensors = load_file(path)
    assert {name: array.shape for name, array in tensors.items()} == {
        "params[0].dense.W": (2, 2),
        "params[0].batchnorm.gamma": (2, 1),
        "params[0].batchnorm.beta": (2, 1),
        "params[1].dense.W": (3, 2),
        "params[1].batchnorm.gamma": (3, 1),
        "params[1].batchnorm.beta": (3, 1),
        "params[2].dense.W": (2, 3),
        "params[2].dense.b": (2, 1),
        "state[0].mean": (2, 1),
        "state[0].var": (2, 1),
        "state[1].mean": (3, 1),
        "state[1].var": (3, 1),
    }
    np.testing.assert_array_equal(tensors["params[1].dense.W"], PARAMS[1].dense.W, strict=True)


def test_file_of_another_format_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(tensor_files.to_bytes({}, {"format": "jmlp-network-1"}))
    assert refusal(path) == (
        "of another program or another version of jmlp (format 'jmlp-network-1', expected "
        "'jmlp-network-3'); write one with `jmlp train --save FILE`, or by `jmlp import` from a "
        "file of another program"
    )


def test_damaged_file_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert refusal(path) == "damaged: its SHA-256 is not the one stored in it"


def changed(path: Path, change: Callable[[Tensors, Header], Any]) -> None:
    """Writes other content with the right seal, as a program that means well might."""
    tensors, header = tensor_files.read(path, weights.FORMAT)
    change(tensors, header)
    tensor_files.write(path, tensors, header)


def put(tensors: Tensors, name: str, value: float) -> None:
    """Writes a number into an array that was read."""
    tensors[name] = tensors[name].copy()
    tensors[name].flat[0] = value


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tensors, header: header["hyperparams"].update(hidden=[2, 4]),
            "params[1].dense.W is float32 (3, 2), expected float32 (4, 2)",
        ),
        (
            lambda tensors, header: tensors.update({"params[2].dense.b": np.zeros((2, 1))}),
            "params[2].dense.b is float64 (2, 1), expected float32 (2, 1)",
        ),
        (lambda tensors, header: tensors.pop("state[1].var"), "state[1].var is missing"),
        (
            lambda tensors, header: tensors.update({"extra": np.zeros(1, np.float32)}),
            "extra belong to no layer",
        ),
        (
            lambda tensors, header: header["hyperparams"].update(learning_rate=0),
            "learning_rate: must be a finite number > 0, got 0.0",
        ),
        (
            lambda tensors, header: header["hyperparams"].update(colour=1),
            '"hyperparams.colour" is not known here: a newer jmlp wrote it',
        ),
        (lambda tensors, header: header.pop("contract"), '"contract" is missing'),
        (
            lambda tensors, header: header["contract"].pop("n_classes"),
            '"contract.n_classes" is missing',
        ),
        (
            lambda tensors, header: header["contract"].update(n_classes=2**62),
            "n_classes is 4611686018427387904, must be from 2 to 1000",
        ),
        (
            lambda tensors, header: header["contract"].update(image_shape=[3]),
            "params[0].dense.W is float32 (2, 2), expected float32 (2, 3)",
        ),
        *(
            (
                lambda tensors, header, shape=shape: header["contract"].update(image_shape=shape),
                f"image_shape is {shape}, which no image has",
            )
            for shape in ([-1, -2], [0, 2], [2**31, 2**31], [])
        ),
        (
            lambda tensors, header: header["contract"].update(low="-Infinity"),
            "its training data cannot range from -inf to 2.0",
        ),
        (
            lambda tensors, header: header["contract"].update(high=-1.5),
            "its training data cannot range from -1.5 to -1.5",
        ),
        (
            lambda tensors, header: header["contract"]["looks"].update(ink=[0, "NaN", 1]),
            "looks.ink is [0, nan, 1]",
        ),
        (
            lambda tensors, header: put(tensors, "params[1].dense.W", np.nan),
            "params[1].dense.W holds numbers that are not finite",
        ),
        (
            lambda tensors, header: put(tensors, "state[1].var", -1.0),
            "state[1].var holds a variance of -1",
        ),
    ],
)
def test_header_that_does_not_fit_its_numbers_is_refused(
    change: Callable[[Tensors, Header], Any], told: str, path: Path
) -> None:
    changed(path, change)
    assert refusal(path) == f"its header does not fit its numbers: {told}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"image_shape": 3},
            '"contract.image_shape"',
        ),
        ({"image_shape": ["Infinity", 2]}, '"contract.image_shape[0]"'),
        ({"image_shape": [1.0, 2]}, '"contract.image_shape[0]"'),
        ({"n_classes": True}, '"contract.n_classes"'),
        ({"dtype": "float16"}, '"contract.dtype"'),
        ({"looks": {}}, '"contract.looks'),
        ({"colour": 1}, '"contract.colour"'),
    ],
)
def test_contract_of_other_types_is_refused(change: Header, told: str, path: Path) -> None:
    changed(path, lambda tensors, header: header["contract"].update(change))
    message = refusal(path)
    assert message.startswith("its header does not fit its numbers: ")
    assert told in message


def before(path: Path, about: Header) -> Network:
    """The network in a file of the format before."""
    tensors, header = tensor_files.read(path, weights.FORMAT)
    contract = header.pop("contract")
    old = {"image_shape": contract["image_shape"], "n_classes": contract["n_classes"]}
    old |= {"format": weights.PREVIOUS_FORMAT, "about": about}
    tensor_files.write(path, tensors, header | old)
    return weights.load(path)


def test_arrays_of_other_shapes_are_refused_before_they_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, header = tensor_files.read(path, weights.FORMAT)
    other = {**tensors, "params[0].dense.W": np.zeros((2, 200), np.float32)}
    tensor_files.write(path, other, header)
    monkeypatch.setattr(
        tensor_files, "from_bytes", lambda *read: pytest.fail("the arrays were read")
    )
    assert "params[0].dense.W is float32 (2, 200), expected float32 (2, 2)" in refusal(path)


def test_file_of_the_previous_format_is_read_and_its_data_type_known_from_the_digests(
    path: Path,
) -> None:
    network = before(path, {"data": dict(mnist.MNIST.digests)})
    assert network.contract == Contract((1, 2), 2, "uint8")
    assert_equal_bits((network.params, network.state), (PARAMS, STATE))


def test_file_of_the_previous_format_does_not_state_the_type_of_other_data(path: Path) -> None:
    assert before(path, {"data": {"x_train": "0"}}).contract == Contract((1, 2), 2, None)


def test_link_is_followed_and_its_target_judged(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    assert_equal_bits(weights.load(tmp_path / "link").params, PARAMS)
    (tmp_path / "other").symlink_to("/etc/passwd")
    told = "damaged, or not a safetensors file: its header cannot be read"
    assert refusal(tmp_path / "other") == told


def test_saving_replaces_the_file_as_a_whole(path: Path) -> None:
    weights.save(path, replace(NETWORK, about={"seed": 8}))
    assert weights.load(path).about == {"seed": 8}
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_file_that_cannot_be_written_is_reported(path: Path) -> None:
    with pytest.raises(StoreError) as error:
        weights.save(path / "net", NETWORK)
    assert str(error.value) == f"{path / 'net'}: its folder cannot be created: File exists"
