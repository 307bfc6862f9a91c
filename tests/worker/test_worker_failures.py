"""A device, a disk or jmlp itself fails while a worker trains: what is lost and reported."""

import signal

import pytest
from commands import Asked
from queues import Queue, numbers, once, trains

from jmlp.errors import DeviceError, DiskFullError, StoreError
from jmlp.system import fault_injection
from jmlp.training import engine
from jmlp.training.records import Progress
from jmlp.worker.recorder import Recorder


@pytest.mark.parametrize("error", [DeviceError("gpu: out of memory"), MemoryError()])
def test_runs_whose_device_fails_once_are_tried_again(
    error: Exception, queue: Queue, undisturbed: dict[str, str]
) -> None:
    def fail() -> None:
        raise error

    queue.submit()
    ended = queue.disturbed(once(fail, trains))
    assert ended.returncode == 0
    message = str(error) or "out of memory"
    assert f"{message}: continues in a fresh process" in ended.said
    assert queue.study().state == "done"
    with queue.store() as store:
        once_more = [event for event in store.events() if event.kind == "failed once"]
    assert [event.detail for event in once_more] == [message] * 4
    assert numbers(queue.folder) == undisturbed


def test_runs_whose_device_fails_twice_have_failed_and_the_rest_is_trained(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    def fail(progress: Progress) -> None:
        with queue.store() as store:
            running = [run.hyperparams for run in store.runs() if run.state == "running"]
        if progress.phase == "training" and not all(hp.batch_norm for hp in running):
            raise DeviceError("gpu: out of memory")

    queue.submit()
    ended = queue.disturbed(fail)
    assert ended.said.count("gpu: out of memory: continues in a fresh process") == 2
    study = queue.study()
    assert (study.state, study.code) == ("failed", 6)
    assert study.failure == "4 runs failed: gpu: out of memory"
    assert sorted(queue.states()) == ["failed"] * 4 + ["finished"] * 2
    found = numbers(queue.folder)
    assert len(found) == 2
    assert found == {run_id: undisturbed[run_id] for run_id in found}
    with queue.store() as store:
        failures = {(run.failure, run.code) for run in store.runs() if run.state == "failed"}
    assert failures == {("gpu: out of memory", 6)}

    # Wanted again, they get as many tries as before.
    queue.submit()
    assert queue.disturbed(fail).said.count("gpu: out of memory: continues in a fresh process") == 2
    queue.submit()
    queue.train()
    assert queue.study().state == "done"
    assert numbers(queue.folder) == undisturbed


def test_device_that_fails_before_a_run_is_in_training_ends_the_study_at_once(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise DeviceError("gpu: out of memory")

    monkeypatch.setattr(engine, "_put_data", full)
    queue.submit()
    assert queue.train().returncode == 0
    study = queue.study()
    assert (study.state, study.code, study.failure) == ("failed", 6, "gpu: out of memory")
    assert queue.states() == ["queued"] * 6


def test_bug_ends_the_study_with_code_1_and_says_what_it_was(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.submit()
    nothing: dict[int, int] = {}
    queue.disturbed(once(lambda: nothing[0], trains))
    study = queue.study()
    assert (study.state, study.code) == ("failed", 1)
    assert study.failure == "this is a bug in jmlp: KeyError: 0"
    assert capsys.readouterr().err.startswith("Traceback ")  # it is in the log
    assert queue.states() == ["queued"] * 6


@pytest.mark.parametrize("k", [1, 2, 5, 10, 20, 30])
def test_full_disk_is_waited_for_in_every_write(
    k: int, queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    fault_injection.arm(f"any:{k}:enospc")
    try:
        ended = queue.train()
    finally:
        fault_injection.arm(None)
    full = [line for line in ended.said if line.startswith("the disk is full: training waits ")]
    assert len(full) == 1
    assert ended.said.count("there is space again: training continues") == 1
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert numbers(queue.folder) == undisturbed


def test_worker_that_waits_for_space_leaves_when_it_is_asked_to(
    queue: Queue, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Recorder, *arguments: object) -> None:
        raise DiskFullError("no space")

    def wait(self: Asked, seconds: float) -> bool:
        self.reason = signal.SIGTERM
        return True

    queue.submit()
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "_save", full)
        patch.setattr(Asked, "wait", wait)
        assert queue.train().returncode == 143
    assert queue.study().state == "interrupted"
    assert queue.checkpoints() == []
    queue.submit()
    queue.train()
    assert numbers(queue.folder) == undisturbed


def test_broken_disk_ends_the_study_with_code_4_and_loses_nothing(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    fault_injection.arm("fsync:3:eio")
    try:
        queue.train()
    finally:
        fault_injection.arm(None)
    study = queue.study()
    assert (study.state, study.code) == ("failed", StoreError.exit_code)
    assert (study.failure or "").endswith(": cannot be written: Input/output error")
    assert "running" not in queue.states()
    queue.submit()
    queue.train()
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert numbers(queue.folder) == undisturbed
