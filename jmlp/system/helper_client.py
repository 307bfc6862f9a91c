"""Sends requests to a helper process, and yields its answers or explains why it died."""

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from jmlp.errors import DeviceError, JmlpError, error_with_code
from jmlp.system import diagnosis, processes

STOP_SECONDS = 0.1  # between checks whether to stop

Message = Mapping[str, Any]


def ask(
    module: str,
    request: Message,
    what: str,
    stop: threading.Event | None = None,
    variables: Mapping[str, str] | None = None,
) -> Generator[Message]:
    """Yields the answers of a new process as they arrive. Closing the generator ends the process.

    The process reads one line of JSON and writes one JSON object per line, see
    `jmlp.system.helper_server`.

    Args:
        module: the module that it runs.
        request: the request.
        what: the process, as the subject of a sentence.
        stop: set by another thread when the answers are no longer wanted; they then end.
        variables: the environment with which its messages are explained; by default that of this
            process, which it inherits.

    Raises:
        DeviceError: the system ended it for lack of memory.
        JmlpError: the error that it reported, or why it ended without an answer.
    """
    process = _Process(module)
    try:
        with _stopped_by(stop, process):
            yield from process.answers(request)
        if process.wait() != 0 and not (stop is not None and stop.is_set()):
            raise process.explain(what, variables)
    finally:
        process.end()


class Service:
    """A process that answers any number of requests, one after the other.

    It is started by the first request, and again by the next one after it has ended. Its module
    calls `jmlp.system.helper_server.serve`. Requests may come from several threads.
    """

    def __init__(self, module: str, what: str) -> None:
        """Starts nothing yet.

        Args:
            module: the module that it runs.
            what: the process, as the subject of a sentence.
        """
        self._module, self._what = module, what
        self._process: _Process | None = None
        self._lock = threading.Lock()

    def ask(self, request: Message, stop: threading.Event | None = None) -> Generator[Message]:
        """Yields the answers to a request as they arrive. Closing the generator ends the process.

        Args:
            request: the request.
            stop: set by another thread when the answers are no longer wanted; they then end, and
                the process with them.

        Raises:
            DeviceError: the system ended it for lack of memory.
            JmlpError: the error that it reported, or why it ended without an answer.
        """
        with self._lock:
            if stop is not None and stop.is_set():
                return
            if self._process is not None and not self._process.is_running:
                self._end()  # it was idle for long, or was ended from outside
            # It may also end just as the request is sent.
            known = self._process
            if known is None or not (yield from self._answers(known, request, stop)):
                self._process = _Process(self._module)
                if not (yield from self._answers(self._process, request, stop)):
                    raise JmlpError(f"{self._what} ended without an answer")

    def close(self) -> None:
        """Ends the process, and with it a request that waits for an answer."""
        process = self._process
        if process is None:
            return
        process.kill()
        if self._lock.acquire(blocking=False):  # else the thread that waits for it does the rest
            self._end()
            self._lock.release()

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _answers(
        self, process: "_Process", request: Message, stop: threading.Event | None
    ) -> Generator[Message, None, bool]:
        """Yields the answers; returns whether the process has answered, or was stopped."""
        is_idle = begun = False
        try:
            with _stopped_by(stop, process):
                for message in process.answers(request):
                    begun = True
                    if "end" in message:
                        is_idle = True
                        return True
                    yield message
            if stop is not None and stop.is_set():
                return True
            if process.wait() != 0:
                raise process.explain(self._what)
            if begun:
                raise JmlpError(f"{self._what} ended without an answer")
            return False
        except JmlpError:
            is_idle = process.is_running  # it reported an error, and waits for the next request
            raise
        finally:
            if not is_idle:
                self._end()


class _Process:
    """A helper process with its pipes."""

    def __init__(self, module: str) -> None:
        self._killed_before = processes.oom_kills()
        self._printed = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by `end`
        try:
            self._process = processes.start(
                *("-m", module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
            )
        except BaseException:
            self._printed.close()
            raise

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def answers(self, request: Message) -> Iterator[Message]:
        """Sends a request, and yields the answers until the process ends.

        Raises:
            JmlpError: the error that it reported.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; its exit code says more
            print(json.dumps(request), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            message = json.loads(line)
            if "error" in message:
                raise error_with_code(message["error"], message["code"])
            yield message

    def wait(self) -> int:
        return self._process.wait()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Kills the process, and closes its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._printed.close()

    def explain(self, what: str, variables: Mapping[str, str] | None = None) -> JmlpError:
        """The error that says why the process ended."""
        if processes.oom_kills() > self._killed_before:
            return DeviceError(f"out of memory: the system ended {what}")
        self._printed.seek(0)
        return diagnosis.end(what, self.wait(), self._printed.read(), variables)


@contextlib.contextmanager
def _stopped_by(stop: threading.Event | None, process: _Process) -> Iterator[None]:
    """Kills the process as soon as the event is set."""
    if stop is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while process.is_running and not over.is_set():
            if stop.wait(STOP_SECONDS) and not over.is_set():
                process.kill()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()  # not joined: that would take up to STOP_SECONDS
