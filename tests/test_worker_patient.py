"""The store of the training thread, on a disk that is full for a while."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_runs import plan, submission

from jmlp import faults
from jmlp.errors import DiskFullError
from jmlp.store import Store
from jmlp.worker.patient import PatientStore


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
    faults.arm(None)


def test_change_on_a_full_disk_is_made_when_there_is_space_again(
    tmp_path: Path, label: str
) -> None:
    waits, said = Waits(), list[str]()
    with PatientStore(tmp_path, waits, said.append) as store:  # type: ignore[arg-type]
        faults.arm("commit:1:enospc")
        store.set_study(label, "running", event="started")
        assert store.study(label).state == "running"
        assert [event.kind for event in store.events(label)] == ["submitted", "started"]
    assert waits.times == 1
    assert said == [
        "the disk is full: training waits until there is space "
        f"({tmp_path / 'store.sqlite'}: the disk is full: nothing was written; make space)",
        "there is space again: training goes on",
    ]


def test_waiting_for_space_ends_when_the_worker_is_asked_to_leave(
    tmp_path: Path, label: str
) -> None:
    with PatientStore(tmp_path, Waits(until=1), print) as store:  # type: ignore[arg-type]
        faults.arm("commit:1:enospc")
        with pytest.raises(DiskFullError):
            store.set_study(label, "running")
        assert store.study(label).state == "queued"
