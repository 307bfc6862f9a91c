"""A trained network as an ONNX model, in prediction form.

Its input is `x`, float32 `(N, n_in)`; its outputs are `logits` and `probabilities`, `(N, C)`. What
an example is, and the names of the classes, are in the model's description and metadata.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from jmlp.errors import StoreError
from jmlp.exchange.operations import BatchNorm, Dense, Described
from jmlp.nn.batchnorm import EPS
from jmlp.nn.leaky_relu import SLOPE
from jmlp.study.rules import ActivationName

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # of the file's form, which belongs to it
MOST_BYTES = 2**31 - 1  # of a message of Protocol Buffers

OPERATORS: dict[ActivationName, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": SLOPE}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "gelu": ("Gelu", {"approximate": "none"}),
}


def content(network: Described) -> bytes:
    """The bytes of the model's file.

    Raises:
        ImportError: the package onnx is not installed.
        StoreError: the network is too large for one file.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    arrays: dict[str, Any] = {}
    for node, of_node in _nodes(network):
        nodes.append(node)
        arrays |= of_node
    if (size := sum(array.nbytes for array in arrays.values())) > 0.99 * MOST_BYTES:
        raise StoreError(
            f"network {network.title}: {size:,} bytes, more than an ONNX file can have; export it "
            "as pytorch"
        )
    sizes = {"x": network.n_in, "logits": len(network.classes), "probabilities": 0}
    sizes["probabilities"] = sizes["logits"]
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in sizes.items()
    }
    graph = helper.make_graph(
        nodes,
        "jmlp",
        [values["x"]],
        [values["logits"], values["probabilities"]],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="jmlp",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string="\n".join((f"Network {network.title}, {network.origin}.", *network.inputs,
                              *network.cautions)),
    )  # fmt: skip
    helper.set_model_props(model, {"classes": json.dumps(network.classes)})
    return bytes(model.SerializeToString(deterministic=True))


def _nodes(network: Described) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The nodes of the graph in order, each with its arrays by name."""
    from onnx import helper

    value = "x"
    for index, operation in enumerate(network.operations):
        is_last = index == len(network.operations) - 1
        source, value = value, "logits" if is_last else f"value{index}"
        if isinstance(operation, Dense):
            arrays = {f"W{index}": operation.W}
            if operation.b is not None:
                arrays[f"b{index}"] = operation.b
            yield helper.make_node("Gemm", [source, *arrays], [value], transB=1), _plain(arrays)
        elif isinstance(operation, BatchNorm):
            arrays = {
                f"{name}{index}": getattr(operation, name)
                for name in ("gamma", "beta", "mean", "var")
            }
            node = helper.make_node("BatchNormalization", [source, *arrays], [value], epsilon=EPS)
            yield node, _plain(arrays)
        elif operation.name == "silu":
            yield helper.make_node("Sigmoid", [source], [f"sigmoid{index}"]), {}
            yield helper.make_node("Mul", [source, f"sigmoid{index}"], [value]), {}
        else:
            operator, attributes = OPERATORS[operation.name]
            yield helper.make_node(operator, [source], [value], **attributes), {}
    yield helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1), {}


def _plain(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
