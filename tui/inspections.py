"""The inspections that a screen shows: computed in threads, and cached while it is open."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jmlp.inspection.boundary_records import Boundary
from jmlp.inspection.records import Inspection, Part
from tui.feed import error_text

if TYPE_CHECKING:
    from tui.app import JmlpApp

Key = tuple[str, Part | Literal["boundary"]]  # run id; the part of the data, or the boundary


@dataclass
class Pending:
    """An inspection that is being computed."""

    text: str = "computing…"
    stop: threading.Event = field(default_factory=threading.Event)
    before: "State | None" = None  # what is shown meanwhile


@dataclass(frozen=True)
class Failure:
    """An inspection that failed."""

    text: str


State = Inspection | Boundary | Pending | Failure


class Inspections:
    """A cache of inspections, of which at most one is being computed."""

    def __init__(self, app: "JmlpApp", changed: Callable[[], object]) -> None:
        """Starts with an empty cache.

        Args:
            app: runs the computations in threads.
            changed: called in the app's thread after every change.
        """
        self._app, self._changed = app, changed
        self._states: dict[Key, State] = {}

    def get(self, key: Key) -> State | None:
        """Returns an inspection or its state; None if it was not requested."""
        state = self._states.get(key)
        return state.before or state if isinstance(state, Pending) else state

    @property
    def is_busy(self) -> bool:
        """Whether an inspection is being computed."""
        return any(isinstance(state, Pending) for state in self._states.values())

    def request(self, key: Key) -> None:
        """Starts computing an inspection unless it is cached; cancels any other computation."""
        if self._states.get(key) is None:
            self.cancel()
            self._start(key, Pending())

    def renew(self, key: Key) -> bool:
        """Starts computing an inspection again; until then, the one before is returned.

        Returns:
            Whether it was started: not while another one is computed.
        """
        if self.is_busy:
            return False
        self._start(key, Pending(before=self._states.get(key)))
        return True

    def _start(self, key: Key, pending: Pending) -> None:
        self._states[key] = pending
        self._app.perform(
            "inspect a run",
            lambda: self._compute(key, pending),
            lambda state: self._computed(key, pending, state),
        )

    def discard(self, run_id: str) -> None:
        """Removes a run's inspections, which are out of date."""
        for key in [key for key in self._states if key[0] == run_id]:
            state = self._states.pop(key)
            if isinstance(state, Pending):
                state.stop.set()

    def cancel(self) -> None:
        """Cancels what is being computed."""
        for key, state in list(self._states.items()):
            if isinstance(state, Pending):
                state.stop.set()
                del self._states[key]
                if state.before is not None:
                    self._states[key] = state.before

    def _compute(self, key: Key, pending: Pending) -> State | None:
        """Computes an inspection; called in a thread."""

        def say(line: str) -> None:
            self._app.call_later(self._progressed, pending, line)

        run_id, what = key
        try:
            if what == "boundary":
                return self._app.inspector.boundary(run_id, say, pending.stop)
            return self._app.inspector.inspect(run_id, what, say, pending.stop)
        except Exception as error:  # even a bug is shown in place of the inspection
            return Failure(error_text(error))

    def _progressed(self, pending: Pending, line: str) -> None:
        pending.text = line
        if pending in self._states.values():  # else it was cancelled
            self._changed()

    def _computed(self, key: Key, pending: Pending, state: State | None) -> None:
        if self._states.get(key) is pending and state is not None:
            self._states[key] = state
            self._changed()
