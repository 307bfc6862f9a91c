"""One worker a store: a lock of the operating system, held as long as the worker lives.

The kernel frees it whatever ends the process, so there is no heartbeat, no clock, and no process id
to be mistaken for another's. The note in the file only tells people who the owner is.
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

NAME = "worker.lock"
POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0  # for which the lock of those who only look is waited for in any case
NOTE_SECONDS = 1.0  # in which a new owner has written its note
_NOTE_BYTES = 4096  # the note is filled up to this and written at once: it is never read in part
_MOST_BYTES = 1_000_000  # that are read of a note
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """Who holds the lock; for a message only."""

    pid: int
    host: str
    boot_id: str  # empty where the system has none
    started: int  # when it took the lock, UTC, milliseconds
    study: str | None  # the label of what it trains

    @property
    def process(self) -> str:
        """`process 12 on host`, for a message."""
        return f"process {self.pid} on {plain(self.host)}"


class Lock:
    """The right to train in a store."""

    def __init__(self, folder: Path) -> None:
        """Takes nothing yet.

        Args:
            folder: of the store.
        """
        self.path = folder / NAME
        self.study: str | None = None  # that its owner trains; where it is held here
        self._descriptor: int | None = None
        self._started = 0

    @classmethod
    def inherit(cls, folder: Path, descriptor: int) -> "Lock":
        """The lock that `pass_on` left to this process.

        Args:
            folder: of the store.
            descriptor: what `pass_on` returned.

        Raises:
            StoreError: it is no lock of this store that is held.
        """
        lock = cls(folder)
        try:
            os.set_inheritable(descriptor, False)
            is_it = os.path.samestat(os.fstat(descriptor), os.stat(lock.path))
            note = (
                _read_note(descriptor) if is_it and lock._flock(descriptor, fcntl.LOCK_EX) else None
            )
        except OSError as error:
            raise lock._error(error) from error
        if note is None:
            raise StoreError(f"{lock.path}: was not left to this process")
        lock._descriptor, lock._started, lock.study = descriptor, note.started, note.study
        return lock

    def pass_on(self) -> int:
        """Leaves the lock to the process that takes this one's place; returns what it needs.

        Raises:
            StoreError: the lock is not held.
        """
        descriptor = self._held()
        os.set_inheritable(descriptor, True)
        return descriptor

    def acquire(self, timeout: float = 0.0) -> bool:
        """Takes the lock; False where another one had it for all of `timeout` seconds.

        Raises:
            StoreError: the file cannot be made, or its file system knows no locks.
        """
        if self._descriptor is not None:
            return True
        descriptor = self._open(os.O_RDWR | os.O_CREAT)
        try:
            if not self._wait(descriptor, time.monotonic() + timeout):
                os.close(descriptor)
                return False
            self._descriptor, self._started = descriptor, time.time_ns() // 1_000_000
            self.describe(None)
        except BaseException:
            self._descriptor = None
            os.close(descriptor)
            raise
        return True

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = self.study = None

    def describe(self, label: str | None) -> None:
        """Writes into the lock which study its owner trains.

        Raises:
            StoreError: the lock is not held, or the note cannot be written.
        """
        descriptor = self._held()
        self.study = label
        boot_id = ""
        with contextlib.suppress(OSError):
            boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        owner = Owner(os.getpid(), socket.gethostname(), boot_id, self._started, label)
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
        """A descriptor that no child process inherits; missing for reading is FileNotFoundError."""
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
                raise StoreError(f"{self.path}: cannot be made") from None
            raise
        except OSError as error:
            raise self._error(error) from error

    def _wait(self, descriptor: int, deadline: float) -> bool:
        """Whether the lock is ours. One who only looks holds it for an instant: no owner."""
        while not self._flock(descriptor, fcntl.LOCK_EX):
            held = self._is_held(descriptor)
            if time.monotonic() >= (deadline if held else deadline + LOOK_SECONDS):
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


def _read_note(descriptor: int) -> Owner | None:
    """None where it is not written yet, or not by jmlp."""
    try:
        return read(Owner, parse(os.pread(descriptor, _MOST_BYTES, 0)))
    except (OSError, UnreadableError):
        return None
