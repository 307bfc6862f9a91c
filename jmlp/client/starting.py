"""From a study to its place in the queue, and to a worker that trains it on its own."""

from collections.abc import Callable
from pathlib import Path

from jmlp.client import workers
from jmlp.client.choice import Choice
from jmlp.client.submitting import submit, submit_again
from jmlp.store import Lock, StudyRow
from jmlp.system import environment


def start(folder: Path, choice: Choice, say: Callable[[str], None]) -> str:
    """Begins a study, or resumes what the store has of it, in the background.

    May take long: MNIST is fetched where it is not there yet.

    Args:
        folder: of the store; made where there is none.
        choice: the study and its changes.
        say: called with one line for each thing that its user should know.

    Returns:
        its label in the store.

    Raises:
        ConfigError: the study is wrong, does not fit this machine, or was begun otherwise.
        DataError: its data cannot be had, or are not those that it was begun with.
        StoreError: the store cannot be written, or no worker could be started.
    """
    from jmlp import data as datasets
    from jmlp.client.plans import checked_plan
    from jmlp.training.plan import data_facts

    study = choice.study()
    dataset = datasets.load(study.data, say)
    hardware = choice.hardware()
    n_cores = hardware["cores"] or environment.default_cores()
    plan = checked_plan(study, data_facts(dataset), n_cores)
    label = choice.label(study.name)
    submit(folder, label, plan, dataset, hardware, say, command=choice.command())
    _see_to_worker(folder, label)
    return label


def resume(folder: Path, row: StudyRow, say: Callable[[str], None]) -> str:
    """Goes on with a study that was ended before its end, where it was, in the background.

    Args:
        folder: of the store.
        row: the study.
        say: called with one line for each thing that its user should know.

    Returns:
        its label.

    Raises:
        StoreError: the store cannot be written, or no worker could be started.
    """
    submit_again(folder, row, say)
    _see_to_worker(folder, row.label)
    return row.label


def _see_to_worker(folder: Path, label: str) -> None:
    """Starts a worker, unless one has this study.

    One that has another study may leave after it: then the new one, which waits, takes over.
    """
    owner = Lock(folder).owner()
    if owner is None or owner.study != label:
        workers.detach(folder, label)
