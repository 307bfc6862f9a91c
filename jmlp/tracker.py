"""How far a plan is, and an estimate of how long the rest will take."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from jmlp import plan as planning
from jmlp.plan import Group, Plan
from jmlp.results import CostPoint, Phase, Progress, RunResult, Stop

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
        self.ended: dict[int, list[int]] = {}  # by group: epochs of each cohort that ended

    def begin(self, number: int) -> None:
        """A group starts; groups are counted from 1."""
        self.group, self.running, self.epoch = number, [], 0

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
        self.ended.setdefault(self.group, []).append(epochs)

    def epoch_work(self, group: Group) -> float:
        """The work of one epoch of one cohort."""
        steps = planning.n_steps(self.plan.n_training, group.hyperparams.batch_size)
        return group.width * self.plan.n_training + STEP_OVERHEAD * steps

    def remaining(self) -> float | None:
        """Seconds, if cohorts take the epochs that others took; None at the start."""
        done, to_do = self.work_done, 0.0
        for number, group in enumerate(self.plan.groups, start=1):
            current = number == self.group
            running = self.running if current else []
            expected = self.expected_epochs(number)
            epochs = expected * (self.left[number - 1] - len(running))
            epochs += sum(max(1.0, expected - so_far) for so_far in running)
            to_do += self.epoch_work(group) * epochs
            done += self.epoch_work(group) * sum(running)
        return (time.monotonic() - self.started) * to_do / done if done > 0 else None

    def expected_epochs(self, number: int) -> float:
        """What cohorts of this group took, else those of all groups, else their limit."""
        group = self.plan.groups[number - 1]
        limit = max(run.hyperparams.epochs for c in group.cohorts for run in c.runs)
        anywhere = [epochs for ended in self.ended.values() for epochs in ended]
        seen = self.ended.get(number) or anywhere or [limit]
        return min(limit, sum(seen) / len(seen))

    def progress(
        self,
        phase: Phase,
        points: Mapping[str, CostPoint] = MappingProxyType({}),
        results: tuple[RunResult, ...] = (),
        stops: Mapping[str, Stop] = MappingProxyType({}),
    ) -> Progress:
        """A record of now."""
        return Progress(
            phase=phase,
            group=self.group,
            n_groups=len(self.plan.groups),
            runs_done=self.runs_done,
            n_runs=self.n_runs,
            epoch=self.epoch,
            points=points,
            results=results,
            elapsed=time.monotonic() - self.started,
            remaining=0.0 if phase == "finished" else self.remaining(),
            stops=stops,
        )
