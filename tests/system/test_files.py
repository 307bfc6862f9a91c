"""Places and the atomic writing of files."""

import contextlib
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import platformdirs
import pytest

from jmlp.errors import DiskFullError, StoreError
from jmlp.system import fault_injection, files


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with no variable set."""
    for name in ("JMLP_HOME", "JMLP_DATA", "JMLP_RUNS", "JMLP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def all_places() -> list[Path]:
    return [
        files.cache_dir(),
        files.data_dir(),
        files.compile_cache_dir(),
        files.runs_dir(),
        files.config_dir(),
    ]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="names the folders of Linux")
def test_places_follow_the_habit_of_the_platform(user: Path) -> None:
    cache = user / ".cache" / "jmlp"
    runs = user / ".local" / "share" / "jmlp"
    config = user / ".config" / "jmlp"
    assert all_places() == [cache, cache / "datasets", cache / "jax", runs, config]


def test_jmlp_home_moves_every_place(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMLP_HOME", "~/all")
    home = user / "all"
    cache = home / "cache"
    places = [cache, cache / "datasets", cache / "jax", home / "runs", home / "config"]
    assert all_places() == places


def test_the_variable_of_one_place_wins_over_jmlp_home(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMLP_HOME", str(user / "all"))
    monkeypatch.setenv("JMLP_DATA", str(user / "data"))
    monkeypatch.setenv("JMLP_RUNS", str(user / "runs"))
    monkeypatch.setenv("JMLP_CONFIG", str(user / "mine"))
    assert (files.data_dir(), files.runs_dir()) == (user / "data", user / "runs")
    assert files.config_dir() == user / "mine"


def test_an_empty_variable_counts_as_none_and_a_relative_one_as_absolute(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user)
    monkeypatch.setenv("JMLP_HOME", "here")
    monkeypatch.setenv("JMLP_DATA", "")
    assert files.data_dir() == user / "here" / "cache" / "datasets"


@pytest.mark.parametrize("answer", [RuntimeError("no home"), Path("~/.cache/jmlp")])
def test_a_missing_home_is_reported_with_what_to_set(
    answer: RuntimeError | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer platformdirs raise an error, older ones leave the sign for home as it is."""
    monkeypatch.setattr(platformdirs, "user_cache_path", Mock(side_effect=[answer]))
    with pytest.raises(StoreError) as error:
        files.cache_dir()
    assert str(error.value) == (
        "there is no home folder to keep files in: set HOME, or JMLP_HOME to a folder"
    )


def test_writing_makes_folders_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    files.write_atomically(path, b"old")
    files.write_atomically(path, memoryview(b"new"))
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def failure(path: Path) -> StoreError | None:
    """Writes "new" to the file, and says what went wrong."""
    try:
        files.write_atomically(path, b"new")
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
def test_after_any_failure_the_old_or_the_new_file_is_intact_and_nothing_else_remains(
    action: str, kind: type[StoreError], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    found = []
    for k in itertools.count(1):
        path.write_bytes(b"old")
        fault_injection.arm(f"any:{k}:{action}")
        error = failure(path)
        if error is None:
            break
        assert (type(error), str(error)) == (kind, f"{path}: cannot be written: {reason}")
        found.append(path.read_bytes())
        assert os.listdir(tmp_path) == ["file"]
    assert found == [b"old", b"old", b"old", b"new"]  # write, fsync, rename, flush of the folder


def test_new_folders_are_flushed_before_anything_is_in_them(tmp_path: Path) -> None:
    fault_injection.arm("folder:2:eio")
    with pytest.raises(StoreError) as error:
        files.write_atomically(tmp_path / "a" / "b" / "file", b"new")
    told = f"{tmp_path / 'a' / 'b' / 'file'}: its folder cannot be created: Input/output error"
    assert str(error.value) == told
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "b"]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_killed_writing_leaves_a_whole_file_and_a_leftover_that_is_removed(
    k: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"from jmlp.system.files import *; write_atomically(Path({str(path)!r}), b'new')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"JMLP_FAULT": f"any:{k}:kill"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"old" if k < 4 else b"new")
    assert len(os.listdir(tmp_path)) == (2 if k < 4 else 1)
    files.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_next_process_that_writes_into_a_folder_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = f".another.{2**22 + 1}.0123abcd.tmp"  # no process has that id
    (tmp_path / killed).touch()
    files.write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]
    (tmp_path / killed).touch()
    files.write_atomically(tmp_path / "file", b"new")  # it looks once only: folders may be large
    assert sorted(os.listdir(tmp_path)) == [killed, "file"]
    monkeypatch.setattr(files, "_tidied", set())  # as in another process
    (tmp_path / f".mine.{2**22 + 1}.0123abcd.tmp").mkdir()  # cannot be removed
    files.write_atomically(tmp_path / "other", b"new")
    assert {"file", "other"} < set(os.listdir(tmp_path))


def test_a_file_that_another_thread_is_writing_is_no_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        files.remove_leftovers(tmp_path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    files.write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


NAMES = ("first", "second", "folder/last")


def together(folder: Path, content: bytes) -> list[Path]:
    contents = [(folder / name, content) for name in NAMES]
    return files.write_together(contents, last=contents[-1][0])


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_after_any_failure_files_are_all_old_or_all_new_or_the_last_one_is_missing(
    action: str, tmp_path: Path
) -> None:
    found = []
    for k in itertools.count(1):
        together(tmp_path, b"old")
        fault_injection.arm(f"any:{k}:{action}")
        try:
            together(tmp_path, b"new")
        except StoreError:
            fault_injection.arm(None)
        else:
            break
        whole = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert not [name for name in whole if name.endswith(".tmp")]
        if "last" in whole:
            assert len(set(whole.values())) == 1
        found.append(whole.get("last", b"missing"))
    # Six points until all are on the disk, those of the removal and of the renames, the last flush.
    assert found == [b"old"] * 6 + [b"missing"] * 6 + [b"new"]


@pytest.mark.parametrize("k", [1, 6, 7, 9, 12])
def test_files_that_a_kill_left_half_written_are_whole_after_the_next_writing(
    k: int, tmp_path: Path
) -> None:
    together(tmp_path, b"old")
    code = (
        "from jmlp.system.files import Path, write_together\n"
        f"files = [(Path({str(tmp_path)!r}) / name, b'new') for name in {NAMES}]\n"
        "write_together(files, last=files[-1][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"JMLP_FAULT": f"any:{k}:kill"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    last = tmp_path / NAMES[-1]
    assert last.exists() == (k <= 6)
    if last.exists():
        assert {(tmp_path / name).read_bytes() for name in NAMES} == {b"old"}
    files._tidied.clear()  # as in another process
    together(tmp_path, b"new")
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {tmp_path / name for name in NAMES}
    assert {path.read_bytes() for path in found} == {b"new"}


def device(path: Path) -> None:
    path.symlink_to(os.devnull)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(device, "a device"), (pipe, "a pipe"), (a_socket, "a socket"), (Path.mkdir, "a folder")],
)
def test_what_is_not_a_file_is_never_replaced_by_one(
    make: Callable[[Path], None], kind: str, tmp_path: Path
) -> None:
    make(path := tmp_path / "it")
    mode = path.lstat().st_mode
    with pytest.raises(StoreError) as error:
        files.write_atomically(path, b"new")
    assert str(error.value) == f"{path}: cannot be written: it is {kind}, not a file"
    with pytest.raises(StoreError) as error:
        files.user_file(path, "--save", force=True)
    assert str(error.value) == f"{path}: is {kind}; give --save the name of a file"
    assert path.lstat().st_mode == mode
    assert os.listdir(tmp_path) == ["it"]


def test_a_symbolic_link_is_replaced_by_jmlp_and_followed_where_a_user_gave_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "new link").symlink_to("folder/new")
    for name, target in (("link", "file"), ("new link", "folder/new"), ("file", "file")):
        found = files.user_file(tmp_path / name, "--save", force=True)
        assert found.resolve() == (tmp_path / target).resolve()
        with pytest.raises(StoreError, match=f"{name}: exists; "):
            files.user_file(tmp_path / name, "--save", force=False)
    files.write_atomically(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"old"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
def test_private_folder_is_for_its_owner_alone_and_no_one_else_may_write_above_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "home" / "cache" / "jax"
    assert files.make_private(folder) == ""
    assert mode(folder) == 0o700
    assert mode(folder.parent) == mode(folder.parent.parent) == 0o755


@pytest.mark.parametrize("wide", [0o777, 0o755, 0o1777, 0o750])
def test_folder_that_was_open_to_others_is_made_private_and_keeps_what_is_its_owners(
    wide: int, tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()
    tmp_path.chmod(wide)
    assert files.make_private(tmp_path) == ""
    assert mode(tmp_path) & 0o777 == 0o700
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_others_own_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "jax"
    folder.mkdir()
    folder.chmod(0o777)
    for name, owner in (("mine", 0), ("planted", 12345)):
        (folder / name).touch()
        os.chown(folder / name, owner, 0)
    assert files.make_private(folder) == ""
    assert os.listdir(folder) == ["mine"]
    os.chown(folder, 12345, 0)
    assert files.make_private(folder) == "belongs to another user"


def test_folder_whose_file_system_has_no_permissions_or_that_cannot_be_made_is_not_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert files.make_private(tmp_path / "file") == "cannot be used: File exists"
    tmp_path.chmod(0o777)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    told = "is open to other users, and its file system has no permissions"
    assert files.make_private(tmp_path) == told


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
    files.remove_leftovers(tmp_path)
    assert set(os.listdir(tmp_path)) == kept


def test_missing_folder_has_no_leftovers_and_failed_removals_are_reported(tmp_path: Path) -> None:
    files.remove_leftovers(tmp_path / "none")
    (tmp_path / f".file.{os.getpid()}.0123abcd.tmp").mkdir()
    with pytest.raises(StoreError) as error:
        files.remove_leftovers(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: unfinished files in it cannot be removed: ")


def test_an_interrupted_writing_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "file", b"new")
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
    files.write_atomically(tmp_path / "file", b"new")
    assert events == ["flush the file", "rename", "flush the folder"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "cannot be written: it is a folder, not a file"),
        ("file/below", "its folder cannot be created: File exists"),
        ("n" * 300, "cannot be written: File name too long"),
        ("\0", "cannot be written: a path cannot contain a NUL"),
    ],
)
def test_an_impossible_target_is_a_store_error_with_the_reason(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=reason):
        files.write_atomically(tmp_path / name, b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
