"""An exported model, run by ONNX's own runtime, gives the logits of the network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from exchanged import ACTIVATIONS, PLACES, examples, logits, network
from scipy.special import softmax

import jmlp
from jmlp.data.columns import Column, Columns, Scale
from jmlp.errors import ConfigError, StoreError
from jmlp.exchange import onnx_model, operations
from jmlp.nn.activations import of_function
from jmlp.study.config import changed


def run(path: Path, x: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(["logits", "probabilities"], {"x": x}))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_runtime_gives_the_same_logits(activation: str, place: Any, tmp_path: Path) -> None:
    found, x = network(activation, place), examples()
    jmlp.save_onnx(found, tmp_path / "net.onnx")
    got, probabilities = run(tmp_path / "net.onnx", x)
    wanted = logits(found, x)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(probabilities, softmax(wanted, axis=1), atol=1e-5)


def test_layers_may_have_different_activations(tmp_path: Path) -> None:
    found, x = network(("silu", "tanh"), "before"), examples()
    jmlp.save_onnx(found, tmp_path / "net.onnx")
    np.testing.assert_allclose(run(tmp_path / "net.onnx", x)[0], logits(found, x), atol=1e-4)


def test_the_model_is_valid_and_says_what_it_is(tmp_path: Path) -> None:
    jmlp.save_onnx(network("relu", None, classes=("an apple", "b", "c")), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [20]
    (x,), outputs = model.graph.input, model.graph.output
    assert [value.name for value in (x, *outputs)] == ["x", "logits", "probabilities"]
    assert [dim.dim_param or dim.dim_value for dim in x.type.tensor_type.shape.dim] == ["N", 7]
    (props,) = model.metadata_props
    assert (props.key, json.loads(props.value)) == ("classes", ["an apple", "b", "c"])
    assert model.doc_string == (
        "Network 7-6-5-3, run 3a26f0c1, trained by jmlp.\n"
        "The 7 inputs: the pixels of a picture, row by row, divided by 255."
    )


def test_equal_networks_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        jmlp.save_onnx(network("gelu", "after"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_inputs_of_a_table_are_described_column_by_column() -> None:
    features = (Column("bill"), Column("island", ("A", "B")), Column("year"))
    columns = Columns(features, "species", ("a", "b", "c"), "error")
    scale = Scale((1.5, 0.25, 0.75, 2007.0), (0.1, 1.0, 1.0, 0.0))
    form = {"image_shape": (4,), "dtype": "float32", "columns": columns, "scale": scale}
    found = network("relu", None, **form)
    title, *inputs = operations.of_network(found).inputs
    assert title == "The 4 inputs are those of a row of a table, in this order:"
    assert inputs == [
        "bill: (value - 1.5) / 0.1",
        "island = A: 1 if so, else 0",
        "island = B: 1 if so, else 0",
        "year: 0",
    ]
    row = {"bill": [1.7], "island": ["B"], "year": [2008.0]}
    by_hand = [(1.7 - 1.5) / 0.1, 0, 1, 0]
    np.testing.assert_allclose(found.contract.inputs_of(row), [by_hand], rtol=1e-6)


def test_a_network_that_is_too_large_for_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "MOST_BYTES", 300)
    with pytest.raises(StoreError, match="more than an ONNX file can have; export it as pytorch"):
        jmlp.save_onnx(network("relu", None), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_trained_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="save_onnx: network: must come"):
        jmlp.save_onnx("net", tmp_path / "net.onnx")  # type: ignore[arg-type]
    known = network("relu", None)
    hp = changed(known.hyperparams, activation=of_function(jnp.tanh))
    own = replace(known, hyperparams=hp)
    with pytest.raises(ConfigError, match="hidden layer 1: its activation function is your own"):
        jmlp.save_onnx(own, tmp_path / "net.onnx")
