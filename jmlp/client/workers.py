"""Workers: how to start one, which one is training a study, and what to do when one has died."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jmlp.errors import DeviceError, JmlpError, StoreError, error_with_code
from jmlp.store import Lock, Owner, Store
from jmlp.system import diagnosis, processes
from jmlp.system.files import NO_SPACE

LOCKED = 75  # a worker's exit code if another one is using the store: try again later

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # within which a detached worker should have started
LOG_BYTES = 1_000_000

# Signals of a crash, which the worker's runs may have caused. Any other signal was sent by someone,
# and no run is to blame, however often it happens, except for a SIGKILL due to lack of memory.
CRASHES = (
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGSYS, signal.SIGTRAP, signal.SIGXCPU),
)

# Crashes of workers in a row without any progress between them. Runs that were in training fail
# after two; with this many crashes, none ever was, and restarting is hopeless.
MAX_CRASHES = 7

# Workers ended from outside in a row before restarts begin to pause. Programs that free memory end
# processes too, and the system does not count those.
IMMEDIATE_RESTARTS = 5
MAX_PAUSE = 60.0  # seconds


def worker_of(store: Store, label: str) -> Owner | None:
    """The worker that is training a study, if there is one."""
    owner = Lock(store.folder).owner()
    return owner if owner is not None and owner.study == label else None


def start_worker(folder: Path, label: str | None, after: str = "") -> "subprocess.Popen[str]":
    """Starts a worker. For one study it ends with this process; for all, it is independent.

    Args:
        folder: the store's folder.
        label: the study; None means all queued ones.
        after: how the previous worker died, if its runs may be the cause.

    Raises:
        DeviceError: the system cannot start it.
        StoreError: its log cannot be written.
    """
    command = ["-m", "jmlp.worker", str(folder)]
    command += ["--study", label, "--attached"] if label is not None else []
    command += ["--after", after] if after else []
    with _open_log(log_path(folder)) as errors:
        return processes.start(
            *command,
            stdin=subprocess.PIPE if label is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE if label is not None else errors,
            stderr=errors,
        )


def _open_log(path: Path) -> IO[str]:
    """The log, open for appending; /dev/null if the disk is full, which must not end training.

    Raises:
        StoreError: it cannot be written for another reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".old.log"))
        # Non-blocking, because opening a pipe would wait for a reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        return open(os.open(path, flags, 0o666), "a", encoding="utf-8")
    except OSError as error:
        if error.errno in NO_SPACE:
            return open(os.devnull, "a", encoding="utf-8")
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def detach(folder: Path, label: str) -> int:
    """Starts an independent worker for all queued studies; returns its process id.

    Args:
        folder: the store's folder.
        label: a queued study; returns once the worker has begun it or waits for its turn.

    Raises:
        JmlpError: the worker ended at once; the message says why.
    """
    log = log_end(folder)
    worker = start_worker(folder, None)
    try:
        _wait_for_start(folder, label, worker, log)
    finally:
        if worker.poll() is None:
            worker.returncode = 0  # it outlives this process; Python would warn about that
            threading.Thread(target=_reap, args=(worker.pid,), daemon=True).start()
    return worker.pid


def _wait_for_start(folder: Path, label: str, worker: "subprocess.Popen[str]", log: int) -> None:
    """Waits until a worker has begun a study, or is itself waiting for its turn.

    Raises:
        JmlpError: the worker ended, or the study failed, at once; the message says why.
    """
    until = time.monotonic() + START_SECONDS
    with Store(folder, viewer=True) as store:
        while time.monotonic() < until:
            code = worker.poll()
            row = store.study(label)
            if row.state == "failed":
                raise error_with_code(row.failure or "", row.code or 1)
            if row.state != "queued" or code == 0:
                return
            if code is not None:
                raise why_ended(folder, code, log)
            if (owner := Lock(folder).owner()) and owner.pid != worker.pid:
                return  # another worker is training; the new one waits for its turn
            time.sleep(POLL_SECONDS)


def _reap(pid: int) -> None:
    """Reaps a child process when it ends, so that it leaves no zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def log_path(folder: Path) -> Path:
    """The file to which workers write errors and the output of libraries."""
    return folder / "logs" / "worker.log"


def log_end(folder: Path) -> int:
    """The log's current size in bytes, after which a worker started next will write."""
    try:
        return log_path(folder).stat().st_size
    except OSError:
        return 0


def why_ended(folder: Path, code: int, log: int) -> JmlpError:
    """Why a worker ended without reporting it, according to the last lines of its log.

    Args:
        folder: the store's folder.
        code: the exit code, or a negative signal number.
        log: the log's size before it was started, in bytes.
    """
    return diagnosis.end("the worker", code, _printed(folder, log))


def _printed(folder: Path, log: int) -> str:
    """What was written to the log after its first `log` bytes; empty if the log is a pipe."""
    if not log_path(folder).is_file():
        return ""
    try:
        with log_path(folder).open("rb") as file:
            # A full log was moved aside when the worker was started.
            file.seek(log if log <= log_end(folder) else 0)
            return file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


@dataclass(frozen=True)
class Restart:
    """The decision to start another worker in place of one that died."""

    how: str  # how it died
    after: str  # for `start_worker`: how and why it died, if its runs may be the cause; else ""
    pause: float = 0.0  # seconds to wait before the start

    def text(self) -> str:
        """The message for the user."""
        when = f" in {self.pause:.0f} s" if self.pause else ""
        return f"{self.how}: starts again from the last checkpoint{when}"


@dataclass(frozen=True)
class GiveUp:
    """The decision not to start another worker, as none gets as far as training."""

    failure: str


class RestartPolicy:
    """Decides what to do when workers of a study die, one after the other."""

    def __init__(self, store: Store, label: str) -> None:
        """Begins without any deaths.

        Args:
            store: the store with the study, open for writing.
            label: the study's label.
        """
        self._store, self._label = store, label
        self._crashes = self._ended = 0  # in a row: crashed, and ended from outside
        self._progress: Any = None
        self.starting()

    def starting(self) -> None:
        """Has to be called before each start of a worker."""
        self._out_of_memory = processes.oom_kills()
        self._log = log_end(self._store.folder)

    def reason(self, code: int) -> JmlpError:
        """Why the last worker ended without reporting it."""
        return why_ended(self._store.folder, code, self._log)

    def decide(self, number: int) -> Restart | GiveUp:
        """Decides what follows the death of a worker whose study was not over.

        When this returns, the study is queued again or has failed.

        Args:
            number: the signal by which it died; 0 if it exited as if everything were done.

        Raises:
            StoreError: the store cannot be read or written.
        """
        failed = sum(run.state == "failed" for run in self._store.runs(self._label))
        progress = self._store.last_point(), self._store.counts(self._label), failed
        if progress != self._progress:
            self._crashes = self._ended = 0
        self._progress = progress
        how = f"the worker {diagnosis.how_it_ended(-number)}"
        if number == signal.SIGKILL and processes.oom_kills() > self._out_of_memory:
            how = "out of memory: the system ended the worker"
        elif number not in (0, *CRASHES):
            self._ended += 1
            self._store.set_study(self._label, "queued")
            return self._after_outside_end(how)
        self._crashes += 1
        printed = _printed(self._store.folder, self._log)
        known = diagnosis.known_error(printed)
        if self._crashes < MAX_CRASHES:
            self._store.set_study(self._label, "queued")
            if number == 0:  # its runs are not the cause
                return Restart(how, after="")
            why = (known or diagnosis.last_message(printed)) if number in CRASHES else ""
            return Restart(how, after=f"{how}: {why}" if why else how)
        why = known or diagnosis.last_message(printed) or "it printed nothing"
        failure = f"{how}, {self._crashes} times in a row and before a run was in training: {why}"
        self._store.set_study(
            self._label,
            "failed",
            code=known.exit_code if known else DeviceError.exit_code,
            failure=failure,
            event="failed",
            detail=failure,
        )
        return GiveUp(failure)

    def _after_outside_end(self, how: str) -> Restart:
        """Restarts a worker that was ended from outside, with growing pauses if this repeats."""
        n_pauses = self._ended - IMMEDIATE_RESTARTS
        if n_pauses <= 0:
            return Restart(how, after="")
        text = f"{how}, {self._ended} times in a row (if no one does this, memory may be short)"
        return Restart(text, after="", pause=min(2.0 ** (n_pauses - 1), MAX_PAUSE))
