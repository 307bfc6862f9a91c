"""Has a user's file run in a process of its own, with a time limit, and diagnoses its network."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from jmlp.errors import CheckFailed, DataError, JmlpError
from jmlp.own_network.diagnosis import Diagnosis, diagnose
from jmlp.own_network.records import Progress, from_answer
from jmlp.system import helper_client

SECONDS = 60.0  # that the file may take
QUIET_SECONDS = 5.0  # after which it is said that it still runs


def check(
    path: Path, say: Callable[[str], object] = lambda text: None, seconds: float = SECONDS
) -> Diagnosis:
    """Compares the gradients of the network in a file with central differences.

    Args:
        path: a Python file, see `template.py`.
        say: called with a line, from another thread, if it takes longer than usual.
        seconds: the time limit of its process.

    Raises:
        CheckFailed: its functions failed, took too long, or returned something else.
        ConfigError: it lacks functions.
        DataError: it cannot be read, or is not Python.
    """
    if os.path.isdir(path):
        raise DataError(f"{path}: is a folder; name the Python file in it that has the network")
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file (jmlp gradcheck --template prints one)")
    out_of_time = threading.Event()
    still_running = f"{path}: still running, for {QUIET_SECONDS:g} s; at most {seconds:g} s"
    timers = (
        threading.Timer(seconds, out_of_time.set),
        threading.Timer(QUIET_SECONDS, say, [still_running]),
    )
    for timer in timers:
        timer.daemon = True
        timer.start()
    measured, progress = None, None
    try:
        module, request = "jmlp.own_network.helper", {"file": str(path)}
        for answer in helper_client.ask(module, request, "its process", out_of_time):
            if "progress" in answer:
                progress = Progress(**answer["progress"])
            else:
                measured = from_answer(dict(answer))
    except JmlpError as error:
        if str(error).startswith(f"{path}: "):  # what `helper` says
            raise
        raise CheckFailed(f"{path}: {error}") from error
    finally:
        for timer in timers:
            timer.cancel()
    if measured is not None:
        return diagnose(measured)
    if out_of_time.is_set():
        raise CheckFailed(
            f"{path}: took more than {seconds:g} s, and was ended: {_why_late(progress, seconds)}"
        )
    raise CheckFailed(
        f"{path}: its process ended by itself, before it answered: does something in the file call "
        "os._exit?"
    )


def _why_late(progress: Progress | None, seconds: float) -> str:
    """What the process was doing when its time was up."""
    if progress is None:
        return (
            "the file itself had not been read to its end; what it does outside of its functions "
            "takes too long, or has a loop that does not end"
        )
    if progress.n_calls == 0:
        return (
            "the first call of its functions had not returned; the arrays are small, so a loop "
            "that does not end is likely"
        )
    each = progress.seconds / progress.n_calls
    if each * progress.n_needed < seconds:
        return (
            f"a call took {each:.2g} s, but after {progress.n_calls} of {progress.n_needed} calls "
            "one did not return; a loop that does not end is likely"
        )
    return (
        f"it is slow: a call takes {each:.2g} s, and {progress.n_needed} calls are needed; what is "
        "printed takes time too, and smaller SIZES need fewer calls"
    )
