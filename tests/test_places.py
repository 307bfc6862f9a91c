"""Places and the atomic writing of files."""

import os
import stat
from pathlib import Path
from unittest.mock import Mock

import platformdirs
import pytest

from jmlp import places
from jmlp.errors import StoreError


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


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_writing_keeps_the_old_file_and_gives_the_reason(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], full)
    with pytest.raises(StoreError) as error:
        places.write_atomically(path, b"new")
    assert str(error.value) == f"{path}: cannot be written: No space left on device"
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


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
