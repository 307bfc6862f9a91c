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
class Waiting:
    """It is being computed."""

    words: str = "computing…"
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Failure:
    """It could not be had."""

    text: str


State = Inspection | Waiting | Failure


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
        self._known: dict[Key, State] = {}

    def get(self, key: Key) -> State | None:
        """What is known; None where it was not asked for."""
        return self._known.get(key)

    def want(self, key: Key) -> None:
        """Begins to compute it, unless it is there; others are not waited for any more."""
        if self._known.get(key) is not None:
            return
        self.leave()
        waiting = self._known[key] = Waiting()
        self._app.perform(
            "look into a run",
            lambda: self._compute(key, waiting),
            lambda state: self._arrived(key, waiting, state),
        )

    def drop(self, run_id: str) -> None:
        """What was known of a run does not hold any more."""
        for key in [key for key in self._known if key[0] == run_id]:
            state = self._known.pop(key)
            if isinstance(state, Waiting):
                state.stop.set()

    def leave(self) -> None:
        """The answer is no longer wanted."""
        for key in [key for key, state in self._known.items() if isinstance(state, Waiting)]:
            self.drop(key[0])

    def _compute(self, key: Key, waiting: Waiting) -> State | None:
        """In a thread."""
        from jmlp.inspection import client

        def say(line: str) -> None:
            self._app.call_later(self._said, waiting, line)

        try:
            return client.inspect(self._folder, *key, say, waiting.stop)
        except Exception as error:  # a bug too is shown where the inspection would be
            return Failure(error_text(error))

    def _said(self, waiting: Waiting, line: str) -> None:
        waiting.words = line
        if waiting in self._known.values():  # else it is no longer wanted
            self._changed()

    def _arrived(self, key: Key, waiting: Waiting, state: State | None) -> None:
        if self._known.get(key) is waiting and state is not None:
            self._known[key] = state
            self._changed()
