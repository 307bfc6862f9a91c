"""The lock of a store: one owner, known by name, and none that a kill leaves behind."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jmlp.errors import StoreError
from jmlp.store import lock as module
from jmlp.store.lock import Lock, Owner

HOLD = """
import sys, pathlib
from jmlp.store.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
assert lock.acquire()
lock.describe("a study")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_a_lock_that_another_process_holds_is_not_taken_and_its_owner_is_named(
    tmp_path: Path,
) -> None:
    with holder(tmp_path) as process:
        lock = Lock(tmp_path)
        assert not lock.acquire()
        owner = lock.owner()
        assert owner is not None
        assert (owner.pid, owner.host) == (process.pid, socket.gethostname())
        assert owner.study == "a study"
        process.communicate()
    assert lock.owner() is None
    assert lock.acquire()


def test_kill_frees_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        lock = Lock(tmp_path)
        assert lock.owner() is None
        assert lock.acquire()


def test_a_lock_that_is_given_back_can_be_taken_again(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    assert first.acquire()
    assert first.acquire()  # it has it already
    assert not second.acquire(timeout=0.01)
    first.release()
    assert second.acquire()
    second.release()
    second.release()
    assert first.owner() is None


def test_the_lock_owner_states_what_it_trains(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.acquire()
    studies = ["one", None, "\0\n'\u202e😀" * 1000, "short again"]
    for study in studies:
        lock.describe(study)
        owner = Lock(tmp_path).owner()
        assert owner is not None
        assert (owner.pid, owner.study) == (os.getpid(), study)


def test_a_viewer_does_not_keep_a_worker_from_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / module.NAME).touch()
    with (tmp_path / module.NAME).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as `owner` does for an instant
        lock = Lock(tmp_path)
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        assert lock.acquire()


def test_looking_at_a_free_lock_leaves_it_free_and_makes_nothing(tmp_path: Path) -> None:
    assert Lock(tmp_path / "store").owner() is None
    assert not (tmp_path / "store").exists()
    lock = Lock(tmp_path)
    assert lock.acquire()
    lock.release()
    assert lock.owner() is None
    assert Lock(tmp_path).acquire()


@pytest.mark.parametrize("note", ["", "{", "[1]", '{"pid": 1}'])
def test_an_owner_without_a_note_is_an_owner(
    note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTE_SECONDS", 0)
    lock = Lock(tmp_path)
    assert lock.acquire()
    lock.path.write_text(note)
    assert lock.owner() == Owner(0, "unknown", "", 0, None)


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.acquire()
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock.release()
        assert Lock(tmp_path).acquire()
        child.communicate()


def test_the_note_is_json_that_people_can_read(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.acquire()
    note = json.loads(lock.path.read_text())
    assert note.keys() == {"pid", "host", "boot_id", "started", "study"}


def test_a_free_lock_has_no_note(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        Lock(tmp_path).describe("a study")
    assert str(error.value) == f"{tmp_path}/worker.lock: is not held by this process"


def test_a_place_where_no_lock_can_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "worker.lock").mkdir()
    for folder, why in ((tmp_path / "file", "File exists"), (tmp_path, "Is a directory")):
        with pytest.raises(StoreError) as error:
            Lock(folder).acquire()
        assert str(error.value) == f"{folder}/worker.lock: cannot be locked: {why}"


# A process that takes the owner's place

PASS_ON = """
import os, pathlib, sys
from jmlp.store.lock import Lock
folder = pathlib.Path(sys.argv[1])
if len(sys.argv) == 2:
    lock = Lock(folder)
    assert lock.acquire()
    lock.describe("a study")
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], folder, str(lock.pass_on())])
lock = Lock.inherit(folder, int(sys.argv[2]))
print(lock.study, flush=True)
sys.stdin.read()
lock.describe("another")
print(flush=True)
sys.stdin.read()
"""


def test_lock_is_held_on_by_the_process_that_takes_its_owners_place(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PASS_ON, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a study\n"
        lock = Lock(tmp_path)
        assert not lock.acquire()
        owner = lock.owner()
        assert owner is not None
        assert (owner.pid, owner.study) == (process.pid, "a study")
        assert process.communicate()[0] == "\n"
    assert lock.acquire()


def test_only_a_lock_of_this_store_that_is_held_is_inherited(tmp_path: Path) -> None:
    here, there = Lock(tmp_path / "here"), Lock(tmp_path / "there")
    assert there.acquire()
    with pytest.raises(StoreError, match="cannot be locked: No such file"):
        Lock.inherit(tmp_path / "here", there.pass_on())
    assert here.acquire()
    with pytest.raises(StoreError, match="was not handed over to this process"):
        Lock.inherit(tmp_path / "here", there.pass_on())
    with pytest.raises(StoreError, match="cannot be locked: Bad file descriptor"):
        Lock.inherit(tmp_path / "here", 999)
    here.release()
    with pytest.raises(StoreError, match="is not held by this process"):
        here.pass_on()
