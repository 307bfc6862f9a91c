"""The thread that reads the store for all screens."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import store_runs
from textual.message import Message

from jmlp.errors import StoreError
from jmlp.store import Lock, Store
from jmlp.store.database import NAME
from tui import feed as feeding
from tui.feed import Feed, FeedFailed, FeedUpdate, StoreView

SECONDS = 30.0


class Pump:
    """A stand-in for a widget, which collects messages."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()

    def post_message(self, message: Message) -> None:
        self.messages.put(message)

    def next(self) -> Any:
        """Returns the value or the error of the next message."""
        message = self.messages.get(timeout=SECONDS)
        if isinstance(message, FeedFailed):
            return message.error
        assert isinstance(message, FeedUpdate)
        return message.value

    def until(self, value: Any) -> None:
        """Waits for a value, and skips intermediate ones."""
        while self.next() != value:
            pass


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(feeding, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(feeding, "POLL_SECONDS", 0.01)
    made = Feed(tmp_path)
    made.start()
    yield made
    made.close()


def labels(view: StoreView) -> tuple[str, ...] | None:
    return None if view.store is None else tuple(row.label for row in view.store.studies())


def subscribe(feed: Feed, query: feeding.Query) -> Pump:
    pump = Pump()
    feed.subscribe(pump, query)  # type: ignore[arg-type]
    return pump


def test_a_store_created_later_is_read(feed: Feed, tmp_path: Path) -> None:
    pump = subscribe(feed, labels)
    assert pump.next() is None
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
        pump.until(("small",))


def test_a_query_is_run_once_more_when_its_subscriber_asks(feed: Feed, tmp_path: Path) -> None:
    numbers = iter(range(10))
    pump = subscribe(feed, lambda view: next(numbers))
    assert pump.next() == 0
    feed.look_again(pump)  # type: ignore[arg-type]
    assert pump.next() == 1
    feed.unsubscribe(pump)  # type: ignore[arg-type]
    feed.look_again(pump)  # type: ignore[arg-type]
    assert subscribe(feed, lambda view: next(numbers)).next() == 2


def test_changes_by_another_connection_are_posted(feed: Feed, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
        pump = subscribe(feed, lambda view: view.store and view.store.study("small").state)
        pump.until("queued")
        store.set_study("small", "stopped")
        pump.until("stopped")


def test_queries_do_not_run_again_while_nothing_changes(feed: Feed, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
    asked: list[int] = []
    first = subscribe(feed, lambda view: asked.append(1))
    first.next()
    n_polls = 0
    second = subscribe(feed, labels)
    while n_polls < 20:  # each subscription makes the feed poll
        second.next()
        n_polls += 1
        feed.subscribe(second, labels)  # type: ignore[arg-type]
    assert asked == [1]


def test_a_worker_that_acquires_or_releases_the_lock_is_noticed(feed: Feed, tmp_path: Path) -> None:
    with Store(tmp_path):
        pump = subscribe(feed, lambda view: view.owner and view.owner.study)
        assert pump.next() is None
        lock = Lock(tmp_path)
        assert lock.acquire()
        lock.describe("small")
        pump.until("small")
        lock.release()
        pump.until(None)


def test_a_damaged_store_is_an_error_until_it_can_be_read(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"this is no database" * 100)
    pump = subscribe(feed, labels)
    error = pump.next()
    assert error.startswith(f"{tmp_path / NAME}: ")
    assert "rebuild" in error
    (tmp_path / NAME).unlink()
    pump.until(None)


def test_a_replaced_database_is_reopened(feed: Feed, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
    pump = subscribe(feed, labels)
    pump.until(("small",))
    with Store(tmp_path / "other") as store:
        store.submit(store_runs.submission(store_runs.plan("another")))
    (tmp_path / "other" / NAME).replace(tmp_path / NAME)
    pump.until(("another",))


def test_a_failing_query_is_reported_and_others_still_run(feed: Feed, tmp_path: Path) -> None:
    def wrong(view: StoreView) -> None:
        raise StoreError("no such study")

    def bug(view: StoreView) -> None:
        raise KeyError("x")

    assert subscribe(feed, wrong).next() == "no such study"
    assert subscribe(feed, bug).next() == "this is a bug in jmlp: KeyError: 'x'"
    assert subscribe(feed, lambda view: view.folder).next() == tmp_path


def test_nothing_is_posted_after_unsubscribing(feed: Feed, tmp_path: Path) -> None:
    pump, other = subscribe(feed, labels), subscribe(feed, labels)
    assert (pump.next(), other.next()) == (None, None)
    feed.unsubscribe(pump)  # type: ignore[arg-type]
    with Store(tmp_path):
        other.until(())
    assert pump.messages.empty()


def test_a_newer_message_replaces_an_older_one() -> None:
    assert FeedUpdate(2).can_replace(FeedUpdate(1))
    assert not FeedUpdate(2).can_replace(FeedFailed("x"))
    assert FeedFailed("y").can_replace(FeedFailed("x"))


def test_a_failed_query_is_retried_until_it_succeeds(feed: Feed) -> None:
    tries: list[int] = []

    def at_first_busy(view: StoreView) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise StoreError("busy")
        return "here"

    pump = subscribe(feed, at_first_busy)
    assert [pump.next(), pump.next(), pump.next()] == ["busy", "busy", "here"]


def test_an_unchanged_result_is_not_posted_again(feed: Feed, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(store_runs.plan()))
        same = subscribe(feed, labels)
        state = subscribe(feed, lambda view: view.store and view.store.study("small").state)
        same.until(("small",))
        state.until("queued")
        store.set_study("small", "stopped")
        state.until("stopped")
        assert same.messages.empty()


def test_an_unexpected_error_does_not_end_the_polling(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(feed: Feed) -> StoreView:
        monkeypatch.undo()
        raise OSError(5, "Input/output error")

    pump = subscribe(feed, labels)
    assert pump.next() is None
    monkeypatch.setattr(Feed, "_open_view", broken)
    pump.until("this is a bug in jmlp: OSError: [Errno 5] Input/output error")
    with Store(tmp_path):
        pump.until(())
