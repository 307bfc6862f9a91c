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

from jmlp import model, sealed, weights
from jmlp.config import Hyperparams
from jmlp.errors import CheckpointError, StoreError
from jmlp.tensors import Tensors
from jmlp.weights import Network

HP = Hyperparams(hidden=(2, 3), batch_norm=True, drop_rate=(0.25, 0.5), patience=None)
PARAMS, STATE = jax.device_get(model.init(HP, 2, 2, jax.random.key(0)))
NETWORK = Network(HP, (1, 2), 2, PARAMS, STATE, {"seed": 7, "note": "±"})
Header = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved network."""
    weights.save(tmp_path / "net.safetensors", NETWORK)
    return tmp_path / "net.safetensors"


def refusal(path: Path) -> str:
    """What is said of a file, without its path."""
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
    path.write_bytes(sealed.to_bytes({}, {"format": "jmlp-network-1"}))
    assert refusal(path) == (
        "of another program or another version of jmlp (format 'jmlp-network-1', wanted "
        "'jmlp-network-2'); write one with `jmlp train --save FILE`"
    )


def test_damaged_file_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert refusal(path) == "damaged: its SHA-256 is not the one stored in it"


def changed(path: Path, change: Callable[[Tensors, Header], Any]) -> None:
    """Writes other content with the right seal, as a program that means well might."""
    tensors, header = sealed.read(path, weights.FORMAT)
    change(tensors, header)
    sealed.write(path, tensors, header)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tensors, header: header["hyperparams"].update(hidden=[2, 4]),
            "params[1].dense.W is float32 (3, 2), wanted float32 (4, 2)",
        ),
        (
            lambda tensors, header: tensors.update({"params[2].dense.b": np.zeros((2, 1))}),
            "params[2].dense.b is float64 (2, 1), wanted float32 (2, 1)",
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
        (lambda tensors, header: header.pop("n_classes"), "'n_classes'"),
        (
            lambda tensors, header: header.update(image_shape=3),
            "'int' object is not iterable",
        ),
        (
            lambda tensors, header: header.update(image_shape=[3]),
            "params[0].dense.W is float32 (2, 2), wanted float32 (2, 3)",
        ),
    ],
)
def test_header_that_does_not_fit_its_numbers_is_refused(
    change: Callable[[Tensors, Header], Any], told: str, path: Path
) -> None:
    changed(path, change)
    assert refusal(path) == f"its header does not fit its numbers: {told}"


def test_link_is_followed_and_what_is_there_judged(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    assert_equal_bits(weights.load(tmp_path / "link").params, PARAMS)
    (tmp_path / "other").symlink_to("/etc/passwd")
    told = "damaged, or not a safetensors file: its header cannot be read"
    assert refusal(tmp_path / "other") == told


def test_saving_replaces_the_file_as_a_whole(path: Path) -> None:
    weights.save(path, replace(NETWORK, about={"seed": 8}))
    assert weights.load(path).about == {"seed": 8}
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_file_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(StoreError) as error:
        weights.save(path / "net", NETWORK)
    assert str(error.value) == f"{path / 'net'}: its folder cannot be made: File exists"
