"""Trains one study from the queue to its end, records it, and handles commands."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jax

from jmlp import data as datasets
from jmlp.data.dataset import Dataset
from jmlp.errors import DeviceError, JmlpError
from jmlp.results.search import staged_plan
from jmlp.store import RunRow, RunState, Store, StudyRow, run_files
from jmlp.store.checkpoints import key_of
from jmlp.store.states import RUN_ENDED, RUN_OVER
from jmlp.study.config import Experiment, label
from jmlp.study.file import parse_study
from jmlp.study.search import rounds
from jmlp.system import diagnosis, environment
from jmlp.system.files import is_forbidden, is_there
from jmlp.training import engine
from jmlp.training import plan as planning
from jmlp.training.eta import planned_work
from jmlp.training.outcome import provenance
from jmlp.training.plan import Cohort, Plan
from jmlp.training.records import CohortState, Progress, Provenance, RunResult, changes
from jmlp.worker.process_lifetime import Process
from jmlp.worker.recorder import Recorder
from jmlp.worker.resume_conditions import Conditions, check_digests

if TYPE_CHECKING:
    from jmlp.worker.signals import Stopping

PAUSED_SECONDS = 0.1  # between polls for commands while training is paused

FAILED_ONCE = "failed once"  # the event of a run that will be tried once more


class FreshProcess(Exception):
    """The rest of the study should be trained by a fresh process.

    The study stays "running": the process that replaces this one continues it.
    """


class _Stopped(Exception):
    """Training was stopped before its end; `state` is the study's state from now on."""

    def __init__(self, state: Literal["stopped", "interrupted"], detail: str) -> None:
        self.state, self.detail = state, detail


@dataclass
class Work:
    """The training of one study by this worker."""

    folder: Path
    store: Store
    row: StudyRow
    stopping: "Stopping"
    process: Process
    say: Callable[[str], None]
    running: set[str] = field(default_factory=set)  # ids of the runs in training

    @property
    def label(self) -> str:
        """The study's name in the store."""
        return self.row.label

    def run(self, after: str = "") -> None:
        """Trains the rest of the study, and sets its state whatever happens.

        Args:
            after: how the previous worker died, if its runs may be the cause.

        Raises:
            FreshProcess: a device failed, or this process has compiled enough.
        """
        try:
            orphaned = self._running_ids()  # their worker died: no other is using the store now
            self.store.set_runs(orphaned, "queued")
            if after:
                self._retry_or_fail(orphaned, DeviceError.exit_code, after)
            self._train(*self._prepare())
        except _Stopped as stopped:
            self._record_stop(stopped)
        except FreshProcess:
            if self.stopping.reason is None:
                raise
            self._record_stop(self._interrupted())
        except JmlpError as error:
            self._fail(error.exit_code, str(error))
        except Exception as error:
            if known := diagnosis.of_exception(error):
                self._fail(known.exit_code, str(known))
                return
            traceback.print_exc()
            self._fail(1, f"this is a bug in jmlp: {type(error).__name__}: {error}")
        else:
            self._finish()

    def _running_ids(self) -> list[str]:
        """The ids of the study's runs that are in training according to the store."""
        return [run.run_id for run in self.store.runs(self.label) if run.state == "running"]

    def _prepare(self) -> tuple[Plan, Plan, Dataset]:
        """The whole plan, the plan of the runs that are not over yet, and the data.

        Raises:
            DataError: the data cannot be loaded, or differ from those the study was submitted with.
        """
        study = parse_study(self.row.toml, self.label)
        dataset = datasets.load_stored({"name": study.data, **self.row.data}, self.say)
        check_digests(self.label, self.row.data["digests"], dataset)
        self.first = planning.make_plan(study, planning.data_facts(dataset))
        self._reconcile(self._whole_plan())
        plan = self._whole_plan()  # the files may have had the last results of a search
        self.linked = {run.run_id for run in self.store.runs(self.label)}
        over = {run.run_id for run in self.store.runs(self.label) if run.state in RUN_OVER}
        return plan, planning.without(plan, over), dataset

    def _whole_plan(self) -> Plan:
        """The plan with the runs that results add to searches; adds them to the store.

        A stage is added when all runs before have ended. It is a function of the results in the
        store, so a worker that was killed at any point finds the same one.
        """
        first, row = self.first, self.row
        if not any(experiment.search for experiment in first.study.experiments):
            return first
        runs = self.store.runs(self.label)
        results = {run.run_id: run.result for run in runs if run.result}
        plan = staged_plan(first, results.values())
        stored, planned = {run.run_id for run in runs}, {run.run_id for run in plan.runs}
        # Not all results of a stage may be there: those of later stages stay in the store until
        # it is known whether the same ones follow.
        if stored == planned or (stored > planned and not results.keys() >= planned):
            return plan
        if row.toml != self.store.study(self.label).toml:
            return first  # another study has been submitted under this name, and is trained next
        self.store.submit(row.submission(plan.runs))
        latest = max(experiment.stage for experiment in plan.study.experiments)
        for experiment in plan.study.experiments:
            if latest and experiment.stage == latest:
                self.say(_next_stage_text(experiment))
        return plan

    def _reconcile(self, plan: Plan) -> None:
        """Makes the rows of runs agree with their files, if a kill came between the two writes.

        The files of a cohort are written one after the other. If some are missing, the whole cohort
        resumes from its checkpoint, because single runs have no checkpoints of their own.
        """
        rows = {run.run_id: run for run in self.store.runs(self.label)}
        for row in rows.values():
            path = run_files.path_of(self.folder, row.run_id)
            if row.state in RUN_ENDED and not is_there(path):
                self.say(f"{path}: is missing: the run will be trained again")
                self.store.set_runs([row.run_id], "queued")
        ended = {row.run_id for row in self.store.runs(self.label) if row.state in RUN_ENDED}
        for group in planning.without(plan, ended).groups:
            for cohort in group.cohorts:
                found = [self._result_in_file(rows[run.run_id]) for run in cohort.runs]
                whole = [result for result in found if result is not None]
                if len(whole) == len(found):
                    self.store.end(self.label, whole)

    def _result_in_file(self, row: RunRow) -> RunResult | None:
        """The result of this attempt of a run from its file, if there is one."""
        path = run_files.path_of(self.folder, row.run_id)
        if not is_there(path):
            return None
        try:
            stored = run_files.read(path)
        except JmlpError as error:
            if is_forbidden(error):  # it may be intact, and would be overwritten
                raise
            self.say(f"{error}: the run will be trained again")
            return None
        return stored.result if stored.about["attempt"] == row.attempt else None

    def _train(self, whole: Plan, plan: Plan, dataset: Dataset) -> None:
        hardware = self.row.hardware
        continued = self.row.state == "running"  # this process replaces the one that began it
        if not continued:
            self.store.record(self.label, [], Progress())  # discards that of an earlier training
        # Before its state is "running": XLA may end the process here because of an unknown flag.
        devices = engine.take_devices(hardware["device"], hardware["cores"]) if plan.groups else []
        if not continued:
            self.store.set_study(self.label, "running", event="started")
        if not plan.groups:
            return
        attempts = {run.run_id: run.attempt for run in self.store.runs(self.label)}
        can_drop = {
            run.run_id: group.can_drop
            for group in plan.groups
            for c in group.cohorts
            for run in c.runs
        }
        now = provenance(engine.with_idle_device(devices), 0, False)
        if not continued:
            self.say(announcement(plan, devices))
            self._warn_about_mixture(now)
        self.must = Conditions(attempts, can_drop, dataset.digests, now)
        self.keys = {
            run.run_id: key_of([r.run_id for r in cohort.runs], group.width)
            for group in plan.groups
            for cohort in group.cohorts
            for run in cohort.runs
        }
        self.recorder = Recorder(self.folder, self.label, self.must, self.say)
        training = engine.Training(
            plan, dataset, devices, saved=self._load_checkpoint, alone=self.process.alone
        )
        try:
            self._watch(training, whole, plan)
        except (DeviceError, MemoryError) as error:
            message = str(error) or "out of memory"
            self.recorder.flush()
            if not self.running:  # a fresh process would get no further
                raise DeviceError(message) from error
            self._retry_or_fail(self.running, DeviceError.exit_code, message)
            self.say(f"{message}: continues in a fresh process")
            raise FreshProcess from error
        finally:
            self.recorder.close()

    def _warn_about_mixture(self, now: Provenance) -> None:
        """Warns if completed runs were trained under other settings than those about to begin.

        Args:
            now: the provenance of the runs to come; their width and program are not known yet.
        """
        before = [run.result.provenance for run in self.store.runs(self.label) if run.result]
        others: Counter[str] = Counter()
        for then in before:
            found = changes(replace(then, width=now.width, can_drop=now.can_drop), now)
            others[", ".join(f"{name} was {text}" for name, text in found.items())] += 1
        del others[""]
        for what, n in others.items():
            self.say(
                f"warning: {n} of {len(before)} completed runs were trained under other "
                f"conditions, so equal runs may differ slightly: {what}"
            )

    def _watch(self, training: engine.Training, whole: Plan, plan: Plan) -> None:
        """Drives the training; after each chunk, saves what is due and handles commands.

        Raises:
            FreshProcess: another process should compile the next group; all earlier ones are
                stored.
        """
        every = self.row.hardware.get("checkpoint_seconds") or environment.CHECKPOINT_SECONDS
        # Of this training so far, if this process continues it.
        before = self.row.progress if self.row.state == "running" else Progress()
        of_whole = OfWholeStudy(whole, plan, before)
        saved, in_training, group = time.monotonic(), frozenset[str](), 0
        last = saved
        for progress in training:
            now = time.monotonic()
            chunk, last = now - last, now
            if progress.results:
                ended = [result.run_id for result in progress.results]
                self.running.difference_update(ended)
                self.recorder.ended(progress.results, {self.keys[run_id] for run_id in ended})
            self.recorder.live(of_whole(progress))
            self._handle_commands(training)
            if progress.group > group:  # the next one begins: nothing is in training
                group = progress.group
                if self.process.is_spent:
                    self.recorder.flush()
                    raise FreshProcess
                self.process.groups += 1
            # A cohort is saved once after its first chunk, then at the requested interval.
            new = self.running - in_training
            # It should be on disk within the interval, and the next opportunity is a chunk later.
            soon = max(every / 2, every - chunk - self.recorder.save_seconds)
            due = new or now - saved >= soon
            if due and progress.phase == "training" and self.recorder.idle:
                if copies := training.copies():
                    self.recorder.checkpoint(copies)
                saved, in_training = now, frozenset(self.running)
        self.recorder.flush()

    def _handle_commands(self, training: engine.Training) -> None:
        """Handles commands and requests to stop; returns when training should continue.

        Raises:
            _Stopped: training has to stop; everything is saved.
        """
        paused = False
        while True:
            for command in self.store.take_commands(self.label):
                if command == "stop":
                    self._save(training)
                    raise _Stopped("stopped", "by command")
                if command == "pause" and not paused:
                    self._save(training)
                    self.store.set_study(self.label, "paused", event="paused")
                    paused = True
                elif command == "resume" and paused:
                    self.store.set_study(self.label, "running", event="resumed")
                    paused = False
            if self.stopping.reason is not None:
                self._save(training, wait_for_space=False)
                raise self._interrupted()
            if not paused and self.recorder.blocked is None:
                return
            self.stopping.wait(PAUSED_SECONDS)

    def _save(self, training: engine.Training, *, wait_for_space: bool = True) -> None:
        """Saves a checkpoint and waits until it is on disk; see `Recorder.flush`."""
        with self.stopping.saving():
            if copies := training.copies():
                self.recorder.checkpoint(copies)
            self.recorder.flush(wait_for_space=wait_for_space)

    def _load_checkpoint(self, cohort: Cohort, width: int) -> CohortState | None:
        """The checkpoint of a cohort that is about to begin; sets the rows of its runs to it."""
        ids = [run.run_id for run in cohort.runs]
        about = {"must": self.must(ids, width)}
        state, messages = self.recorder.checkpoints.load(key_of(ids, width), about)
        for message in messages:
            self.say(f"warning: {message}")
            self.store.event(self.label, None, "checkpoint refused", None, message)
        for lane, run_id in enumerate(ids):
            self.store.cut(run_id, len(state.costs[lane]) if state else 0)
        self.store.begin(self.label, ids, state.updates if state else 0)
        self.running.update(ids)
        return state

    def _retry_or_fail(self, run_ids: Collection[str], code: int, message: str) -> None:
        """Queues runs that were in training at a failure once more; the second time, they fail."""
        submitted = max(
            (e.id for e in self.store.events(label=self.label) if e.kind == "submitted"), default=0
        )
        for run_id in sorted(run_ids):
            kinds = [event.kind for event in self.store.events(run_id=run_id, after=submitted)]
            if [kind for kind in kinds if kind in (FAILED_ONCE, "failed")][-1:] == [FAILED_ONCE]:
                self.store.fail(self.label, [run_id], code, message)
            else:
                self.store.event(self.label, run_id, FAILED_ONCE, None, message)
                self.store.set_runs([run_id], "queued")

    def _interrupted(self) -> _Stopped:
        """The exception for a request to stop, with its reason."""
        why = self.stopping.reason
        return _Stopped("interrupted", f"signal {why}" if why else "its parent process has gone")

    def _record_stop(self, stopped: _Stopped) -> None:
        state: RunState = "stopped" if stopped.state == "stopped" else "queued"
        self.store.set_runs(self._running_ids(), state)
        self.store.set_study(self.label, stopped.state, event=stopped.state, detail=stopped.detail)

    def _finish(self) -> None:
        # Those of this training, of confirmations that it has decided, or submitted meanwhile.
        # Confirmations that are not decided yet, because runs failed, would be queued for ever.
        awaited = {run.run_id for run in self._whole_plan().runs}
        runs = self.store.runs(self.label)
        left = [run.run_id for run in runs if run.state not in RUN_OVER]
        failed = [run for run in runs if run.state == "failed"]
        if any(run_id in awaited or run_id not in self.linked for run_id in left):
            self.store.set_study(self.label, "queued")
        elif failed:
            n, first = len(failed), failed[0]
            self._fail(first.code or 1, f"{n} run{'s' if n > 1 else ''} failed: {first.failure}")
        else:
            self.store.set_study(self.label, "done", event="done")

    def _fail(self, code: int, message: str) -> None:
        self.store.set_runs(self._running_ids(), "queued")
        self.store.set_study(
            self.label, "failed", code=code, failure=message, event="failed", detail=message
        )


class OfWholeStudy:
    """Turns the progress of the runs that are left into that of their whole study."""

    def __init__(self, whole: Plan, plan: Plan, before: Progress) -> None:
        """Measures what is done already.

        Args:
            whole: the plan of the study.
            plan: the part of it that is being trained.
            before: what another process reported of this training; else the initial record.
        """
        self.before = before
        self.n_groups, self.n_runs = len(whole.groups), len(whole.runs)
        self.groups_done = self.n_groups - len(plan.groups)
        self.runs_done = self.n_runs - len(plan.runs)
        self.left = planned_work(plan) / planned_work(whole)  # as a share of all work

    def __call__(self, progress: Progress) -> Progress:
        """The progress of the whole study."""
        share = 1 - self.left * (1 - (progress.share or 0.0))
        return replace(
            progress,
            group=progress.group + self.groups_done,
            n_groups=self.n_groups,
            runs_done=progress.runs_done + self.runs_done,
            n_runs=self.n_runs,
            elapsed=progress.elapsed + self.before.elapsed,
            share=max(share, self.before.share or 0.0),
        )


def _next_stage_text(experiment: Experiment) -> str:
    """What is said when the results of a search have made its next stage."""
    seeds, n = len(experiment.seeds), len(experiment.cells) - 1
    if experiment.search is None:
        return (
            f"{experiment.confirms}: the winner is {label(experiment.cells[1])}; it is confirmed "
            f"with {seeds} fresh seeds"
        )
    (epochs, _), *_ = rounds(experiment.search, experiment.base.epochs)
    best = "candidate is" if n == 1 else f"{n} candidates are"
    return f"{experiment.search_name}: the best {best} trained again, with {epochs} epochs"


def announcement(plan: Plan, devices: Sequence[jax.Device]) -> str:
    """A message for the user about the training that is about to begin."""
    runs, groups = len(plan.runs), len(plan.groups)
    return (
        f"training {runs} run{'s' if runs > 1 else ''} in {groups} "
        f"group{'s' if groups > 1 else ''} on "
        f"{len(devices)} x {environment.device_name(devices[0])}"
    )
