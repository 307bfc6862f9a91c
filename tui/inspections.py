"""The inspections that a screen shows: asked for in threads, kept while it is open."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jmlp.inspection.records import Inspection, Part
from tui.feed import error_text

if TYPE_CHECKING:
    from tui.app import JmlpApp

Key = tuple[str, Part]  # of a run, which part of the data


@dataclass
class Pending:
    """It is being computed."""

    text: str = "computing…"
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Failure:
    """It could not be had."""

    text: str


State = Inspection | Pending | Failure


class Inspections:
    """What is known of some runs; one at a time is computed."""

    def __init__(self, app: "JmlpApp", folder: Path, changed: Callable[[], object]) -> None:
        """Asks for nothing yet.

        Args:
            app: performs what takes long.
            folder: of the store.
            changed: called in the app whenever something else is known.
        """
        self._app, self._folder, self._changed = app, folder, changed
        self._states: dict[Key, State] = {}

    def get(self, key: Key) -> State | None:
        """What is known; None where it was not asked for."""
        return self._states.get(key)

    def request(self, key: Key) -> None:
        """Begins to compute it, unless it is there; others are not waited for any more."""
        if self._states.get(key) is not None:
            return
        self.cancel()
        pending = self._states[key] = Pending()
        self._app.perform(
            "look into a run",
            lambda: self._compute(key, pending),
            lambda state: self._computed(key, pending, state),
        )

    def discard(self, run_id: str) -> None:
        """What was known of a run does not hold any more."""
        for key in [key for key in self._states if key[0] == run_id]:
            state = self._states.pop(key)
            if isinstance(state, Pending):
                state.stop.set()

    def cancel(self) -> None:
        """The answer is no longer wanted."""
        for key in [key for key, state in self._states.items() if isinstance(state, Pending)]:
            self.discard(key[0])

    def _compute(self, key: Key, pending: Pending) -> State | None:
        """In a thread."""
        from jmlp.inspection import client

        def say(line: str) -> None:
            self._app.call_later(self._progressed, pending, line)

        try:
            return client.inspect(self._folder, *key, say, pending.stop)
        except Exception as error:  # a bug too is shown where the inspection would be
            return Failure(error_text(error))

    def _progressed(self, pending: Pending, line: str) -> None:
        pending.text = line
        if pending in self._states.values():  # else it is no longer wanted
            self._changed()

    def _computed(self, key: Key, pending: Pending, state: State | None) -> None:
        if self._states.get(key) is pending and state is not None:
            self._states[key] = state
            self._changed()
