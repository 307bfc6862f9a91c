"""How a worker leaves, by request and by command, and how another one resumes."""

import signal
from collections.abc import Iterator

import pytest
from commands import Asked
from queues import Queue, ask, command, numbers, once, trains

from jmlp.training.records import Progress


@pytest.mark.parametrize(
    ("reason", "code", "detail"),
    [(signal.SIGTERM, 143, "signal 15"), (0, 129, "its parent process has gone")],
)
def test_worker_asked_to_leave_saves_and_another_continues_to_the_same_numbers(
    reason: int, code: int, detail: str, queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    assert queue.disturbed(once(lambda: ask(reason), trains)).returncode == code
    assert (queue.study().state, queue.states()) == ("interrupted", ["queued"] * 6)
    with queue.store() as store:
        event = store.events(label="small")[-1]
    assert (event.kind, event.detail) == ("interrupted", detail)
    assert len(queue.checkpoints()) >= 2  # of the cohorts of both seeds
    queue.submit()
    queue.train()
    assert queue.study().state == "done"
    with queue.store() as store:
        kinds = [event.kind for event in store.events() if event.run_id]
    assert (kinds.count("started"), kinds.count("resumed")) == (6, 4)
    assert numbers(queue.folder) == undisturbed
    assert queue.checkpoints() == []


def test_worker_that_leaves_again_and_again_comes_to_the_same_numbers(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    turn = 0
    while turn == 0 or queue.study().state != "done":
        turn += 1
        looks = iter(range(turn))  # one more each time

        def count(progress: Progress, looks: Iterator[int] = looks) -> None:
            if next(looks, None) is None:
                ask(signal.SIGTERM)

        queue.submit()
        queue.disturbed(count)
    assert turn > 4
    assert numbers(queue.folder) == undisturbed
    with queue.store() as store:
        for run in store.runs():
            assert [point.epoch for point in store.points(run.run_id)] == [0, 1, 2, 3]


def test_stopped_study_is_saved_and_resumes_when_requested_again(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    ended = queue.disturbed(once(lambda: command(queue, "stop"), trains))
    assert ended.returncode == 0
    assert queue.study().state == "stopped"
    # The first group was in training: two seeds of two drop rates.
    assert sorted(queue.states()) == ["queued"] * 2 + ["stopped"] * 4
    assert queue.checkpoints()
    assert queue.train().said == []  # it is not in the queue
    queue.submit()
    queue.train()
    assert queue.study().state == "done"
    assert numbers(queue.folder) == undisturbed


@pytest.mark.parametrize("then", ["resume", "stop", "leave"])
def test_paused_study_is_saved_and_waits_for_what_comes(
    then: str, queue: Queue, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    paused = []

    def wait(self: Asked, seconds: float) -> bool:
        paused.append((queue.study().state, len(queue.checkpoints())))
        if then == "leave":
            self.reason = signal.SIGTERM
        else:
            command(queue, then)
        return self.reason is not None

    monkeypatch.setattr(Asked, "wait", wait)
    queue.disturbed(once(lambda: command(queue, "pause"), trains))
    states = {"resume": "done", "stop": "stopped", "leave": "interrupted"}
    assert queue.study().state == states[then]
    ((state, saved),) = paused
    assert state == "paused"
    assert saved >= 2
    if then == "resume":
        assert queue.kinds() == ["submitted", "started", "paused", "resumed", "done"]
        assert numbers(queue.folder) == undisturbed
