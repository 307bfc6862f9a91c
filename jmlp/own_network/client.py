"""Has a user's file run in a process of its own, with a time limit, and diagnoses its network."""

import os
import threading
from pathlib import Path

from jmlp.errors import CheckFailed, DataError, JmlpError
from jmlp.own_network.diagnosis import Diagnosis, diagnose
from jmlp.own_network.records import from_answer
from jmlp.system import helper_client

SECONDS = 60.0  # that the file may take


def check(path: Path, seconds: float = SECONDS) -> Diagnosis:
    """Compares the gradients of the network in a file with central differences.

    Args:
        path: a Python file, see `template.py`.
        seconds: the time limit of its process.

    Raises:
        CheckFailed: its functions failed, took too long, or returned something else.
        ConfigError: it lacks functions.
        DataError: it cannot be read, or is not Python.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file (jmlp gradcheck --template prints one)")
    out_of_time = threading.Event()
    timer = threading.Timer(seconds, out_of_time.set)
    timer.daemon = True
    timer.start()
    try:
        request = {"file": str(path)}
        module = "jmlp.own_network.helper"
        answers = list(helper_client.ask(module, request, "its process", out_of_time))
    except JmlpError as error:
        if str(error).startswith(f"{path}: "):  # what `helper` says
            raise
        raise CheckFailed(f"{path}: {error}") from error
    finally:
        timer.cancel()
    if out_of_time.is_set() or not answers:
        raise CheckFailed(
            f"{path}: took more than {seconds:g} s, and was ended: the arrays are small, so a loop "
            "that does not end is likely"
        )
    (answer,) = answers
    return diagnose(from_answer(dict(answer)))
