"""Tracks the progress of a plan: the share of its work, its speed, and the remaining time."""

import contextlib
import math
import time
from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType

from jmlp.system.clock import now
from jmlp.training import plan as planning
from jmlp.training.plan import TRAINING_SAMPLE, Group, Plan, group_name
from jmlp.training.records import CostPoint, Evaluations, Phase, Progress, RunResult, Stop

LONGEST_CHUNK = 0.2  # seconds: chunks that take longer are halved
# Fixed cost of a step, in units of the time for one example of one lane.
STEP_OVERHEAD = 100
# Time to evaluate an example, in the same units: it goes through the network only forward.
EVALUATION_SHARE = 1 / 3
SETTLED_SECONDS = 1.0  # of training: before, a speed says little
RECENT_SECONDS = 10.0  # of training, over which the speed is measured


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
        self.resumed_work = 0.0  # done before this training, by cohorts that it resumed
        self.running: list[float] = []  # epochs of each cohort in training at its last evaluation
        self.since = 0.0  # epochs that each of them has made since
        self.epoch: float = 0  # of the cohort furthest ahead
        self.share = 0.0  # of the work; the highest so far
        self.compiling_since: float | None = 0.0  # in worked seconds; None while training
        self.compile_seconds = 0.0  # of the groups compiled so far
        self.n_compiled = 0
        self.n_results = 0  # runs that ended in this training
        self.examples = 0  # times lanes, trained so far
        # Seconds of training and examples at the ends of recent chunks.
        self.recent: deque[tuple[float, int]] = deque([(0.0, 0)])
        self.batch_costs: Mapping[str, float] = {}  # as in `Progress`
        self.phase: tuple[Phase, int] | None = None  # of the last record, and its group
        self.phase_began = 0
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

    @property
    def trained_seconds(self) -> float:
        """Seconds of training: those in which something was computed, without compiling."""
        worked = self.worked if self.compiling_since is None else self.compiling_since
        return worked - self.compile_seconds

    def begin(self, number: int) -> None:
        """Records the start of a group, which has to be compiled; groups are counted from 1."""
        self.group, self.running, self.since, self.epoch, self.ended = number, [], 0.0, 0, []
        self.compiling_since = self.worked
        group = self.current
        self.name = group_name(group)
        self.to_come[_limit(group)] -= self.epoch_work(group) * len(group.cohorts)

    def compiled(self) -> None:
        """Records that the current group is compiled."""
        assert self.compiling_since is not None
        self.compile_seconds += self.worked - self.compiling_since
        self.n_compiled += 1
        self.compiling_since = None

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

    def resumed(self, evaluation: int, step: int) -> None:
        """Records that a cohort resumed at a step after an evaluation, which took no time here."""
        n_steps = self.evaluations(self.current).n_steps
        before = self.epoch_work(self.current) * (self.epoch_at(evaluation) + step / n_steps)
        self.work_done -= before
        self.resumed_work += before

    def trained(self, step: int, examples: int) -> None:
        """Records that a chunk has ended.

        Args:
            step: the step of their interval that all cohorts have reached.
            examples: the examples of the chunk, times the lanes that learned from them.
        """
        self.since = step / self.evaluations(self.current).n_steps
        self.examples += examples
        at = self.trained_seconds
        self.recent.append((at, self.examples))
        while self.recent[1][0] <= at - RECENT_SECONDS:
            self.recent.popleft()

    def measured(self, evaluations: Sequence[int]) -> None:
        """Records the last evaluation of each cohort in training."""
        self.running, self.since = list(map(self.epoch_at, evaluations)), 0.0
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

    def work(self) -> tuple[float, float]:
        """The work done by this training so far, and the expected work to do.

        Assumes that a cohort takes as many epochs as finished ones: the mean of its group, else of
        all groups, else its limit; and at least until its next evaluation.
        """
        overall = self.epochs_ended / self.n_ended if self.n_ended else math.inf
        to_do = sum(work * min(limit, overall) for limit, work in self.to_come.items())
        done = self.work_done
        if self.group:
            group, when = self.current, self.evaluations(self.current)
            in_group = sum(self.ended) / len(self.ended) if self.ended else overall
            expected, least = min(_limit(group), in_group), max(1.0, when.interval / when.n_steps)
            epochs = expected * (self.left[self.group - 1] - len(self.running))
            epochs += sum(max(least, expected - last) - self.since for last in self.running)
            to_do += self.epoch_work(group) * epochs
            done += self.epoch_work(group) * sum(last + self.since for last in self.running)
        return done, to_do

    def remaining(self, done: float, to_do: float) -> float | None:
        """Estimated seconds left; None at the start.

        Work is assumed to go on at the pace so far, and each group to take as long to compile as
        those before it.

        Args:
            done: the work done by this training, in any unit.
            to_do: the expected work to do.
        """
        seconds = self.trained_seconds
        if done <= 0 or seconds < SETTLED_SECONDS:
            return None
        each = self.compile_seconds / self.n_compiled
        compiling = each * (len(self.plan.groups) - self.group)
        if self.compiling_since is not None:
            compiling += max(0.0, each - (self.worked - self.compiling_since))
        return seconds * to_do / done + compiling

    def examples_per_second(self) -> float | None:
        """The recent speed, as in `Progress`; None at the start."""
        (first, before), (last, after) = self.recent[0], self.recent[-1]
        return (after - before) / (last - first) if last - first >= SETTLED_SECONDS else None

    def runs_per_minute(self) -> float | None:
        """As in `Progress`."""
        seconds = self.trained_seconds
        return 60 * self.n_results / seconds if self.n_results and seconds > 0 else None

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
        self.n_results += len(results)
        at, is_over = now(), phase == "finished"
        if self.phase != (phase, self.group):
            self.phase, self.phase_began = (phase, self.group), at
        done, to_do = self.work()
        so_far = done + self.resumed_work
        if is_over or so_far > 0:
            self.share = max(self.share, 1.0 if is_over else so_far / (so_far + to_do))
        return Progress(
            phase=phase,
            group=self.group,
            n_groups=len(self.plan.groups),
            name=self.name,
            runs_done=self.runs_done,
            n_runs=self.n_runs,
            epoch=self.epoch,
            at=at,
            phase_began=self.phase_began,
            elapsed=time.monotonic() - self.started,
            remaining=0.0 if is_over else self.remaining(done, to_do),
            share=self.share,
            examples_per_second=self.examples_per_second(),
            runs_per_minute=self.runs_per_minute(),
            stops=dict(self.stops),
            points=points,
            batch_costs=self.batch_costs,
            results=results,
        )


def planned_work(plan: Plan) -> float:
    """The work of a plan if every run trained to its limit, in the unit of a `Tracker`."""
    tracker = Tracker(plan)
    return sum(work * limit for limit, work in tracker.to_come.items())


def _limit(group: Group) -> int:
    """The maximum number of epochs of a cohort of this group."""
    return max(run.hyperparams.epochs for cohort in group.cohorts for run in cohort.runs)
