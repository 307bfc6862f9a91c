"""One study, from the queue to its end: trained, recorded, steered by commands."""

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
from jmlp.store import RunRow, RunState, Store, StudyRow, run_files
from jmlp.store.checkpoints import key_of
from jmlp.store.states import RUN_ENDED, RUN_OVER
from jmlp.study.file import parse_study
from jmlp.system import diagnosis, environment
from jmlp.system.files import is_forbidden, is_there
from jmlp.training import engine
from jmlp.training import plan as planning
from jmlp.training.outcome import provenance
from jmlp.training.plan import Cohort, Plan
from jmlp.training.records import CohortState, Progress, Provenance, RunResult, changes
from jmlp.worker.process_lifetime import Process
from jmlp.worker.recorder import Recorder
from jmlp.worker.resume_conditions import Conditions, check_digests

if TYPE_CHECKING:
    from jmlp.worker.signals import Stopping

PAUSED_SECONDS = 0.1  # between two looks at the commands

FAILED_ONCE = "failed once"  # the event of a run that gets another try


class FreshProcess(Exception):
    """What is left of the study should be trained by a process that has nothing behind it.

    The study stays "running": the process that takes the place of this one continues it.
    """


class _Left(Exception):
    """The training was left before its end."""

    def __init__(self, state: Literal["stopped", "interrupted"], detail: str) -> None:
        self.state, self.detail = state, detail


@dataclass
class Work:
    """A study in the hands of a worker."""

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
        """Trains what is left of the study and sets its state, whatever happens.

        Args:
            after: how the worker before this one died, where its runs may be the reason.

        Raises:
            FreshProcess: a device failed, or this process has compiled enough.
        """
        try:
            dead = self._in_training()  # when their worker died: no other has the store now
            self.store.set_runs(dead, "queued")
            if after:
                self._give_up(dead, DeviceError.exit_code, after)
            self._train(*self._prepare())
        except _Left as left:
            self._leave(left)
        except FreshProcess:
            if self.stopping.reason is None:
                raise
            self._leave(self._request())
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

    def _in_training(self) -> list[str]:
        """Ids of the study's runs that a worker has in hand, as the store says."""
        return [run.run_id for run in self.store.runs(self.label) if run.state == "running"]

    def _prepare(self) -> tuple[Plan, Plan, Dataset]:
        """The whole plan, the plan of what is not there yet, and the data.

        Raises:
            DataError: the data cannot be had, or are not those that the study was submitted with.
        """
        study = parse_study(self.row.toml, self.label)
        dataset = datasets.load(self.row.data.get("path") or study.data, self.say)
        check_digests(self.label, self.row.data["digests"], dataset)
        plan = planning.make_plan(study, planning.data_facts(dataset))
        self._reconcile(plan)
        over = {run.run_id for run in self.store.runs(self.label) if run.state in RUN_OVER}
        return plan, planning.without(plan, over), dataset

    def _reconcile(self, plan: Plan) -> None:
        """What a kill left between the files of runs and their rows: the files are the truth.

        The files of a cohort are written one after the other. Where some are missing, all of it
        resumes from its checkpoint: those that are missing would have none of their own.
        """
        rows = {run.run_id: run for run in self.store.runs(self.label)}
        for row in rows.values():
            path = run_files.path_of(self.folder, row.run_id)
            if row.state in RUN_ENDED and not is_there(path):
                self.say(f"{path}: is gone: the run is trained again")
                self.store.set_runs([row.run_id], "queued")
        ended = {row.run_id for row in self.store.runs(self.label) if row.state in RUN_ENDED}
        for group in planning.without(plan, ended).groups:
            for cohort in group.cohorts:
                found = [self._written(rows[run.run_id]) for run in cohort.runs]
                whole = [result for result in found if result is not None]
                if len(whole) == len(found):
                    self.store.end(self.label, whole)

    def _written(self, row: RunRow) -> RunResult | None:
        """The result of a run that has a file and no row that says so; None: there is none."""
        path = run_files.path_of(self.folder, row.run_id)
        if not is_there(path):
            return None
        try:
            stored = run_files.read(path)
        except JmlpError as error:
            if is_forbidden(error):  # it may be whole, and would be replaced
                raise
            self.say(f"{error}: the run is trained again")
            return None
        return stored.result if stored.about["attempt"] == row.attempt else None

    def _train(self, whole: Plan, plan: Plan, dataset: Dataset) -> None:
        hardware = self.row.hardware
        continued = self.row.state == "running"  # in the place of the process that began
        if not continued:
            self.store.record(
                self.label, [], Progress()
            )  # how far it once was is not how far it is
        # Before its state is "running": XLA may end the process here over an unknown flag.
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
            self._warn_of_mixture(now)
        self.must = Conditions(attempts, can_drop, dataset.digests, now)
        self.keys = {
            run.run_id: key_of([r.run_id for r in cohort.runs], group.width)
            for group in plan.groups
            for cohort in group.cohorts
            for run in cohort.runs
        }
        self.recorder = Recorder(self.folder, self.label, self.must, self.say)
        training = engine.Training(
            plan, dataset, devices, saved=self._saved, alone=self.process.alone
        )
        try:
            self._watch(training, whole, plan)
        except (DeviceError, MemoryError) as error:
            message = str(error) or "out of memory"
            self.recorder.flush()
            if not self.running:  # a fresh process would come no further
                raise DeviceError(message) from error
            self._give_up(self.running, DeviceError.exit_code, message)
            self.say(f"{message}: continues in a fresh process")
            raise FreshProcess from error
        finally:
            self.recorder.close()

    def _warn_of_mixture(self, now: Provenance) -> None:
        """Runs that ended before under other settings will stand in one table with those to come.

        Args:
            now: of the runs to come; their width and program are not known yet.
        """
        before = [run.result.provenance for run in self.store.runs(self.label) if run.result]
        others: Counter[str] = Counter()
        for then in before:
            found = changes(replace(then, width=now.width, can_drop=now.can_drop), now)
            others[", ".join(f"{name} was {text}" for name, text in found.items())] += 1
        del others[""]
        for what, n in others.items():
            self.say(
                f"warning: {n} of {len(before)} runs that ended before were made with something "
                f"else, so equal runs may differ a little: {what}"
            )

    def _watch(self, training: engine.Training, whole: Plan, plan: Plan) -> None:
        """Consumes the training; after each chunk there may be something to save or to obey.

        Raises:
            FreshProcess: another process should compile the next group; all before it is stored.
        """
        every = self.row.hardware.get("checkpoint_seconds") or environment.CHECKPOINT_SECONDS
        saved, in_training, group = time.monotonic(), frozenset[str](), 0
        before = saved
        for progress in training:
            now = time.monotonic()
            chunk, before = now - before, now
            if progress.results:
                ended = [result.run_id for result in progress.results]
                self.running.difference_update(ended)
                self.recorder.ended(progress.results, {self.keys[run_id] for run_id in ended})
            self.recorder.live(_of_whole_study(progress, whole, plan))
            self._obey(training)
            if progress.group > group:  # the next one begins: nothing is in training
                group = progress.group
                if self.process.is_spent:
                    self.recorder.flush()
                    raise FreshProcess
                self.process.groups += 1
            # A cohort is saved once after its first chunk, then as often as was asked for.
            new = self.running - in_training
            # It should be on disk within the interval: the next chance comes a chunk later.
            soon = max(every / 2, every - chunk - self.recorder.save_seconds)
            due = new or now - saved >= soon
            if due and progress.phase == "training" and self.recorder.idle:
                if copies := training.copies():
                    self.recorder.checkpoint(copies)
                saved, in_training = now, frozenset(self.running)
        self.recorder.flush()

    def _obey(self, training: engine.Training) -> None:
        """Commands and requests to leave.

        Raises:
            _Left: with the state that the study is left in; all is saved.
        """
        paused = False
        while True:
            for command in self.store.take_commands(self.label):
                if command == "stop":
                    self._save(training)
                    raise _Left("stopped", "by command")
                if command == "pause" and not paused:
                    self._save(training)
                    self.store.set_study(self.label, "paused", event="paused")
                    paused = True
                elif command == "resume" and paused:
                    self.store.set_study(self.label, "running", event="resumed")
                    paused = False
            if self.stopping.reason is not None:
                self._save(training, patient=False)
                raise self._request()
            if not paused and self.recorder.blocked is None:
                return
            self.stopping.wait(PAUSED_SECONDS)

    def _save(self, training: engine.Training, *, patient: bool = True) -> None:
        """A checkpoint of now, on disk before this returns; if not `patient`, not on a full one."""
        with self.stopping.saving():
            if copies := training.copies():
                self.recorder.checkpoint(copies)
            self.recorder.flush(patient=patient)

    def _saved(self, cohort: Cohort, width: int) -> CohortState | None:
        """Where a cohort that is about to begin was left; and its rows made to fit that."""
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

    def _give_up(self, run_ids: Collection[str], code: int, message: str) -> None:
        """Runs that were in training at a failure get one more try; then they have failed."""
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

    def _request(self) -> _Left:
        """What the request to leave makes of the study."""
        why = self.stopping.reason
        return _Left("interrupted", f"signal {why}" if why else "its starter has gone")

    def _leave(self, left: _Left) -> None:
        left_as: RunState = "stopped" if left.state == "stopped" else "queued"
        self.store.set_runs(self._in_training(), left_as)
        self.store.set_study(self.label, left.state, event=left.state, detail=left.detail)

    def _finish(self) -> None:
        runs = self.store.runs(self.label)
        failed = [run for run in runs if run.state == "failed"]
        if any(run.state not in RUN_OVER for run in runs):  # more were submitted meanwhile
            self.store.set_study(self.label, "queued")
        elif failed:
            n, first = len(failed), failed[0]
            self._fail(first.code or 1, f"{n} run{'s' if n > 1 else ''} failed: {first.failure}")
        else:
            self.store.set_study(self.label, "done", event="done")

    def _fail(self, code: int, message: str) -> None:
        self.store.set_runs(self._in_training(), "queued")
        self.store.set_study(
            self.label, "failed", code=code, failure=message, event="failed", detail=message
        )


def _of_whole_study(progress: Progress, whole: Plan, plan: Plan) -> Progress:
    """How far a study is whose training was of what was left of it.

    Args:
        progress: of the training.
        whole: the study's plan.
        plan: of what was trained.
    """
    return replace(
        progress,
        group=progress.group + len(whole.groups) - len(plan.groups),
        n_groups=len(whole.groups),
        runs_done=progress.runs_done + len(whole.runs) - len(plan.runs),
        n_runs=len(whole.runs),
    )


def announcement(plan: Plan, devices: Sequence[jax.Device]) -> str:
    """What begins now, for people."""
    runs, groups = len(plan.runs), len(plan.groups)
    return (
        f"training {runs} run{'s' if runs > 1 else ''} in {groups} "
        f"group{'s' if groups > 1 else ''} on "
        f"{len(devices)} x {environment.device_name(devices[0])}"
    )
