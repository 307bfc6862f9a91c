"""Requests to stop a worker: a signal, or the end of the pipe from its parent process."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# SIGUSR1 is what Slurm sends before a time limit.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)

PARENT_GONE = 0  # in place of a signal's number

# Time from the request to the end of a chunk. An XLA compilation may take longer and cannot be
# interrupted: the process then ends in the middle of it, and the last checkpoint remains valid.
LEAVE_SECONDS = 1.5


class Stopping:
    """The first request stops training after its current chunk, a second signal ends it at once.

    A thread waits for requests, because Python's own handlers do not run until XLA returns.
    """

    def __init__(self, *, parent: int | None = None) -> None:
        """Handles the process's signals, except those that its parent made it ignore.

        Args:
            parent: the descriptor of a pipe from the parent, the end of which is a request.
        """
        self.reason: int | None = None  # a signal's number, or `PARENT_GONE`
        self._asked = threading.Event()
        self._over = threading.Event()  # no deadline any more: the worker is stopping or saving
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # which `nohup` sets
                signal.signal(number, _nothing)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._sources = [reading] if parent is None else [reading, parent]
        threading.Thread(target=self._wait, daemon=True, name="stopping").start()

    @property
    def code(self) -> int:
        """The exit code of a worker that stops on request."""
        return 128 + (self.reason or signal.SIGHUP)

    def defer(self) -> None:
        """Keeps all further requests for the process that replaces this one."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def take_deferred(self) -> None:
        """Accepts the requests that the replaced process deferred, and all later ones."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def wait(self, seconds: float) -> bool:
        """Sleeps until asked to stop, or for `seconds`; returns whether it was asked."""
        return self._asked.wait(seconds)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Suspends the deadline, so that saving may take as long as it needs."""
        self._over.set()
        try:
            yield
        finally:
            if self.reason is None:
                self._over.clear()

    def _wait(self) -> None:
        requests = self._requests()
        self.reason = next(requests)
        self._asked.set()
        threading.Thread(target=self._leave_in_time, daemon=True).start()
        # If a whole job is ended, the parent gets the signal too and its pipe ends as well: both
        # are the same request.
        signals = filter(None, requests)
        if self.reason == PARENT_GONE:
            next(signals)
        os._exit(128 + next(signals))

    def _requests(self) -> Iterator[int]:
        reading, *parent = self._sources
        while True:
            for source in select.select([reading, *parent], [], [])[0]:
                found = os.read(source, 1)
                if source == reading:
                    yield found[0]
                elif not found:
                    parent = []
                    yield PARENT_GONE

    def _leave_in_time(self) -> None:
        if not self._over.wait(LEAVE_SECONDS):
            print("stopped in the middle of a compilation", file=sys.stderr, flush=True)
            os._exit(self.code)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Does nothing; without a handler, the signal would end the process."""
    del number, frame
