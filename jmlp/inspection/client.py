"""The inspection of a run: from the cache, or by a process of its own, which may start JAX."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from jmlp.errors import CheckpointError, JmlpError
from jmlp.inspection import records
from jmlp.inspection.records import Inspection, Part
from jmlp.store import Store, networks
from jmlp.system import helper_client

WHAT = "the process that looked into a run"


def inspect(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Inspection | None:
    """The inspection of a stored run; takes some milliseconds where it is cached, else seconds.

    Args:
        folder: of the store.
        run_id: of the run, which has ended or is in training.
        part: of the data.
        say: called with one line for each slow step.
        stop: set by another thread when the answer is no longer wanted.

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
        path = records.path_of(run_id, part, networks.key_of(store, run_id))
    with contextlib.suppress(CheckpointError):  # whatever is wrong, it is made anew
        return records.read(path)
    made = _compute(folder, run_id, part, say, stop)
    return None if made is None else records.read(made)


def _compute(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Path | None:
    """The file that a new process made; None where it was stopped."""
    request = {"store": str(folder.absolute()), "run_id": run_id, "part": part}
    for message in helper_client.ask("jmlp.inspection.helper", request, WHAT, stop):
        if "done" in message:
            return Path(message["done"])
        say(message["say"])
    if stop.is_set():
        return None
    raise JmlpError(f"{WHAT} ended without an answer")
