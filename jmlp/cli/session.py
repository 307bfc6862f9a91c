"""A study in the store, watched from here, and trained by a worker, started where there is none."""

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
from jmlp.client.workers import LOCKED, Again, Deaths
from jmlp.errors import DiskFullError, error_with_code
from jmlp.store import Lock, Store, StudyRow, StudyState
from jmlp.store.states import STUDY_OVER

LEAVE_SECONDS = 60.0  # in which a worker that was asked to leave has to have saved everything


def train(folder: Path, label: str, out: Output) -> int | None:
    """Sees a queued study to its end.

    A worker is started where none has the store; with one at work, this one is only watched.

    Returns:
        The signal that ended the watching, or None when the study is over.

    Raises:
        JmlpError: the worker could not begin.
    """
    with Store(folder) as store, stoppable() as stop, display(out) as show:
        return _Session(store, label, show, stop).train()


def attach(folder: Path, label: str, out: Output) -> int | None:
    """Watches a study that a worker has in hand, until it is over or the worker has gone.

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
        self.error = ""  # the worker's last word, if it could not begin
        self.seen = self.store.last_point()
        self.version = 0  # of the store, when it was looked at last
        self.row: StudyRow | None = None  # as it was then
        self.attached_to: int | None = None
        self.had_worker = False
        self.deaths = Deaths(store, label)
        self.again: Again | None = None  # what follows the death of the worker
        self.begins = 0.0  # when

    def train(self) -> int | None:
        while True:
            row = self.look()
            if self.stop.signal is not None:
                self.leave()
                return self.stop.signal
            if self.worker is not None and self.worker.poll() is not None:
                self.on_worker_exit(self.worker.wait())
                continue
            if self.worker is None and self.again is not None:
                if time.monotonic() >= self.begins:
                    self.start(self.again.after)
            elif self.worker is None:
                if self.is_over(row.state):
                    return None
                self.find_worker()
            time.sleep(workers.POLL_SECONDS)

    def watch(self) -> int | None:
        begun = time.monotonic()
        while True:
            owner = self.lock.owner()
            row = self.look()
            if self.stop.signal is not None or row.state in STUDY_OVER:
                return self.stop.signal
            if row.state == "queued":  # it waits for a worker, which may be one that is starting
                if owner is not None:
                    begun = time.monotonic()
                elif time.monotonic() - begun > workers.START_SECONDS:
                    return None
            elif owner is None or owner.study != self.label:
                return None
            time.sleep(workers.POLL_SECONDS)

    def look(self) -> StudyRow:
        """Shows what is new."""
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
        self.show.show(row.state, progress, [point for _, point in points])
        return row

    def is_over(self, state: str) -> bool:
        """Whether nothing is left to be done here.

        A worker of another terminal leaves with it; then this one sees to the study.
        """
        return state in STUDY_OVER and (self.had_worker or state != "interrupted")

    def set_study(self, state: StudyState, **more: Any) -> None:
        """Changes how the study stands, and looks at the store anew next time."""
        self.row = None
        self.store.set_study(self.label, state, **more)

    def find_worker(self) -> None:
        """Starts one, unless another has the store."""
        owner = self.lock.owner()
        if owner is None:
            self.attached_to = None
            state = self.store.study(self.label).state
            if self.is_over(state):  # the last thing that the worker of others did
                return
            if state != "queued":  # its worker died
                self.set_study("queued")
            self.start()
        elif self.attached_to != owner.pid:
            self.attached_to = owner.pid
            has = f" and trains {owner.study}" if owner.study else ""
            self.show.say(
                f"attached: another worker ({owner.process}) has this store{has}; "
                "Ctrl-C leaves it at work"
            )

    def start(self, after: str = "") -> None:
        self.again = None
        self.deaths.begun()
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
        """The worker has ended; whether that was right."""
        worker, self.worker = self.worker, None
        assert worker is not None
        assert worker.stdin is not None
        worker.stdin.close()
        self.reader.join()  # its last words
        self.look()
        if code == LOCKED:
            self.had_worker = False
        if code == LOCKED or self.store.study(self.label).state in STUDY_OVER:
            return
        if code == 0 and self.lock.owner() is not None:  # another worker took the study first
            return
        if code > 128:  # by request, in the middle of something that cannot be interrupted
            self.interrupted()
            return
        if code > 0:
            raise error_with_code(self.error, code) if self.error else self.deaths.reason(code)
        self.restart_after(-code)

    def restart_after(self, number: int) -> None:
        """Starts another worker in place of one that died, until it is hopeless."""
        follows = self.deaths.next(number)
        self.row = None  # the study stands otherwise now
        if isinstance(follows, Again):
            self.show.say(follows.text())
            self.again = follows
            self.begins = time.monotonic() + follows.pause

    def leave(self) -> None:
        """Asks the own worker to save and to end; one of others is left alone."""
        if self.worker is None:
            if self.again is not None:  # none is at work until the next one is started
                self.interrupted()
            return
        assert self.worker.stdin is not None
        self.worker.stdin.close()
        try:
            self.worker.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()
        self.reader.join()  # its last words
        with contextlib.suppress(DiskFullError):  # whoever resumes it finds out by the lock
            self.interrupted()
        self.look()

    def interrupted(self) -> None:
        """The own worker has left; says so in its place where it had no time to."""
        row = self.store.study(self.label)
        if row.state in STUDY_OVER or self.lock.owner() is not None:
            return
        running = [run.run_id for run in self.store.runs(self.label) if run.state == "running"]
        self.store.set_runs(running, "queued")
        self.set_study("interrupted", event="interrupted", detail="its worker was ended")
