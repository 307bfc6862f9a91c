"""Gets the inspection of a run from the cache, or from a helper process, which may use JAX."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from jmlp.errors import CheckpointError, JmlpError
from jmlp.inspection import records
from jmlp.inspection.records import Inspection, Part
from jmlp.store import Store, networks
from jmlp.system import helper_client

WHAT = "the process that inspected a run"


def inspect(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Inspection | None:
    """The inspection of a stored run; takes milliseconds if it is cached, otherwise seconds.

    Args:
        folder: the store.
        run_id: id of the run, which has ended or is in training.
        part: the part of the data.
        say: called with one line for each slow step.
        stop: set by another thread when the result is no longer needed.

    Returns:
        The inspection; None if it was stopped.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        DataError: the data cannot be loaded, is not that of the run, or has no such part.
        DeviceError: the system killed the process for lack of memory.
        JmlpError: the process ended in another way before it answered.
        StoreError: there is no such run, it has no networks yet, or the cache cannot be written.
    """
    with Store(folder, viewer=True) as store:
        path = records.path_of(run_id, part, networks.key_of(store, run_id))
    with contextlib.suppress(CheckpointError):  # missing or damaged: computed below
        return records.read(path)
    computed = _compute(folder, run_id, part, say, stop)
    return None if computed is None else records.read(computed)


def _compute(
    folder: Path, run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
) -> Path | None:
    """The file written by a new process; None if it was stopped."""
    request = {"store": str(folder.absolute()), "run_id": run_id, "part": part}
    for message in helper_client.ask("jmlp.inspection.helper", request, WHAT, stop):
        if "done" in message:
            return Path(message["done"])
        say(message["say"])
    if stop.is_set():
        return None
    raise JmlpError(f"{WHAT} ended without an answer")
