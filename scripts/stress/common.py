"""Helpers that the rows share: a small study, and processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jmlp import data as datasets
from jmlp.client.submitting import default_hardware, submit
from jmlp.data.dataset import Dataset
from jmlp.study.file import load_study
from jmlp.training import plan as planning
from jmlp.training.plan import Plan

HERE = Path(__file__).parent
INTERVAL = 0.5  # seconds between two checkpoints
LABEL = "small"

# 36 runs in eight cohorts and two groups: with dropout, Adam and batch norm, early stopping,
# evaluations by epoch and by updates, and one run of each seed that diverges. {epochs} and
# {patience} make it longer or shorter.
SWEEP = """
name = "small"
data = "small.npz"
seeds = {seeds}
epochs = {epochs}
hidden = [6, 5]
batch_size = 16
learning_rate = 0.05
patience = "none"

[experiments.rate]
axes.drop_rate = [0, 0.2, 0.4, 0.6, 0.8]
baseline.drop_rate = 0

[experiments.adam]
optimizer = "adam"
batch_norm = true
patience = {patience}
evaluate_every = 40
min_delta = 0.0001
drop_rate = 0.2
axes.learning_rate = [0.001, 0.003, 0.01, 1e36]
baseline.learning_rate = 0.01
"""

SEEDS, EPOCHS = 4, 90


# ---- studies


def write_inputs(
    folder: Path, *, seeds: int = SEEDS, epochs: int = EPOCHS, n_examples: int = 1500
) -> None:
    """Writes `small.npz` and `small.toml`, from a formula, so that they are the same everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    n_test = n_examples // 5
    row, column = np.arange(n_examples + n_test)[:, None], np.arange(20)
    labels = row[:, 0] % 3
    noise = (row * row * 31 + row * column * 17 + column * 7) % 101
    x = (noise + 100 * (column % 3 == labels[:, None])).astype(np.uint8).reshape(-1, 4, 5)
    np.savez(
        folder / "small.npz",
        allow_pickle=False,
        x_train=x[:n_examples],
        y_train=labels[:n_examples],
        x_test=x[n_examples:],
        y_test=labels[n_examples:],
    )
    text = SWEEP.format(seeds=seeds, epochs=epochs, patience=max(2, epochs // 4))
    (folder / "small.toml").write_text(text, encoding="utf-8")


def load(folder: Path) -> tuple[Plan, Dataset]:
    """The study that `write_inputs` wrote."""
    with contextlib.chdir(folder):
        study = load_study("small.toml")
        dataset = datasets.load(study.data)
    return planning.make_plan(study, planning.data_facts(dataset)), dataset


def queue(folder: Path, store: Path, seconds: float = INTERVAL) -> None:
    """Puts the study into the queue of a store."""
    plan, dataset = load(folder)
    with contextlib.chdir(folder):
        hardware = default_hardware() | {"checkpoint_seconds": seconds}
        command = "jmlp study small.toml"
        submit(store, LABEL, plan, dataset, hardware, lambda text: None, command=command)


# ---- processes


def command(
    *arguments: str | Path, cwd: Path, log: Path, **environ: str
) -> "subprocess.Popen[str]":
    """Starts `jmlp …` in a session of its own; its output goes to a file."""
    return _popen(["-m", "jmlp", *map(str, arguments)], cwd, log, subprocess.DEVNULL, environ)


def study_command(folder: Path, store: Path, log: Path, **environ: str) -> "subprocess.Popen[str]":
    """Starts `jmlp study small.toml`, with `INTERVAL` between checkpoints."""
    arguments = ["study", "small.toml", "--store", store, "--output", store.with_suffix(".report")]
    arguments += ["--checkpoint-seconds", INTERVAL, "--force"]
    return command(*map(str, arguments), cwd=folder, log=log, **environ)


def worker(store: Path, log: Path, **environ: str) -> "subprocess.Popen[str]":
    """Starts a worker that stops when this process ends, like the worker of a command."""
    arguments = ["-m", "jmlp.worker", str(store), "--study", LABEL, "--attached"]
    return _popen(arguments, store.parent, log, subprocess.PIPE, environ)


def start_worker(store: Path, log: Path) -> "subprocess.Popen[str]":
    """Starts a detached worker, which trains all queued studies."""
    return _popen(["-m", "jmlp.worker", str(store)], store.parent, log, subprocess.DEVNULL, {})


def stress(*arguments: str | Path, log: Path, **environ: str) -> "subprocess.Popen[str]":
    """Starts these scripts again, in a process of its own."""
    return _popen([str(HERE), *map(str, arguments)], Path.cwd(), log, subprocess.DEVNULL, environ)


def _popen(
    arguments: Sequence[str], cwd: Path, log: Path, stdin: int, environ: dict[str, str]
) -> "subprocess.Popen[str]":
    with log.open("a", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **environ},
            stdin=stdin,
            stdout=file,
            stderr=file,
            encoding="utf-8",
            start_new_session=True,
        )


def children(pid: int) -> list[int]:
    """The live child processes of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(status.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def send(pid: int, number: int = signal.SIGKILL) -> None:
    """Sends a signal to a process, which may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_dead(pid: int, seconds: float = 60.0) -> float:
    """Waits for the end of a process that need not be a child; returns how many seconds it took."""
    started = time.monotonic()
    while is_alive(pid) and time.monotonic() - started < seconds:
        time.sleep(0.005)
    return time.monotonic() - started
