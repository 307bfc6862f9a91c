"""Tracks the progress of a plan and estimates the remaining time."""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType

from jmlp.training import plan as planning
from jmlp.training.plan import TRAINING_SAMPLE, Group, Plan, group_name
from jmlp.training.records import CostPoint, Evaluations, Phase, Progress, RunResult, Stop

LONGEST_CHUNK = 0.2  # seconds: chunks that take longer are halved
# Fixed cost of a step, in units of the time for one example of one lane.
STEP_OVERHEAD = 100
# Time to evaluate an example, in the same units: it goes through the network only forward.
EVALUATION_SHARE = 1 / 3


class Tracker:
    """Measures work in examples times lanes; updated only by the engine."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started = time.monotonic()
        self.idle = 0.0  # seconds since then in which nothing was computed
        self.copying = 0.0  # of the time since the last record, seconds spent copying the state
        self.group = 0
        self.name = ""  # of the group
        self.runs_done = 0
        self.n_runs = len(plan.runs)
        self.work_done = 0.0  # by finished cohorts
        self.left = [len(group.cohorts) for group in plan.groups]  # unfinished cohorts per group
        self.running: list[float] = []  # epochs done by each cohort in training
        self.epoch: float = 0  # of the cohort furthest ahead
        self.stops: dict[str, Stop] = {}  # of stopped runs whose cohort still trains
        self.ended: list[float] = []  # epochs of each finished cohort of this group
        self.n_ended = 0  # finished cohorts of all groups
        self.epochs_ended = 0.0  # and their epochs
        # Work per epoch of all cohorts whose group has not begun, by epoch limit. Kept as sums,
        # since a study may have thousands of groups and every chunk yields a record.
        self.to_come: dict[int, float] = defaultdict(float)
        for group in plan.groups:
            self.to_come[_limit(group)] += self.epoch_work(group) * len(group.cohorts)

    def timed(self, records: Generator[Progress]) -> Generator[Progress]:
        """Yields the same records, and measures the idle time between them, such as a pause.

        The clock starts when the first one is wanted. A chunk may be running when a record is
        yielded, so idle time begins after the longest time that a chunk should take.
        """
        self.started = time.monotonic()
        with contextlib.closing(records):
            for record in records:
                left, self.copying = time.monotonic(), 0.0
                yield record
                waited = time.monotonic() - left - self.copying
                self.idle += max(0.0, waited - LONGEST_CHUNK)

    @contextlib.contextmanager
    def copies(self) -> Iterator[None]:
        """Counts the time within as work: a copy waits for the chunk that is running."""
        started = time.monotonic()
        yield
        self.copying += time.monotonic() - started

    @property
    def worked(self) -> float:
        """Seconds since the start in which something was computed."""
        return time.monotonic() - self.started - self.idle

    def begin(self, number: int) -> None:
        """Records the start of a group; groups are counted from 1."""
        self.group, self.running, self.epoch, self.ended = number, [], 0, []
        group = self.current
        self.name = group_name(group)
        self.to_come[_limit(group)] -= self.epoch_work(group) * len(group.cohorts)

    @property
    def current(self) -> Group:
        """The group in training; only after its `begin`."""
        return self.plan.groups[self.group - 1]

    def evaluations(self, group: Group) -> Evaluations:
        """When the runs of a group are evaluated."""
        return planning.evaluations(self.plan.n_training, group.hyperparams)

    def epoch_at(self, evaluation: int) -> float:
        """The epoch of an evaluation in the current group."""
        return self.evaluations(self.current).epoch(evaluation)

    def resumed(self, evaluation: int) -> None:
        """Records that a cohort resumed after an evaluation, up to which it took no time here."""
        self.work_done -= self.epoch_work(self.current) * self.epoch_at(evaluation)

    def measured(self, evaluations: Sequence[int]) -> None:
        """Records the last evaluation of each cohort in training."""
        self.running = list(map(self.epoch_at, evaluations))
        self.epoch = max(self.running, default=0)

    def finished(self, n_runs: int, evaluation: int) -> None:
        """Records that a cohort of `n_runs` runs finished after an evaluation."""
        epochs = self.epoch_at(evaluation)
        self.runs_done += n_runs
        self.work_done += self.epoch_work(self.current) * epochs
        self.left[self.group - 1] -= 1
        if epochs in self.running:
            self.running.remove(epochs)
        self.ended.append(epochs)
        self.n_ended += 1
        self.epochs_ended += epochs

    def epoch_work(self, group: Group) -> float:
        """The work of one epoch of one cohort."""
        plan, when = self.plan, self.evaluations(group)
        evaluated = min(plan.n_training, TRAINING_SAMPLE) + plan.n_validation
        evaluation = EVALUATION_SHARE * group.width * evaluated
        training = group.width * plan.n_training + STEP_OVERHEAD * when.n_steps
        return training + evaluation * when.n_steps / when.interval

    def remaining(self) -> float | None:
        """Estimated seconds left; None at the start.

        Assumes that a cohort takes as many epochs as finished ones: the mean of its group, else of
        all groups, else its limit.
        """
        overall = self.epochs_ended / self.n_ended if self.n_ended else math.inf
        to_do = sum(work * min(limit, overall) for limit, work in self.to_come.items())
        done = self.work_done
        if self.group:
            group = self.current
            in_group = sum(self.ended) / len(self.ended) if self.ended else overall
            expected = min(_limit(group), in_group)
            epochs = expected * (self.left[self.group - 1] - len(self.running))
            epochs += sum(max(1.0, expected - so_far) for so_far in self.running)
            to_do += self.epoch_work(group) * epochs
            done += self.epoch_work(group) * sum(self.running)
        return self.worked * to_do / done if done > 0 else None

    def progress(
        self,
        phase: Phase = "training",
        *,
        points: Mapping[str, CostPoint] = MappingProxyType({}),
        results: tuple[RunResult, ...] = (),
    ) -> Progress:
        """A record of the current state."""
        for result in results:
            self.stops.pop(result.run_id, None)
        return Progress(
            phase=phase,
            group=self.group,
            n_groups=len(self.plan.groups),
            name=self.name,
            runs_done=self.runs_done,
            n_runs=self.n_runs,
            epoch=self.epoch,
            elapsed=time.monotonic() - self.started,
            remaining=0.0 if phase == "finished" else self.remaining(),
            stops=dict(self.stops),
            points=points,
            results=results,
        )


def _limit(group: Group) -> int:
    """The maximum number of epochs of a cohort of this group."""
    return max(run.hyperparams.epochs for cohort in group.cohorts for run in cohort.runs)
