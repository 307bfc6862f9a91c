"""Runs a plan to its end, shows how far it is, and stops when asked to."""

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from jmlp.cli.output import Output
from jmlp.plan import Plan, group_name
from jmlp.results import Progress, RunResult

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECOND_SIGNAL_SECONDS = 2.0


class Stop:
    """A request to stop: the first signal sets it, a second one within 2 seconds leaves now."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.when = 0.0

    def request(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT, SIGTERM and SIGHUP. JAX is never interrupted in a call."""
        del frame
        now = time.monotonic()
        if self.signal is not None and now - self.when < SECOND_SIGNAL_SECONDS:
            os._exit(128 + number)
        self.signal, self.when = number, now


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals ask for a stop while this lasts."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop.request) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def watch(
    progress: Iterator[Progress],
    plan: Plan,
    out: Output,
    keep: Callable[[Sequence[RunResult]], None],
) -> int | None:
    """Consumes the training, shows it, and hands over every run that ends.

    Args:
        progress: of `engine.run`.
        plan: what is trained.
        out: how to talk.
        keep: called with the runs that ended.

    Returns:
        The signal that asked for a stop, or None when all is done.
    """
    with stoppable() as stop, _display(plan, out) as show:
        for now in progress:
            show(now)
            if now.results:
                keep(now.results)
            if stop.signal is not None:
                return stop.signal
    return stop.signal


@contextmanager
def _display(plan: Plan, out: Output) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, one line per epoch and group elsewhere, nothing when quiet."""
    console = out.console(stderr=True)
    if out.quiet:
        yield lambda now: None
    elif console.is_terminal:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.completed}/{task.total} runs"),
            TextColumn("{task.fields[left]}"),
        )
        with Bar(*columns, console=console, transient=True) as bar:
            bar.add_task("starting", total=len(plan.runs), left="")
            yield lambda now: _update(bar, plan, now)
    else:
        yield lambda now: _print_line(plan, out, now)


def _update(bar: "Bar", plan: Plan, now: Progress) -> None:
    what = "compiling" if now.phase == "compiling" else f"epoch {now.epoch}"
    place = f"group {now.group}/{now.n_groups}"
    bar.update(
        bar.task_ids[0],
        description="done" if now.phase == "finished" else f"{place} {what}",
        completed=now.runs_done,
        left=_left(now),
    )
    if now.phase == "compiling":  # stays above the bar
        bar.console.print(f"{place}: {group_name(plan.groups[now.group - 1])}")


def _print_line(plan: Plan, out: Output, now: Progress) -> None:
    """What is new, as `key value` pairs; chunks within an epoch are not told."""
    place = f"group {now.group}/{now.n_groups}"
    if now.phase == "compiling":
        out.say(f"{place} compiling {group_name(plan.groups[now.group - 1])}")
    elif now.points:
        points = now.points.values()
        epochs = sorted({point.epoch for point in points})
        training = statistics.median(point.training_cost for point in points)
        validation = statistics.median(point.validation_cost for point in points)
        accuracy = statistics.median(point.validation_accuracy for point in points)
        out.say(
            f"{place} epoch {'-'.join(map(str, epochs))} lanes {len(points)} "
            f"training_cost {training:.4f} validation_cost {validation:.4f} "
            f"validation_accuracy {accuracy:.4f} runs {now.runs_done}/{now.n_runs} "
            f"{_left(now)}".rstrip()
        )


def _left(now: Progress) -> str:
    if now.remaining is None or now.phase != "training":
        return ""
    return f"about {duration(now.remaining)} left"


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `1 h 20 min`: no more digits than an estimate has."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
