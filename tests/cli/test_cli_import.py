"""`jmlp import`: what it says of a network of another program, and what it writes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Here
from helpers import N_CLASSES

import jmlp

N_IN = 20  # of small.npz, whose images have 4 x 5 pixels


def save(path: Path, *, names: tuple[str, ...] = ("W1", "b1", "W2", "b2"), scale: float = 1) -> Any:
    """A network N_IN-6-C of NumPy, examples as rows; its arrays."""
    rng = np.random.default_rng(0)
    shapes = ((N_IN, 6), (6,), (6, N_CLASSES), (N_CLASSES,))
    arrays = [(scale * rng.normal(0, 0.5, shape)).astype(np.float32) for shape in shapes]
    np.savez(path, allow_pickle=False, **dict(zip(names, arrays, strict=True)))
    return arrays


def accuracy(arrays: Any, folder: Path) -> float:
    """Of the network with tanh, computed here."""
    with np.load(folder / "small.npz") as data:
        x, y = data["x_test"].reshape(-1, N_IN) / 255, data["y_test"]
    W1, b1, W2, b2 = arrays
    answers = (np.tanh(x @ W1 + b1) @ W2 + b2).argmax(axis=1)
    return float(np.mean(answers == y))


def test_it_says_what_was_found_and_how_well_it_classifies(here: Here) -> None:
    arrays = save(here.folder / "own.npz")
    done = here(
        "import", "own.npz", "-o", "net.safetensors", "--data", "small.npz", "--activation", "tanh"
    )
    assert done.code == 0
    n = len(np.load(here.folder / "small.npz")["y_test"])
    share = f"{accuracy(arrays, here.folder):.2%}"
    *lines, last = done.out.splitlines()
    assert lines == [
        f"own.npz: NumPy, {N_IN}-6-{N_CLASSES}, tanh, no batch norm",
        f"  W1  {N_IN} x 6  float32  W of layer 1, transposed",
        "  b1  6       float32  b of layer 1",
        f"  W2  6 x {N_CLASSES}   float32  W of layer 2, transposed",
        f"  b2  {N_CLASSES}       float32  b of layer 2",
        "note: examples are rows in it, as the shapes say",
    ]
    start = f"{share} of the {n} test examples of small.npz are classified correctly, mean cost "
    assert re.fullmatch(re.escape(start) + r"[0-9]+\.[0-9]{4}", last)
    assert done.err.startswith("warning: that is little: if the network did better")
    assert done.err.endswith("wrote net.safetensors\n")


def test_what_it_writes_predicts(here: Here) -> None:
    W1, b1, W2, b2 = save(here.folder / "own.npz")
    options = ("-o", "net.safetensors", "--data", "small.npz", "--activation", "tanh,")
    assert here("import", "own.npz", *options).code == 2
    assert here("import", "own.npz", *options[:-1], "tanh").code == 0
    x = np.load(here.folder / "small.npz")["x_test"][0]
    np.save(here.folder / "one.npy", x)
    done = here("predict", "net.safetensors", "one.npy", "--json")
    logits = np.tanh(x.reshape(-1) / 255 @ W1 + b1) @ W2 + b2
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(json.loads(done.out)["probabilities"], wanted, atol=1e-5)
    about = jmlp.load(here.folder / "net.safetensors").about
    assert (about["read_from"], about["program"], len(about["sha256"])) == ("own.npz", "NumPy", 64)


def test_json_says_the_same(here: Here) -> None:
    arrays = save(here.folder / "own.npz")
    done = here(
        *("import", "own.npz", "-o", "net.safetensors", "--data", "small.npz"),
        *("--activation", "relu", "--raw", "--json"),
    )
    found = json.loads(done.out)
    assert found["accuracy"] != accuracy(arrays, here.folder)
    assert found["arrays"][0] == {
        "name": "W1", "shape": [N_IN, 6], "dtype": "float32",
        "meaning": "W of layer 1, transposed",
    }  # fmt: skip
    kept = {name: found[name] for name in ("file", "program", "sizes", "activation", "batch_norm")}
    assert kept == {
        "file": "net.safetensors",
        "program": "NumPy",
        "sizes": [N_IN, 6, N_CLASSES],
        "activation": "relu",
        "batch_norm": None,
    }
    assert "its inputs are x / 0.00392157 for inputs x of jmlp's" in found["notes"][-1]
    assert (found["part"], found["data"]) == ("test", "small.npz")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--activation", "softmax"], 2, "activation: must be 'relu'"),
        ([], 2, "activation: the file does not say the activation function"),
        (["--activation", "relu", "--std", "0"], 2, "std: must be a finite number > 0"),
        (["--activation", "relu", "--data", "moons"], 5, "do not lead from the 2 inputs"),
        (["--activation", "relu", "--label", "x"], 3, "is not a table"),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_written(
    options: list[str], code: int, message: str, here: Here
) -> None:
    save(here.folder / "own.npz")
    more = [] if "--data" in options else ["--data", "small.npz"]
    done = here("import", "own.npz", "-o", "net.safetensors", *more, *options)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not (here.folder / "net.safetensors").exists()


def test_outputs_that_are_not_finite_are_refused(here: Here) -> None:
    save(here.folder / "own.npz", scale=1e38)
    options = ("-o", "net.safetensors", "--data", "small.npz", "--activation", "relu")
    done = here("import", "own.npz", *options)
    assert done.code == 5
    assert "are not finite: its parameters are too large" in done.err
    assert not (here.folder / "net.safetensors").exists()


def test_an_existing_file_is_replaced_only_by_force(here: Here) -> None:
    save(here.folder / "own.npz")
    options = ("-o", "net.safetensors", "--data", "small.npz", "--activation", "relu")
    assert here("import", "own.npz", *options).code == 0
    again = here("import", "own.npz", *options)
    assert (again.code, "exists" in again.err) == (4, True)
    assert here("import", "own.npz", *options, "--force").code == 0
