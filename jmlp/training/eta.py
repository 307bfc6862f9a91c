"""How far a plan is, and an estimate of how long the rest will take."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from jmlp.training import plan as planning
from jmlp.training.plan import Group, Plan, group_name
from jmlp.training.records import CostPoint, Phase, Progress, RunResult, Stop

# What a step costs whatever its size, in the time of so many examples of one lane.
STEP_OVERHEAD = 100


class Tracker:
    """Counts work in examples times lanes; only the engine tells it what happened."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started = time.monotonic()
        self.group = 0
        self.runs_done = 0
        self.n_runs = len(plan.runs)
        self.work_done = 0.0  # of cohorts that ended
        self.left = [len(group.cohorts) for group in plan.groups]  # cohorts not ended
        self.running: list[int] = []  # epochs done of each cohort in training
        self.epoch = 0  # of the cohort that is furthest
        self.stops: dict[str, Stop] = {}  # of runs that wait for their cohort
        self.ended: list[int] = []  # epochs of each cohort of this group that ended
        self.n_ended = self.epochs_ended = 0  # cohorts of all groups, and their epochs together
        # The work of an epoch of every cohort whose group has not begun, by the limit of epochs:
        # a study may have thousands of groups, and there is a record for every chunk.
        self.to_come: dict[int, float] = defaultdict(float)
        for group in plan.groups:
            self.to_come[_limit(group)] += self.epoch_work(group) * len(group.cohorts)

    def begin(self, number: int) -> None:
        """A group starts; groups are counted from 1."""
        self.group, self.running, self.epoch, self.ended = number, [], 0, []
        group = self.plan.groups[number - 1]
        self.to_come[_limit(group)] -= self.epoch_work(group) * len(group.cohorts)

    def resumed(self, epochs: int) -> None:
        """A cohort begins with so many epochs behind it, which took no time here."""
        self.work_done -= self.epoch_work(self.plan.groups[self.group - 1]) * epochs

    def measured(self, epochs: Sequence[int]) -> None:
        """The epochs done of every cohort in training."""
        self.running, self.epoch = list(epochs), max(epochs, default=0)

    def finished(self, n_runs: int, epochs: int) -> None:
        """A cohort of `n_runs` ended after so many epochs."""
        self.runs_done += n_runs
        self.work_done += self.epoch_work(self.plan.groups[self.group - 1]) * epochs
        self.left[self.group - 1] -= 1
        if epochs in self.running:
            self.running.remove(epochs)
        self.ended.append(epochs)
        self.n_ended += 1
        self.epochs_ended += epochs

    def epoch_work(self, group: Group) -> float:
        """The work of one epoch of one cohort."""
        steps = planning.n_steps(self.plan.n_training, group.hyperparams.batch_size)
        return group.width * self.plan.n_training + STEP_OVERHEAD * steps

    def remaining(self) -> float | None:
        """Seconds, if cohorts take the epochs that others took; None at the start."""
        # What cohorts of this group took, else those of all groups, else their limit.
        anywhere = self.epochs_ended / self.n_ended if self.n_ended else math.inf
        to_do = sum(work * min(limit, anywhere) for limit, work in self.to_come.items())
        done = self.work_done
        if self.group:
            group = self.plan.groups[self.group - 1]
            here = sum(self.ended) / len(self.ended) if self.ended else anywhere
            expected = min(_limit(group), here)
            epochs = expected * (self.left[self.group - 1] - len(self.running))
            epochs += sum(max(1.0, expected - so_far) for so_far in self.running)
            to_do += self.epoch_work(group) * epochs
            done += self.epoch_work(group) * sum(self.running)
        return (time.monotonic() - self.started) * to_do / done if done > 0 else None

    def progress(
        self,
        phase: Phase = "training",
        *,
        points: Mapping[str, CostPoint] = MappingProxyType({}),
        results: tuple[RunResult, ...] = (),
    ) -> Progress:
        """A record of now."""
        for result in results:
            self.stops.pop(result.run_id, None)
        return Progress(
            phase=phase,
            group=self.group,
            n_groups=len(self.plan.groups),
            name=group_name(self.plan.groups[self.group - 1]) if self.group else "",
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
    """The most epochs that a cohort of this group may take."""
    return max(run.hyperparams.epochs for cohort in group.cohorts for run in cohort.runs)
