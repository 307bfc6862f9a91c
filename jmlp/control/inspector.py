"""The inspection of a run: from the cache, or by a process of its own, which may start JAX."""

import contextlib
import json
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from jmlp import inspection, processes
from jmlp.control.workers import oom_kills
from jmlp.errors import CheckpointError, DeviceError, JmlpError, error_with_code
from jmlp.inspection import Inspection, Part
from jmlp.store import Store, networks

STOP_SECONDS = 0.1  # between two looks at whether to stop
LAST_WORDS = 3  # lines of what a process printed before it died


def inspect(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Inspection | None:
    """The inspection of a stored run; takes some milliseconds where it is cached, else seconds.

    Args:
        folder: of the store.
        run_id: of the run, which has ended or is in training.
        part: of the data.
        say: called with one line for each slow step.
        stop: set by another thread where nobody waits any more.

    Returns:
        The inspection; None where it was stopped.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        DataError: the data cannot be had, are not those of the run, or have no such part.
        DeviceError: the system ended the process for lack of memory.
        JmlpError: the process ended in another way before it had answered.
        StoreError: there is no such run, it has no networks yet, or the cache cannot be written.
    """
    with Store(folder, viewer=True) as store:
        path = inspection.path_of(run_id, part, networks.key_of(store, run_id))
    if path.exists():
        with contextlib.suppress(CheckpointError):  # whatever is wrong, it is made anew
            return inspection.read(path)
    made = _compute(folder, run_id, part, say, stop)
    return None if made is None else inspection.read(made)


def start(folder: Path, run_id: str, part: Part, printed: IO[str]) -> "subprocess.Popen[str]":
    """A process that computes an inspection, as `jmlp.worker.inspect` says; it knows the request.

    Args:
        folder: of the store.
        run_id: of the run.
        part: of the data.
        printed: takes what its libraries print.
    """
    process = processes.start(
        *("-m", "jmlp.worker.inspect"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
    )
    assert process.stdin is not None
    request = {"store": str(folder.absolute()), "run_id": run_id, "part": part}
    with contextlib.suppress(BrokenPipeError):  # it has died: its code says more
        print(json.dumps(request), file=process.stdin, flush=True)
    return process


def _compute(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Path | None:
    """The file that a new process made; None where it was stopped."""
    killed_before = oom_kills()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = start(folder, run_id, part, printed)
        watch = threading.Thread(target=_kill_when, args=(stop, process), daemon=True)
        watch.start()
        try:
            made = _listen(process, say)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            watch.join()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if made is not None or stop.is_set():
            return made
        if oom_kills() > killed_before:
            raise DeviceError("out of memory: the system ended the process that looked into a run")
        printed.seek(0)
        raise _death(code, printed.read())


def _listen(process: "subprocess.Popen[str]", say: Callable[[str], None]) -> Path | None:
    """The file that it tells; None where it ends without."""
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if "error" in message:
            raise error_with_code(message["error"], message["code"])
        if "done" in message:
            return Path(message["done"])
        say(message["say"])
    return None


def _kill_when(stop: threading.Event, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        if stop.wait(STOP_SECONDS):
            process.kill()
            return


def _death(code: int, printed: str) -> JmlpError:
    """What to say of a process that ended without a word, by its code and what it had printed."""
    how = f"code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
    last_words = [line for line in printed.splitlines() if line.strip()][-LAST_WORDS:]
    return JmlpError(
        "\n".join([f"the process that looked into a run ended with {how}", *last_words])
    )
