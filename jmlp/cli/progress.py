"""Shows the progress of training on the terminal, and handles signals meanwhile."""

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from jmlp.cli.output import Output
from jmlp.client.texts import estimate_text, speed_text
from jmlp.system.clock import now as clock
from jmlp.training.records import CostPoint, Progress, epoch_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import Task
    from rich.text import Text

SECOND_SIGNAL_SECONDS = 2.0
SPEED_WIDTH = 100  # columns of a terminal that has room for the speed too


class Stop:
    """A request to stop: the first signal sets it, a second one within 2 seconds exits at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.when = 0.0
        self.before_leaving: Callable[[], None] = lambda: None

    def request(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        del frame
        now = time.monotonic()
        if self.signal is not None and now - self.when < SECOND_SIGNAL_SECONDS:
            self.before_leaving()
            os._exit(128 + number)
        self.signal, self.when = number, now


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Makes signals request a stop; those that are ignored, as under `nohup`, remain so."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.request) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Display:
    """Displays progress; this base class displays nothing."""

    def show(self, state: str, now: Progress, points: Sequence[CostPoint] = ()) -> None:
        """Displays the current state.

        Args:
            state: the study's state.
            now: its progress.
            points: all evaluations since the last call.
        """

    def say(self, text: str) -> None:
        """Prints a message of one line, which stays visible."""


class Lines(Display):
    """Prints lines, as for a log: one per group, one for the latest evaluations, one at the end."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self._last_line = ""
        self._has_evaluations = False  # whether any have been printed

    def show(self, state: str, now: Progress, points: Sequence[CostPoint] = ()) -> None:
        """Prints a line for a new group, for new evaluations and for the end of the study.

        Nothing is printed within an epoch. Where several epochs have ended since the last line, it
        is the last of them that is shown; of several runs, the medians at that epoch.
        """
        self._say_once("paused" if state == "paused" else _group(state, now))
        if points:
            epoch = max(point.epoch for point in points)
            last = [point for point in points if point.epoch == epoch]
            training = statistics.median(point.training_cost for point in last)
            validation = statistics.median(point.validation_cost for point in last)
            accuracy = statistics.median(point.validation_accuracy for point in last)
            of = f" (median of {len(last)} runs)" if len(last) > 1 else ""
            self.out.say(
                f"epoch {epoch_text(epoch)}{of} "
                f"training_cost {training:.4f} validation_cost {validation:.4f} "
                f"validation_accuracy {accuracy:.4f} runs {_runs(now)} "
                f"{_left(state, now)}".rstrip()
            )
            self._has_evaluations = True
        # Runs end after their last evaluation is known: only now are all of them counted.
        if state == "done" and self._has_evaluations:
            self._say_once(f"{state} runs {_runs(now)}")

    def _say_once(self, line: str) -> None:
        if line and line != self._last_line:
            self.out.say(line)
            self._last_line = line

    def say(self, text: str) -> None:
        """Prints a message of one line."""
        self.out.say(text)


class Moving(Display):
    """A moving progress bar, with messages above it."""

    def __init__(self, bar: "Bar") -> None:
        self.bar = bar
        self._last_line = ""
        self._task = bar.add_task("starting", total=None, runs="", left="", since=None)

    def show(self, state: str, now: Progress, points: Sequence[CostPoint] = ()) -> None:
        """Updates the bar, and prints a line for a new group."""
        self.bar.update(
            self._task,
            description=_head(state, now),
            completed=_share(now),
            total=1.0,
            runs=f"{_runs(now)} runs",
            left="   ".join(text for text in (_left(state, now), self._speed(state, now)) if text),
            since=now.phase_began if state == "running" and now.phase == "compiling" else None,
        )
        line = _group(state, now)
        if line and line != self._last_line:
            self.say(line)
            self._last_line = line

    def _speed(self, state: str, now: Progress) -> str:
        if self.bar.console.width < SPEED_WIDTH or not _is_training(state, now):
            return ""
        speed = now.examples_per_second
        return "" if speed is None else speed_text(speed)

    def say(self, text: str) -> None:
        """Prints a message of one line above the bar."""
        self.bar.console.print(text)


@contextmanager
def display(out: Output) -> Iterator[Display]:
    """A progress bar on a terminal, lines elsewhere, nothing with --quiet."""
    if out.quiet:
        yield Display()
    elif out.moves(sys.stderr):
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        class Description(TextColumn):
            """What the worker does; the seconds of a compile advance whenever the bar is drawn."""

            def render(self, task: "Task") -> "Text":
                text = super().render(task)
                if (since := task.fields["since"]) is not None:
                    text.append(f" {max(0, clock() - since) // 1000} s")
                return text

        columns = (
            Description("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[runs]}"),
            TextColumn("{task.fields[left]}"),
        )
        with Bar(*columns, console=out.console(stderr=True), transient=True) as bar:
            yield Moving(bar)
    else:
        yield Lines(out)


def _group(state: str, now: Progress) -> str:
    """`group 1/2: hidden 20-7-5, batch size 128`, while a group is in training."""
    if state != "running" or not now.group:
        return ""
    return f"group {now.group}/{now.n_groups}: {now.name}"


def _head(state: str, now: Progress) -> str:
    """`group 1/2 epoch 7`, or the study's state if it is not training."""
    if state == "queued":
        return "waiting"
    if state != "running" or not now.group:
        return "starting" if state == "running" else state
    place = f"group {now.group}/{now.n_groups}"
    return (
        f"{place} compiling"
        if now.phase == "compiling"
        else f"{place} epoch {epoch_text(now.epoch)}"
    )


def _runs(now: Progress) -> str:
    """Such as `1/4`."""
    return f"{now.runs_done}/{now.n_runs}"


def _share(now: Progress) -> float:
    """How much is done: of the work, or of the runs where an earlier version trains them."""
    if now.share is not None:
        return now.share
    return now.runs_done / now.n_runs if now.n_runs else 0.0


def _is_training(state: str, now: Progress) -> bool:
    return state == "running" and now.phase == "training"


def _left(state: str, now: Progress) -> str:
    if now.remaining is None or not _is_training(state, now):
        return ""
    return f"{estimate_text(now.remaining)} left"
