"""How the database of a store is opened, refused, and written to."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from database_checks import BEGINNING, INSERT, add, foreign, kinds, refusal

from jmlp.errors import DiskFullError, StoreError
from jmlp.store import database as module
from jmlp.store import schema
from jmlp.store.database import DamagedError, Database
from jmlp.system import fault_injection

pytestmark = pytest.mark.usefixtures("databases")


def test_a_connection_is_as_safe_as_sqlite_can_be(tmp_path: Path) -> None:
    database = Database(tmp_path)
    settings = {
        name: database.read(f"PRAGMA {name}")[0][0]
        for name in (
            *("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "trusted_schema"),
            *("cell_size_check", "application_id", "user_version", "query_only"),
        )
    }
    assert settings == {
        "journal_mode": "truncate",  # WAL of this SQLite can corrupt, before 3.51.3
        "synchronous": 2,
        "busy_timeout": 10_000,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "application_id": 0x6A6D6C70,
        "user_version": schema.SCHEMA,
        "query_only": 0,
    }


def test_every_table_is_strict(tmp_path: Path) -> None:
    tables = Database(tmp_path).read("SELECT name, strict FROM pragma_table_list")
    own = {name: strict for name, strict in tables if not name.startswith("sqlite_")}
    assert own
    assert set(own.values()) == {1}


def test_there_is_nothing_to_view_without_a_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    assert refusal(folder, viewer=True) == f"there is no store at {folder}: run a study first"
    assert not folder.exists()


def test_a_viewer_changes_nothing(tmp_path: Path) -> None:
    add(Database(tmp_path), "one")
    with pytest.raises(StoreError, match="cannot be written"):
        add(Database(tmp_path, viewer=True), "two")
    assert kinds(tmp_path) == ["one"]


@pytest.mark.parametrize(
    "statements",
    [
        ["PRAGMA application_id = 5"],
        ["CREATE TABLE runs (id INTEGER)"],
        ["PRAGMA application_id = 5", "PRAGMA journal_mode = WAL", "CREATE TABLE a (b)"],
    ],
)
def test_a_database_of_another_application_is_refused_untouched(
    statements: list[str], tmp_path: Path
) -> None:
    before = foreign(tmp_path, *statements)
    assert refusal(tmp_path) == (
        "is a database of another application; move it away, or give another folder (--store DIR)"
    )
    assert (tmp_path / module.NAME).read_bytes() == before
    assert os.listdir(tmp_path) == [module.NAME]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("viewer", [False, True])
def test_a_newer_schema_is_refused_untouched(mode: str, viewer: bool, tmp_path: Path) -> None:
    version = schema.SCHEMA + 1
    before = foreign(
        tmp_path,
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        f"PRAGMA user_version = {version}",
        f"PRAGMA journal_mode = {mode}",
        "CREATE TABLE studies (id INTEGER)",
    )
    assert refusal(tmp_path, viewer=viewer) == (
        f"was written by a newer jmlp (schema {version}, this one supports {schema.SCHEMA}); "
        "it was not changed; install the newer jmlp"
    )
    digest = hashlib.sha256((tmp_path / module.NAME).read_bytes()).digest()
    assert digest == hashlib.sha256(before).digest()
    assert os.listdir(tmp_path) == [module.NAME]


def test_a_newer_database_that_was_left_in_the_middle_is_not_tidied_up(tmp_path: Path) -> None:
    new, copied = tmp_path / "new", tmp_path / "copied"
    new.mkdir()
    version = schema.SCHEMA + 1
    foreign(
        new,
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        f"PRAGMA user_version = {version}",
        "PRAGMA journal_mode = WAL",
    )
    with contextlib.closing(sqlite3.connect(new / module.NAME)) as connection:
        connection.execute("CREATE TABLE studies (id INTEGER)")
        connection.commit()
        shutil.copytree(new, copied)  # what a kill would leave: all of it is in the WAL still
    files = {path.name: path.read_bytes() for path in copied.iterdir()}
    assert f"{module.NAME}-wal" in files
    assert refusal(copied).startswith("was written by a newer jmlp")
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == files


def test_damage_is_reported_with_what_to_do(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.transaction() as connection:
        connection.executemany(INSERT, [(f"{number:03d}" * 20,) for number in range(500)])
    database.close()
    path = tmp_path / module.NAME
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    damages = {
        "the first 100 bytes": bytes(100) + whole[100:],
        "a page in the middle": whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :],
        "truncated": whole[: middle + 100],
        "text": b"not a database" * 100,
    }
    for name, damaged in damages.items():
        path.write_bytes(damaged)
        with pytest.raises(DamagedError) as error:
            Database(tmp_path)
        assert str(error.value) == f"{path}: is damaged ({error.value.what}); {BEGINNING}", name
        assert path.read_bytes() == damaged, name
    path.write_bytes(whole)
    assert len(kinds(tmp_path)) == 500


def test_places_where_no_database_can_be_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "store" / module.NAME).mkdir(parents=True)
    assert refusal(tmp_path / "store") == "is a folder, not a store's database; move it away"
    assert refusal(tmp_path / "file") == (
        f"{tmp_path / 'file'}: the store's folder cannot be created: File exists; "
        "give another one (--store DIR)"
    )
    assert refusal(tmp_path / ("x" * 300)) == (
        f"{tmp_path / ('x' * 300)}: the store's folder cannot be created: File name too long; "
        "give another one (--store DIR)"
    )


def test_ten_processes_make_one_database(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom jmlp.store.database import Database\nsys.stdin.read()\n"
        "database = Database(pathlib.Path(sys.argv[1]))\n"
        f"with database.transaction() as c: c.execute({INSERT!r}, ('x',))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(10)]
    for process in processes:  # all wait until here
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 10
    assert kinds(tmp_path) == ["x"] * 10


# ---- writing


def test_an_error_within_a_transaction_undoes_it(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with contextlib.suppress(ZeroDivisionError), database.transaction() as connection:
        connection.execute(INSERT, ("one",))
        raise ZeroDivisionError
    add(database, "two")
    assert kinds(tmp_path) == ["two"]


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        ("enospc", DiskFullError, "the disk is full: nothing was written; free some space"),
        ("eio", StoreError, "cannot be read or written: Input/output error"),
    ],
)
def test_a_commit_that_fails_changes_nothing_and_is_reported(
    action: str, kind: type[StoreError], message: str, tmp_path: Path
) -> None:
    database = Database(tmp_path)
    fault_injection.arm(f"commit:1:{action}")
    with pytest.raises(StoreError) as error:
        add(database, "one")
    assert type(error.value) is kind
    assert str(error.value) == f"{database.path}: {message}"
    assert kinds(tmp_path) == []
    add(database, "two")  # there is space again
    assert kinds(tmp_path) == ["two"]


def test_a_full_disk_is_reported_by_sqlite_as_well(tmp_path: Path) -> None:
    database = Database(tmp_path)
    ((pages,),) = database.read("PRAGMA page_count")
    database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFullError), database.transaction() as connection:
        connection.execute(INSERT, ("x" * 100_000,))
    assert kinds(tmp_path) == []
    add(database, "small")
    assert kinds(tmp_path) == ["small"]


def test_a_database_in_use_for_too_long_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Database(tmp_path), Database(tmp_path)
    monkeypatch.setattr(module, "BUSY_MILLISECONDS", 5)
    with first.transaction(), pytest.raises(StoreError) as error, second.transaction():
        pass
    assert str(error.value) == (
        f"{first.path}: another process has been using it for 10 seconds; try again"
    )


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_numbers_of_64_bits_are_kept(number: int, tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.transaction() as connection:
        connection.execute("INSERT INTO events (at, kind, detail) VALUES (?, '', '')", (number,))
    assert database.read("SELECT at FROM events") == [(number,)]


def test_failure_to_cache_is_reported(tmp_path: Path) -> None:
    database = Database(tmp_path)
    for value, message in (
        (2**63, f"{database.path}: a number of more than 64 bits cannot be stored"),
        (
            "a\ud800",
            "'a\\ud800': a lone surrogate is not a character and cannot be stored; remove it",
        ),
    ):
        with pytest.raises(StoreError) as error:
            database.read("SELECT ?", (value,))
        assert str(error.value) == message


def test_a_mistake_in_jmlp_is_no_error_of_the_store(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as connection:
        connection.execute("INSERT INTO events (at, kind, detail) VALUES ('noon', '', '')")
