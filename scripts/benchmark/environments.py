"""The peers: their packages and environments, and how they are started."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmlp import data as datasets
from jmlp.data.order import split
from jmlp.system import environment

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / ".benchmark"  # not in git: environments and data
ARRAYS = ["x", "y", "x_validation", "y_validation", "x_test", "y_test"]


@dataclass(frozen=True)
class Peer:
    """Another program that trains the same network."""

    name: str
    title: str
    script: str
    packages: tuple[str, ...]  # for pip
    variant: str = ""
    dropout: bool = True


JAX = ("jax==0.10.2", "jaxlib==0.10.2")

PEERS = {
    peer.name: peer
    for peer in (
        Peer("numpy", "NumPy from scratch", "numpy_peer", ("numpy==2.4.6",)),
        Peer(
            "digits",
            "neural-network-digits",
            "digits_peer",
            ("neural-network-digits==1.2.2", "numpy==2.4.6"),
        ),
        Peer("pytorch", "PyTorch", "pytorch_peer", ("torch==2.13.0", "numpy==2.4.6")),
        Peer("keras", "Keras on JAX", "keras_peer", ("keras==3.15.1", *JAX)),
        Peer(
            "keras_steps",
            "Keras on JAX, 32 steps per execution",
            "keras_peer",
            ("keras==3.15.1", *JAX),
            variant="steps",
        ),
        Peer("flax", "flax nnx + optax", "flax_peer", ("flax==0.12.8", "optax==0.2.8", *JAX)),
        Peer("sklearn", "scikit-learn", "sklearn_peer", ("scikit-learn==1.9.1",), dropout=False),
    )
}


def python(peer: Peer) -> Path:
    """The interpreter of a peer's environment, which is created if it is missing."""
    folder = FOLDER / peer.script.removesuffix("_peer")
    made = folder / "made"
    interpreter = folder / "bin" / "python"
    wanted = "\n".join(peer.packages)
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"making {folder} ({', '.join(peer.packages)}) …", file=sys.stderr, flush=True)
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", *peer.packages]
    subprocess.run(pip, check=True)
    made.write_text(wanted, encoding="utf-8")
    return interpreter


def arrays() -> Path:
    """The folder with the arrays that all peers read, jmlp's split of MNIST; writes them once."""
    import numpy as np

    folder = FOLDER / "mnist"
    if all((folder / f"{name}.npy").exists() for name in ARRAYS):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    mnist = datasets.load("mnist")
    training, validation = split(len(mnist.y_train), 0, 0.2)
    assert mnist.x_test is not None
    x = mnist.x_train.reshape(len(mnist.x_train), -1)
    found = (
        (x[training], mnist.y_train[training]),
        (x[validation], mnist.y_train[validation]),
        (mnist.x_test.reshape(len(mnist.x_test), -1), mnist.y_test),
    )
    flat: list[Any] = [array for pair in found for array in pair]
    for name, array in zip(ARRAYS, flat, strict=True):
        np.save(folder / f"{name}.npy", array)
    return folder


def start(
    peer: Peer, tasks: Sequence[Mapping[str, Any]], core: int | None, threads: int
) -> subprocess.Popen[str]:
    """Starts a peer on its tasks, on one core or, if `core` is None, on any."""
    request = {
        "data": str(arrays()),
        "core": core,
        "tasks": [{**t, "variant": peer.variant} for t in tasks],
    }
    numbers = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), str(threads)
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "PYTHON"))}
    return subprocess.Popen(
        [str(python(peer)), str(HERE / "peers" / f"{peer.script}.py"), json.dumps(request)],
        env=environ | numbers,
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Waits for a process to end; returns the JSON objects that it printed.

    Raises:
        RuntimeError: it failed.
    """
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with code {process.returncode}")
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def cores() -> list[int]:
    """The cores that this process may use, as many as jmlp uses by default."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))[: environment.default_cores()]
    return list(range(environment.default_cores()))
