"""Why a worker should leave: a signal, or the end of the pipe from the one who started it."""

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

STARTER_GONE = 0  # in place of a signal's number

# From the request to the end of a chunk. An XLA compile may take longer and cannot be interrupted:
# then the process ends in the middle of it, and the last checkpoint stands.
LEAVE_SECONDS = 1.5


class Stopping:
    """The first request asks the training to leave after its chunk, a second signal ends it now.

    A thread waits for requests, because Python's own handlers wait until XLA returns.
    """

    def __init__(self, *, starter: int | None = None) -> None:
        """Takes over the signals of the process, but not those that its starter had it ignore.

        Args:
            starter: the descriptor of a pipe from the starter, whose end is a request.
        """
        self.reason: int | None = None  # a signal's number, or `STARTER_GONE`
        self._asked = threading.Event()
        self._over = threading.Event()  # no more deadline: it is leaving, or saving
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, _nothing)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._sources = [reading] if starter is None else [reading, starter]
        threading.Thread(target=self._wait, daemon=True, name="stopping").start()

    @property
    def code(self) -> int:
        """The exit code of a worker that leaves on request."""
        return 128 + (self.reason or signal.SIGHUP)

    def defer(self) -> None:
        """From now on requests are kept for the process that takes this one's place."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def take_deferred(self) -> None:
        """Takes the requests that the process before this one deferred, and all that come."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def wait(self, seconds: float) -> bool:
        """Sleeps, but not when asked to leave; whether it was."""
        return self._asked.wait(seconds)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """While this lasts, what is under way may take its time."""
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
        # What ends a whole job sends one signal to the starter too, whose pipe then ends as well:
        # both mean the same request.
        signals = filter(None, requests)
        if self.reason == STARTER_GONE:
            next(signals)
        os._exit(128 + next(signals))

    def _requests(self) -> Iterator[int]:
        reading, *starter = self._sources
        while True:
            for source in select.select([reading, *starter], [], [])[0]:
                found = os.read(source, 1)
                if source == reading:
                    yield found[0]
                elif not found:
                    starter = []
                    yield STARTER_GONE

    def _leave_in_time(self) -> None:
        if not self._over.wait(LEAVE_SECONDS):
            print("left in the middle of a compile", file=sys.stderr, flush=True)
            os._exit(self.code)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler there must be, or the signal ends the process."""
    del number, frame
