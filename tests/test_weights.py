"""A saved network is what was saved, or it is refused: nothing is ever loaded in part."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import assert_equal_bits
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load, load_file
from safetensors.numpy import save as to_bytes

from jmlp import model, weights
from jmlp.config import Hyperparams
from jmlp.errors import CheckpointError, StoreError
from jmlp.weights import Network

HP = Hyperparams(hidden=(2, 3), batch_norm=True, drop_rate=(0.25, 0.5), patience=None)
PARAMS, STATE = jax.device_get(model.init(HP, 2, 2, jax.random.key(0)))
NETWORK = Network(HP, (1, 2), 2, PARAMS, STATE, {"seed": 7, "note": "±"})
Tensors = dict[str, NDArray[Any]]
Header = dict[str, str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved network."""
    weights.save(tmp_path / "net.safetensors", NETWORK)
    return tmp_path / "net.safetensors"


def refusal(path: Path, data: bytes | None = None) -> str:
    """What is said of a file, or of other content in its place, without the path."""
    if data is not None:
        path.write_bytes(data)
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
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    assert header["format"] == "jmlp-network-1"
    assert json.loads(header["hyperparams"])["hidden"] == [2, 3]


def refuse_all(path: Path, contents: Iterable[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each content in place of the file's, which writing would make slow."""
    now = [b""]
    monkeypatch.setattr(Path, "read_bytes", lambda self: now[0])
    for now[0] in contents:
        refusal(path)


def test_every_truncation_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = path.read_bytes()
    refuse_all(path, (data[:length] for length in range(len(data))), monkeypatch)


def test_every_flipped_bit_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = int.from_bytes(data := path.read_bytes())
    flipped = ((whole ^ 1 << bit).to_bytes(len(data)) for bit in range(8 * len(data)))
    refuse_all(path, flipped, monkeypatch)


def test_every_byte_that_became_blank_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blanks among the header's JSON could go unseen, were only its meaning looked at.
    data = path.read_bytes()
    blanks = [b"\n" if byte == ord(" ") else b" " for byte in data]
    blanked = (data[:n] + blank + data[n + 1 :] for n, blank in enumerate(blanks))
    refuse_all(path, blanked, monkeypatch)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damaged, or not a safetensors file: its header cannot be read"),
        (
            b"<html>an error page</html>",
            "damaged, or not a safetensors file: its header cannot be read",
        ),
        (b"\xff" * 100, "damaged, or not a safetensors file: its header cannot be read"),
        (
            (100_000).to_bytes(8, "little") + b"[" * 100_000,
            "damaged, or not a safetensors file: its header cannot be read",
        ),
        (
            (4).to_bytes(8, "little") + b"null",
            "damaged, or not a safetensors file: its header cannot be read",
        ),
        (
            to_bytes({"W": np.zeros(2, np.float32)}),
            "not a network saved by this version of jmlp (format None, wanted 'jmlp-network-1'); "
            "write one with `jmlp train --save FILE`",
        ),
        (
            to_bytes({"W": np.zeros(2, np.float32)}, {"format": "jmlp-network-2"}),
            "not a network saved by this version of jmlp (format 'jmlp-network-2', wanted "
            "'jmlp-network-1'); write one with `jmlp train --save FILE`",
        ),
        (
            to_bytes({"W": np.zeros(2, np.float32)}, {"format": "jmlp-network-1"}),
            "damaged: its SHA-256 is not the one stored in it",
        ),
    ],
)
def test_file_of_something_else_is_refused(content: bytes, told: str, path: Path) -> None:
    assert refusal(path, content) == told


def test_one_more_byte_is_refused(path: Path) -> None:
    told = "damaged: its SHA-256 is not the one stored in it"
    assert refusal(path, path.read_bytes() + b"\0") == told


def resealed(path: Path, change: Callable[[Tensors, Header], Any]) -> None:
    """Writes other content with the right SHA-256, as a program that means well might."""
    tensors = load(path.read_bytes())
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    change(tensors, header)
    header["sha256"] = weights.UNSEALED
    data = to_bytes(tensors, header)
    seal = weights.digest(data, weights.UNSEALED)
    path.write_bytes(data.replace(weights.UNSEALED.encode(), seal.encode(), 1))


def set_hyperparams(header: Header, **changes: Any) -> None:
    header["hyperparams"] = json.dumps(json.loads(header["hyperparams"]) | changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tensors, header: set_hyperparams(header, hidden=[2, 4]),
            "params[1].dense.W is float32 (3, 2), wanted float32 (4, 2)",
        ),
        (
            lambda tensors, header: tensors.update({"params[2].dense.b": np.zeros((2, 1))}),
            "params[2].dense.b is float64 (2, 1), wanted float32 (2, 1)",
        ),
        (lambda tensors, header: tensors.pop("state[1].var"), "'state[1].var'"),
        (
            lambda tensors, header: tensors.update({"extra": np.zeros(1, np.float32)}),
            "extra belong to no layer",
        ),
        (
            lambda tensors, header: set_hyperparams(header, learning_rate=0),
            "learning_rate: must be a finite number > 0, got 0",
        ),
        (
            lambda tensors, header: set_hyperparams(header, colour=1),
            "hyperparameters ['batch_norm', 'batch_size', 'colour', 'drop_rate', 'epochs', "
            "'hidden', 'initialization', 'learning_rate', 'momentum', 'optimizer', 'patience', "
            "'weight_std'], wanted ['batch_norm', 'batch_size', 'drop_rate', 'epochs', 'hidden', "
            "'initialization', 'learning_rate', 'momentum', 'optimizer', 'patience', 'weight_std']",
        ),
        (lambda tensors, header: header.pop("n_classes"), "'n_classes'"),
        (
            lambda tensors, header: header.update(image_shape="3"),
            "'int' object is not iterable",
        ),
        (
            lambda tensors, header: header.update(image_shape="[3]"),
            "params[0].dense.W is float32 (2, 2), wanted float32 (2, 3)",
        ),
    ],
)
def test_header_that_does_not_fit_its_numbers_is_refused(
    change: Callable[[Tensors, Header], Any], told: str, path: Path
) -> None:
    resealed(path, change)
    assert refusal(path) == f"its header does not fit its numbers: {told}"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "not a regular file"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "not a regular file"
    assert refusal(Path("/dev/zero")) == "not a regular file"
    assert refusal(tmp_path / "none") == "cannot be read: No such file or directory"
    assert "embedded null" in refusal(tmp_path / "a\0b")  # in each Python's own words


def test_link_is_followed_and_what_is_there_judged(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    told = "damaged, or not a safetensors file: its header cannot be read"
    assert refusal(tmp_path / "link") == told


def test_too_large_a_file_is_refused_before_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = path.stat().st_size
    monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    assert refusal(path) == f"{size:,} bytes, at most 1,000"


def test_saving_replaces_the_file_as_a_whole(path: Path) -> None:
    weights.save(path, replace(NETWORK, about={"seed": 8}))
    assert weights.load(path).about == {"seed": 8}
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_file_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(StoreError) as error:
        weights.save(path / "net", NETWORK)
    assert str(error.value) == f"{path / 'net'}: its folder cannot be made: File exists"
