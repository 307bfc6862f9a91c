"""Reads the store for all screens in one thread, and sends them what has changed.

A screen subscribes with a query, a function that returns records from the store. The feed calls it
in its thread whenever the store or its worker has changed, and posts the result as a message.
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

POLL_SECONDS = 0.1  # so that screens are drawn at most ten times a second
RETRY_SECONDS = 1.0  # until a failed read is tried again
LEAVE_SECONDS = 0.5


@dataclass(frozen=True)
class StoreView:
    """What a query gets to read; valid only during the call."""

    folder: Path
    store: Store | None  # None: it does not exist yet
    owner: Owner | None  # the worker that holds its lock
    database: object = None  # differs from the last one if the database file was replaced


Query = Callable[[StoreView], Any]


class FeedUpdate(Message, bubble=False):
    """The full result of a subscriber's query."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def can_replace(self, message: Message) -> bool:
        """Lets a newer result replace an older one in the queue."""
        return isinstance(message, FeedUpdate)


class FeedFailed(Message, bubble=False):
    """The store could not be read, or the query failed; the feed will try again."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """Lets a newer error replace an older one in the queue."""
        return isinstance(message, FeedFailed)


class Feed:
    """Polls one store for all screens."""

    def __init__(self, folder: Path) -> None:
        """Initialises the feed; it reads nothing before `start`.

        Args:
            folder: the store's folder, which need not exist yet.
        """
        self.folder = folder
        self._queries: dict[MessagePump, Query] = {}
        self._due: set[MessagePump] = set()
        self._sent: dict[MessagePump, Any] = {}  # each subscriber's last result or error
        self._changed = threading.Condition()
        self._closing = False
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None  # device and inode of the database file
        self._last_seen: Any = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stops the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(LEAVE_SECONDS)  # a daemon: a slow query does not delay the exit

    def subscribe(self, pump: MessagePump, query: Query) -> None:
        """Runs a query now and after every change; `pump` receives each new `FeedUpdate`.

        Args:
            pump: a screen or widget; a new query replaces its previous one.
            query: called in the feed's thread.
        """
        with self._changed:
            self._queries[pump] = query
            self._sent.pop(pump, None)
            self._due.add(pump)
            self._changed.notify_all()

    def look_again(self, pump: MessagePump) -> None:
        """Runs a subscriber's query once more, for what changes without the store."""
        with self._changed:
            if pump in self._queries:
                self._due.add(pump)
                self._changed.notify_all()

    def unsubscribe(self, pump: MessagePump) -> None:
        """Drops a subscriber's query."""
        with self._changed:
            self._queries.pop(pump, None)
            self._sent.pop(pump, None)
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
        """Sends new results to their subscribers; False: the store or a query failed."""
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
        messages = [(pump, run_query(query, view)) for pump, query in queries]
        for pump, message in messages:
            value = message.value if isinstance(message, FeedUpdate) else message
            if pump not in self._sent or self._sent[pump] != value:
                self._sent[pump] = value
                pump.post_message(message)
        failed = {pump for pump, message in messages if isinstance(message, FeedFailed)}
        with self._changed:
            self._due |= failed & set(self._queries)
        return not failed

    def _open_view(self) -> StoreView:
        """Opens the store if necessary, and again if its database file was replaced."""
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
            self._sent.clear()
        for pump in pumps:
            pump.post_message(FeedFailed(error))


def run_query(query: Query, view: StoreView) -> Message:
    """Returns a query's result or its error as a message."""
    try:
        return FeedUpdate(query(view))
    except Exception as error:  # a bug must not end the thread
        return FeedFailed(error_text(error))


def error_text(error: Exception) -> str:
    """Returns an error's message; of an unexpected error, that it is a bug."""
    if isinstance(error, JmlpError):
        return str(error)
    return f"this is a bug in jmlp: {type(error).__name__}: {error}"
