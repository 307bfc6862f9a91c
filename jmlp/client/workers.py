"""Workers: how one is started, which one has a study, and what to do when one has died."""

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

LOCKED = 75  # a worker's exit code where another one has the store: try again later

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # in which a detached worker has to show itself
LOG_BYTES = 1_000_000

# Signals by which a process dies of its own fault: its runs may be the reason. By any other someone
# ended it, and no run is to blame, however often it happens; but for a SIGKILL for lack of memory.
CRASHES = (
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGSYS, signal.SIGTRAP, signal.SIGXCPU),
)

# Deaths of workers by their own fault, in a row and with nothing learned between them. Runs that
# were in training fail after two; where this many happen, none ever was: it is hopeless.
MOST_CRASHES = 7

# Workers that were ended from outside in a row, until one waits before the next begins. Programs
# that free memory end others too, and the system does not count that.
PATIENT_STARTS = 5
LONGEST_PAUSE = 60.0  # seconds


def worker_of(store: Store, label: str) -> Owner | None:
    """The worker that has a study in hand."""
    owner = Lock(store.folder).owner()
    return owner if owner is not None and owner.study == label else None


def start_worker(folder: Path, label: str | None, after: str = "") -> "subprocess.Popen[str]":
    """A new worker: for one study it stays with its starter, for all it is on its own.

    Args:
        folder: of the store.
        label: the study; None: all that are queued.
        after: how the worker before this one died, where its runs may be the reason.

    Raises:
        DeviceError: the system cannot start it.
        StoreError: there is no place for what it prints.
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
    """The log to append to; /dev/null where the disk is full, which ends no training.

    Raises:
        StoreError: it cannot be written for another reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".old.log"))
        # Not blocking, because the opening of a pipe would wait for a reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        return open(os.open(path, flags, 0o666), "a", encoding="utf-8")
    except OSError as error:
        if error.errno in NO_SPACE:
            return open(os.devnull, "a", encoding="utf-8")
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def detach(folder: Path, label: str) -> int:
    """Starts a worker of its own for all that is queued; returns its process id.

    Args:
        folder: of the store.
        label: a study in the queue, which it is to begin or to wait for.

    Raises:
        JmlpError: it ended at once; why.
    """
    log = log_end(folder)
    worker = start_worker(folder, None)
    try:
        _see_begin(folder, label, worker, log)
    finally:
        if worker.poll() is None:
            worker.returncode = 0  # it continues without this process, of which Python would warn
            threading.Thread(target=_reap, args=(worker.pid,), daemon=True).start()
    return worker.pid


def _see_begin(folder: Path, label: str, worker: "subprocess.Popen[str]", log: int) -> None:
    """Waits until a worker has begun, or waits for its turn.

    Raises:
        JmlpError: it ended, or the study failed, at once; why.
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
                return  # it has other work first; the new one waits for its turn
            time.sleep(POLL_SECONDS)


def _reap(pid: int) -> None:
    """Reaps a child process when it ends, so that it leaves no zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def log_path(folder: Path) -> Path:
    """Where workers write what goes wrong."""
    return folder / "logs" / "worker.log"


def log_end(folder: Path) -> int:
    """Where the log ends now, in bytes: what a worker that is started next writes comes after."""
    try:
        return log_path(folder).stat().st_size
    except OSError:
        return 0


def why_ended(folder: Path, code: int, log: int) -> JmlpError:
    """Why a worker ended that has not said it, by the last words in its log.

    Args:
        folder: of the store.
        code: the exit code, or less than 0: a signal.
        log: where the log ended before its start.
    """
    return diagnosis.end("the worker", code, _printed(folder, log))


def _printed(folder: Path, log: int) -> str:
    """What has come to the log since it ended there; nothing where it is no file, but a pipe."""
    if not log_path(folder).is_file():
        return ""
    try:
        with log_path(folder).open("rb") as file:
            # A log that is full was put aside when the worker was started.
            file.seek(log if log <= log_end(folder) else 0)
            return file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


@dataclass(frozen=True)
class Again:
    """Another worker is to be started in place of one that died."""

    how: str  # it died
    after: str  # what `start_worker` takes: how and why, where its runs may be the reason; else ""
    pause: float = 0.0  # seconds before it

    def text(self) -> str:
        """What to say of it."""
        when = f" in {self.pause:.0f} s" if self.pause else ""
        return f"{self.how}: starts again from the last checkpoint{when}"


@dataclass(frozen=True)
class Hopeless:
    """No worker gets as far as training: the study has failed."""

    failure: str


class Deaths:
    """What is to be done when workers of a study die, one after the other."""

    def __init__(self, store: Store, label: str) -> None:
        """Nothing has died yet.

        Args:
            store: where the study is; open for writing.
            label: the study.
        """
        self._store, self._label = store, label
        self._crashes = self._ended = 0  # in a row: by their own fault, and from outside
        self._learned: Any = None
        self.begun()

    def begun(self) -> None:
        """To be called before each start of a worker."""
        self._out_of_memory = processes.oom_kills()
        self._log = log_end(self._store.folder)

    def reason(self, code: int) -> JmlpError:
        """Why the last worker ended that has not said it."""
        return why_ended(self._store.folder, code, self._log)

    def next(self, number: int) -> Again | Hopeless:
        """What follows the death of a worker before its study was over.

        The study is in the queue again, or has failed, when this returns.

        Args:
            number: the signal by which it died; 0: it ended as if all were done.

        Raises:
            StoreError: the store cannot be read or written.
        """
        failed = sum(run.state == "failed" for run in self._store.runs(self._label))
        learned = self._store.last_point(), self._store.counts(self._label), failed
        if learned != self._learned:
            self._crashes = self._ended = 0
        self._learned = learned
        how = f"the worker {diagnosis.how_it_ended(-number)}"
        if number == signal.SIGKILL and processes.oom_kills() > self._out_of_memory:
            how = "out of memory: the system ended the worker"
        elif number not in (0, *CRASHES):
            self._ended += 1
            self._store.set_study(self._label, "queued")
            return self._after_another(how)
        self._crashes += 1
        printed = _printed(self._store.folder, self._log)
        known = diagnosis.complaint(printed)
        if self._crashes < MOST_CRASHES:
            self._store.set_study(self._label, "queued")
            if number == 0:  # of no fault of its runs
                return Again(how, after="")
            why = (known or diagnosis.last_words(printed)) if number in CRASHES else ""
            return Again(how, after=f"{how}: {why}" if why else how)
        why = known or diagnosis.last_words(printed) or "it printed nothing"
        failure = f"{how}, {self._crashes} times in a row and before a run was in training: {why}"
        self._store.set_study(
            self._label,
            "failed",
            code=known.exit_code if known else DeviceError.exit_code,
            failure=failure,
            event="failed",
            detail=failure,
        )
        return Hopeless(failure)

    def _after_another(self, how: str) -> Again:
        """What follows where it was ended from outside, again and again if need be."""
        in_vain = self._ended - PATIENT_STARTS
        if in_vain <= 0:
            return Again(how, after="")
        told = f"{how}, {self._ended} times in a row (if no one does this, memory may be short)"
        return Again(told, after="", pause=min(2.0 ** (in_vain - 1), LONGEST_PAUSE))
