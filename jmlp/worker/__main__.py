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
from jmlp.worker.full_disk import RetryingStore
from jmlp.worker.process_lifetime import Process
from jmlp.worker.signals import Stopping

LOCK_SECONDS = 10.0


class LockedError(StoreError):
    """Another worker is using the store."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker and returns its exit code.

    Args:
        arguments: its command-line arguments; None means those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m jmlp.worker", description=__doc__)
    parser.add_argument("store", type=Path, help="the folder of the store")
    parser.add_argument("--study", help="train only this study; default: all queued ones")
    parser.add_argument(
        "--attached", action="store_true", help="stop when stdin ends: the parent process has gone"
    )
    parser.add_argument(
        "--after", default="", help="how the previous worker died, if its runs may be the cause"
    )
    parser.add_argument(
        "--lock", type=int, help="the lock's descriptor, if this process replaces a worker"
    )
    options = parser.parse_args(arguments)
    processes.wait_for_children()
    streams.make_safe()
    as_started = dict(os.environ)  # a process that replaces this one prepares its own
    stopping = Stopping(parent=sys.stdin.fileno() if options.attached else None)
    os.nice(max(0, NICE - os.nice(0)))  # a replacement has inherited its niceness
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
            return stopping.code  # asked to stop, it could not save its last checkpoint
        return LOCKED if isinstance(error, LockedError) else error.exit_code
    finally:
        lock.release()
    return 0 if stopping.reason is None else stopping.code


def work(lock: Lock, label: str | None, stopping: Stopping, after: str = "") -> bool:
    """Trains one study, or all queued ones; returns whether a fresh process should continue.

    Args:
        lock: the store's lock. If it is already held, the study noted in it is continued.
        label: the study; None means all queued ones.
        stopping: tells when to stop.
        after: how the previous worker died, if its runs may be the cause.

    Returns:
        True if a fresh process is to continue; the lock is then still held.

    Raises:
        StoreError: another worker is using the store.
    """
    with RetryingStore(lock.path.parent, stopping, say) as store:
        return _work(store, lock, label, stopping, after)


def _work(store: Store, lock: Lock, label: str | None, stopping: Stopping, after: str) -> bool:
    prepared: tuple[object, object] | None = None  # device and cores that JAX was started with
    # If JAX has been imported already, other code may have compiled functions of its own.
    process = Process(alone="jax" not in sys.modules)
    while stopping.reason is None:
        if not _wait_for_lock(lock, label, stopping):
            return False
        store.finish_removal()
        while stopping.reason is None and (row := _next_study(store, label, lock.study)):
            hardware = row.hardware["device"], row.hardware["cores"]
            if prepared not in (None, hardware) or process.is_spent:
                return True
            prepared = hardware
            lock.describe(row.label)
            if not _train(store, row, stopping, after, process):
                return True
        lock.release()
        # A process that queued a study while the lock was held relied on this worker to train it.
        if label is not None or _next_study(store, None) is None:
            return False
    return False


def _wait_for_lock(lock: Lock, label: str | None, stopping: Stopping) -> bool:
    """Waits for the lock: for a limited time if the parent can wait as well, else indefinitely."""
    while not lock.acquire(timeout=0.1 if label is None else LOCK_SECONDS):
        if stopping.reason is not None:
            return False
        if label is not None:
            owner = lock.owner()
            raise LockedError(
                f"{lock.path}: another worker is using this store"
                + (f" ({owner.process})" if owner else "")
                + "; attach to it (jmlp attach), or wait until it ends"
            )
    return True


def _next_study(store: Store, label: str | None, continued: str | None = None) -> StudyRow | None:
    """The study to train: the current one, the requested one, or the first in the queue.

    Args:
        store: the store of the studies.
        label: the requested study; None means any.
        continued: the study that this worker has begun; it may be done.
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
    """Trains one study; returns False if a fresh process has to train the rest of it."""
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
    """Prints one line, for the parent process, which may have gone, or for the log."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
