"""The command as users call it: in a process of its own, or within this one where JAX runs."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers import N_EXAMPLES, N_TEST, arrays

from jmlp import environment
from jmlp.cli import main

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# Two experiments that share two of six runs, and train in two groups.
STUDY = """
name = "small"
data = "small.npz"
seeds = 2
epochs = 3
hidden = [5, 4]
batch_size = 16
learning_rate = 0.1

[experiments.rate]
title = "Drop rate"
axes.drop_rate = [0, 0.5]
baseline.drop_rate = 0

[experiments.norm]
axes.batch_norm = [false, true]
baseline.batch_norm = false
"""


class Terminal(io.StringIO):
    """Takes colours and moving cursors."""

    def isatty(self) -> bool:
        return True


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Here:
    """Calls the command within this process, in a folder with small data and a small study."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self._capsys = folder, capsys
        monkeypatch.chdir(folder)
        # JAX runs already, with two devices, and cannot be prepared again.
        monkeypatch.setattr(environment, "prepare", lambda *arguments: None)
        write_inputs(folder)

    def __call__(self, *arguments: str) -> Done:
        code = main(arguments)
        return Done(code, *self._capsys.readouterr())


def write_inputs(folder: Path) -> None:
    """`small.npz` (images of 4 x 5) and `small.toml`."""
    (x_train, y_train), (x_test, y_test) = arrays(N_EXAMPLES), arrays(N_TEST, first=N_EXAMPLES)
    np.savez(
        folder / "small.npz",
        allow_pickle=False,
        x_train=x_train.reshape(-1, 4, 5),
        y_train=y_train,
        x_test=x_test.reshape(-1, 4, 5),
        y_test=y_test,
    )
    (folder / "small.toml").write_text(STUDY, encoding="utf-8")


def python(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Runs a new Python, where any warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def command(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Runs the command in a process of its own."""
    return python("-m", "jmlp", *arguments, cwd=cwd, env=env)
