"""A command that sees a study to its end: it starts a worker, and another where one has died."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import Died, Here, Inline, disturb
from queues import Queue, numbers, once, trains

from jmlp import report
from jmlp.cli import session
from jmlp.client import workers as control
from jmlp.errors import StoreError
from jmlp.store import Lock
from jmlp.system import processes
from jmlp.training.records import Progress
from jmlp.worker import __main__ as worker

SEGV = "the worker was ended by signal 11 (SIGSEGV)"
KILL = "the worker was ended by signal 9 (SIGKILL)"
AGAIN = "starts again from the last checkpoint"
START_WORKER = control.start_worker
INTERRUPTED = (
    "interrupted: {} of 6 runs of small are done; jmlp resume small, or the same command, "
    "continues\n"
)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the report, which takes longer than a small study."""
    monkeypatch.setattr(report, "write_report", lambda *arguments, **more: None)


class Workers:
    """Starts workers; those chosen by the test die."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.afters: list[str] = []
        self.hook: Callable[[int], Callable[[Progress], object] | None] = lambda n: None
        monkeypatch.setattr(control, "start_worker", self.start)

    def start(self, folder: object, label: str, after: str = "") -> Inline:
        self.afters.append(after)
        with self._patch.context() as patch:
            hook = self.hook(len(self.afters))
            if hook is not None:
                disturb(patch, hook)
            return Inline(folder, label, after)  # type: ignore[arg-type]

    def die(self, number: int, when: Callable[[Progress], bool], times: int = 1000) -> None:
        """The first ones die, each at the first progress of that kind."""

        def death() -> None:
            raise Died(number)

        self.hook = lambda n: once(death, when) if n <= times else None


@pytest.fixture
def workers(here: Here, monkeypatch: pytest.MonkeyPatch) -> Workers:
    return Workers(monkeypatch)


def begins(progress: Progress) -> bool:
    """Whether the runs without batch norm, which come first if they do, have been put to work."""
    return progress.phase == "training" and progress.n_groups == 2 and progress.group == 1


def polls(monkeypatch: pytest.MonkeyPatch, actions: Iterator[Callable[[], object]]) -> None:
    """Does something at each poll of the session, instead of sleeping."""
    clock = SimpleNamespace(sleep=lambda seconds: next(actions)(), monotonic=time.monotonic)
    monkeypatch.setattr(session, "time", clock)


# Workers that die


def test_killed_worker_is_started_again_and_the_numbers_are_the_same(
    workers: Workers, queue: Queue, undisturbed: dict[str, str]
) -> None:
    workers.die(signal.SIGKILL, trains, times=3)
    done = queue.here("study", "small.toml")
    assert done.code == 0
    assert done.err.count(f"{KILL}: {AGAIN}\n") == 3
    assert workers.afters == [""] * 4
    assert (queue.study().state, queue.states()) == ("done", ["finished"] * 6)
    assert numbers(queue.folder) == undisturbed


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT")]
)
def test_worker_that_crashes_twice_over_the_same_runs_gives_them_up_and_trains_the_rest(
    number: int, name: str, workers: Workers, queue: Queue, undisturbed: dict[str, str]
) -> None:
    workers.die(number, begins)
    done = queue.here("study", "small.toml")
    how = f"the worker was ended by signal {number:d} ({name})"
    assert done.code == 6
    assert done.err.count(f"{how}: {AGAIN}\n") == 2
    assert done.err.endswith(f"jmlp: error: 4 runs failed: {how}\n")
    assert "\nnorm\n" in done.out  # the tables show what there is
    assert workers.afters == ["", how, how]
    assert sorted(queue.states()) == ["failed"] * 4 + ["finished"] * 2
    found = numbers(queue.folder)
    assert found == {run_id: undisturbed[run_id] for run_id in found}


def test_run_that_crashes_its_worker_once_is_no_failure(
    workers: Workers,
    queue: Queue,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Others ran out of memory meanwhile, which is not what this one died of.
    monkeypatch.setattr(processes, "oom_kills", lambda: len(workers.afters))
    workers.die(signal.SIGSEGV, begins, times=1)
    assert queue.here("study", "small.toml").code == 0
    assert workers.afters == ["", SEGV]
    assert numbers(queue.folder) == undisturbed


def test_worker_killed_for_lack_of_memory_is_distinguished_from_other_kills(
    workers: Workers, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The system counts one more after each start.
    monkeypatch.setattr(processes, "oom_kills", lambda: len(workers.afters))
    workers.die(signal.SIGKILL, begins)
    done = queue.here("study", "small.toml")
    how = "out of memory: the system ended the worker"
    assert done.code == 6
    assert done.err.count(f"{how}: {AGAIN}\n") == 2
    assert done.err.endswith(f"jmlp: error: 4 runs failed: {how}\n")
    assert workers.afters == ["", how, how]


def test_kills_are_counted_as_reported_by_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cgroup = "/sys/fs/cgroup/memory.events"
    told = {"/proc/vmstat": "pgfault 7\noom_kill 3\n", cgroup: "oom_kill 2\n"}
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: told[str(self)])
    assert processes.oom_kills() == 5
    told[cgroup] = "oom_kill many\n"
    assert processes.oom_kills() == 3


def test_worker_killed_ten_times_within_a_compile_continues_to_the_same_numbers(
    workers: Workers, queue: Queue, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_PAUSE", 0.0)
    workers.die(signal.SIGKILL, lambda progress: progress.phase == "compiling", times=10)
    done = queue.here("study", "small.toml")
    assert (done.code, workers.afters) == (0, [""] * 11)
    assert numbers(queue.folder) == undisturbed


def test_signal_while_a_worker_waits_for_its_next_start_ends_the_command(
    workers: Workers, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IMMEDIATE_RESTARTS", 0)
    monkeypatch.setattr(control, "MAX_PAUSE", 1e9)
    workers.die(signal.SIGKILL, lambda progress: True)
    polls(monkeypatch, iter([int, int, lambda: signal.raise_signal(signal.SIGTERM)]))
    done = queue.here("study", "small.toml")
    assert (done.code, len(workers.afters)) == (143, 1)
    assert done.err.endswith(INTERRUPTED.format(0))
    assert queue.study().state == "interrupted"


def test_worker_that_always_dies_before_a_run_is_in_training_ends_the_study(
    workers: Workers, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> bool:
        raise Died(signal.SIGSEGV)

    monkeypatch.setattr(worker, "work", crash)
    done = queue.here("study", "small.toml")
    told = f"{SEGV}, 7 times in a row and before a run was in training: it printed nothing"
    assert (done.code, done.out) == (6, "")
    assert done.err.endswith(f"jmlp: error: {told}\n")
    assert len(workers.afters) == 7
    assert (queue.study().state, queue.study().failure) == ("failed", told)


# Workers that end otherwise


def test_worker_that_ends_with_0_before_its_study_is_over_is_started_seven_times_and_no_more(
    workers: Workers, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "work", lambda *arguments: False)
    done = queue.here("study", "small.toml")
    how = "the worker ended with code 0"
    told = f"{how}, 7 times in a row and before a run was in training: it printed nothing"
    assert (done.code, done.out) == (6, "")
    assert done.err.count(f"{how}: {AGAIN}") == 6
    assert done.err.endswith(f"jmlp: error: {told}\n")
    assert workers.afters == [""] * 7, "no run is to blame"
    assert queue.study().state == "failed"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (StoreError("the store is no good"), 4, "the store is no good"),
        (Died(-1), 1, "the worker ended with code 1: it printed nothing"),
    ],
)
def test_worker_that_cannot_begin_ends_the_command_with_its_code(
    error: BaseException, code: int, told: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object) -> bool:
        raise error

    monkeypatch.setattr(worker, "work", work)
    done = queue.here("study", "small.toml")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"jmlp: error: {told}\n")


def test_log_that_cannot_be_written_ends_the_command_with_code_4_and_its_path(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "start_worker", START_WORKER)
    log = queue.folder / "logs" / "worker.log"
    log.mkdir(parents=True)
    done = queue.here("study", "small.toml")
    assert done == (4, "", f"jmlp: error: {log}: cannot be written: Is a directory\n")


def test_worker_that_left_in_the_middle_of_a_compile_leaves_a_study_that_is_interrupted(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(folder: object, label: str, after: str = "") -> Inline:
        def die(progress: Progress) -> None:
            if progress.phase == "training":
                raise Died(signal.SIGTERM)

        with monkeypatch.context() as patch:
            disturb(patch, die)
            ended = Inline(folder, label, after)  # type: ignore[arg-type]
        ended.returncode = 143
        return ended

    monkeypatch.setattr(control, "start_worker", leave)
    done = queue.here("study", "small.toml")
    assert (done.code, done.out) == (143, "")
    assert done.err.endswith(INTERRUPTED.format(0))
    assert (queue.study().state, queue.states()) == ("interrupted", ["queued"] * 6)


# The worker of another command


class Other:
    """Another worker has the store, as far as one can see, until it is let go."""

    def __init__(self, queue: Queue, study: str) -> None:
        self.lock = Lock(queue.folder)
        assert self.lock.acquire()
        self.lock.describe(study)
        self.told = (
            f"attached: another worker (process {os.getpid()} on {socket.gethostname()}) is using "
            f"this store and trains {study}; Ctrl-C does not stop it\n"
        )


def test_command_attaches_to_a_worker_and_starts_its_own_when_that_has_gone(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    other = Other(queue, "small")
    polls(monkeypatch, iter([int, int, other.lock.release, *[int] * 9]))
    done = queue.here("study", "small.toml")
    assert done.code == 0
    assert done.err.startswith(f"{other.told}training 6 runs in 2 groups on ")
    assert numbers(queue.folder) == undisturbed


@pytest.mark.parametrize(
    ("trained", "state", "told"),
    [
        (
            "small",
            "running",
            "left: 0 of 6 runs of small are done; it is running: jmlp attach small shows it\n",
        ),
        (
            "large",
            "queued",
            "left: 0 of 6 runs of small are done; it is queued behind large: jmlp resume small "
            "trains it\n",
        ),
    ],
)
def test_command_that_is_attached_leaves_the_worker_at_work(
    trained: str, state: str, told: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    other = Other(queue, trained)
    with queue.store() as store:
        store.set_study("small", state)  # type: ignore[arg-type]
    polls(monkeypatch, iter([int, lambda: signal.raise_signal(signal.SIGINT)]))
    done = queue.here("study", "small.toml")
    assert done == (130, "", other.told + told)
    assert queue.study().state == state
    other.lock.release()


def test_worker_that_found_the_store_taken_is_replaced_by_attaching(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Lock(queue.folder)
    started: list[str] = []

    def start(folder: object, label: str, after: str = "") -> Inline:
        if not started:  # another one is faster
            assert other.acquire()
            other.describe("small")
        started.append(label)
        return Inline(folder, label, after)  # type: ignore[arg-type]

    monkeypatch.setattr(control, "start_worker", start)
    polls(monkeypatch, iter([int, int, other.release, *[int] * 9]))
    done = queue.here("study", "small.toml")
    assert (done.code, len(started)) == (0, 2)
    assert "attached: another worker " in done.err


def test_study_that_another_worker_has_stopped_is_not_begun_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()
    other = Other(queue, "small")

    def stop() -> None:
        with queue.store() as store:
            store.set_study("small", "stopped")
        other.lock.release()

    # It does so between two looks of the command: at the state, and at who has the store.
    owner = Lock.owner
    looks: Iterator[Callable[[], object]] = iter([int, int, int, int, stop])

    def owner_then(self: Lock) -> object:
        next(looks, int)()
        return owner(self)

    monkeypatch.setattr(Lock, "owner", owner_then)
    done = queue.here("study", "small.toml")
    assert next(looks, None) is None
    assert (done.code, done.out) == (143, "")
    told = "stopped: 0 of 6 runs of small are done; jmlp resume small, or the same command, "
    assert done.err == f"{other.told}{told}continues\n"


def test_worker_that_does_not_leave_in_time_is_killed(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    class Deaf(Inline):
        def __init__(self, folder: object, label: str, after: str = "") -> None:
            with monkeypatch.context() as patch:
                patch.setattr(worker, "work", lambda *arguments: False)
                super().__init__(folder, label, after)  # type: ignore[arg-type]

        def poll(self) -> int | None:  # type: ignore[override]
            return None

        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                raise subprocess.TimeoutExpired("worker", timeout)
            return -9

        def kill(self) -> None:
            killed.append(True)

    monkeypatch.setattr(control, "start_worker", Deaf)
    polls(monkeypatch, iter([int, lambda: signal.raise_signal(signal.SIGTERM)]))
    done = queue.here("study", "small.toml")
    assert done == (143, "", INTERRUPTED.format(0))
    assert killed == [True]
    assert queue.study().state == "interrupted"
