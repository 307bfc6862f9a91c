"""The store of the training thread on a disk that is full, and training on a slow one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import until
from store_runs import plan, submission

from jmlp.errors import DiskFullError
from jmlp.store import Store
from jmlp.system import fault_injection
from jmlp.worker.full_disk import RetryingStore
from jmlp.worker.recorder import Recorder


class Waits:
    """Counts the waits; asked to leave at the last of them, if any."""

    def __init__(self, until: int | None = None) -> None:
        self.times, self.until = 0, until

    def wait(self, seconds: float) -> bool:
        del seconds
        self.times += 1
        return self.times == self.until


@pytest.fixture
def label(tmp_path: Path) -> Iterator[str]:
    made = plan()
    with Store(tmp_path) as store:
        store.submit(submission(made))
    yield made.study.name
    fault_injection.arm(None)


def test_change_on_a_full_disk_is_made_when_there_is_space_again(
    tmp_path: Path, label: str
) -> None:
    waits, said = Waits(), list[str]()
    with RetryingStore(tmp_path, waits, said.append) as store:  # type: ignore[arg-type]
        fault_injection.arm("commit:1:enospc")
        store.set_study(label, "running", event="started")
        assert store.study(label).state == "running"
        assert [event.kind for event in store.events(label)] == ["submitted", "started"]
    assert waits.times == 1
    assert said == [
        "the disk is full: training waits until there is space "
        f"({tmp_path / 'store.sqlite'}: the disk is full: nothing was written; free some space)",
        "there is space again: training continues",
    ]


def test_waiting_for_space_ends_when_the_worker_is_asked_to_leave(
    tmp_path: Path, label: str
) -> None:
    with RetryingStore(tmp_path, Waits(until=1), print) as store:  # type: ignore[arg-type]
        fault_injection.arm("commit:1:enospc")
        with pytest.raises(DiskFullError):
            store.set_study(label, "running")
        assert store.study(label).state == "queued"


def test_training_waits_where_four_results_wait_for_a_slow_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    waiting: list[int] = []

    def end(recorder: Recorder, *arguments: object) -> None:
        gate.wait()
        waiting.append(len(recorder._jobs))

    monkeypatch.setattr(Recorder, "_end", end)
    recorder = Recorder(store.folder, "study", lambda *arguments: {}, print)

    def train() -> None:
        for _ in range(20):
            recorder.ended((), ())

    training = threading.Thread(target=train)
    training.start()
    until(lambda: len(recorder._jobs) >= 3)  # the writer may have taken one already
    gate.set()
    training.join()
    recorder.close()
    assert len(waiting) == 20
    assert max(waiting) <= 4
