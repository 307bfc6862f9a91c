"""A trained network for PyTorch: a state dict, and the few lines of Python that load it.

The state dict is a safetensors file with the names of an `nn.Sequential`, such as `0.weight`. It is
written without PyTorch, and read without running code of a file.
"""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.exchange.operations import Activation, BatchNorm, Dense, Described
from jmlp.nn.batchnorm import EPS
from jmlp.nn.leaky_relu import SLOPE
from jmlp.results import tensor_files
from jmlp.study.rules import ActivationName

FORMAT = "pytorch-state-dict"
NAMES = WEIGHTS, MODULE = "weights.safetensors", "network.py"  # the two files

LINE_WIDTH = 100

ACTIVATIONS: dict[ActivationName, str] = {
    "relu": "nn.ReLU()",
    "leaky_relu": f"nn.LeakyReLU({SLOPE})",
    "tanh": "nn.Tanh()",
    "sigmoid": "nn.Sigmoid()",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
}


def files(network: Described) -> dict[str, bytes]:
    """The contents of the two files by their names, in the order of `NAMES`.

    `network.py` defines `network`, an `nn.Sequential` in evaluation mode: it maps float32 inputs
    `(N, n_in)` to logits `(N, C)`.
    """
    return {
        WEIGHTS: tensor_files.to_bytes(dict(_state_dict(network)), {"format": FORMAT}),
        MODULE: _module(network).encode(),
    }


def _state_dict(network: Described) -> Iterator[tuple[str, NDArray[Any]]]:
    for index, operation in enumerate(network.operations):
        if isinstance(operation, Dense):
            yield f"{index}.weight", operation.W
            if operation.b is not None:
                yield f"{index}.bias", operation.b
        elif isinstance(operation, BatchNorm):
            yield f"{index}.weight", operation.gamma
            yield f"{index}.bias", operation.beta
            yield f"{index}.running_mean", operation.mean
            yield f"{index}.running_var", operation.var
            # Unknown, and of no use with a fixed momentum.
            yield f"{index}.num_batches_tracked", np.zeros((), np.int64)


def _module(network: Described) -> str:
    layers = "".join(f"    {_layer(operation)},\n" for operation in network.operations)
    return f'''"""A network for PyTorch: from network import network, classes."""
{_comment(network)}
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

classes = {network.classes!r}
network = nn.Sequential(
{layers})
network.load_state_dict(load_file(Path(__file__).with_name("{WEIGHTS}")))
network.eval()
'''


def _comment(network: Described) -> str:
    """Lines about the network. Names in it are a user's, and must not end a line."""
    sentences = (
        f"Network {network.title}, {network.origin}. It maps float32 (N, {network.n_in}) to logits "
        f"(N, {len(network.classes)}), and is in evaluation mode. It has no dropout: where it was "
        "trained with some, add it before you train it further.",
        *network.inputs,
        *network.cautions,
    )
    lines = []
    for sentence in sentences:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)
        lines += wrap(text, LINE_WIDTH, initial_indent="# ", subsequent_indent="# ")
    return "\n".join(lines) + "\n"


def _layer(operation: Dense | BatchNorm | Activation) -> str:
    if isinstance(operation, Dense):
        n_out, n_in = operation.W.shape
        return f"nn.Linear({n_in}, {n_out}{', bias=False' * (operation.b is None)})"
    if isinstance(operation, BatchNorm):
        return f"nn.BatchNorm1d({len(operation.gamma)}, eps={EPS})"
    return ACTIVATIONS[operation.name]
