"""Workers: how one is started, which one has a study, and what to do when one has died."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmlp import processes
from jmlp.errors import DeviceError, StoreError
from jmlp.store import Lock, Owner, Store

LOCKED = 75  # a worker's exit code where another one has the store: try again later

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # in which a detached worker has to show itself
LOG_BYTES = 1_000_000

# Signals by which a process dies of its own fault: its runs may be the reason.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)

# Deaths of workers in a row, with nothing learned between them, until their runs are to blame. Two
# more and no run was in training: then it is hopeless.
MOST_DEATHS = 5


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
    """
    command = ["-m", "jmlp.worker", str(folder)]
    command += ["--study", label, "--attached"] if label is not None else []
    command += ["--after", after] if after else []
    log = log_path(folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
    with log.open("a", encoding="utf-8") as errors:
        return processes.start(
            *command,
            stdin=subprocess.PIPE if label is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE if label is not None else errors,
            stderr=errors,
        )


def detach(folder: Path, label: str) -> int:
    """Starts a worker of its own for all that is queued; returns its process id.

    Args:
        folder: of the store.
        label: a study in the queue, which it is to begin or to wait for.

    Raises:
        StoreError: it ended at once.
    """
    worker = start_worker(folder, None)
    until = time.monotonic() + START_SECONDS
    with Store(folder, viewer=True) as store:
        while time.monotonic() < until:
            code = worker.poll()
            if store.study(label).state != "queued" or code == 0:
                break
            if code is not None:
                raise StoreError(
                    f"{folder}: the worker ended with code {code}; see {log_path(folder)}"
                )
            if (owner := Lock(folder).owner()) and owner.pid != worker.pid:
                break  # it has other work first; the new one waits for its turn
            time.sleep(POLL_SECONDS)
    worker.returncode = 0  # it goes on without this process, of which Python would warn
    threading.Thread(target=_take_note, args=(worker.pid,), daemon=True).start()
    return worker.pid


def _take_note(pid: int) -> None:
    """Waits for the end of a child, of which the system would keep a trace otherwise."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def log_path(folder: Path) -> Path:
    """Where workers write what goes wrong."""
    return folder / "logs" / "worker.log"


def oom_kills() -> int:
    """How often the system has ended processes for lack of memory, as far as it tells."""
    found = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    found += int(line.split()[1])
    return found


@dataclass(frozen=True)
class Again:
    """Another worker is to be started in place of one that died."""

    how: str  # it died
    after: str  # what `start_worker` takes: the same where its runs may be the reason, else ""

    def text(self) -> str:
        """What to say of it."""
        return f"{self.how}: starts again from the last checkpoint"


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
        self._n = 0  # in a row
        self._learned: Any = None
        self._out_of_memory = oom_kills()

    def begun(self) -> None:
        """To be called before each start of a worker."""
        self._out_of_memory = oom_kills()

    def next(self, number: signal.Signals) -> Again | Hopeless:
        """What follows the death of a worker before its study was over.

        The study is in the queue again, or has failed, when this returns.

        Args:
            number: the signal by which it died.

        Raises:
            StoreError: the store cannot be read or written.
        """
        failed = sum(run.state == "failed" for run in self._store.runs(self._label))
        learned = self._store.last_point(), self._store.counts(self._label), failed
        self._n = self._n + 1 if learned == self._learned else 1
        self._learned = learned
        how = f"the worker was ended by signal {number:d} ({number.name})"
        after = ""
        if number == signal.SIGKILL and oom_kills() > self._out_of_memory:
            how = after = "out of memory: the system ended the worker"
        elif number in CRASHES or self._n >= MOST_DEATHS:
            after = how
        if self._n < MOST_DEATHS + 2:
            self._store.set_study(self._label, "queued")
            return Again(how, after)
        failure = (
            f"{how}, {self._n} times in a row and before a run was in training; "
            f"see {log_path(self._store.folder)}"
        )
        self._store.set_study(
            self._label,
            "failed",
            code=DeviceError.exit_code,
            failure=failure,
            event="failed",
            detail=failure,
        )
        return Hopeless(failure)
