"""What the system does not let be read is reported as such: never as missing, damaged, or a bug."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import python, without_privileges
from store_runs import fill, plan

from jmlp.errors import JmlpError, StoreError
from jmlp.results import tensor_files
from jmlp.store import Lock, Store, run_files
from jmlp.store.checking import check
from jmlp.store.rebuild import rebuild
from jmlp.system.files import is_there, names

PERMIT = "make it readable for you (chmod, chown), then check again"
MOUNT = "mount the disk that it points to, or correct the link, then check again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with runs, a submission and tags."""
    made = plan()
    fill(tmp_path / "store", made)
    with Store(tmp_path / "store") as store:
        store.tag(made.runs[0].run_id, "x")
    (tmp_path / "store" / "checkpoints").mkdir()
    return tmp_path / "store"


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file or folder unreadable, for root too."""

    def forbid_path(path: Path) -> None:
        def refusing(real: Callable[..., object]) -> Callable[..., object]:
            def call(target: object, *arguments: object, **named: object) -> object:
                if str(target) == str(path):
                    raise PermissionError(13, "Permission denied", str(target))
                return real(target, *arguments, **named)

            return call

        monkeypatch.setattr(os, "listdir", refusing(os.listdir))
        monkeypatch.setattr(os, "open", refusing(os.open))

    return forbid_path


def rows(folder: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        found: list[tuple[object, ...]] = connection.execute(
            "SELECT run_id, state FROM runs ORDER BY number"
        ).fetchall()
        return found


@pytest.mark.parametrize("part", ["runs", "submissions", "checkpoints"])
def test_a_folder_that_cannot_be_read_is_a_problem_and_stops_a_rebuilding_unchanged(
    part: str, folder: Path, forbid: Callable[[Path], None]
) -> None:
    before = rows(folder)
    forbid(folder / part)
    problems = check(folder)
    assert [(p.path, p.what, p.remedy) for p in problems] == [
        (folder / part, "cannot be read: Permission denied", PERMIT)
    ]
    with pytest.raises(StoreError) as error:
        rebuild(folder)
    assert str(error.value) == f"{folder / part}: cannot be read: Permission denied"
    assert rows(folder) == before
    assert not [name for name in os.listdir(folder) if name.startswith("store.sqlite.")]


@pytest.mark.parametrize("part", ["runs", "submissions", "tags.json"])
def test_a_file_that_cannot_be_read_is_a_problem_and_stops_a_rebuilding_unchanged(
    part: str, folder: Path, forbid: Callable[[Path], None]
) -> None:
    before = rows(folder)
    path = folder / part
    path = path if path.is_file() else min(path.iterdir())
    forbid(path)
    (problem,) = check(folder)
    assert (problem.path, problem.what) == (path, "cannot be read: Permission denied")
    assert problem.remedy == PERMIT
    with pytest.raises(StoreError) as error:
        rebuild(folder)
    assert str(error.value) == (
        f"{path}: cannot be read: Permission denied; nothing was changed: make it readable for "
        "you first"
    )
    assert rows(folder) == before


def test_a_file_where_a_folder_should_be_is_a_problem(folder: Path) -> None:
    (folder / "checkpoints").rmdir()
    (folder / "checkpoints").touch()
    (problem,) = check(folder)
    assert (problem.path, problem.what) == (
        folder / "checkpoints",
        "cannot be read: Not a directory",
    )


def test_no_folder_is_empty_and_one_that_cannot_be_read_is_not(
    tmp_path: Path, forbid: Callable[[Path], None]
) -> None:
    assert names(tmp_path / "none") == []
    forbid(tmp_path)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        names(tmp_path)


def test_existence_is_unknown_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert is_there(tmp_path / "file")
    assert is_there(tmp_path / "link")
    assert not is_there(tmp_path / "none")
    with pytest.raises(StoreError, match="cannot be read: Not a directory"):
        is_there(tmp_path / "file" / "x")


COMMANDS = (
    ["store", "check"],
    ["store", "rebuild"],
    ["store", "path", "--json"],
    ["runs", "ls"],
    ["runs", "show", "all"],
    ["runs", "path", "last"],
    ["report", "small"],
    ["export", "all", "--as", "csv", "--output", "{out}"],
    ["verify", "last"],
    ["resume", "small"],
    ["runs", "rm", "last", "--yes"],
    ["doctor"],
)


@pytest.mark.parametrize("part", [".", "runs", "store.sqlite", "worker.lock", "logs"])
def test_no_command_calls_a_lack_of_permission_a_bug(
    part: str, folder: Path, tmp_path: Path
) -> None:
    run = without_privileges()
    lock = Lock(folder)
    lock.acquire()
    lock.release()
    (folder / "logs").mkdir(exist_ok=True)
    code = (
        "import subprocess, sys\n"
        f"sys.exit(subprocess.run([*{run!r}, sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
        ".returncode)"
    )
    calls = (
        "import contextlib, io, json, os, sys\n"
        "from jmlp.cli import main\n"
        "told = []\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    err = io.StringIO()\n"
        "    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):\n"
        "        code = main(arguments)\n"
        "    told.append([arguments, code, err.getvalue()])\n"
        "print(json.dumps(told))"
    )
    import json

    arguments = [[word.format(out=tmp_path / "out.csv") for word in words] for words in COMMANDS]
    (folder / part).chmod(0)
    try:
        done = python(
            "-c",
            code,
            calls,
            json.dumps(arguments),
            cwd=tmp_path,
            env={"JMLP_RUNS": str(folder), "JMLP_HOME": str(tmp_path / "home")},
        )
    finally:
        (folder / part).chmod(0o755)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [(words, err) for words, code, err in told if code == 1 or "bug" in err] == []
    codes = {" ".join(words[:2]): code for words, code, _ in told}
    if part in (".", "runs"):
        assert codes["store rebuild"] == codes["store check"] == 4


# ---- files that are not regular


@pytest.mark.parametrize("ending", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("viewer", [False, True])
def test_a_pipe_in_the_place_of_a_database_file_is_refused_at_once(
    ending: str, viewer: bool, folder: Path
) -> None:
    path = folder / f"store.sqlite{ending}"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(StoreError) as error:
        Store(folder, viewer=viewer)
    assert (
        str(error.value) == f"{path}: is not a regular file, not a store's database; move it away"
    )
    for call in (check, rebuild):
        with pytest.raises(StoreError):
            call(folder)
    assert path.is_fifo()


def test_a_loop_of_links_in_the_place_of_the_database_is_refused(folder: Path) -> None:
    path = folder / "store.sqlite"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(StoreError, match="cannot be read: Too many levels of symbolic links"):
        Store(folder)


def test_a_pipe_or_a_folder_in_the_place_of_the_lock_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    for make, what in (
        (os.mkfifo, "is not a regular file; remove it"),
        (os.mkdir, "cannot be locked: Is a directory"),
    ):
        make(path)
        with pytest.raises(StoreError) as error:
            Lock(tmp_path).acquire()
        assert str(error.value) == f"{path}: {what}"
        if path.is_fifo():
            with pytest.raises(StoreError):
                Lock(tmp_path).owner()
            path.unlink()


@pytest.mark.parametrize("name", ["tags.json", "submissions/x.json", "removing.json"])
def test_a_pipe_or_a_huge_file_in_the_place_of_a_small_one_is_a_problem(
    name: str, folder: Path
) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    (problem,) = check(folder)
    assert (problem.path, problem.what) == (path, "not a regular file")
    path.unlink()
    with path.open("wb") as file:
        file.truncate(3_900_000_000)  # a hole, which takes no space
    (problem,) = check(folder)
    assert problem.path == path
    assert problem.what.endswith("3,900,000,000 bytes, at most 256,000,000")


def test_a_pipe_in_the_place_of_a_run_is_a_problem(folder: Path) -> None:
    path = min((folder / "runs").iterdir())
    path.unlink()
    os.mkfifo(path)
    (problem,) = check(folder)
    assert (problem.path, problem.what) == (path, "not a regular file")


def test_an_unreadable_run_is_not_trained_again_over(
    folder: Path, forbid: Callable[[Path], None]
) -> None:
    path = min((folder / "runs").iterdir())
    forbid(path)
    with pytest.raises(JmlpError) as error:
        tensor_files.read(path, run_files.FORMAT)
    assert error.value.exit_code == 5


# ---- a symbolic link whose target is missing, as on a disk that is not mounted


def unmount(path: Path) -> str:
    """Moves a part of a store away and leaves a link to where it is not; returns the message."""
    if path.exists():
        path.rename(path.with_name(f"{path.name}-away"))
    path.symlink_to("/not/mounted")
    return f"the symbolic link {path} points to /not/mounted, which is missing"


@pytest.mark.parametrize("part", ["runs", "submissions", "checkpoints"])
def test_a_folder_behind_a_dangling_link_is_a_problem_and_stops_rebuilding_and_deleting(
    part: str, folder: Path
) -> None:
    before = rows(folder)
    why = unmount(folder / part)
    problems = check(folder)
    assert (folder / part, f"cannot be read: {why}", MOUNT) in [
        (p.path, p.what, p.remedy) for p in problems
    ]
    with pytest.raises(StoreError, match="cannot be read: the symbolic link"):
        rebuild(folder)
    if part != "checkpoints":
        with Store(folder) as store, pytest.raises(StoreError, match="the symbolic link"):
            store.remove([str(before[0][0])])
    assert rows(folder) == before
    assert not (folder / "removing.json").exists()


def test_a_result_whose_file_is_behind_a_dangling_link_is_not_reported(folder: Path) -> None:
    unmount(folder / "runs")
    with Store(folder, viewer=True) as store, pytest.raises(StoreError, match="symbolic link"):
        store.results("small")


def test_a_database_behind_a_dangling_link_is_not_recreated(folder: Path, tmp_path: Path) -> None:
    path = folder / "store.sqlite"
    path.rename(tmp_path / "moved.sqlite")
    path.symlink_to(tmp_path / "other.sqlite")
    for call in (Store, rebuild):
        with pytest.raises(StoreError, match=r"points to .*, which is missing"):
            call(folder)
    assert not (tmp_path / "other.sqlite").exists()


def test_a_store_behind_a_dangling_link_is_refused(tmp_path: Path) -> None:
    unmount(tmp_path / "store")
    for call in (check, rebuild):
        with pytest.raises(StoreError, match="which is missing"):
            call(tmp_path / "store")
        with pytest.raises(StoreError, match="which is missing"):
            call(tmp_path / "store" / "below")
