"""What a study is doing now: a record made in the feed's thread, and its texts.

Texts are functions of the record and the time, so that clocks advance without reading the store.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from jmlp.client.texts import estimate_text, minute_text, speed_text
from jmlp.store import Owner, StudyRow
from jmlp.store.states import STUDY_ACTIVE
from jmlp.system.process_usage import Usage, UsageMeter
from jmlp.training.records import Phase, epoch_text
from tui.text import count, duration, fit, visible

GAP = "   "
# Of the lines that describe an activity in full.
LABELS = ("state", "group", "work", "time", "speed", "batch cost", "worker", "uses")


@dataclass(frozen=True)
class Worker:
    """The process that trains a study."""

    pid: int
    host: str
    since: int  # when it began to use the store; UTC, milliseconds
    usage: Usage  # nothing is known of a process of another machine


@dataclass(frozen=True)
class Activity:
    """What a study is doing. None and empty texts are unknown, or do not apply to its state."""

    state: str  # in words
    advice: str  # what it waits for, why it failed, or what to do
    phase: Phase | None  # while its worker trains it
    phase_began: int | None  # UTC, milliseconds, by the clock of this machine
    group: int  # counted from 1; 0: none yet
    n_groups: int
    name: str  # of the group
    epoch: float | None  # the furthest
    share: float  # of all work, from 0 to 1
    n_done: int  # runs
    n_runs: int
    examples_per_second: float | None
    runs_per_minute: float | None
    batch_cost: float | None  # since the last evaluation: the median of the runs in training
    elapsed: float | None  # seconds since the training began, at the time `at`
    at: int | None  # UTC, milliseconds, by the clock of this machine; None: the time stands still
    left: float | None  # estimated seconds
    worker: Worker | None

    @property
    def is_live(self) -> bool:
        """Whether its texts change with the time, and its worker has to be looked at again."""
        return self.worker is not None

    def elapsed_at(self, now: int) -> float | None:
        """Seconds since the training began.

        Args:
            now: UTC, milliseconds.
        """
        if self.elapsed is None or self.at is None:
            return self.elapsed
        return self.elapsed + max(0, now - self.at) / 1000

    def phase_seconds(self, now: int) -> float | None:
        """Seconds since the phase began; None if the clock of another machine says when."""
        return None if self.phase_began is None else max(0, now - self.phase_began) / 1000


def study_state(row: StudyRow, held: bool) -> str:
    """Returns the state of a study, in words.

    Args:
        row: the study in the store.
        held: whether a worker is training it.
    """
    return "its worker died" if row.state in STUDY_ACTIVE and not held else row.state


def work_share(row: StudyRow, state: str, n_done: int, n_runs: int) -> float:
    """Returns the share of a study's work that is done; without a report of it, that of its runs.

    Args:
        row: the study in the store.
        state: its state, in words.
        n_done: number of its runs that have ended.
        n_runs: number of all its runs.
    """
    if row.progress.share is not None and state not in ("queued", "done", "failed"):
        return row.progress.share
    return n_done / n_runs if n_runs else 0.0


class WorkerWatch:
    """Looks at the worker of a study again and again."""

    def __init__(self) -> None:
        """Knows no worker yet."""
        self._meter: UsageMeter | None = None

    def worker(self, owner: Owner) -> Worker:
        """Returns what is known of the owner of the store's lock now."""
        if not owner.is_local:
            self._meter = None
        elif self._meter is None or self._meter.pid != owner.pid:
            self._meter = UsageMeter(owner.pid)
        usage = Usage() if self._meter is None else self._meter.usage()
        return Worker(owner.pid, owner.host, owner.started, usage)


def study_activity(
    row: StudyRow, owner: Owner | None, worker: Worker | None, n_done: int, n_runs: int
) -> Activity:
    """Returns what a study is doing.

    Args:
        row: the study in the store.
        owner: the worker that holds the store's lock.
        worker: the same, if it is training this study.
        n_done: number of its runs that have ended.
        n_runs: number of all its runs.
    """
    held, progress = worker is not None, row.progress
    state = study_state(row, held)
    training = held and state == "running"
    same_clock = held and owner is not None and owner.is_local
    costs = [cost for cost in progress.batch_costs.values() if math.isfinite(cost)]
    return Activity(
        state=state,
        advice=_advice(row, state, owner, n_done, n_runs),
        phase=progress.phase if training else None,
        phase_began=progress.phase_began if training and same_clock else None,
        group=progress.group,
        n_groups=progress.n_groups,
        name=progress.name,
        epoch=progress.epoch if training and progress.phase == "training" else None,
        share=work_share(row, state, n_done, n_runs),
        n_done=n_done,
        n_runs=n_runs,
        examples_per_second=progress.examples_per_second
        if training and progress.phase == "training"
        else None,
        runs_per_minute=progress.runs_per_minute if training else None,
        batch_cost=statistics.median(costs) if training and costs else None,
        elapsed=progress.elapsed if held and progress.at is not None else None,
        at=progress.at if same_clock else None,
        left=progress.remaining if training and progress.phase != "finished" else None,
        worker=worker,
    )


def _advice(row: StudyRow, state: str, owner: Owner | None, n_done: int, n_runs: int) -> str:
    if state == "its worker died":
        return "r resumes from the last checkpoint"
    if state in ("stopped", "interrupted"):
        return "r resumes the training"
    if state == "queued":
        waits_for = owner.study if owner is not None and owner.study != row.label else None
        return f"waits for {waits_for}" if waits_for else "waits for a worker"
    if state == "done" and n_done < n_runs:
        return "runs are missing: r trains them"
    return (row.failure or "") if state == "failed" else ""


# ---- parts of texts


def percent(share: float) -> str:
    """Formats a share of the work, rounded down: `100 %` only at the end."""
    return f"{math.floor(100 * share)} %"


def _rate(per_minute: float) -> str:
    digits = 0 if per_minute >= 10 else 1 if per_minute >= 1 else 2
    return f"{per_minute:,.{digits}f} runs/min"


def _memory(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _phase(activity: Activity, now: int) -> str:
    """`compiling 0:12`, `training, epoch 7`; empty if nothing is being trained."""
    if activity.phase is None:
        return ""
    if activity.phase == "finished":
        return "saving the results"
    if activity.phase == "training" and activity.epoch is not None:
        return f"training, epoch {epoch_text(activity.epoch)}"
    seconds = activity.phase_seconds(now)
    clock = f" {duration(seconds)}" if seconds is not None and activity.phase == "compiling" else ""
    return f"{activity.phase}{clock}"


def _clock(at: int, now: int) -> str:
    """`16:00`, or with the date if that was not today."""
    day, clock = minute_text(at).split()
    return clock if minute_text(now).startswith(day) else f"{day} {clock}"


def _group(activity: Activity) -> str:
    return f"group {activity.group} of {activity.n_groups}" if _in_group(activity) else ""


def _in_group(activity: Activity) -> bool:
    return activity.phase in ("compiling", "training")


def _elapsed(activity: Activity, now: int) -> str:
    seconds = activity.elapsed_at(now)
    return "" if seconds is None else f"{duration(seconds)} elapsed"


def _left(activity: Activity) -> str:
    return "" if activity.left is None else f"{estimate_text(activity.left)} left"


def _speed(activity: Activity) -> str:
    speed = activity.examples_per_second
    return "" if speed is None else speed_text(speed)


def _runs(activity: Activity) -> str:
    return f"{activity.n_done} of {count(activity.n_runs, 'run')}"


def _joined(parts: Sequence[str], width: int) -> str:
    """Joins as many of the texts that are not empty as fit, the first of them in any case."""
    line = ""
    for part in map(visible, filter(None, parts)):
        longer = f"{line}{GAP}{part}" if line else part
        if line and cell_len(longer) > width:
            break
        line = longer
    return fit(line, width).rstrip()


# ---- texts


def two_lines(activity: Activity, widths: tuple[int, int], now: int) -> tuple[str, str]:
    """Describes an activity in two lines: what is being done, and how far it is.

    Args:
        activity: the activity.
        widths: columns of the terminal of each line.
        now: UTC, milliseconds.
    """
    name = activity.name if _in_group(activity) else ""
    what = [activity.state, _phase(activity, now), _group(activity), activity.advice, name]
    far = [percent(activity.share), _runs(activity), _left(activity), _speed(activity)]
    return _joined(what, widths[0]), _joined([*far, _elapsed(activity, now)], widths[1])


def activity_lines(activity: Activity, width: int, now: int) -> list[tuple[str, str]]:
    """Describes an activity in full: labels and values; those that are unknown are left out.

    Args:
        activity: the activity.
        width: columns of the terminal for the longest label, two spaces and the value.
        now: UTC, milliseconds.
    """
    worker, usage = activity.worker, activity.worker.usage if activity.worker else Usage()
    rate, cost = activity.runs_per_minute, activity.batch_cost
    parts = [
        [activity.state, _phase(activity, now), activity.advice],
        [
            f"{activity.group} of {activity.n_groups}" if _in_group(activity) else "",
            activity.name if _in_group(activity) else "",
        ],
        [percent(activity.share), _runs(activity)],
        [_elapsed(activity, now), _left(activity)],
        [_speed(activity), "" if rate is None else _rate(rate)],
        ["" if cost is None else f"{cost:.4f}"],
        [
            f"process {worker.pid} on {worker.host}" if worker else "",
            f"since {_clock(worker.since, now)} UTC" if worker else "",
        ],
        [
            "" if usage.cores is None else f"{usage.cores:.1f} cores",
            "" if usage.memory is None else f"{_memory(usage.memory)} of memory",
        ],
    ]
    room = width - max(map(len, LABELS)) - 2
    lines = [(label, _joined(parts, room)) for label, parts in zip(LABELS, parts, strict=True)]
    return [(label, value) for label, value in lines if value]
