"""Submits a study and makes sure that a worker trains it in the background."""

from collections.abc import Callable
from pathlib import Path

from jmlp.client import workers
from jmlp.client.choice import Choice
from jmlp.client.submitting import submit, submit_again
from jmlp.store import Lock, StudyRow
from jmlp.system import environment


def start(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
    """Begins a study, or resumes what the store has of it, in the background.

    May take long: MNIST is downloaded if it is missing.

    Args:
        folder: the store's folder; created if there is none.
        choice: the study and its changes.
        say: called with each message for the user, of one line.

    Returns:
        Its label in the store.

    Raises:
        ConfigError: the study is wrong, does not fit this machine, or began with other settings.
        DataError: its data cannot be loaded, or are not those that it was begun with.
        StoreError: the store cannot be written, or no worker could be started.
    """
    from jmlp import data as datasets
    from jmlp.client.plans import checked_plan
    from jmlp.training.plan import data_facts, table_options

    study = choice.study()
    dataset = datasets.load(study.data, say, table_options(study))
    hardware = choice.hardware()
    n_cores = hardware["cores"] or environment.default_cores()
    plan = checked_plan(study, data_facts(dataset), n_cores)
    label = choice.label(study.name)
    submit(
        folder,
        label,
        plan,
        dataset,
        hardware,
        say,
        command=choice.command(),
        named=choice.name is not None,
    )
    _ensure_worker(folder, label)
    return label


def resume(folder: Path, row: StudyRow, say: Callable[[str], None]) -> str:
    """Resumes an unfinished study where it stopped, in the background.

    Args:
        folder: the store's folder.
        row: the study.
        say: called with each message for the user, of one line.

    Returns:
        Its label.

    Raises:
        StoreError: the store cannot be written, or no worker could be started.
    """
    submit_again(folder, row, say)
    _ensure_worker(folder, row.label)
    return row.label


def _ensure_worker(folder: Path, label: str) -> None:
    """Starts a worker, unless one is training this study.

    A worker that is training another study may end after it; the new one waits and takes over.
    """
    owner = Lock(folder).owner()
    if owner is None or owner.study != label:
        workers.detach(folder, label)
