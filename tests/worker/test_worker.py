"""The worker: what it takes from the store, and what it makes of what it finds there."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from commands import Asked, Inline
from queues import Queue, ask, numbers, once, trains

from jmlp.store import Lock, run_files
from jmlp.system import numerics, processes
from jmlp.training.records import NUMERICS, Progress
from jmlp.worker import __main__ as worker
from jmlp.worker import process_lifetime, resume_conditions
from jmlp.worker.recorder import Recorder

# From the queue to the end


def test_study_is_trained_from_the_queue_to_its_end(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    assert (queue.study().state, set(queue.states())) == ("queued", {"queued"})
    ended = queue.train()
    assert ended.returncode == 0
    assert ended.said[0].startswith("training 6 runs in 2 groups on 2 x cpu: ")
    assert len(ended.said) == 1
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert queue.kinds() == ["submitted", "started", "done"]
    assert numbers(queue.folder) == undisturbed
    assert queue.checkpoints() == []
    with queue.store() as store:
        for run in store.runs():
            kinds = [event.kind for event in store.events(run_id=run.run_id)]
            assert kinds == ["started", "finished"]
            assert [point.epoch for point in store.points(run.run_id)] == [0, 1, 2, 3]


def test_drained_queue_is_trained_in_the_order_of_submission(queue: Queue) -> None:
    queue.submit("--experiment", "norm", "--seeds", "1")
    queue.submit("--seeds", "1")
    assert queue.train(None).returncode == 0
    with queue.store() as store:
        done = [event.study for event in store.events() if event.kind == "done"]
        started = [event.study for event in store.events() if event.kind == "started"]
    assert done == ["small-norm", "small"]
    assert [label for label in started if label == "small-norm"] == started[:3]
    assert Lock(queue.folder).owner() is None


def test_study_for_other_cores_is_left_to_a_process_that_starts_afresh(queue: Queue) -> None:
    queue.submit("--experiment", "norm", "--seeds", "1")
    queue.submit("--experiment", "rate", "--seeds", "1", "--cores", "1")
    lock = Lock(queue.folder)
    assert worker.work(lock, None, Asked()) is True  # type: ignore[arg-type]
    assert [queue.study(label).state for label in ("small-norm", "small-rate")] == [
        "done",
        "queued",
    ]
    assert worker.work(lock, None, Asked()) is False  # type: ignore[arg-type]
    assert queue.study("small-rate").state == "done"


def test_study_of_a_worker_of_its_own_leaves_the_others_in_the_queue(queue: Queue) -> None:
    queue.submit("--experiment", "norm", "--seeds", "1")
    queue.submit("--experiment", "rate", "--seeds", "1")
    queue.train("small-rate")
    assert queue.study("small-norm").state == "queued"
    assert queue.study("small-rate").state == "done"


def test_seeds_that_are_submitted_during_training_are_trained_too(queue: Queue) -> None:
    queue.submit("--seeds", "1")

    def more() -> None:
        with queue.store() as store, pytest.MonkeyPatch.context() as patch:
            patch.setattr(Lock, "owner", lambda self: None)
            assert store.study("small").state == "running"
            queue.submit("--seeds", "2")

    queue.disturbed(once(more, trains))
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)


# A process that has compiled enough


@pytest.fixture
def one_group_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process compiles one group; the next call of `work` is the fresh one."""
    monkeypatch.setattr(
        process_lifetime.Process, "is_spent", property(lambda self: self.groups >= 1)
    )


def test_only_a_process_of_its_own_is_spent_after_40_groups() -> None:
    assert [process_lifetime.Process(alone=True, groups=n).is_spent for n in (0, 39, 40, 41)] == [
        False,
        False,
        True,
        True,
    ]
    assert not process_lifetime.Process(alone=False, groups=1000).is_spent


def test_study_continues_in_a_fresh_process_as_if_it_were_the_same(
    queue: Queue, undisturbed: dict[str, str], one_group_each: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    said: list[str] = []
    monkeypatch.setattr(worker, "say", said.append)
    lock = Lock(queue.folder)
    assert worker.work(lock, "small", Asked()) is True  # type: ignore[arg-type]
    owner = Lock(queue.folder).owner()
    assert owner is not None, "no other worker comes in between"
    assert (owner.study, queue.study().state) == ("small", "running")
    assert queue.states().count("finished") == 4
    assert worker.work(lock, "small", Asked()) is False  # type: ignore[arg-type]
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert queue.kinds() == ["submitted", "started", "done"]
    assert [line.partition(" on ")[0] for line in said] == ["training 6 runs in 2 groups"]
    assert numbers(queue.folder) == undisturbed
    assert Lock(queue.folder).owner() is None


def test_progress_counts_the_groups_of_the_whole_study(queue: Queue, one_group_each: None) -> None:
    found: dict[tuple[int, ...], None] = {}
    record = Recorder.live

    def live(self: Recorder, progress: Progress) -> None:
        found[progress.group, progress.n_groups, progress.runs_done, progress.n_runs] = None
        record(self, progress)

    queue.submit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "live", live)
        queue.train()
    assert list(found) == [(1, 2, 0, 6), (1, 2, 4, 6), (2, 2, 4, 6), (2, 2, 6, 6)]


def test_studies_of_a_queue_share_out_over_fresh_processes(
    queue: Queue, one_group_each: None
) -> None:
    queue.submit("--experiment", "rate", "--seeds", "1")
    queue.submit("--experiment", "norm", "--seeds", "1")
    lock = Lock(queue.folder)
    found = []
    while worker.work(lock, None, Asked()):  # type: ignore[arg-type]
        found.append([queue.study(label).state for label in ("small-rate", "small-norm")])
    assert found == [["done", "queued"]]
    assert queue.study("small-norm").state == "done"


def test_request_that_comes_as_a_process_is_spent_leaves_the_study_interrupted(
    queue: Queue, one_group_each: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(self: Recorder, *, wait_for_space: bool = True) -> None:
        ask(signal.SIGTERM)

    queue.submit()
    monkeypatch.setattr(Recorder, "flush", request)
    assert queue.train().returncode == 143
    assert queue.study().state == "interrupted"


SPENT_AFTER_ONE = """
import os, sys
from jmlp.worker import process_lifetime
from jmlp.training.records import Progress
from jmlp.worker.__main__ import main
process_lifetime.MAX_GROUPS, execve = 1, os.execve
def replace(*arguments):
    print("replaced", os.getpid(), flush=True)
    execve(*arguments)
os.execve = replace
sys.exit(main())
"""


def test_real_processes_take_each_others_place_with_lock_and_starter(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    """The first one compiles a group and is replaced; the second one does the rest."""
    queue.submit()
    arguments = ["-c", SPENT_AFTER_ONE, str(queue.folder), "--study", "small", "--attached"]
    with processes.start(
        *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as started:
        assert started.stdout is not None
        told = started.stdout.read()  # while its stdin is open, as its starter still runs
    announced, replaced, *more = told.splitlines()
    assert (started.returncode, replaced, more) == (0, f"replaced {started.pid}", []), told
    assert announced.startswith("training 6 runs in 2 groups on 2 x cpu: ")
    assert queue.kinds() == ["submitted", "started", "done"]
    assert numbers(queue.folder) == undisturbed


# One worker a store


def test_second_worker_ends_with_code_75_and_names_the_owner(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "Stopping", lambda parent: Asked())
    monkeypatch.setattr(os, "nice", lambda increment: 0)
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    assert worker.main([str(queue.folder), "--study", "small"]) == 75
    told = (
        f"error: {queue.folder}/worker.lock: another worker is using this store (process "
        f"{os.getpid()} on {socket.gethostname()}); attach to it (jmlp attach), or wait until it "
        "ends\n"
    )
    assert capsys.readouterr().out == told
    assert queue.study().state == "queued"
    lock.release()
    assert worker.main([str(queue.folder), "--study", "small"]) == 0
    assert queue.study().state == "done"


def test_worker_for_the_queue_waits_for_the_lock_until_it_is_asked_to_leave(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    tries = []

    def held(self: Lock, timeout: float = 0.0) -> bool:
        tries.append(timeout)
        Inline.asked.reason = signal.SIGTERM if len(tries) == 3 else None
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Lock, "acquire", held)
        assert queue.train(None).returncode == 143
    assert len(tries) == 3
    assert queue.study().state == "queued"


# What was stored before


def test_data_that_changed_since_the_submission_are_refused_and_named(queue: Queue) -> None:
    queue.submit()
    path = queue.here.folder / "small.npz"
    with np.load(path) as arrays:
        changed = {**arrays, "y_train": arrays["y_train"][::-1]}
    np.savez(path, allow_pickle=False, **changed)
    assert queue.train().said == []
    study = queue.study()
    assert (study.state, study.code) == ("failed", 3)
    assert study.failure == (
        f"small: the data have changed since it began (y_train of {path} have another SHA-256); "
        "put the old ones back, or train all of it again on the new ones (jmlp study … --fresh)"
    )
    assert queue.states() == ["queued"] * 6


def test_finished_run_without_its_file_is_retrained_and_reported(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit("--experiment", "rate")
    queue.train("small-rate")
    lost = queue.path(seed=1, drop_rate=0.5)
    queue.submit()
    lost.unlink()
    said = queue.train().said
    assert said[0] == f"{lost}: is missing: the run will be trained again"
    assert said[1].startswith("training 3 runs in 2 groups on ")
    assert numbers(queue.folder) == undisturbed


def test_files_of_runs_without_their_rows_are_adopted(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    queue.train()
    with queue.store() as store:  # as if the worker had been killed before it wrote the rows
        store.set_runs([run.run_id for run in store.runs()], "queued")
        store.set_study("small", "queued")
        assert store.counts("small") == (0, 6)
    assert queue.train().said == []
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert numbers(queue.folder) == undisturbed
    with queue.store() as store:
        assert all(run.result for run in store.runs())


def test_damaged_file_without_its_row_is_reported_and_written_again(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit("--experiment", "rate")
    queue.train("small-rate")
    path = queue.path(seed=0, drop_rate=0.5)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with queue.store() as store:
        store.set_runs([path.stem], "queued")
        store.set_study("small-rate", "queued")
    said = queue.train("small-rate").said
    assert said[0] == (
        f"{path}: damaged: its SHA-256 is not the one stored in it: the run will be trained again"
    )
    found = numbers(queue.folder)
    assert found == {run_id: undisturbed[run_id] for run_id in found}


def test_fresh_training_ignores_checkpoints_and_files_of_the_attempt_before(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    queue.disturbed(once(lambda: ask(signal.SIGTERM), lambda now: bool(now.results)))
    queue.submit()
    queue.disturbed(once(lambda: ask(signal.SIGTERM), lambda now: now.epoch > 1))
    assert len(numbers(queue.folder)) == 4
    assert len(queue.checkpoints()) >= 2
    queue.submit("--fresh")
    assert queue.states() == ["queued"] * 6
    ended = queue.train()
    assert any(line.startswith("training 6 runs ") for line in ended.said)
    with queue.store() as store:
        assert {run.attempt for run in store.runs()} == {2}
        kinds = {event.kind for event in store.events() if event.run_id}
    assert "resumed" not in kinds
    files = (queue.folder / "runs").iterdir()
    assert {run_files.read(path).about["attempt"] for path in files} == {2}
    assert numbers(queue.folder) == undisturbed
    assert queue.checkpoints() == []


def test_checkpoint_of_other_circumstances_is_refused_and_each_of_them_named(
    queue: Queue, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(resume_conditions, "NUMERICS", 0)
        queue.submit()
        queue.disturbed(once(lambda: ask(signal.SIGTERM), trains))
    refused = queue.checkpoints()
    queue.submit()
    ended = queue.train()
    warnings = [line for line in ended.said if line.startswith("warning: ")]
    assert len(warnings) == len(refused)
    for path in refused:
        told = (
            f"{path}: cannot be resumed from: numerics was 0 and is now {NUMERICS}; there is no "
            "other one to resume from"
        )
        assert f"warning: {told}" in warnings
        with queue.store() as store:
            kinds = [event.kind for event in store.events() if event.detail == told]
        assert kinds == ["checkpoint refused"]
    assert numbers(queue.folder) == undisturbed


@pytest.fixture
def other_setup(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Another source of jmlp, and a variable that counts on a GPU only; `undo` ends it."""
    with monkeypatch.context() as patch:
        patch.setattr(numerics, "source_digest", lambda: "00ff")
        patch.setenv("NVIDIA_TF32_OVERRIDE", "1")
        yield patch


def test_checkpoint_of_other_settings_or_another_source_is_refused(
    queue: Queue, undisturbed: dict[str, str], other_setup: pytest.MonkeyPatch
) -> None:
    queue.submit()
    queue.disturbed(once(lambda: ask(signal.SIGTERM), trains))
    n_refused = len(queue.checkpoints())
    other_setup.undo()
    queue.submit()
    warnings = [line for line in queue.train().said if line.startswith("warning: ")]
    assert len(warnings) == n_refused
    for warning in warnings:
        assert 'settings.NVIDIA_TF32_OVERRIDE was "1" and is now not there; source was' in warning
        assert f'source was "00ff" and is now "{numerics.source_digest()}"' in warning
    assert numbers(queue.folder) == undisturbed


def test_runs_that_ended_under_other_settings_are_reported_before_others_join_them(
    queue: Queue, other_setup: pytest.MonkeyPatch
) -> None:
    queue.submit("--seeds", "1")
    assert not any("warning" in line for line in queue.train().said)
    other_setup.undo()
    queue.submit("--seeds", "2")
    assert [line for line in queue.train().said if line.startswith("warning: ")] == [
        "warning: 3 of 3 completed runs were trained under other conditions, so equal runs may "
        f"differ slightly: source was 00ff, now {numerics.source_digest()}, "
        "NVIDIA_TF32_OVERRIDE was 1, now as usual"
    ]
