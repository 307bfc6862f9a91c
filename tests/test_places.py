"""Places and the atomic writing of files."""

import itertools
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import platformdirs
import pytest

from jmlp import faults, places
from jmlp.errors import DiskFullError, StoreError


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with no variable set."""
    for name in ("JMLP_HOME", "JMLP_DATA", "JMLP_RUNS", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def all_places() -> list[Path]:
    return [
        places.cache_dir(),
        places.data_dir(),
        places.compile_cache_dir(),
        places.runs_dir(),
    ]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="names the folders of Linux")
def test_places_follow_the_habit_of_the_platform(user: Path) -> None:
    cache = user / ".cache" / "jmlp"
    runs = user / ".local" / "share" / "jmlp"
    assert all_places() == [cache, cache / "datasets", cache / "jax", runs]


def test_jmlp_home_moves_every_place(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMLP_HOME", "~/all")
    cache = user / "all" / "cache"
    assert all_places() == [cache, cache / "datasets", cache / "jax", user / "all" / "runs"]


def test_the_variable_of_one_place_wins_over_jmlp_home(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMLP_HOME", str(user / "all"))
    monkeypatch.setenv("JMLP_DATA", str(user / "data"))
    monkeypatch.setenv("JMLP_RUNS", str(user / "runs"))
    assert (places.data_dir(), places.runs_dir()) == (user / "data", user / "runs")


def test_an_empty_variable_counts_as_none_and_a_relative_one_as_absolute(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user)
    monkeypatch.setenv("JMLP_HOME", "here")
    monkeypatch.setenv("JMLP_DATA", "")
    assert places.data_dir() == user / "here" / "cache" / "datasets"


@pytest.mark.parametrize("answer", [RuntimeError("no home"), Path("~/.cache/jmlp")])
def test_a_user_without_home_is_told_what_to_set(
    answer: RuntimeError | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer platformdirs raise an error, older ones leave the sign for home as it is."""
    monkeypatch.setattr(platformdirs, "user_cache_path", Mock(side_effect=[answer]))
    with pytest.raises(StoreError) as error:
        places.cache_dir()
    assert str(error.value) == (
        "there is no home folder to keep files in: set HOME, or JMLP_HOME to a folder"
    )


def test_writing_makes_folders_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    places.write_atomically(path, b"old")
    places.write_atomically(path, memoryview(b"new"))
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def failure(path: Path) -> StoreError | None:
    """Writes "new" to the file, and says what went wrong."""
    try:
        places.write_atomically(path, b"new")
    except StoreError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("action", "kind", "reason"),
    [
        ("enospc", DiskFullError, "No space left on device"),
        ("eio", StoreError, "Input/output error"),
    ],
)
def test_whatever_fails_the_old_file_or_the_new_one_is_whole_and_nothing_else_left(
    action: str, kind: type[StoreError], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    found = []
    for k in itertools.count(1):
        path.write_bytes(b"old")
        faults.arm(f"any:{k}:{action}")
        error = failure(path)
        if error is None:
            break
        assert (type(error), str(error)) == (kind, f"{path}: cannot be written: {reason}")
        found.append(path.read_bytes())
        assert os.listdir(tmp_path) == ["file"]
    assert found == [b"old", b"old", b"old", b"new"]  # write, fsync, rename, flush of the folder


def test_new_folders_are_flushed_before_anything_is_in_them(tmp_path: Path) -> None:
    faults.arm("folder:2:eio")
    with pytest.raises(StoreError) as error:
        places.write_atomically(tmp_path / "a" / "b" / "file", b"new")
    told = f"{tmp_path / 'a' / 'b' / 'file'}: its folder cannot be made: Input/output error"
    assert str(error.value) == told
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "b"]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_killed_writing_leaves_a_whole_file_and_a_leftover_that_is_removed(
    k: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"from jmlp import places; places.write_atomically(places.Path({str(path)!r}), b'new')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"JMLP_FAULT": f"any:{k}:kill"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"old" if k < 4 else b"new")
    assert len(os.listdir(tmp_path)) == (2 if k < 4 else 1)
    places.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_only_what_ended_processes_had_begun_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = {
        f".file.{os.getppid()}.0123abcd.tmp",  # its process lives
        f"file.{ended.pid}.0123abcd.tmp",
        f".file.{ended.pid}.0123abc.tmp",
        ".file.swp",
        "file.tmp",
    }
    gone = {
        f".a file.{ended.pid}.0123abcd.tmp",
        f".file.{os.getpid()}.0123abcd.tmp",  # of one before that had the same pid
        f".file.{2**70}.0123abcd.tmp",
    }
    for name in kept | gone:
        (tmp_path / name).touch()
    places.remove_leftovers(tmp_path)
    assert set(os.listdir(tmp_path)) == kept


def test_leftovers_of_no_folder_are_none_and_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    places.remove_leftovers(tmp_path / "none")
    (tmp_path / f".file.{os.getpid()}.0123abcd.tmp").mkdir()
    with pytest.raises(StoreError) as error:
        places.remove_leftovers(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: unfinished files in it cannot be removed: ")


def test_an_interrupted_writing_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        places.write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_the_bytes_are_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, Path.replace

    def flush(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append("flush the folder" if is_folder else "flush the file")
        fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    places.write_atomically(tmp_path / "file", b"new")
    assert events == ["flush the file", "rename", "flush the folder"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "cannot be written: Is a directory"),
        ("file/below", "its folder cannot be made: File exists"),
        ("n" * 300, "cannot be written: File name too long"),
        ("\0", "cannot be written: a path cannot hold a NUL"),
    ],
)
def test_an_impossible_target_is_a_store_error_with_the_reason(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=reason):
        places.write_atomically(tmp_path / name, b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
