"""A study that a worker has in hand, asked to pause, to resume, or to stop."""

import time

from jmlp.client.workers import worker_of
from jmlp.errors import StoreError
from jmlp.store import Action, Store, StudyRow, StudyState
from jmlp.store.states import STUDY_IN_HAND

# A worker looks at its commands after each chunk; before the first one it compiles.
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.05

OBEYED: dict[Action, StudyState] = {"pause": "paused", "resume": "running", "stop": "stopped"}


def command(store: Store, row: StudyRow, action: Action) -> StudyState:
    """Leaves a command for the worker of a study, and waits until it has obeyed.

    Args:
        store: where the study is; open for writing.
        row: the study.
        action: the command.

    Returns:
        how the study stands then.

    Raises:
        StoreError: no worker has the study, or it has not obeyed.
    """
    if worker_of(store, row.label) is None:
        raise StoreError(no_worker(row))
    store.command(row.label, action)
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until:
        state = store.study(row.label).state
        if state == OBEYED[action]:
            return state
        if state not in STUDY_IN_HAND or worker_of(store, row.label) is None:
            raise StoreError(f"{row.label}: is {state} now; nothing to {action}")
        time.sleep(POLL_SECONDS)
    raise StoreError(
        f"{row.label}: its worker has not obeyed yet, after {ANSWER_SECONDS:.0f} s: it may be "
        f"compiling; the command stands"
    )


def stop_unowned(store: Store, row: StudyRow) -> None:
    """Stops a study that no worker has; one that takes it up in this moment obeys too.

    Args:
        store: where the study is; open for writing.
        row: the study.

    Raises:
        StoreError: the store cannot be written.
    """
    store.command(row.label, "stop")
    running = [run.run_id for run in store.runs(row.label) if run.state == "running"]
    store.set_runs(running, "stopped")
    store.set_study(row.label, "stopped", event="stopped", detail="by command")


def no_worker(row: StudyRow) -> str:
    """Why a study that is in training by its state cannot be steered."""
    return (
        f"{row.label}: no worker has it (the one that had it was ended); jmlp resume {row.label} "
        "resumes where it was"
    )
