"""Watches a study from the terminal, and starts a worker for it if there is none."""

import contextlib
import subprocess
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from jmlp.cli.output import Output
from jmlp.cli.progress import Display, Stop, display, stoppable
from jmlp.client import workers
from jmlp.client.workers import LOCKED, Restart, RestartPolicy
from jmlp.errors import DiskFullError, error_with_code
from jmlp.store import Lock, Store, StudyRow, StudyState
from jmlp.store.states import STUDY_OVER

LEAVE_SECONDS = 60.0  # within which a worker that was asked to stop has to have saved everything


def train(folder: Path, label: str, out: Output) -> int | None:
    """Trains a queued study to its end.

    Starts a worker if none is using the store; otherwise only watches the one that is.

    Returns:
        The signal that ended the watching, or None if the study is over.

    Raises:
        JmlpError: the worker could not start.
    """
    with Store(folder) as store, stoppable() as stop, display(out) as show:
        return _Session(store, label, show, stop).train()


def attach(folder: Path, label: str, out: Output) -> int | None:
    """Watches a study that a worker is training, until it is over or the worker has gone.

    Returns:
        The signal that ended the watching, or None.
    """
    with Store(folder, viewer=True) as store, stoppable() as stop, display(out) as show:
        return _Session(store, label, show, stop).watch()


class _Session:
    def __init__(self, store: Store, label: str, show: Display, stop: Stop) -> None:
        self.store, self.label, self.show, self.stop = store, label, show, stop
        self.lock = Lock(store.folder)
        self.worker: subprocess.Popen[str] | None = None
        self.lines: deque[str] = deque()
        self.error = ""  # the last error that the worker reported
        self.seen = self.store.last_point()
        self.version = 0  # of the store, when it was read last
        self.row: StudyRow | None = None  # as read then
        self.attached_to: int | None = None
        self.had_worker = False
        self.restarts = RestartPolicy(store, label)
        self.restart: Restart | None = None  # pending, after the death of the worker
        self.restart_time = 0.0  # `time.monotonic` of the restart

    def train(self) -> int | None:
        while True:
            row = self.poll()
            if self.stop.signal is not None:
                self.stop_worker()
                return self.stop.signal
            if self.worker is not None and self.worker.poll() is not None:
                self.on_worker_exit(self.worker.wait())
                continue
            if self.worker is None and self.restart is not None:
                if time.monotonic() >= self.restart_time:
                    self.start(self.restart.after)
            elif self.worker is None:
                if self.is_over(row.state):
                    return None
                self.find_worker()
            time.sleep(workers.POLL_SECONDS)

    def watch(self) -> int | None:
        begun = time.monotonic()
        while True:
            owner = self.lock.owner()
            row = self.poll()
            if self.stop.signal is not None or row.state in STUDY_OVER:
                return self.stop.signal
            if row.state == "queued":  # it waits for a worker, which may be starting
                if owner is not None:
                    begun = time.monotonic()
                elif time.monotonic() - begun > workers.START_SECONDS:
                    return None
            elif owner is None or owner.study != self.label:
                return None
            time.sleep(workers.POLL_SECONDS)

    def poll(self) -> StudyRow:
        """Shows new messages of the worker and new progress in the store; returns the study."""
        while self.lines:
            line = self.lines.popleft()
            if line.startswith("error: "):
                self.error = line.removeprefix("error: ")
            else:
                self.show.say(line)
        version = self.store.version()
        if self.row is not None and version == self.version:
            return self.row
        self.version = version
        self.row = row = self.store.study(self.label)
        self.seen, points = self.store.new_points(self.label, self.seen)
        done, n_runs = self.store.counts(self.label)
        progress = replace(row.progress, runs_done=done, n_runs=n_runs)
        owner = self.lock.owner()
        if owner is None or not owner.is_local:  # its times are those of another clock
            progress = replace(progress, phase_began=None)
        self.show.show(row.state, progress, [point for _, point in points])
        return row

    def is_over(self, state: str) -> bool:
        """Whether this session has nothing left to do.

        A worker of another terminal stops with that terminal; then this session takes over.
        """
        return state in STUDY_OVER and (self.had_worker or state != "interrupted")

    def set_study(self, state: StudyState, **more: Any) -> None:
        """Changes the study's state, and makes the next `poll` read it again."""
        self.row = None
        self.store.set_study(self.label, state, **more)

    def find_worker(self) -> None:
        """Starts a worker, unless another one is using the store."""
        owner = self.lock.owner()
        if owner is None:
            self.attached_to = None
            state = self.store.study(self.label).state
            if self.is_over(state):  # the other worker finished it just before it ended
                return
            if state != "queued":  # its worker died
                self.set_study("queued")
            self.start()
        elif self.attached_to != owner.pid:
            self.attached_to = owner.pid
            trains = f" and trains {owner.study}" if owner.study else ""
            self.show.say(
                f"attached: another worker ({owner.process}) is using this store{trains}; "
                "Ctrl-C does not stop it"
            )

    def start(self, after: str = "") -> None:
        self.restart = None
        self.restarts.starting()
        self.worker = workers.start_worker(self.store.folder, self.label, after)
        self.had_worker = True
        assert self.worker.stdout is not None
        self.reader = threading.Thread(target=self.read, args=(self.worker.stdout,), daemon=True)
        self.reader.start()
        self.stop.before_leaving = self.worker.kill

    def read(self, stdout: IO[str]) -> None:
        with stdout:
            self.lines.extend(line.rstrip("\n") for line in stdout)

    def on_worker_exit(self, code: int) -> None:
        """Decides what to do after the worker has ended."""
        worker, self.worker = self.worker, None
        assert worker is not None
        assert worker.stdin is not None
        worker.stdin.close()
        self.reader.join()  # so that its last messages are shown
        self.poll()
        if code == LOCKED:
            self.had_worker = False
        if code == LOCKED or self.store.study(self.label).state in STUDY_OVER:
            return
        if code == 0 and self.lock.owner() is not None:  # another worker took the study first
            return
        if code > 128:  # by request, while it could not be interrupted and saved
            self.mark_interrupted()
            return
        if code > 0:
            raise error_with_code(self.error, code) if self.error else self.restarts.reason(code)
        self.restart_after(-code)

    def restart_after(self, number: int) -> None:
        """Schedules another worker in place of one that died, unless restarting is hopeless."""
        decision = self.restarts.decide(number)
        self.row = None  # the study's state has changed
        if isinstance(decision, Restart):
            self.show.say(decision.text())
            self.restart = decision
            self.restart_time = time.monotonic() + decision.pause

    def stop_worker(self) -> None:
        """Asks this session's own worker to save and to end; leaves any other alone."""
        if self.worker is None:
            if self.restart is not None:  # no worker is running until the restart
                self.mark_interrupted()
            return
        assert self.worker.stdin is not None
        self.worker.stdin.close()
        try:
            self.worker.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()
        self.reader.join()  # so that its last messages are shown
        with contextlib.suppress(DiskFullError):  # the lock shows it to the next worker anyway
            self.mark_interrupted()
        self.poll()

    def mark_interrupted(self) -> None:
        """Sets the study's state to interrupted, if its worker ended without doing so."""
        row = self.store.study(self.label)
        if row.state in STUDY_OVER or self.lock.owner() is not None:
            return
        running = [run.run_id for run in self.store.runs(self.label) if run.state == "running"]
        self.store.set_runs(running, "queued")
        self.set_study("interrupted", event="interrupted", detail="its worker was ended")
