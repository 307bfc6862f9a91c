"""A study in training, and the app in a terminal that shows it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from measuring import ROOT
from tui_terminal import READY, Terminal

from jmlp.store import Lock, Store

LABEL = "live"
SIZE = (120, 40)  # with a preview
LARGE = (200, 60)  # a dashboard
WAIT_SECONDS = 120.0

# Each width is a group of its own, which is compiled and then trained on all cores.
STUDY = """
name = "live"
data = "synthetic"
seeds = 8
epochs = {epochs}
batch_size = 32
patience = "none"

[experiments.width]
axes.hidden = [{widths}]
baseline.hidden = {first}
"""


@contextlib.contextmanager
def training(
    folder: Path, epochs: int, widths: Sequence[Sequence[int]], **environ: str
) -> Iterator[Path]:
    """Trains the study with a worker in the background, ended on exit; yields the store."""
    store = folder / "store"
    text = STUDY.format(
        epochs=epochs, widths=", ".join(str(list(w)) for w in widths), first=list(widths[0])
    )
    (folder / "live.toml").write_text(text, encoding="utf-8")
    arguments = ["study", "live.toml", "--store", str(store), "--detach"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "jmlp", *arguments],
            cwd=folder,
            env={**os.environ, **environ},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        yield store
    finally:
        _end_worker(store)


@contextlib.contextmanager
def shown(
    store: Path,
    code: str | None = None,
    *,
    size: tuple[int, int] = SIZE,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Terminal]:
    """Runs the app in a terminal of a size, after `code`."""
    arguments = () if code is None else ("-c", f"{code}\nimport jmlp.__main__")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {"PYTHONPATH": path, **environ}
    with Terminal(*arguments, store=store, size=size, environ=environ) as terminal:
        terminal.until_shown(READY)
        yield terminal


def open_study(terminal: Terminal) -> None:
    """Opens the only study from the list of studies."""
    terminal.until(lambda: any(LABEL in line for line in terminal.lines()[1:]))
    terminal.press("\r")
    terminal.until_shown(f"studies › {LABEL}")


def is_shown(terminal: Terminal, state: str) -> bool:
    """Whether the study's screen shows this state."""
    return any(line.split()[:1] == [state] for line in terminal.lines()[1:4])


def state(store: Path) -> str:
    """The study's state in the store."""
    with Store(store, viewer=True) as opened:
        return opened.study(LABEL).state


def training_seconds(store: Path) -> float:
    """The seconds from the study's start to its end."""
    with Store(store, viewer=True) as opened:
        at = {event.kind: event.at for event in opened.events(LABEL) if event.run_id is None}
    return (at["done"] - at["started"]) / 1000


def _end_worker(store: Path) -> None:
    """Ends the worker of a store, if there is one, and waits for its end."""
    lock, deadline = Lock(store), time.monotonic() + WAIT_SECONDS
    if (owner := lock.owner()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGTERM)
    while lock.owner() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
