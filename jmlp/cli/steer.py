"""`jmlp attach`, `pause`, `resume` and `stop`: control a study in training from any terminal."""

from typing import Annotated

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption
from jmlp.client import steering, workers
from jmlp.client.submitting import failure_of, submit_again
from jmlp.errors import StoreError
from jmlp.store import Action, Lock, Store, StudyRow
from jmlp.store.states import STUDY_ACTIVE, STUDY_UNFINISHED

StudyName = Annotated[
    str | None, Parameter(help="Its name, as jmlp study prints it; default: the one in training.")
]


def attach(
    study: StudyName = None,
    /,
    *,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Watch a study that is being trained; Ctrl-C does not stop its training."""
    from jmlp.cli import session
    from jmlp.cli.show import show_tables
    from jmlp.client.stored_data import read_data
    from jmlp.results.tables import study_tables
    from jmlp.study.file import parse_study

    with stored.open(viewer=True) as store:
        row = _find(store, study, (*STUDY_ACTIVE, "queued") if study else STUDY_ACTIVE)
        if workers.worker_of(store, row.label) is None and not _may_begin(store, row):
            raise StoreError(steering.no_worker(row))
    signal = session.attach(store.folder, row.label, out)
    with stored.open(viewer=True) as store:
        row = store.study(row.label)
        results = store.results(row.label)
    if signal is not None and row.state in (*STUDY_ACTIVE, "queued"):
        out.say(f"left: {row.label} is {row.state} and continues without this terminal")
        return 128 + signal
    if row.state in (*STUDY_ACTIVE, "queued"):
        raise StoreError(steering.no_worker(row))
    out.say(f"{row.label}: {row.state}")
    if row.state == "failed":
        raise failure_of(row)
    facts = read_data(row.data, row.label).facts
    show_tables(study_tables(parse_study(row.toml, row.label), results, facts), out)
    return 0


def pause(
    study: StudyName = None,
    /,
    *,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Pause a study: everything is saved, and its worker waits for jmlp resume."""
    _command(stored, study, "pause", out)


def stop(
    study: StudyName = None,
    /,
    *,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Stop a study's training: everything is saved, and jmlp resume continues from there."""
    with stored.open() as store:
        row = _find(store, study, ("running", "paused", "queued"))
        if workers.worker_of(store, row.label) is None:
            steering.stop_without_worker(store, row)
            out.say(f"{row.label}: stopped; no worker was training it")
            return
    _command(stored, row.label, "stop", out)


def resume(
    study: Annotated[
        str | None,
        Parameter(help="Its name, as jmlp study prints it; default: the only unfinished one."),
    ] = None,
    /,
    *,
    detach: Annotated[
        bool, Parameter(negative=(), help="Train in the background; see jmlp attach.")
    ] = False,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Resume a paused or unfinished study where it stopped."""
    from jmlp.cli.study import train_and_report

    with stored.open() as store:
        row = _find(store, study, STUDY_UNFINISHED)
        if row.state == "paused" and workers.worker_of(store, row.label) is not None:
            _command(stored, row.label, "resume", out)
            return 0
    submitted = submit_again(stored.folder(), row, out.say)
    if detach:
        process = workers.detach(submitted.folder, row.label)
        out.say(f"{row.label} trains in the background (process {process})")
        return 0
    return train_and_report(submitted, None, None, out)


def _command(stored: StoreOption, study: str | None, action: Action, out: Output) -> None:
    """Sends a command, and waits until the worker has carried it out."""
    with stored.open() as store:
        row = _find(store, study, STUDY_ACTIVE)
        state = steering.command(store, row, action)
        out.say(f"{row.label}: {state}")


def _find(store: Store, study: str | None, states: tuple[str, ...]) -> StudyRow:
    """The named study, or the only one in one of these states.

    Raises:
        StoreError: there is no such study, or more than one.
    """
    if study is not None:
        row = store.study(study)
        if row.state not in states:
            over = f" (train more of it with jmlp study --again {row.label} --seeds N)"
            raise StoreError(
                f"{row.label}: is {row.state}; the command needs one that is {' or '.join(states)}"
                f"{over if row.state == 'done' else ''}"
            )
        return row
    found = [row for row in store.studies() if row.state in states]
    if len(found) == 1:
        return found[0]
    if not found:
        raise StoreError(f"{store.folder}: no study is {' or '.join(states)}")
    names = ", ".join(f"{row.label} ({row.state})" for row in found)
    raise StoreError(f"{store.folder}: which study? {names}; give one of these names")


def _may_begin(store: Store, row: StudyRow) -> bool:
    """Whether a study is queued for a worker that is busy with something else."""
    return row.state == "queued" and Lock(store.folder).owner() is not None
