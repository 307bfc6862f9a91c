"""Writes to the store what happens in training, in a thread of its own: training hardly waits."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jmlp.errors import DiskFullError
from jmlp.store import Store, run_files
from jmlp.store.checkpoints import Checkpoints, key_of
from jmlp.system import environment
from jmlp.training.plan import MOST_WAITING
from jmlp.training.records import CohortState, CostPoint, Progress, RunResult

COMMIT_SECONDS = 1.0  # live costs are committed at most this often
RETRY_SECONDS = 1.0  # after which a full disk is tried again

Job = Callable[[Store], None]
Say = Callable[[str], None]
Must = Callable[[Sequence[str], int], Mapping[str, Any]]


class Recorder:
    """The one that writes training's results, in the order in which they came.

    What was handed over is on disk after `flush`. A full disk is waited for (`blocked` says so);
    any other failure is raised by the next call.
    """

    def __init__(self, folder: Path, label: str, must: Must, say: Say) -> None:
        """Starts the thread.

        Args:
            folder: of the store.
            label: of the study in training.
            must: what has to be the same for a cohort to resume, of its run ids and width.
            say: tells the starter.
        """
        self.label, self.must, self.say = label, must, say
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.blocked: str | None = None
        self.save_seconds = 0.0  # that writing the last checkpoint took
        self._folder = folder
        self._points: list[tuple[str, CostPoint]] = []
        self._progress: Progress | None = None
        self._jobs: deque[Job] = deque()
        self._busy = False
        self._closing = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    # ---- called by the training thread

    def live(self, progress: Progress) -> None:
        """New costs, and how far all is: written within a second or so."""
        self.check()
        with self._changed:
            self._points += progress.points.items()
            self._progress = progress
            self._changed.notify_all()

    def ended(self, results: Sequence[RunResult], keys: Collection[str]) -> None:
        """All runs of some cohorts: their files, then their rows; then checkpoints have served.

        Where training is faster than the disk it waits here, so that few results are in memory. On
        a full disk it does not: what then happens is decided between two chunks.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error is not None
                    or self.blocked is not None
                    or len(self._jobs) < MOST_WAITING
                )
            )
        self._put(lambda store: self._end(store, results, keys))

    def checkpoint(self, copies: Sequence[CohortState]) -> None:
        """Cohorts in training, to resume from."""
        self._put(lambda store: self._save(copies))

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written but live costs."""
        with self._changed:
            return not self._jobs and not self._busy

    def flush(self, *, patient: bool = True) -> None:
        """Waits until all is on disk; if not `patient`, only as long as there is space.

        Raises:
            StoreError: it could not be written.
        """
        self._put(lambda store: None)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error
                    or not (self._jobs or self._busy)
                    or (self.blocked is not None and not patient)
                )
            )
        self.check()

    def check(self) -> None:
        """Raises what went wrong in the thread."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Ends the thread; what could not be written until now is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _put(self, job: Job) -> None:
        self.check()
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    # ---- in the thread

    def _run(self) -> None:
        try:
            with Store(self._folder) as store:
                committed = -COMMIT_SECONDS
                while True:
                    with self._changed:
                        self._changed.wait_for(lambda: self._jobs or self._closing, COMMIT_SECONDS)
                        job = self._jobs.popleft() if self._jobs else None
                        self._busy = job is not None
                        closing = self._closing and job is None
                        due = time.monotonic() - committed >= COMMIT_SECONDS
                    if job is not None or due or closing:
                        self._patiently(self._commit, store)
                        committed = time.monotonic()
                    if job is not None:
                        self._patiently(job, store)
                    with self._changed:
                        self._busy = False
                        self._changed.notify_all()
                    if closing:
                        return
        except BaseException as error:
            with self._changed:
                self._error, self._busy = error, False
                self._changed.notify_all()

    def _patiently(self, job: Job, store: Store) -> None:
        """Again and again while the disk is full; each job leaves the old or the new state."""
        while True:
            try:
                job(store)
            except DiskFullError as error:
                if self._closing:
                    raise
                if self.blocked is None:
                    self.say(f"the disk is full: training waits until there is space ({error})")
                with self._changed:
                    self.blocked = str(error)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
            else:
                if self.blocked is not None:
                    self.say("there is space again: training continues")
                self.blocked = None
                return

    def _commit(self, store: Store) -> None:
        with self._changed:
            points, progress = list(self._points), self._progress
        if points or progress:
            store.record(self.label, points, progress)
        with self._changed:
            del self._points[: len(points)]
            self._progress = None if self._progress is progress else self._progress

    def _end(self, store: Store, results: Sequence[RunResult], keys: Collection[str]) -> None:
        for result in results:
            run_files.write(
                self._folder / "runs" / f"{result.run_id}.safetensors",
                result,
                **store.about_run(result.run_id),
            )
        store.end(self.label, results)
        for key in keys:
            self.checkpoints.drop(key)

    def _save(self, copies: Sequence[CohortState]) -> None:
        started = time.monotonic()
        for copy in copies:
            key = key_of(copy.run_ids, copy.width)
            must, note = self.must(copy.run_ids, copy.width), dict(environment.versions())
            self.checkpoints.save(key, copy, {"must": must, "note": note})
        self.save_seconds = time.monotonic() - started
