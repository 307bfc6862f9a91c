"""A study as its screen shows it: a line per configuration, and the result tables."""

import math
import statistics
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from jmlp.client.texts import configuration_texts, learning_rate_text
from jmlp.store import Event, RunRow, Store, StudyRow
from jmlp.study.config import Experiment, Hyperparams, Study
from jmlp.study.run_index import RunIndex
from jmlp.training.records import CostPoint
from tui.charts.sparkline import Point
from tui.feed import StoreView
from tui.views.activity import Activity, WorkerWatch, study_activity, study_state
from tui.views.details import EventLine, event_lines

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable
    from jmlp.training.plan import DataFacts

MAX_EVENTS = 400  # that are kept to be shown
MAX_POINTS = 1024  # of a curve, which is drawn in about a hundred columns

ENDINGS = ("stopped early", "limit")  # of runs that have not diverged


@dataclass(frozen=True)
class ConfigurationLine:
    """One configuration. Numbers are medians over its seeds; None if there is none yet."""

    experiment: str
    label: str
    run_ids: tuple[str, ...]
    hyperparams: Hyperparams
    axes: tuple[str, ...]  # of its experiment
    # Medians by epoch; NaN where most are not finite.
    curve: tuple[Point, ...]  # validation cost
    accuracy_curve: tuple[Point, ...]  # validation accuracy
    training_cost: float | None  # of the kept parameters if a run has ended, else the latest
    validation_cost: float | None
    validation_accuracy: float | None
    range: tuple[float, float] | None  # of the validation cost, over the seeds
    epoch: float | None  # of the run that is furthest
    limit: int  # epochs
    n_done: int
    n_seeds: int
    state: str
    # While it is in training:
    left: float | None  # estimated seconds to its limit
    epochs_per_second: float | None  # of the run that is last
    learning_rate: str  # of the next update of the run that is furthest; empty if not in training
    batch_cost: float | None  # mean of the mini-batches since the last evaluation, or before it
    is_baseline: bool


@dataclass(frozen=True)
class ExperimentLines:
    """One experiment's configurations."""

    name: str
    title: str
    lines: tuple[ConfigurationLine, ...]


@dataclass(frozen=True)
class StudyView:
    """A study at one moment."""

    row: StudyRow
    held: bool  # whether a worker is training it
    activity: Activity
    n_done: int
    n_runs: int
    data: str  # as the study names them
    n_in: int  # inputs of the networks
    n_classes: int
    experiments: tuple[ExperimentLines, ...]
    tables: "tuple[ExperimentTable, ...]"
    events: tuple[EventLine, ...]  # the newest first

    @property
    def state(self) -> str:
        """The state of the study, in words."""
        return study_state(self.row, self.held)


class Shown(NamedTuple):
    """The numbers of one evaluation that a line shows."""

    training_cost: float
    validation_cost: float
    validation_accuracy: float


class Costs:
    """A run's cost points in compact arrays, reduced to the numbers that the lines need."""

    def __init__(self) -> None:
        """Starts without points."""
        self.epochs = array("d")  # ascending
        self._columns = tuple(array("d") for _ in Shown._fields)
        self.batch_cost: float | None = None  # of the last point
        self.changes = 0  # so that what was computed from the points is known to be still true

    def put(self, point: CostPoint) -> None:
        """Adds a point, which replaces an earlier one of the same epoch."""
        self.changes += 1
        place = bisect_left(self.epochs, point.epoch)
        if place >= len(self.epochs) - 1:
            self.batch_cost = point.batch_cost
        end = place + (self.epochs[place : place + 1] == array("d", [point.epoch]))
        self.epochs[place:end] = array("d", [point.epoch])
        for name, column in zip(Shown._fields, self._columns, strict=True):
            column[place:end] = array("d", [getattr(point, name)])

    def cut(self, last: float) -> None:
        """Removes the points after an epoch."""
        place = bisect_right(self.epochs, last)
        if place == len(self.epochs):
            return
        self.changes, self.batch_cost = self.changes + 1, None
        del self.epochs[place:]
        for column in self._columns:
            del column[place:]

    def at(self, epoch: float) -> Shown | None:
        """Returns the point of an epoch, if there is one."""
        place = bisect_left(self.epochs, epoch)
        if place == len(self.epochs) or self.epochs[place] != epoch:
            return None
        return Shown(*(column[place] for column in self._columns))

    def curve(self, name: str) -> Iterable[Point]:
        """Returns pairs of epoch and value.

        Args:
            name: of the value, a field of `Shown`.
        """
        return zip(self.epochs, self._columns[Shown._fields.index(name)], strict=True)


class StudyQuery:
    """A query for one study, which reads only what is new since its last call."""

    def __init__(self, label: str) -> None:
        """Initialises the query.

        Args:
            label: the study's label.
        """
        self.label = label
        self._worker = WorkerWatch()
        self._forget(None)

    def _forget(self, database: object) -> None:
        self._database = database
        self._after = 0  # number of the last cost point that was read
        self._points: dict[str, Costs] = defaultdict(Costs)  # by run
        self._attempts: dict[str, int] = {}
        self._toml = ""
        self._study: Study | None = None
        self._ended = -1  # number of ended runs when the study's confirmations were looked for
        self._facts: DataFacts | None = None
        self._groups: Mapping[str, str] = {}  # name of each run's group
        self._tables: tuple[Any, ...] = ()
        self._tables_of: Any = None
        self._paces: dict[str, Pace] = {}
        self._events: list[Event] = []
        self._event_lines: tuple[EventLine, ...] | None = None
        self._curves: dict[str, Curves] = {}
        self._n_training = 0
        self._seen: Any = None  # the store and its version, and the owner of its lock
        self._view: StudyView | None = None  # as read then

    def __call__(self, view: StoreView) -> StudyView | None:
        """Reads the current state of the study; None if there is no store."""
        if view.store is None:
            return None
        if view.database != self._database:  # another database numbers its points anew
            self._forget(view.database)
        held = view.owner is not None and view.owner.study == self.label
        worker = self._worker.worker(view.owner) if held and view.owner is not None else None
        seen = view.store, view.store.version(), view.owner
        if self._view is not None and seen == self._seen:  # only its worker is looked at again
            activity = replace(self._view.activity, worker=worker)
            self._view = replace(self._view, activity=activity)
            return self._view
        row = view.store.study(self.label)
        # Points first, so that one committed before the runs are read is read the next time.
        self._after, points = view.store.new_points(self.label, self._after)
        runs = view.store.runs(self.label)
        self._take_points(view.store, points, runs)
        if self._study is None or row.toml != self._toml:
            self._read_study(row)
        assert self._study is not None
        assert self._facts is not None
        self._stage(self._study, runs)
        index = RunIndex(runs)
        context = _StudyContext(
            row, held, self._points, self._groups, self._paces, self._curves, self._n_training
        )
        n_done, n_runs = sum(run.result is not None for run in runs), len(self._groups)
        self._seen = seen
        self._view = StudyView(
            row=row,
            held=held,
            activity=study_activity(row, view.owner, worker, n_done, n_runs),
            n_done=n_done,
            n_runs=n_runs,
            data=self._study.data,
            n_in=self._facts.n_in,
            n_classes=self._facts.n_classes,
            experiments=tuple(
                _experiment_lines(e, _lines(e, index, context)) for e in self._study.experiments
            ),
            tables=self._tables_now(self._study, runs),
            events=self._events_now(view.store, runs),
        )
        return self._view

    def _take_points(
        self, store: Store, points: Sequence[tuple[str, CostPoint]], runs: Sequence[RunRow]
    ) -> None:
        for run_id, point in points:
            self._points[run_id].put(point)
        for run in runs:
            known = self._points[run.run_id]
            if self._attempts.get(run.run_id, run.attempt) != run.attempt:
                # Retrained from scratch: the points of the previous attempt do not count.
                known.cut(-1)
                for point in store.points(run.run_id):
                    known.put(point)
            self._attempts[run.run_id] = run.attempt
            # A run resumed from a checkpoint has lost its later points.
            known.cut(-1 if run.epoch is None else run.epoch)

    def _events_now(self, store: Store, runs: Sequence[RunRow]) -> tuple[EventLine, ...]:
        """Reads the new events, and describes the latest ones."""
        new = store.events(self.label, after=self._events[-1].id if self._events else 0)
        if new or self._event_lines is None:
            self._events = [*self._events, *new][-MAX_EVENTS:]
            texts = configuration_texts(runs, self.label)
            titles = {run.run_id: f"{texts[run.run_id]}, seed {run.seed}" for run in runs}
            self._event_lines = tuple(event_lines(self._events, titles))
        return self._event_lines

    def _read_study(self, row: StudyRow) -> None:
        from jmlp.client.stored_data import read_data
        from jmlp.study.file import parse_study

        self._toml, self._ended = row.toml, -1
        self._facts = read_data(row.data, row.label).facts
        self._read_plan(parse_study(row.toml, row.label), self._facts)

    def _stage(self, study: Study, runs: Sequence[RunRow]) -> None:
        """Adds the stages of searches that are known now."""
        results = [run.result for run in runs if run.result is not None]
        if len(results) == self._ended or not any(e.search for e in study.experiments):
            return
        from jmlp.results.search import staged

        self._ended, now = len(results), staged(study, results)
        if now != study and self._facts is not None:
            self._read_plan(now, self._facts)

    def _read_plan(self, study: Study, facts: "DataFacts") -> None:
        from jmlp.training.plan import group_name, make_plan

        self._study, plan = study, make_plan(study, facts)
        self._n_training = plan.n_training
        self._groups = {
            run.run_id: group_name(group)
            for group in plan.groups
            for cohort in group.cohorts
            for run in cohort.runs
        }

    def _tables_now(self, study: Study, runs: Sequence[RunRow]) -> "tuple[ExperimentTable, ...]":
        ended = tuple((run.run_id, run.attempt) for run in runs if run.result is not None)
        if self._tables_of != (self._toml, ended):
            from jmlp.results.tables import study_tables

            results = [run.result for run in runs if run.result is not None]
            self._tables = study_tables(study, results, self._facts)
            self._tables_of = self._toml, ended
        return self._tables


@dataclass(frozen=True)
class Curves:
    """The median curves of a configuration."""

    of: tuple[tuple[str, int], ...]  # the runs that have begun, and the changes of their points
    cost: tuple[Point, ...]  # of the validation part
    accuracy: tuple[Point, ...]


@dataclass
class Pace:
    """The observed training speed of a configuration."""

    began: float  # on the monotonic clock
    first_epoch: float
    epoch: float

    def seconds_per_epoch(self, now: float) -> float | None:
        """Returns the mean time per epoch; None until one has passed."""
        passed = self.epoch - self.first_epoch
        return (now - self.began) / passed if passed > 0 else None


@dataclass(frozen=True)
class _StudyContext:
    """What is needed for all lines of a study."""

    study: StudyRow
    held: bool
    points: Mapping[str, "Costs"]
    groups: Mapping[str, str]
    paces: dict[str, Pace]
    curves: dict[str, Curves]
    n_training: int  # examples of the training part

    def curves_of(self, key: str, run_ids: Sequence[str]) -> Curves:
        """Returns the median curves of some runs, computed again only if they have new points.

        Args:
            key: names the configuration.
            run_ids: its runs that have begun.
        """
        points = [self.points[run_id] for run_id in run_ids]
        of = tuple((run_id, p.changes) for run_id, p in zip(run_ids, points, strict=True))
        known = self.curves.get(key)
        if known is None or known.of != of:
            costs = [p.curve("validation_cost") for p in points]
            accuracies = [p.curve("validation_accuracy") for p in points]
            known = Curves(of, median_curve(costs), median_curve(accuracies, worst=-math.inf))
            self.curves[key] = known
        return known

    def learning_rate(self, hp: Hyperparams, updates: int) -> str:
        """Returns the learning rate of a run after so many updates, as a text."""
        from jmlp.training.plan import evaluations

        return learning_rate_text(hp, updates, evaluations(self.n_training, hp).n_steps)

    def batch_cost(self, run_id: str) -> float | None:
        """Returns the mean mini-batch cost since the last evaluation, or of the one before it."""
        live = self.study.progress.batch_costs.get(run_id)
        return self.points[run_id].batch_cost if live is None else live

    def state_of(self, run: RunRow) -> str:
        """Returns a run's state; a lane that has stopped counts as such before its cohort ends."""
        progress = self.study.progress
        stop = progress.stops.get(run.run_id)
        if run.state == "running":
            if stop is not None:
                return stop.why
            if not self.held:
                return "interrupted"
            if self.study.state == "paused":
                return "paused"
            return "compiling" if progress.phase == "compiling" else "running"
        compiling = self.held and progress.phase == "compiling"
        if run.state == "queued" and compiling and self.study.state == "running":
            is_next = self.groups.get(run.run_id) == progress.name
            return "compiling" if is_next else "queued"
        if run.state == "finished" and run.result is not None:
            return "limit" if run.result.reached_limit else "stopped early"
        return run.state

    def diverged_at(self, run: RunRow) -> int | None:
        """Returns the update that produced a number that is not finite."""
        if run.result is not None:
            return run.result.diverged_at
        stop = self.study.progress.stops.get(run.run_id)
        return stop.step if stop is not None and stop.why == "diverged" else None


def _experiment_lines(
    experiment: Experiment, lines: "list[ConfigurationLine]"
) -> "ExperimentLines":
    """The lines under a title, which says of a search or a confirmation how far it is."""
    title = experiment.title or experiment.name
    if experiment.search or experiment.confirms:
        stage = "search" if experiment.search else "confirm"
        is_over = all(line.n_done == line.n_seeds for line in lines)
        title += f": {stage}{'ed' if is_over else 'ing'}"
    return ExperimentLines(experiment.name, title, tuple(lines))


def _lines(
    experiment: Experiment, index: RunIndex[RunRow], context: _StudyContext
) -> "list[ConfigurationLine]":
    lines = []
    for configuration, by_seed in index.of(experiment):
        limit, runs = configuration.hyperparams.epochs, list(by_seed.values())
        started = [run for run in runs if context.points[run.run_id].epochs]
        latest = [p for run in started if (p := _shown_point(run, context)) is not None]
        costs = [p.validation_cost for p in latest if math.isfinite(p.validation_cost)]
        epochs = [run.epoch for run in runs if run.epoch is not None]
        states = [context.state_of(run) for run in runs]
        key = f"{experiment.name}\n{configuration.label}"
        curves = context.curves_of(key, [run.run_id for run in started])
        training = [run for run, state in zip(runs, states, strict=True) if state == "running"]
        pace = _pace(key, training, context)
        lines.append(
            ConfigurationLine(
                experiment=experiment.name,
                label=configuration.label,
                run_ids=tuple(run.run_id for run in runs),
                hyperparams=configuration.hyperparams,
                axes=tuple(experiment.axes),
                curve=curves.cost,
                accuracy_curve=curves.accuracy,
                training_cost=_median([p.training_cost for p in latest]),
                validation_cost=_median([p.validation_cost for p in latest]),
                validation_accuracy=_median([p.validation_accuracy for p in latest]),
                range=(min(costs), max(costs)) if costs else None,
                epoch=max(epochs, default=None),
                limit=limit,
                n_done=sum(run.result is not None for run in runs),
                n_seeds=len(experiment.seeds),
                state=state_text(runs, states, context),
                left=_left(pace, training, states, limit),
                epochs_per_second=1 / pace if pace else None,
                learning_rate=context.learning_rate(
                    configuration.hyperparams, max(run.step or 0 for run in training)
                )
                if training
                else "",
                batch_cost=_median(
                    [c for run in training if (c := context.batch_cost(run.run_id)) is not None]
                ),
                is_baseline=configuration.cell == experiment.baseline,
            )
        )
    return lines


def _shown_point(run: RunRow, context: _StudyContext) -> "Shown | None":
    """Returns the point of the kept parameters, or else the last one; None if the run diverged."""
    points = context.points[run.run_id]
    if run.state == "diverged" or context.diverged_at(run) is not None:
        return None
    if run.result is not None and run.result.best_epoch is not None:
        return points.at(run.result.best_epoch)
    return points.at(points.epochs[-1])


def median_curve(runs: Sequence[Iterable[Point]], worst: float = math.inf) -> tuple[Point, ...]:
    """Returns the median at each epoch that at least half of the runs have reached.

    It is NaN if at least half of the values are not finite. Each point of a long curve is the mean
    of several epochs, as is each column of the sparkline.

    Args:
        runs: pairs of epoch and value of each run.
        worst: what a value that is not finite counts as: infinity for costs.
    """
    values: dict[float, list[float]] = defaultdict(list)
    for points in runs:
        for epoch, value in points:
            values[epoch].append(value if math.isfinite(value) else worst)
    curve = []
    for epoch, found in sorted(values.items()):
        if 2 * len(found) >= len(runs):
            median = statistics.median(found)
            curve.append((epoch, median if math.isfinite(median) else math.nan))
    together = -(-len(curve) // MAX_POINTS)
    if together <= 1:
        return tuple(curve)
    parts = (curve[first : first + together] for first in range(0, len(curve), together))
    return tuple((part[0][0], math.fsum(v for _, v in part) / len(part)) for part in parts)


def _median(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else None


def state_text(runs: Sequence[RunRow], states: Sequence[str], context: _StudyContext) -> str:
    """Summarises a configuration's runs, problems first: `running`, `1 collapsed, done`."""
    n, problems = len(runs), []
    if not runs:
        return "deleted"
    steps = [step for run in runs if (step := context.diverged_at(run)) is not None]
    if steps:
        several = f"{len(steps)} " if 1 < len(steps) < n else ""
        problems.append(f"{several}diverged @{min(steps)}")
    collapsed = sum(run.result is not None and run.result.collapsed for run in runs)
    if collapsed:
        problems.append("collapsed" if collapsed == n else f"{collapsed} collapsed")
    if len(steps) == n:
        return problems[0]
    words = [*problems, _progress_text(states)]
    waiting = sum(r.result is None and s in ENDINGS for r, s in zip(runs, states, strict=True))
    if waiting and words[-1] in ("running", "queued"):
        words.append(f"{waiting} stopped")  # while the rest of their cohorts continue
    return ", ".join(words)


def _progress_text(states: Sequence[str]) -> str:
    for state in ("failed", "running", "paused", "compiling", "interrupted", "stopped", "queued"):
        if state in states:
            return state
    early, n_ended = states.count("stopped early"), sum(state in ENDINGS for state in states)
    if not early:
        return "done"
    return "stopped early" if early == n_ended else f"done, {early} early"


def _pace(key: str, training: Sequence[RunRow], context: _StudyContext) -> float | None:
    """Returns the seconds per epoch of a configuration so far, while it is in training."""
    if not training:
        context.paces.pop(key, None)
        return None
    clock, epoch = time.monotonic(), min(run.epoch or 0 for run in training)
    pace = context.paces.get(key)
    if pace is None or epoch < pace.epoch:
        pace = context.paces[key] = Pace(clock, epoch, epoch)
    pace.epoch = epoch
    return pace.seconds_per_epoch(clock)


def _left(
    pace: float | None, training: Sequence[RunRow], states: Sequence[str], limit: int
) -> float | None:
    """Estimates the seconds until a configuration reaches its limit, at the pace so far."""
    if pace is None:
        return None
    epoch = min(run.epoch or 0 for run in training)
    waiting = sum(state in ("queued", "compiling") for state in states)
    return pace * (limit - epoch + math.ceil(waiting / len(training)) * limit)
