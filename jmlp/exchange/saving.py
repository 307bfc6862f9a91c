"""The library's functions that write a network for another program."""

from pathlib import Path

from jmlp.errors import ConfigError
from jmlp.exchange import onnx_model, operations, pytorch
from jmlp.results.weights import Network
from jmlp.study.rules import with_kind
from jmlp.system.files import write_atomically, write_together
from jmlp.training.records import RunResult


def save_onnx(network: Network | RunResult, path: str | Path) -> None:
    """Writes a trained network as an ONNX model, opset 20, in prediction form.

    Its input is `x`, float32 `(N, n_in)`; its outputs are `logits` and `probabilities`, `(N, C)`.
    What the inputs are stands in the model's description, the names of the classes in its metadata.
    Needs the package onnx (`pip install 'jmlp[onnx]'`).

    Args:
        network: as returned by `jmlp.load`, or the result of a run.
        path: the file; an old one is replaced.

    Raises:
        ConfigError: it has an activation function of your own, which ONNX does not know; or onnx is
            not installed.
        StoreError: the file cannot be written, or the network is too large for it.
    """
    described = _described(network, "save_onnx")
    try:
        content = onnx_model.content(described)
    except ImportError as error:
        raise ConfigError(f"save_onnx: needs the package onnx ({error})") from error
    write_atomically(Path(path), content)


def save_pytorch(network: Network | RunResult, folder: str | Path) -> None:
    """Writes a trained network for PyTorch: `weights.safetensors`, a state dict, and `network.py`.

    `network.py` builds the `nn.Sequential`, loads the state dict into it, and says what the inputs
    are; there, `from network import network, classes`. PyTorch itself is not needed here.

    Args:
        network: as returned by `jmlp.load`, or the result of a run.
        folder: the folder of the two files; old ones are replaced.

    Raises:
        ConfigError: it has an activation function of your own, which has no module in PyTorch.
        StoreError: a file cannot be written.
    """
    contents = pytorch.files(_described(network, "save_pytorch"))
    write_together((Path(folder) / name, content) for name, content in contents.items())


def _described(network: object, caller: str) -> operations.Described:
    if isinstance(network, RunResult):
        if network.network is None:
            raise ConfigError(f"{caller}: the run diverged, so it has no network")
        network = network.network
    if not isinstance(network, Network):
        raise ConfigError(
            f"{caller}: network: must come from jmlp.load or be the result of a run, got "
            f"{with_kind(network)}"
        )
    return operations.of_network(network)
