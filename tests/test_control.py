"""What command and app share, as far as the tests of the command do not see it."""

import signal

import pytest
from queues import Queue

from jmlp.cli.hardware import TrainingHardware
from jmlp.control import workers
from jmlp.control.deleting import delete
from jmlp.control.submitting import default_hardware
from jmlp.control.workers import Again, Deaths, Hopeless
from jmlp.errors import StoreError
from jmlp.store import Lock, Owner

KILL = "the worker was ended by signal 9 (SIGKILL)"


def test_hardware_of_a_study_that_asks_for_none_is_that_of_the_command_without_options() -> None:
    assert default_hardware() == TrainingHardware().request()


def test_owner_is_shown_without_what_a_terminal_would_obey() -> None:
    assert Owner(12, "host", "", 0, None).process == "process 12 on host"
    assert Owner(12, "\x1b[2J", "", 0, None).process == r"process 12 on '\x1b[2J'"


def test_study_of_a_worker_that_died_is_in_the_queue_again_until_it_is_hopeless(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "oom_kills", lambda: 3)  # others', long ago
    queue.submit()
    with queue.store() as store:
        deaths = Deaths(store, "small")
        for after in ["", "", "", "", KILL, KILL]:
            deaths.begun()
            store.set_study("small", "running")
            assert deaths.next(signal.SIGKILL) == Again(KILL, after)
            assert store.study("small").state == "queued"
        failure = (
            f"{KILL}, 7 times in a row and before a run was in training; "
            f"see {queue.folder / 'logs' / 'worker.log'}"
        )
        assert deaths.next(signal.SIGKILL) == Hopeless(failure)
        row = store.study("small")
    assert (row.state, row.code, row.failure) == ("failed", 6, failure)


def test_deaths_between_which_something_was_learned_are_not_in_a_row(queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:
        deaths = Deaths(store, "small")
        runs = iter(store.runs("small"))
        for _ in range(2):
            found = [deaths.next(signal.SIGKILL) for _ in range(4)]
            assert found == [Again(KILL, "")] * 4
            store.fail("small", [next(runs).run_id], 6, "it was to blame")


def test_runs_are_deleted_only_by_who_has_the_lock(queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:
        first, *others = [run.run_id for run in store.runs()]
    lock = Lock(queue.folder)
    assert lock.acquire()
    owner = lock.owner()
    assert owner is not None
    told = (
        f"{queue.folder}: runs are being trained ({owner.process}); end that first "
        "(jmlp stop STUDY), then delete"
    )
    with pytest.raises(StoreError) as raised:
        delete(queue.folder, [first])
    assert str(raised.value) == told
    lock.release()
    delete(queue.folder, [first])
    with queue.store() as store:
        assert [run.run_id for run in store.runs()] == others
    assert lock.acquire()  # it was given back
    lock.release()
