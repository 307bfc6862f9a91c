"""How a command shows training, and how a signal ends its watching."""

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from jmlp.cli.output import Output
from jmlp.training.records import CostPoint

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECOND_SIGNAL_SECONDS = 2.0


class Stop:
    """A request to stop: the first signal sets it, a second one within 2 seconds leaves now."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.when = 0.0
        self.before_leaving: Callable[[], None] = lambda: None

    def request(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        del frame
        now = time.monotonic()
        if self.signal is not None and now - self.when < SECOND_SIGNAL_SECONDS:
            self.before_leaving()
            os._exit(128 + number)
        self.signal, self.when = number, now


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals ask for a stop while this lasts; those that are ignored, as by `nohup`, stay so."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.request) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Now:
    """How far a study is, as the store says."""

    state: str  # of the study
    phase: str = ""  # "compiling", "training" or "finished", once a worker has it
    group: int = 0  # counted from 1
    n_groups: int = 0
    name: str = ""  # of the group
    runs_done: int = 0
    n_runs: int = 0
    epoch: int = 0
    points: Sequence[CostPoint] = ()  # since the last one
    remaining: float | None = None  # seconds


class Display:
    """Shows how far it is: on a terminal, in a log, or not at all."""

    def show(self, now: Now) -> None:
        """What is new."""

    def say(self, text: str) -> None:
        """One line that stays."""


class Lines(Display):
    """One line for each group and for what was measured since the last one."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self._said = ""

    def show(self, now: Now) -> None:
        """Chunks within an epoch are not told."""
        line = "paused" if now.state == "paused" else _group(now)
        if line and line != self._said:
            self.out.say(line)
            self._said = line
        if now.points:
            epochs = sorted({point.epoch for point in now.points})
            training = statistics.median(point.training_cost for point in now.points)
            validation = statistics.median(point.validation_cost for point in now.points)
            accuracy = statistics.median(point.validation_accuracy for point in now.points)
            self.out.say(
                f"epoch {_range(epochs)} "
                f"training_cost {training:.4f} validation_cost {validation:.4f} "
                f"validation_accuracy {accuracy:.4f} runs {now.runs_done}/{now.n_runs} "
                f"{_left(now)}".rstrip()
            )

    def say(self, text: str) -> None:
        """One line that stays."""
        self.out.say(text)


class Moving(Display):
    """A bar that moves, with the lines that stay above it."""

    def __init__(self, bar: "Bar") -> None:
        self.bar = bar
        self._said = ""
        self._task = bar.add_task("starting", total=None, runs="", left="")

    def show(self, now: Now) -> None:
        """Moves the bar."""
        self.bar.update(
            self._task,
            description=_head(now),
            completed=now.runs_done,
            total=now.n_runs,
            runs=f"{now.runs_done}/{now.n_runs} runs",
            left=_left(now),
        )
        line = _group(now)
        if line and line != self._said:
            self.say(line)
            self._said = line

    def say(self, text: str) -> None:
        """One line that stays."""
        self.bar.console.print(text)


@contextmanager
def display(out: Output) -> Iterator[Display]:
    """A bar on a terminal, lines elsewhere, nothing when quiet."""
    if out.quiet:
        yield Display()
    elif out.moves(sys.stderr):
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[runs]}"),
            TextColumn("{task.fields[left]}"),
        )
        with Bar(*columns, console=out.console(stderr=True), transient=True) as bar:
            yield Moving(bar)
    else:
        yield Lines(out)


def _group(now: Now) -> str:
    """`group 1/2: hidden 20-7-5, batch size 128`, while it is in training."""
    if now.state != "running" or not now.group:
        return ""
    return f"group {now.group}/{now.n_groups}: {now.name}"


def _head(now: Now) -> str:
    """`group 1/2 epoch 7`, or what the study does instead of training."""
    if now.state == "queued":
        return "waiting"
    if now.state != "running" or not now.group:
        return "starting" if now.state == "running" else now.state
    place = f"group {now.group}/{now.n_groups}"
    return f"{place} compiling" if now.phase == "compiling" else f"{place} epoch {now.epoch}"


def _range(epochs: Sequence[int]) -> str:
    return str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]}-{epochs[-1]}"


def _left(now: Now) -> str:
    if now.remaining is None or now.phase != "training" or now.state != "running":
        return ""
    return f"about {duration(now.remaining)} left"


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `1 h 20 min`: no more digits than an estimate has."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
