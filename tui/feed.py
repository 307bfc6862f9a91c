"""What the store says, brought to the screens: one thread looks, and notifies widgets.

A screen hands over a query, a function of the store that returns records. It is called in the
feed's thread whenever the store or its worker has changed, and its answer comes as a message.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump

from jmlp.errors import JmlpError
from jmlp.store import Lock, Owner, Store
from jmlp.store.database import NAME
from jmlp.system.files import is_there

POLL_SECONDS = 0.1  # so that screens are drawn ten times a second at most
RETRY_SECONDS = 1.0  # after which what could not be read is tried again
LEAVE_SECONDS = 0.5


@dataclass(frozen=True)
class StoreView:
    """The store at one moment, for queries; valid only while they are called."""

    folder: Path
    store: Store | None  # None: there is none yet
    owner: Owner | None  # the worker that has it
    database: object = None  # another one than before where the store's was replaced


Query = Callable[[StoreView], Any]


class FeedUpdate(Message, bubble=False):
    """The whole answer of a subscriber's query: of two in the queue, the later one is enough."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def can_replace(self, message: Message) -> bool:
        """A later answer takes an earlier one's place."""
        return isinstance(message, FeedUpdate)


class FeedFailed(Message, bubble=False):
    """The store could not be read, or not be understood; it is tried again."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """Said once is enough."""
        return isinstance(message, FeedFailed)


class Feed:
    """Looks at one store for all screens."""

    def __init__(self, folder: Path) -> None:
        """Nothing is looked at before `start`.

        Args:
            folder: of the store; there may be none yet.
        """
        self.folder = folder
        self._queries: dict[MessagePump, Query] = {}
        self._due: set[MessagePump] = set()
        self._last_answers: dict[MessagePump, Any] = {}  # its last answer
        self._changed = threading.Condition()
        self._closing = False
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None  # of the database's file
        self._last_seen: Any = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begins to view."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(LEAVE_SECONDS)  # a daemon: a query that takes long is left to itself

    def subscribe(self, pump: MessagePump, query: Query) -> None:
        """Asks this from now on, at once and at every change; `pump` gets `FeedUpdate`.

        Args:
            pump: a screen or widget; a new query takes the place of its last one.
            query: called in the feed's thread.
        """
        with self._changed:
            self._queries[pump] = query
            self._last_answers.pop(pump, None)
            self._due.add(pump)
            self._changed.notify_all()

    def unsubscribe(self, pump: MessagePump) -> None:
        """Asks it no more."""
        with self._changed:
            self._queries.pop(pump, None)
            self._last_answers.pop(pump, None)
            self._due.discard(pump)

    # ---- in the thread

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._due, POLL_SECONDS)
                    if self._closing:
                        return
                if not self._poll():
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
        finally:
            self._close_store()

    def _poll(self) -> bool:
        """Tells what is new; False: the store could not be read."""
        try:
            view = self._open_view()
            seen = self._identity, view.store and view.store.version(), view.owner
        except Exception as error:
            self._close_store()
            self._post_error(error_text(error))
            return False
        changed, self._last_seen = seen != self._last_seen, seen
        with self._changed:
            pumps = list(self._queries) if changed else list(self._due)
            self._due.clear()
            queries = [(pump, self._queries[pump]) for pump in pumps if pump in self._queries]
        answers = [(pump, run_query(query, view)) for pump, query in queries]
        for pump, message in answers:
            value = message.value if isinstance(message, FeedUpdate) else message
            if (
                pump not in self._last_answers or self._last_answers[pump] != value
            ):  # else nothing is new to it
                self._last_answers[pump] = value
                pump.post_message(message)
        failed = {pump for pump, message in answers if isinstance(message, FeedFailed)}
        with self._changed:
            self._due |= failed & set(self._queries)
        return not failed

    def _open_view(self) -> StoreView:
        """Opens the store, again where its database was replaced."""
        identity = None
        if is_there(self.folder / NAME):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(self.folder / NAME)
                identity = status.st_dev, status.st_ino
        if identity != self._identity:
            self._close_store()
        if identity is not None and self._store is None:
            self._store, self._identity = Store(self.folder, viewer=True), identity
        owner = None if self._store is None else Lock(self.folder).owner()
        return StoreView(self.folder, self._store, owner, self._identity)

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = self._identity = self._last_seen = None

    def _post_error(self, error: str) -> None:
        with self._changed:
            pumps = list(self._queries)
            self._due.update(pumps)
            self._last_answers.clear()
        for pump in pumps:
            pump.post_message(FeedFailed(error))


def run_query(query: Query, view: StoreView) -> Message:
    """What a query says, or why it could not."""
    try:
        return FeedUpdate(query(view))
    except Exception as error:  # a bug must end neither the thread nor the app
        return FeedFailed(error_text(error))


def error_text(error: Exception) -> str:
    """The words for an error: its own, or that it is unexpected."""
    if isinstance(error, JmlpError):
        return str(error)
    return f"this is a bug in jmlp: {type(error).__name__}: {error}"
