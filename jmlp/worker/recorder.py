"""Writes training's results to the store in a thread of its own, so that training hardly waits."""

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
RETRY_SECONDS = 1.0  # between attempts while the disk is full

Job = Callable[[Store], None]
Say = Callable[[str], None]
Must = Callable[[Sequence[str], int], Mapping[str, Any]]


class Recorder:
    """Writes training's results in the order in which they arrive.

    Everything passed to it is on disk after `flush`. It waits while the disk is full (`blocked` is
    then the error message); the next call raises any other failure.
    """

    def __init__(self, folder: Path, label: str, must: Must, say: Say) -> None:
        """Starts the thread.

        Args:
            folder: the store's folder.
            label: the label of the study in training.
            must: returns what has to match for a cohort to resume, given its run ids and width.
            say: called with each message for the parent process.
        """
        self.label, self.must, self.say = label, must, say
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.blocked: str | None = None
        self.save_seconds = 0.0  # how long writing the last checkpoint took
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
        """Accepts new costs and progress, which are written within about a second."""
        self.check()
        with self._changed:
            self._points += progress.points.items()
            self._progress = progress
            self._changed.notify_all()

    def ended(self, results: Sequence[RunResult], keys: Collection[str]) -> None:
        """Writes the files and then the rows of completed cohorts, then drops their checkpoints.

        If training is faster than the disk, it waits here, so that few results are in memory. If
        the disk is full, it does not wait: what happens then is decided between two chunks.

        Args:
            results: all runs of the cohorts.
            keys: the keys of the cohorts' checkpoints.
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
        """Writes checkpoints of cohorts in training."""
        self._put(lambda store: self._save(copies))

    @property
    def idle(self) -> bool:
        """Whether nothing but live costs is waiting to be written."""
        with self._changed:
            return not self._jobs and not self._busy

    def flush(self, *, wait_for_space: bool = True) -> None:
        """Waits until everything is on disk; gives up on a full disk unless `wait_for_space`.

        Raises:
            StoreError: it could not be written.
        """
        self._put(lambda store: None)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error
                    or not (self._jobs or self._busy)
                    or (self.blocked is not None and not wait_for_space)
                )
            )
        self.check()

    def check(self) -> None:
        """Raises the error that ended the thread, if there is one."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Ends the thread, and discards what a full disk has kept from being written."""
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
                        self._retry_while_full(self._commit, store)
                        committed = time.monotonic()
                    if job is not None:
                        self._retry_while_full(job, store)
                    with self._changed:
                        self._busy = False
                        self._changed.notify_all()
                    if closing:
                        return
        except BaseException as error:
            with self._changed:
                self._error, self._busy = error, False
                self._changed.notify_all()

    def _retry_while_full(self, job: Job, store: Store) -> None:
        """Retries a job while the disk is full; each attempt changes everything or nothing."""
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
