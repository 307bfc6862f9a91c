"""Pauses, resumes and stops a study that a worker is training."""

import time

from jmlp.client.workers import worker_of
from jmlp.errors import StoreError
from jmlp.store import Action, Store, StudyRow, StudyState
from jmlp.store.states import STUDY_ACTIVE

# A worker polls for commands after each chunk; before the first one it compiles.
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.05

STATE_AFTER: dict[Action, StudyState] = {"pause": "paused", "resume": "running", "stop": "stopped"}


def command(store: Store, row: StudyRow, action: Action) -> StudyState:
    """Sends a command to the worker of a study, and waits until it has carried it out.

    Args:
        store: the store with the study, open for writing.
        row: the study.
        action: the command.

    Returns:
        The study's new state.

    Raises:
        StoreError: no worker is training the study, or it has not carried out the command.
    """
    if worker_of(store, row.label) is None:
        raise StoreError(no_worker(row))
    store.command(row.label, action)
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until:
        state = store.study(row.label).state
        if state == STATE_AFTER[action]:
            return state
        if state not in STUDY_ACTIVE or worker_of(store, row.label) is None:
            raise StoreError(f"{row.label}: is {state} now; nothing to {action}")
        time.sleep(POLL_SECONDS)
    raise StoreError(
        f"{row.label}: its worker has not responded within {ANSWER_SECONDS:.0f} s: it may be "
        f"compiling; the command remains in the queue"
    )


def stop_without_worker(store: Store, row: StudyRow) -> None:
    """Stops a study without a worker; a worker that starts it at this moment gets the command too.

    Args:
        store: the store with the study, open for writing.
        row: the study.

    Raises:
        StoreError: the store cannot be written.
    """
    store.command(row.label, "stop")
    running = [run.run_id for run in store.runs(row.label) if run.state == "running"]
    store.set_runs(running, "stopped")
    store.set_study(row.label, "stopped", event="stopped", detail="by command")


def no_worker(row: StudyRow) -> str:
    """The message for a study that is active by its state but has no worker."""
    return (
        f"{row.label}: no worker is training it (its worker was ended); jmlp resume {row.label} "
        "resumes it where it stopped"
    )
