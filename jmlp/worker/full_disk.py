"""The training thread's store, which waits while the disk is full, as the recorder does."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from jmlp.errors import DiskFullError
from jmlp.store import Store

if TYPE_CHECKING:
    from jmlp.worker.signals import Stopping

RETRY_SECONDS = 1.0  # between attempts while the disk is full

P = ParamSpec("P")
R = TypeVar("R")


def _retry_while_full(
    method: Callable[Concatenate[Store, P], R],
) -> Callable[Concatenate["RetryingStore", P], R]:
    """Retries a method while the disk is full; each attempt changes everything or nothing."""

    @wraps(method)
    def retry(self: "RetryingStore", /, *arguments: P.args, **named: P.kwargs) -> R:
        blocked = False
        while True:
            try:
                done = method(self, *arguments, **named)
            except DiskFullError as error:
                if not blocked:
                    self.say(f"the disk is full: training waits until there is space ({error})")
                blocked = True
                if self.stopping.wait(RETRY_SECONDS):
                    raise
            else:
                if blocked:
                    self.say("there is space again: training continues")
                return done

    return retry


class RetryingStore(Store):
    """A store whose changes wait for disk space, until the worker is asked to stop."""

    def __init__(self, folder: Path, stopping: "Stopping", say: Callable[[str], None]) -> None:
        """Opens the store, as `Store` does.

        Args:
            folder: the store's folder.
            stopping: tells when to stop waiting.
            say: called with each message for the parent process.
        """
        self.stopping, self.say = stopping, say
        super().__init__(folder)

    submit = _retry_while_full(Store.submit)
    take_commands = _retry_while_full(Store.take_commands)
    set_study = _retry_while_full(Store.set_study)
    set_runs = _retry_while_full(Store.set_runs)
    event = _retry_while_full(Store.event)
    begin = _retry_while_full(Store.begin)
    record = _retry_while_full(Store.record)
    cut = _retry_while_full(Store.cut)
    end = _retry_while_full(Store.end)
    fail = _retry_while_full(Store.fail)
    finish_removal = _retry_while_full(Store.finish_removal)
