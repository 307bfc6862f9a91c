"""Sends one request to a helper process, and yields its answers or explains why it died."""

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Generator, Mapping
from typing import Any

from jmlp.errors import DeviceError, error_with_code
from jmlp.system import diagnosis, processes

STOP_SECONDS = 0.1  # between checks whether to stop


def ask(
    module: str,
    request: Mapping[str, Any],
    what: str,
    stop: threading.Event | None = None,
    variables: Mapping[str, str] | None = None,
) -> Generator[Mapping[str, Any]]:
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
    killed_before = processes.oom_kills()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = processes.start(
            *("-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Thread(target=_kill_when, args=(stop, process), daemon=True)
        if stop is not None:
            watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died; its exit code says more
                print(json.dumps(request), file=process.stdin, flush=True)
            for line in process.stdout:
                message = json.loads(line)
                if "error" in message:
                    raise error_with_code(message["error"], message["code"])
                yield message
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            if stop is not None:
                watch.join()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if code == 0 or (stop is not None and stop.is_set()):
            return
        if processes.oom_kills() > killed_before:
            raise DeviceError(f"out of memory: the system ended {what}")
        printed.seek(0)
        raise diagnosis.end(what, code, printed.read(), variables)


def _kill_when(stop: threading.Event, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        if stop.wait(STOP_SECONDS):
            process.kill()
            return
