"""The command as users call it: in a separate process, or within this one where JAX runs."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import N_EXAMPLES, N_TEST, arrays

from jmlp.cli import main
from jmlp.client import devices, workers
from jmlp.errors import JmlpError
from jmlp.store import Lock
from jmlp.system import environment
from jmlp.system.environment import Device
from jmlp.training import engine
from jmlp.training.records import Progress
from jmlp.worker import __main__ as worker
from jmlp.worker import devices as device_worker

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


class Asked:
    """What asks the worker to leave: nothing, until a test sets the reason."""

    def __init__(self) -> None:
        self.reason: int | None = None

    @property
    def code(self) -> int:
        return 128 + (self.reason or signal.SIGHUP)

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self.reason is not None

    @contextmanager
    def saving(self) -> Iterator[None]:
        yield


class Died(BaseException):
    """A signal ends the worker, regardless of what it is doing."""

    def __init__(self, number: int) -> None:
        self.number = number


class Inline:
    """A worker that has done all its work before its starter continues: one process, no waiting."""

    pid = os.getpid()
    asked = Asked()  # of the last one

    def __init__(self, folder: Path, label: str | None, after: str = "") -> None:
        self.said: list[str] = []
        self.stdin = io.StringIO()
        Inline.asked = asked = Asked()
        lock = Lock(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "say", self.said.append)
            try:
                while worker.work(lock, label, asked, after):  # type: ignore[arg-type]
                    after = ""
                self.returncode = 0 if asked.reason is None else asked.code
            except Died as death:
                self.returncode = -death.number
            except JmlpError as error:
                self.said.append(f"error: {error}")
                locked = isinstance(error, worker.LockedError)
                self.returncode = workers.LOCKED if locked else error.exit_code
            finally:
                lock.release()
        self.stdout = io.StringIO("".join(f"{line}\n" for line in self.said))

    def poll(self) -> int:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        del timeout
        return self.returncode

    def kill(self) -> None:
        raise AssertionError("it has ended")


def ask_devices(device: Device, cores: int | None, say: Callable[[str], object]) -> list[str]:
    """What a new process would answer, from this one, where JAX runs already."""
    answers: list[Mapping[str, Any]] = []
    device_worker.report_devices({"device": device, "cores": cores}, answers.append)
    *warnings, found = answers
    for warning in warnings:
        say(warning["say"])
    return list(found["devices"])


class Here:
    """Calls the command within this process, in a folder with small data and a small study.

    The store is in the folder "store".
    """

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str] | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.folder, self._capsys = folder, capsys
        monkeypatch.chdir(folder)
        # JAX runs already, with two devices, and cannot be prepared again.
        monkeypatch.setattr(environment, "prepare", lambda *arguments: None)
        monkeypatch.setattr(workers, "start_worker", Inline)
        monkeypatch.setattr(devices, "ask", ask_devices)
        monkeypatch.setattr(workers, "POLL_SECONDS", 0.0)
        monkeypatch.setenv("JMLP_RUNS", str(folder / "store"))
        write_inputs(folder)

    def __call__(self, *arguments: str) -> Done:
        code = main(arguments)
        assert self._capsys is not None
        return Done(code, *self._capsys.readouterr())


def disturb(monkeypatch: pytest.MonkeyPatch, hook: Callable[[Progress], object]) -> None:
    """Calls the hook whenever training has something new, before the worker hears of it."""

    class Disturbed(engine.Training):
        def __iter__(self) -> Iterator[Progress]:
            for progress in super().__iter__():
                hook(progress)
                yield progress

    monkeypatch.setattr(engine, "Training", Disturbed)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for what another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


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


def without_privileges() -> list[str]:
    """What runs a command as a user whom permissions bind; nothing where this one is such."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and there is no setpriv to give that up")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def command(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Runs the command in a separate process."""
    return python("-m", "jmlp", *arguments, cwd=cwd, env=env)
