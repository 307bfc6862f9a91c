"""`jmlp attach`, `pause`, `resume` and `stop`: from any terminal, to a worker in another one."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from commands import STUDY, Inline, disturb, until
from queues import Queue, numbers, once, trains

from jmlp.cli import session
from jmlp.client import steering, workers
from jmlp.store import Lock

ENDLESS = STUDY.replace("epochs = 3", "epochs = 100000\npatience = 'none'")
NO_WORKER = (
    "small: no worker is training it (its worker was ended); jmlp resume small resumes it where it "
    "stopped"
)


@pytest.fixture
def endless(queue: Queue) -> Queue:
    """In its queue is a study that never ends by itself."""
    (queue.here.folder / "small.toml").write_text(ENDLESS, encoding="utf-8")
    queue.submit("--experiment", "rate", "--seeds", "1", "--checkpoint-seconds", "3600")
    return queue


LABEL = "small-rate"


@contextmanager
def working(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    """A worker that trains beside the test."""
    begun = threading.Event()
    disturb(monkeypatch, lambda now: begun.set() if now.epoch > 1 else None)
    thread = threading.Thread(target=queue.train, args=[LABEL])
    thread.start()
    assert begun.wait(60)
    try:
        yield thread
    finally:
        Inline.asked.reason = signal.SIGTERM
        thread.join()


def error(text: str, code: int = 4) -> tuple[int, str, str]:
    return (code, "", f"jmlp: error: {text}\n")


# A worker that is at work


def test_study_is_paused_resumed_and_stopped(
    endless: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = endless.here
    with working(endless, monkeypatch) as thread:
        assert here("pause") == (0, "", f"{LABEL}: paused\n")
        assert endless.study(LABEL).state == "paused"
        assert len(endless.checkpoints()) >= 1
        assert here("pause", LABEL) == (0, "", f"{LABEL}: paused\n")
        assert here("resume") == (0, "", f"{LABEL}: running\n")
        assert here("stop", LABEL, "--quiet") == (0, "", "")
        thread.join()
    assert (endless.study(LABEL).state, set(endless.states(LABEL))) == ("stopped", {"stopped"})
    kinds = ["submitted", "started", "paused", "resumed", "stopped"]
    assert endless.kinds(LABEL) == kinds


def test_paused_study_can_be_stopped(endless: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    with working(endless, monkeypatch) as thread:
        assert endless.here("pause").code == 0
        assert endless.here("stop") == (0, "", f"{LABEL}: stopped\n")
        thread.join()
    assert endless.study(LABEL).state == "stopped"


def test_paused_study_resumes_when_its_command_is_repeated(
    endless: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(endless, monkeypatch):
        assert endless.here("pause").code == 0
        endless.submit("--experiment", "rate", "--seeds", "1")
        until(lambda: endless.study(LABEL).state == "running")


def test_attached_terminal_shows_the_study_and_leaves_it_at_work(
    endless: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded() -> int:
        with endless.store() as store:
            return store.last_point()

    def await_points() -> None:
        before = recorded()
        until(lambda: recorded() > before)

    looks: Iterator[Callable[[], object]] = iter([await_points, int])

    def sleep(seconds: float) -> None:
        next(looks, lambda: signal.raise_signal(signal.SIGINT))()

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    with working(endless, monkeypatch):
        monkeypatch.setattr(session, "time", clock)
        done = endless.here("attach")
        assert (done.code, done.out) == (130, "")
        lines = done.err.splitlines()
        assert lines[0] == "group 1/1: hidden 5-4, batch size 16"
        assert lines[1].startswith("epoch ")
        assert lines[-1] == f"left: {LABEL} is running and continues without this terminal"
        assert endless.study(LABEL).state == "running"


def test_attached_terminal_shows_the_tables_when_the_study_ends(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("small")
    with queue.store() as store:
        store.set_study("small", "running")

    def train(seconds: float) -> None:
        lock.release()
        queue.submit()
        queue.train()

    monkeypatch.setattr(session, "time", SimpleNamespace(sleep=train, monotonic=lambda: 0.0))
    done = queue.here("attach", "small")
    assert done.code == 0
    assert done.err.endswith("small: done\n")
    assert [line for line in done.out.splitlines() if line in ("rate: Drop rate", "norm")]


def test_attached_terminal_ends_with_the_code_of_a_study_that_fails(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("small")
    with queue.store() as store:
        store.set_study("small", "running")

    def fail(seconds: float) -> None:
        with queue.store() as store:
            store.set_study("small", "failed", code=3, failure="no data")

    monkeypatch.setattr(session, "time", SimpleNamespace(sleep=fail, monotonic=lambda: 0.0))
    done = queue.here("attach")
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith("small: failed\njmlp: error: no data\n")


@pytest.mark.parametrize("to", ["death", "large"])
def test_worker_that_leaves_a_study_unfinished_is_reported_to_attached_terminals(
    to: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("small")
    with queue.store() as store:
        store.set_study("small", "running")

    def turn(seconds: float) -> None:
        if to == "death":
            lock.release()
        else:
            lock.describe(to)

    monkeypatch.setattr(session, "time", SimpleNamespace(sleep=turn, monotonic=lambda: 0.0))
    assert queue.here("attach") == error(NO_WORKER)
    lock.release()


# None at work


@pytest.mark.parametrize("action", ["attach", "pause"])
def test_study_that_no_worker_has_can_only_be_resumed(action: str, queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:  # as a worker that was killed left it
        store.set_study("small", "running")
    assert queue.here(action) == error(NO_WORKER)
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("large")  # another study has it
    assert queue.here(action) == error(NO_WORKER)
    lock.release()


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_study_that_no_worker_has_is_stopped_at_once(state: str, queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:
        store.set_study("small", state)  # type: ignore[arg-type]
    assert queue.here("stop") == (0, "", "small: stopped; no worker was training it\n")
    assert queue.study().state == "stopped"
    assert queue.train(None).said == []
    # What was left for a worker is not obeyed by one that is wanted later.
    queue.submit()
    queue.train()
    assert queue.study().state == "done"


def test_worker_that_takes_a_study_just_as_it_is_stopped_sees_the_command(
    queue: Queue,
) -> None:
    queue.submit()
    assert queue.here("stop").code == 0
    with queue.store() as store:
        assert store.take_commands("small") == ["stop"]


def test_interrupted_study_is_resumed_to_the_same_numbers(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    queue.disturbed(once(lambda: setattr(Inline.asked, "reason", 0), trains))
    done = queue.here("resume")
    assert done.code == 0
    assert done.err.startswith("small: 0 of 6 runs are done\ntraining 6 runs in 2 groups on ")
    assert done.err.endswith("\nreport: jmlp report small writes it\n")
    assert "\nrate: Drop rate\n" in done.out
    assert numbers(queue.folder) == undisturbed


def test_study_is_resumed_in_the_background(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.submit()
    monkeypatch.setattr(workers, "detach", lambda folder, label: 77)
    told = "small: 0 of 6 runs are done\nsmall trains in the background (process 77)\n"
    assert queue.here("resume", "--detach") == (0, "", told)


def test_study_that_is_done_cannot_be_steered(queue: Queue) -> None:
    queue.submit()
    queue.train()
    states = {
        "attach": "running or paused or queued",
        "pause": "running or paused",
        "stop": "running or paused or queued",
        "resume": "queued or running or paused or stopped or interrupted or failed",
    }
    for action, wanted in states.items():
        more = "train more of it with jmlp study --again small --seeds N"
        told = f"small: is done; the command needs one that is {wanted} ({more})"
        assert queue.here(action, "small") == error(told)


def test_study_must_be_named_where_several_may_be_meant(queue: Queue) -> None:
    queue.submit("--experiment", "rate")
    queue.submit("--experiment", "norm")
    names = "small-rate (queued), small-norm (queued)"
    told = f"{queue.folder}: which study? {names}; give one of these names"
    assert queue.here("resume") == error(told)


def test_missing_study_is_reported(queue: Queue) -> None:
    assert queue.here("attach") == error(f"there is no store at {queue.folder}: run a study first")
    queue.submit()
    assert queue.here("pause") == error(f"{queue.folder}: no study is running or paused")
    told = f"smal: there is no study of that name in {queue.folder}; did you mean small?"
    assert queue.here("pause", "smal") == error(f"{told}; studies: small")


def test_command_that_is_not_obeyed_in_time_stands(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("small")
    with queue.store() as store:
        store.set_study("small", "running")
    monkeypatch.setattr(steering, "ANSWER_SECONDS", 0.01)
    assert queue.here("pause") == error(
        "small: its worker has not responded within 0 s: it may be compiling; the command "
        "remains in the queue"
    )
    lock.release()
    with queue.store() as store:
        assert store.take_commands("small") == ["pause"]
