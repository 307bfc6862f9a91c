"""`python -m jmlp.worker`: trains what is queued in a store."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jmlp.client.workers import LOCKED
from jmlp.errors import DiskFullError, JmlpError, StoreError
from jmlp.store import Lock, Store, StudyRow
from jmlp.system import diagnosis, environment, processes, streams
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import NICE
from jmlp.worker.full_disk import PatientStore
from jmlp.worker.process_lifetime import Process
from jmlp.worker.signals import Stopping

LOCK_SECONDS = 10.0


class LockedError(StoreError):
    """Another worker has the store."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, and returns the exit code.

    Args:
        arguments: of the worker; default: those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m jmlp.worker", description=__doc__)
    parser.add_argument("store", type=Path, help="the folder of the store")
    parser.add_argument("--study", help="only this one; default: all that are queued")
    parser.add_argument(
        "--attached", action="store_true", help="leave when stdin ends: the starter has gone"
    )
    parser.add_argument(
        "--after", default="", help="how the one before died, where its runs may be the reason"
    )
    parser.add_argument(
        "--lock", type=int, help="the lock's descriptor, where this process replaces a worker's"
    )
    options = parser.parse_args(arguments)
    processes.wait_for_children()
    streams.make_safe()
    as_started = dict(os.environ)  # a process that takes this one's place prepares its own
    stopping = Stopping(starter=sys.stdin.fileno() if options.attached else None)
    os.nice(max(0, NICE - os.nice(0)))  # one that takes another's place is so already
    environment.report_warnings(say)
    if options.lock is not None:
        stopping.take_deferred()
    lock = Lock(options.store)
    try:
        if options.lock is not None:
            lock = Lock.inherit(options.store, options.lock)
        if work(lock, options.study, stopping, options.after):
            stopping.defer()
            command = ["-m", "jmlp.worker", str(options.store), "--lock", str(lock.pass_on())]
            command += ["--study", options.study] if options.study else []
            command += ["--attached"] if options.attached else []
            processes.replace(*command, variables=as_started)
    except Exception as failure:
        error = failure if isinstance(failure, JmlpError) else diagnosis.of_exception(failure)
        if error is None:
            raise
        say(diagnosis.ERROR + "; ".join(str(error).splitlines()))
        if isinstance(error, DiskFullError) and stopping.reason is not None:
            return stopping.code  # what it could not save as it left
        return LOCKED if isinstance(error, LockedError) else error.exit_code
    finally:
        lock.release()
    return 0 if stopping.reason is None else stopping.code


def work(lock: Lock, label: str | None, stopping: Stopping, after: str = "") -> bool:
    """Trains one study, or all that are queued; whether a fresh process should continue.

    Args:
        lock: of the store. Where it is held already, the study in it is continued.
        label: the study; None: all that are queued.
        stopping: says when to leave.
        after: how the worker before this one died, where its runs may be the reason.

    Returns:
        True: the lock is held still, for the process that is to continue.

    Raises:
        StoreError: another worker has the store.
    """
    with PatientStore(lock.path.parent, stopping, say) as store:
        return _work(store, lock, label, stopping, after)


def _work(store: Store, lock: Lock, label: str | None, stopping: Stopping, after: str) -> bool:
    prepared: tuple[object, object] | None = None  # device and cores that JAX was started for
    # Whoever imported JAX may have compiled functions of their own.
    process = Process(alone="jax" not in sys.modules)
    while stopping.reason is None:
        if not _take(lock, label, stopping):
            return False
        store.finish_removal()
        while stopping.reason is None and (row := _next(store, label, lock.study)):
            hardware = row.hardware["device"], row.hardware["cores"]
            if prepared not in (None, hardware) or process.is_spent:
                return True
            prepared = hardware
            lock.describe(row.label)
            if not _train(store, row, stopping, after, process):
                return True
        lock.release()
        # Whoever queued a study while the lock was held counted on this worker.
        if label is not None or _next(store, None) is None:
            return False
    return False


def _take(lock: Lock, label: str | None, stopping: Stopping) -> bool:
    """Waits for the lock: for a while where a starter can do so too, else as long as it takes."""
    while not lock.acquire(timeout=0.1 if label is None else LOCK_SECONDS):
        if stopping.reason is not None:
            return False
        if label is not None:
            owner = lock.owner()
            raise LockedError(
                f"{lock.path}: another worker has this store"
                + (f" ({owner.process})" if owner else "")
                + "; attach to it (jmlp attach), or wait for its end"
            )
    return True


def _next(store: Store, label: str | None, continued: str | None = None) -> StudyRow | None:
    """The study to train: the one in hand, the one that was asked for, or the first in the queue.

    Args:
        store: where they are.
        label: the one that was asked for; None: any.
        continued: the one that this worker has in hand; it may be done.
    """
    rows = store.studies()
    for row in rows:
        if row.state == "running" and row.label == continued:
            return row
    for row in rows:
        if row.state == "queued" and label in (None, row.label):
            return row
    return None


def _train(store: Store, row: StudyRow, stopping: Stopping, after: str, process: Process) -> bool:
    """Trains one study; False: the rest of it is for a fresh process."""
    if "jax" not in sys.modules:
        hardware = row.hardware["device"], row.hardware["cores"]
        if warning := environment.prepare(*hardware, compile_cache_dir()):
            say(f"warning: {warning}")
    from jmlp.worker.train_study import FreshProcess, Work

    try:
        Work(store.folder, store, row, stopping, process, say).run(after)
    except FreshProcess:
        return False
    return True


def say(text: str) -> None:
    """One line for the starter, who may have gone, or for the log."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
