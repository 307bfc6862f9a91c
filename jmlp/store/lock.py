"""One worker per store: an operating system lock, held as long as the worker lives.

The kernel releases it however the process ends, so there is no heartbeat, no clock, and no process
id that could belong to another process by now. The note in the file is only for messages.
"""

import contextlib
import fcntl
import json
import os
import socket
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, parse, read
from jmlp.study.rules import plain
from jmlp.system.clock import now

NAME = "worker.lock"
POLL_SECONDS = 0.05
PROBE_SECONDS = 1.0  # extra time to wait for processes that only probe the lock
NOTE_SECONDS = 1.0  # within which a new owner has written its note
_NOTE_BYTES = 4096  # the note is padded to this and written at once, so it is never read in part
_MAX_BYTES = 1_000_000  # read from a note at most
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """Who holds the lock; used in messages only."""

    pid: int
    host: str
    boot_id: str  # empty if the system has none
    started: int  # when it took the lock, UTC, milliseconds
    study: str | None  # the label of the study that it trains

    @property
    def process(self) -> str:
        """`process 12 on host`, for a message."""
        return f"process {self.pid} on {plain(self.host)}"

    @property
    def is_local(self) -> bool:
        """Whether its process id is one of this machine, since its last start."""
        here = socket.gethostname(), _boot_id()
        return self.pid > 0 and (self.host, self.boot_id) == here


class Lock:
    """The exclusive right to train in a store, across processes."""

    def __init__(self, folder: Path) -> None:
        """Does not acquire the lock yet.

        Args:
            folder: the store's folder.
        """
        self.path = folder / NAME
        self.study: str | None = None  # that this process trains, while it holds the lock
        self._descriptor: int | None = None
        self._started = 0

    @classmethod
    def inherit(cls, folder: Path, descriptor: int) -> "Lock":
        """The lock that `pass_on` handed over to this process.

        Args:
            folder: the store's folder.
            descriptor: what `pass_on` returned.

        Raises:
            StoreError: the descriptor is not a held lock of this store.
        """
        lock = cls(folder)
        try:
            os.set_inheritable(descriptor, False)
            is_lock = os.path.samestat(os.fstat(descriptor), os.stat(lock.path))
            note = (
                _read_note(descriptor)
                if is_lock and lock._flock(descriptor, fcntl.LOCK_EX)
                else None
            )
        except OSError as error:
            raise lock._error(error) from error
        if note is None:
            raise StoreError(f"{lock.path}: was not handed over to this process")
        lock._descriptor, lock._started, lock.study = descriptor, note.started, note.study
        return lock

    def pass_on(self) -> int:
        """Makes the lock inheritable by the program that replaces this one; returns its descriptor.

        Raises:
            StoreError: the lock is not held.
        """
        descriptor = self._held()
        os.set_inheritable(descriptor, True)
        return descriptor

    def acquire(self, timeout: float = 0.0) -> bool:
        """Takes the lock; returns False if another process held it for all of `timeout` seconds.

        Raises:
            StoreError: the file cannot be created, or its file system does not support locks.
        """
        if self._descriptor is not None:
            return True
        descriptor = self._open(os.O_RDWR | os.O_CREAT)
        try:
            if not self._wait(descriptor, time.monotonic() + timeout):
                os.close(descriptor)
                return False
            self._descriptor, self._started = descriptor, now()
            self.describe(None)
        except BaseException:
            self._descriptor = None
            os.close(descriptor)
            raise
        return True

    def release(self) -> None:
        """Releases the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = self.study = None

    def describe(self, label: str | None) -> None:
        """Notes in the lock file which study its owner trains.

        Raises:
            StoreError: the lock is not held, or the note cannot be written.
        """
        descriptor = self._held()
        self.study = label
        owner = Owner(os.getpid(), socket.gethostname(), _boot_id(), self._started, label)
        note = json.dumps(asdict(owner)).encode().ljust(_NOTE_BYTES)
        try:
            os.pwrite(descriptor, note, 0)
            os.ftruncate(descriptor, len(note))
        except OSError as error:
            raise self._error(error) from error

    def owner(self) -> Owner | None:
        """Who holds the lock now, or None.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            deadline = time.monotonic() + NOTE_SECONDS
            while self._is_held(descriptor):
                owner = _read_note(descriptor)
                if owner is not None:
                    return owner
                if time.monotonic() >= deadline:
                    return Owner(0, "unknown", "", 0, None)
                time.sleep(POLL_SECONDS)
            return None
        finally:
            os.close(descriptor)

    def _held(self) -> int:
        if self._descriptor is None:
            raise StoreError(f"{self.path}: is not held by this process")
        return self._descriptor

    def _open(self, flags: int) -> int:
        """A non-inheritable descriptor; raises FileNotFoundError if there is no file to read."""
        try:
            if flags & os.O_CREAT:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise StoreError(f"{self.path}: is not a regular file; remove it")
            return descriptor
        except FileNotFoundError:
            if flags & os.O_CREAT:
                raise StoreError(f"{self.path}: cannot be created") from None
            raise
        except OSError as error:
            raise self._error(error) from error

    def _wait(self, descriptor: int, deadline: float) -> bool:
        """Whether the lock was acquired; a process that only probes it holds it for an instant."""
        while not self._flock(descriptor, fcntl.LOCK_EX):
            held = self._is_held(descriptor)
            if time.monotonic() >= (deadline if held else deadline + PROBE_SECONDS):
                return False
            time.sleep(POLL_SECONDS if held else POLL_SECONDS / 50)
        return True

    def _is_held(self, descriptor: int) -> bool:
        free = self._flock(descriptor, fcntl.LOCK_SH)
        if free:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return not free

    def _flock(self, descriptor: int, kind: int) -> bool:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._error(error) from error
        return True

    def _error(self, error: OSError) -> StoreError:
        return StoreError(f"{self.path}: cannot be locked: {error.strerror or error}")


def _boot_id() -> str:
    """The system's name for the time since its last start; empty if it has none."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""


def _read_note(descriptor: int) -> Owner | None:
    """The owner's note; None if it has not been written yet, or not by jmlp."""
    try:
        return read(Owner, parse(os.pread(descriptor, _MAX_BYTES, 0)))
    except (OSError, UnreadableError):
        return None
