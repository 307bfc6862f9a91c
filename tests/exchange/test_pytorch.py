"""The exported lines of Python, run by PyTorch, give the logits of the network."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchanged import ACTIVATIONS, PLACES, examples, logits, network
from safetensors.numpy import load_file

import jmlp
from jmlp.errors import CheckpointError
from jmlp.system.processes import child_environment

RUN = """\
import json, sys
import numpy as np, torch
from network import classes, network
x = torch.from_numpy(np.load("x.npy"))
with torch.no_grad():
    np.save("logits.npy", network(x).numpy())
json.dump([classes, network.training], sys.stdout)
"""


def run(folder: Path, x: Any) -> tuple[Any, Any]:
    """The logits, and what the module says, in a process of its own."""
    np.save(folder / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=False,
        env=child_environment({"PYTHONPATH": str(folder)}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(folder / "logits.npy"), json.loads(done.stdout)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_state_dict_has_the_arrays_of_the_network(
    activation: str, place: Any, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    found, x = network(activation, place), examples()
    jmlp.save_pytorch(found, tmp_path)
    made: dict[str, Any] = {"__file__": str(tmp_path / "network.py")}
    exec((tmp_path / "network.py").read_text(encoding="utf-8"), made)
    with torch.no_grad():
        got = made["network"](torch.from_numpy(x)).numpy()
    wanted = logits(found, x)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_lines_run_by_themselves_and_know_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found, x = network(("gelu", "relu"), "after", classes=("a", "b", "c")), examples()
    jmlp.save_pytorch(found, tmp_path)
    got, said = run(tmp_path, x)
    np.testing.assert_allclose(got, logits(found, x), atol=1e-4)
    assert said == [["a", "b", "c"], False]


def test_names_of_classes_cannot_become_code(tmp_path: Path) -> None:
    names = ('"""\nimport os', "\\", "x\r\nraise SystemExit")
    jmlp.save_pytorch(network("relu", None, classes=names), tmp_path)
    text = (tmp_path / "network.py").read_text(encoding="utf-8")
    module = ast.parse(text)
    kinds = [type(statement) for statement in module.body]
    assert kinds == [ast.Expr, *[ast.ImportFrom] * 3, *[ast.Assign] * 2, *[ast.Expr] * 2]
    (value,) = [s.value for s in module.body if isinstance(s, ast.Assign)][:1]
    assert ast.literal_eval(value) == names


def test_the_file_of_a_state_dict_is_no_network_of_jmlp(tmp_path: Path) -> None:
    jmlp.save_pytorch(network("relu", "before"), tmp_path)
    names = set(load_file(tmp_path / "weights.safetensors"))
    assert names == {
        "0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var",
        "1.num_batches_tracked", "3.weight", "4.weight", "4.bias", "4.running_mean",
        "4.running_var", "4.num_batches_tracked", "6.weight", "6.bias",
    }  # fmt: skip
    with pytest.raises(CheckpointError):
        jmlp.load(tmp_path / "weights.safetensors")
