"""The store of the training thread: a full disk is waited for, as the recorder waits for it."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from jmlp.errors import DiskFullError
from jmlp.store import Store

if TYPE_CHECKING:
    from jmlp.worker.signals import Stopping

RETRY_SECONDS = 1.0  # after which a full disk is tried again

P = ParamSpec("P")
R = TypeVar("R")


def _patient(
    method: Callable[Concatenate[Store, P], R],
) -> Callable[Concatenate["PatientStore", P], R]:
    """The method, again and again while the disk is full: it leaves the old or the new state."""

    @wraps(method)
    def again(self: "PatientStore", /, *arguments: P.args, **named: P.kwargs) -> R:
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

    return again


class PatientStore(Store):
    """A store whose changes wait for space, until the worker is asked to leave."""

    def __init__(self, folder: Path, stopping: "Stopping", say: Callable[[str], None]) -> None:
        """Opens it, as `Store` does.

        Args:
            folder: of the store.
            stopping: says when to wait no longer.
            say: tells the starter.
        """
        self.stopping, self.say = stopping, say
        super().__init__(folder)

    take_commands = _patient(Store.take_commands)
    set_study = _patient(Store.set_study)
    set_runs = _patient(Store.set_runs)
    event = _patient(Store.event)
    begin = _patient(Store.begin)
    record = _patient(Store.record)
    cut = _patient(Store.cut)
    end = _patient(Store.end)
    fail = _patient(Store.fail)
    finish_removal = _patient(Store.finish_removal)
