"""What command and app share, as far as the tests of the command do not see it."""

import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
from queues import Queue
from store_runs import FACTS

from jmlp.cli.hardware import TrainingHardware
from jmlp.client import workers
from jmlp.client.deleting import delete
from jmlp.client.stored_data import read_data
from jmlp.client.submitting import default_hardware
from jmlp.client.workers import GiveUp, Restart, RestartPolicy
from jmlp.data.contract import Contract, DType
from jmlp.errors import StoreError
from jmlp.store import Lock, Owner
from jmlp.system import processes

SEGV = "the worker was ended by signal 11 (SIGSEGV)"
OOM = "out of memory: the system ended the worker"


def test_hardware_of_a_study_that_asks_for_none_is_that_of_the_command_without_options() -> None:
    assert default_hardware() == TrainingHardware().request()


def test_owner_is_shown_without_what_a_terminal_would_obey() -> None:
    assert Owner(12, "host", "", 0, None).process == "process 12 on host"
    assert Owner(12, "\x1b[2J", "", 0, None).process == r"process 12 on '\x1b[2J'"


@pytest.mark.parametrize(
    ("printed", "code", "why"),
    [
        ("", 6, "it printed nothing"),
        ("F1128 21:27:29.1 8599 a.cc:2] Check failed: x\n    @ 0x7f f()\n", 6, "Check failed: x"),
        (
            "F1128 21:27:29.1 8599 a.cc:2] Unknown flag in XLA_FLAGS: --x\n",
            2,
            "XLA_FLAGS: this version of XLA does not know --x; remove it from the variable",
        ),
    ],
    ids=["silent", "check", "flag"],
)
def test_study_whose_worker_crashes_seven_times_in_vain_has_failed_and_says_why(
    printed: str, code: int, why: str, queue: Queue
) -> None:
    log = workers.log_path(queue.folder)
    queue.submit()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("ValueError: of another worker\n", encoding="utf-8")
    with queue.store() as store:
        restarts = RestartPolicy(store, "small")
        for _ in range(6):
            restarts.starting()
            store.set_study("small", "running")
            assert restarts.decide(signal.SIGSEGV) == Restart(SEGV, SEGV)
            assert store.study("small").state == "queued"
        restarts.starting()
        with log.open("a", encoding="utf-8") as file:
            file.write(printed)
        failure = f"{SEGV}, 7 times in a row and before a run was in training: {why}"
        assert restarts.decide(signal.SIGSEGV) == GiveUp(failure)
        row = store.study("small")
    assert (row.state, row.code, row.failure) == ("failed", code, failure)


def test_run_that_is_to_blame_for_a_crash_fails_with_what_the_worker_printed_last(
    queue: Queue,
) -> None:
    log = workers.log_path(queue.folder)
    queue.submit()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("ValueError: of another worker\n", encoding="utf-8")
    with queue.store() as store:
        restarts = RestartPolicy(store, "small")
        restarts.starting()
        with log.open("a", encoding="utf-8") as file:
            file.write("LLVM ERROR: pthread_create failed:\0Resource temporarily unavailable\n")
        follows = restarts.decide(signal.SIGSEGV)
        last = "LLVM ERROR: pthread_create failed: Resource temporarily unavailable"
        assert follows == Restart(SEGV, after=f"{SEGV}: {last}")
        assert follows.text() == f"{SEGV}: starts again from the last checkpoint"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "signal 9 (SIGKILL)"),
        (signal.SIGTERM, "signal 15 (SIGTERM)"),
        (40, "signal 40"),
    ],
)
def test_worker_that_is_ended_from_outside_is_started_again_however_often_and_later_and_later(
    number: int, name: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "oom_kills", lambda: 3)  # others', long ago
    queue.submit()
    pauses = []
    with queue.store() as store:
        restarts = RestartPolicy(store, "small")
        for _ in range(30):
            restarts.starting()
            follows = restarts.decide(number)
            assert isinstance(follows, Restart)
            assert follows.after == "", "no run is to blame"
            assert store.study("small").state == "queued"
            pauses.append(follows.pause)
            text = follows.text()
    assert pauses == [0] * 5 + [1, 2, 4, 8, 16, 32] + [60] * 19
    assert text == (
        f"the worker was ended by {name}, 30 times in a row (if no one does this, memory may be "
        "short): starts again from the last checkpoint in 60 s"
    )


def test_log_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    log = workers.log_path(tmp_path)
    log.parent.mkdir()
    os.mkfifo(log)
    assert str(workers.why_ended(tmp_path, 3, 0)).startswith(
        "the worker ended with code 3: it printed nothing"
    )


def test_kills_for_lack_of_memory_are_no_deed_of_others(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter(range(100))
    monkeypatch.setattr(processes, "oom_kills", lambda: next(counted))
    queue.submit()
    with queue.store() as store:
        restarts = RestartPolicy(store, "small")
        found = [restarts.decide(signal.SIGKILL) for _ in range(7)]
    assert found[:6] == [Restart(OOM, OOM)] * 6
    assert isinstance(found[6], GiveUp)


def test_deaths_between_which_something_was_learned_are_not_in_a_row(queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:
        restarts = RestartPolicy(store, "small")
        runs = iter(store.runs("small"))
        for _ in range(2):
            found = [restarts.decide(signal.SIGSEGV) for _ in range(4)]
            assert found == [Restart(SEGV, SEGV)] * 4
            store.fail("small", [next(runs).run_id], 6, "it was to blame")


def test_runs_are_deleted_only_by_the_lock_owner(queue: Queue) -> None:
    queue.submit()
    with queue.store() as store:
        first, *others = [run.run_id for run in store.runs()]
    lock = Lock(queue.folder)
    assert lock.acquire()
    owner = lock.owner()
    assert owner is not None
    told = (
        f"{queue.folder}: runs are being trained ({owner.process}); stop that first "
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


@pytest.mark.parametrize(("pixel_bytes", "dtype"), [(1, "uint8"), (4, "float32")])
def test_data_that_an_earlier_version_stored_have_a_contract_without_a_range(
    pixel_bytes: int, dtype: DType
) -> None:
    facts = {**asdict(FACTS), "digests": dict(FACTS.digests), "pixel_bytes": pixel_bytes}
    table = {"facts": facts, "image_shape": [1, FACTS.n_in], "source": "somewhere"}
    contract = Contract((1, FACTS.n_in), FACTS.n_classes, dtype)
    assert read_data(table, "old").contract == contract
