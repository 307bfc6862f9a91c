"""`jmlp train` and `jmlp predict`: from data to a network in a file, and to its answers."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from commands import ESCAPE, Here, Inline, disturb, write_inputs
from helpers import N_EXAMPLES, N_TEST, arrays

import jmlp
from jmlp.results import weights
from jmlp.training.records import Progress

X_TEST, Y_TEST = arrays(N_TEST, first=N_EXAMPLES)

SMALL = ["train", "--data", "small.npz", "--hidden", "5,4", "--batch-size", "16"]
TRAIN = [*SMALL, "--lr", "0.1", "--epochs", "3"]


def test_training_prints_one_row_on_stdout_and_its_progress_on_stderr(here: Here) -> None:
    done = here(*TRAIN, "--seeds", "2")
    assert done.code == 0
    assert done.out.startswith("\ntrain\n configuration   seeds   training accuracy % ")
    assert [line for line in done.out.splitlines() if line.startswith(" all runs ")]
    first, *epochs, last = done.err.splitlines()
    assert first.startswith("training 2 runs in 1 group on 2 x cpu: ")
    assert [line.split(" training_cost ")[0] for line in epochs] == ["epoch 3 (median of 2 runs)"]
    assert last == "done runs 2/2"


def test_saved_network_is_that_of_the_lowest_validation_cost(here: Here) -> None:
    done = here(*TRAIN, "--seeds", "3", "--save", "nets/net.safetensors", "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert [run["seed"] for run in document["runs"]] == [0, 1, 2]
    best = min(document["runs"], key=lambda run: run["validation_cost"])
    assert done.err.endswith(
        f"wrote nets/net.safetensors: seed {best['seed']}, the lowest validation cost\n"
    )
    network = weights.load(here.folder / "nets" / "net.safetensors")
    assert network.about == {
        **{key: best[key] for key in ("run_id", "seed", "validation_accuracy", "test_accuracy")},
        "data": document["data"]["digests"],
        "versions": best["provenance"]["versions"],
    }
    logits = np.asarray(jmlp.predict(network.params, network.state, X_TEST))
    accuracy = np.mean(logits.argmax(axis=1) == Y_TEST)
    assert accuracy == pytest.approx(best["test_accuracy"])


def test_quiet_training_leaves_stderr_empty(here: Here) -> None:
    assert here(*TRAIN, "--save", "net.safetensors", "--quiet").err == ""


def test_every_hyperparameter_has_a_flag(here: Here) -> None:
    flags = {
        "--hidden": ("3", [3]),
        "--activation": ("tanh", "tanh"),
        "--batch-size": ("20", 20),
        "--batch-norm": (None, True),
        "--batch-norm-place": ("after", "after"),
        "--no-batch-norm-scale": (None, False),
        "--drop-rate": ("0.2", 0.2),
        "--input-drop-rate": ("0.1", 0.1),
        "--optimizer": ("momentum", "momentum"),
        "--momentum": ("0.5", 0.5),
        "--learning-rate": ("0.02", 0.02),
        "--schedule": ("linear", "linear"),
        "--initialization": ("normal", "normal"),
        "--weight-std": ("0.3", 0.3),
        "--l2": ("0.01", 0.01),
        "--max-norm": ("2", 2.0),
        "--clip-norm": ("3", 3.0),
        "--label-smoothing": ("0.1", 0.1),
        "--class-weight": ("balanced", "balanced"),
        "--warmup": ("1", 1.0),
        "--shift": ("1", 1),
        "--rotation": ("10", 10.0),
        "--elastic": ("1.5", 1.5),
        "--epochs": ("2", 2),
        "--patience": ("none", None),
        "--min-delta": ("0.01", 0.01),
        "--evaluate-every": ("7", 7),
        "--backward-fault": ("relu_mask", "relu_mask"),
        "--training-fault": ("no_shuffle", "no_shuffle"),
    }
    given = [text for flag, (value, _) in flags.items() for text in (flag, value) if text]
    done = here("train", "--data", "small.npz", *given, "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    (run,) = json.loads(done.out)["runs"]
    assert run["hyperparams"] == {
        flag[2:].removeprefix("no-").replace("-", "_"): value for flag, (_, value) in flags.items()
    } | {"weight_decay": 0.01}  # only with adamw


def test_existing_file_is_replaced_by_force_only(here: Here) -> None:
    (here.folder / "net.safetensors").write_text("precious")
    assert here(*TRAIN, "--save", "net.safetensors").code == 4
    assert (here.folder / "net.safetensors").read_text() == "precious"
    assert here(*TRAIN, "--save", "net.safetensors", "--force").code == 0
    weights.load(here.folder / "net.safetensors")


def test_diverged_network_is_not_saved(here: Here) -> None:
    done = here(*SMALL, "--lr", "1e30", "--save", "net.safetensors")
    assert done.code == 7
    assert done.err.endswith(
        "warning: 1 of 1 runs diverged\n"
        "jmlp: error: net.safetensors: not written: every run diverged\n"
    )
    assert not (here.folder / "net.safetensors").exists()


def test_stopped_training_is_resumed_by_the_same_command(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        Inline.asked.reason = 0  # as if the starter had gone
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        disturb(patch, stop)
        done = here(*TRAIN, "--save", "net.safetensors")
    assert (done.code, done.out) == (143, "")
    label = "train-" + done.err.partition(" of train-")[2][:8]
    told = (
        f"interrupted: 0 of 1 runs of {label} are done; jmlp resume {label}, or the same "
        "command, continues\n"
    )
    assert done.err.endswith(told)
    assert not (here.folder / "net.safetensors").exists()
    assert here(*TRAIN, "--save", "net.safetensors").code == 0
    weights.load(here.folder / "net.safetensors")


def test_network_of_what_is_stored_is_saved_without_training(here: Here) -> None:
    here(*TRAIN)
    done = here(*TRAIN, "--save", "net.safetensors")
    told = f"1 of 1 runs are in {here.folder / 'store'} already (--fresh trains them again)\n"
    assert (done.code, done.err) == (0, told + "wrote net.safetensors: the network\n")
    weights.load(here.folder / "net.safetensors")


def test_more_seeds_are_added_to_those_that_are_stored(here: Here) -> None:
    here(*TRAIN)
    done = here(*TRAIN, "--seeds", "3")
    assert f"1 of 3 runs are in {here.folder / 'store'} already" in done.err
    assert "training 2 runs in 1 group on " in done.err


def test_terminal_shows_a_bar_with_the_time_left_and_tables_that_fit(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    # Epochs enough for a few seconds: what the bar shows is written once a second.
    command = [sys.executable, "-m", "jmlp", *SMALL, "--epochs", "2000", "--patience", "none"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment | {"TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b"")).decode()
        os.close(ours)
    assert process.returncode == 0
    lines = ESCAPE.sub("", written).replace("\r", "\n").split("\n")
    assert max(map(len, lines[1:])) <= 80  # the first holds the processor's name
    bars = [line for line in lines if line.startswith("group 1/1 epoch ") and " left" in line]
    assert bars
    assert "━━━ 0/1 runs about " in bars[0]
    assert "group 1/1: hidden 5-4, batch size 16" in lines
    assert any(line.startswith(" all runs ") for line in lines)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux reports that the other side is closed
        return b""
