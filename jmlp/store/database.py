"""The connection to `store.sqlite`: how it is opened, queried, written to and upgraded.

It uses a rollback journal and not WAL, which can corrupt a database in the SQLite that comes with
Python 3.11. Even a viewer's connection may write: if a writer was killed during a commit, the next
reader has to roll it back. `query_only` keeps a viewer from changing rows.
"""

import contextlib
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jmlp.errors import DiskFullError, StoreError
from jmlp.store import schema
from jmlp.store.lock import Lock
from jmlp.store.rows import row_digest, with_checksum
from jmlp.study.rules import plain
from jmlp.system import fault_injection
from jmlp.system.files import NO_SPACE, flush_folder, is_there, seeing_links

NAME = "store.sqlite"
BESIDE = ("-journal", "-wal", "-shm")  # suffixes of the files that SQLite keeps next to a database
BUSY_MILLISECONDS = 10_000  # a commit takes milliseconds; a longer wait is an error
POLL_SECONDS = 0.002

REMEDY = "jmlp store rebuild moves it aside and recreates it from the files of the runs"

_FAULTS = {
    sqlite3.SQLITE_BUSY: "another process has been using it for 10 seconds; try again",
    sqlite3.SQLITE_READONLY: "cannot be written: the file or its folder is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: it, or its folder, is missing or not accessible",
    sqlite3.SQLITE_PERM: "cannot be opened: it is not accessible",
    sqlite3.SQLITE_FULL: "the disk is full: nothing was written; free some space",
}
_NO_TEXT = "Could not decode to UTF-8"  # how messages of Python's sqlite3 begin
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_NAMED = 3  # problems in a message

Row = tuple[Any, ...]


class DamagedError(StoreError):
    """A database that cannot be read, in whole or in part; `what` describes the damage."""

    def __init__(self, path: Path, what: str) -> None:
        self.what = what
        super().__init__(f"{path}: is damaged ({what}); {REMEDY}")


class Database:
    """One connection, for one thread of one process."""

    def __init__(self, folder: Path, *, viewer: bool = False) -> None:
        """Opens the database of a store; creates a missing one and upgrades an old one.

        Args:
            folder: the store's folder.
            viewer: open it without the right to change rows, and never create it.

        Raises:
            StoreError: there is none to view; it belongs to another application or to a newer jmlp,
                is damaged, or cannot be opened.
        """
        self.path = folder / NAME
        self._viewer = viewer
        self._n_opened = 0
        if viewer and not is_there(self.path):
            raise StoreError(f"there is no store at {folder}: run a study first")
        self._make_folder(folder)
        with self.errors():
            self._open()

    def _open(self) -> None:
        while True:
            self._check_files()
            before = _file_identity(self.path)
            self._peek()
            self._connection = _connection(self.path)
            try:
                self._prepare(self._viewer)
            except BaseException:
                self._connection.close()
                raise
            if before in (None, self._file):
                break
            self._connection.close()  # it was replaced in the meantime
        self._n_opened += 1

    def version(self) -> int:
        """A number that changes whenever another process has changed the database.

        Raises:
            StoreError: it cannot be read.
        """
        (version,) = self.read("PRAGMA data_version")[0]
        return (self._n_opened << 32) + int(version)

    def _reopen_if_replaced(self) -> None:
        """Opens the database that has replaced this one, if there is one."""
        if not self._is_replaced():
            return
        if self._connection.in_transaction:
            raise StoreError(f"{self.path}: was replaced by another process; try again")
        self._connection.close()
        self._open()

    def _is_replaced(self) -> bool:
        found = _file_identity(self.path)
        if found is None:
            raise StoreError(
                f"{self.path}: was moved or deleted while it was in use; put it back, or recreate "
                "it from the files of the runs (jmlp store rebuild)"
            )
        return found != self._file

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Runs a query and returns all rows: an open cursor would keep the writer from committing.

        Raises:
            StoreError: it cannot be read.
        """
        with self.errors():
            if not self._connection.in_transaction:
                self._reopen_if_replaced()
            return self._connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several reads of one consistent state. Keep it short: the writer waits for its end.

        Raises:
            StoreError: it cannot be read.
        """
        with self.errors():
            self._reopen_if_replaced()
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all changes made within are committed durably, or none of them.

        Raises:
            DiskFullError: nothing was changed because there is no space left.
            StoreError: nothing was changed.
        """
        with self.errors():
            self._begin()
            try:
                yield self._connection
                fault_injection.reach("commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite may have rolled back by itself
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Begins a write transaction, waiting for other writers.

        SQLite's own busy handler sleeps for up to 0.1 s at a time, and would lose every race
        against processes that write continually until it times out.
        """
        deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
        self._reopen_if_replaced()
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    # A deferred transaction would fail at its first write if another one writes.
                    self._connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                        raise
                    time.sleep(POLL_SECONDS)
                    continue
                # Writes to a file that has been replaced would be lost.
                if not self._is_replaced():
                    return
                self._connection.execute("ROLLBACK")
                self._reopen_if_replaced()
                self._connection.execute("PRAGMA busy_timeout = 0")
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    def keep_all_in_memory(self) -> None:
        """Keeps a large transaction's changes in memory until its commit, so others can read.

        Raises:
            StoreError: it cannot be read.
        """
        self.read("PRAGMA cache_spill = OFF")

    def copy(self, target: Path) -> None:
        """Copies the database as it was before the current transaction, if there is one.

        A second connection reads it, because a connection with a write transaction cannot copy.

        Raises:
            StoreError: the copy cannot be written; no partial copy is left.
        """
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        with self.errors():
            try:
                with (
                    contextlib.closing(_connection(self.path)) as source,
                    contextlib.closing(_connection(temporary)) as copy,
                ):
                    source.backup(copy)
                temporary.replace(target)
                flush_folder(target.parent)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def problems(self) -> list[str]:
        """What is wrong with the whole file, by SQLite's own checks, and with its schema.

        Raises:
            StoreError: it cannot be read at all.
        """
        with self.errors():
            different = schema.differences(self._connection)
        found = [text for (text,) in self.read("PRAGMA integrity_check") if text != "ok"]
        broken = self.read("PRAGMA foreign_key_check")
        return [
            *different,
            *found,
            *(f"a row of {row[0]} refers to a missing row of {row[2]}" for row in broken),
        ]

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLite and of the operating system into StoreError.

        Raises:
            StoreError: an error of SQLite or of the operating system occurred.
        """
        try:
            yield
        except OSError as error:
            raise self._os_error(error) from error
        except OverflowError as error:
            raise StoreError(
                f"{self.path}: a number of more than 64 bits cannot be stored"
            ) from error
        except UnicodeEncodeError as error:
            raise StoreError(
                f"{plain(error.object)}: a lone surrogate is not a character and cannot be stored; "
                "remove it"
            ) from error
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if different := self._differences(error):
                raise DamagedError(self.path, different) from error
            if not _is_fault(error):
                raise
            raise self._sqlite_error(error) from error

    # ---- opening

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{folder}: the store's folder cannot be created: {error.strerror or error}; "
                "give another one (--store DIR)"
            ) from error

    def _check_files(self) -> None:
        """Rejects files on which SQLite would block, or which it would read without end."""
        for ending in ("", *BESIDE):
            path = Path(f"{self.path}{ending}")
            try:
                with seeing_links(path):  # SQLite would create the target of a dangling link
                    mode = path.stat().st_mode
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
                raise StoreError(f"{path}: is {what}, not a store's database; move it away")

    def _peek(self) -> None:
        """Rejects a foreign or newer database before SQLite could write to it.

        It still uses SQLite: closing a plain file descriptor of this file would release the locks
        that other connections of this process hold on it. `_open` reports what cannot be read.
        """
        if _file_identity(self.path) is None:
            return
        uri = f"file:{quote(str(self.path))}?mode=ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                found = _schema_identity(connection)
        except sqlite3.DatabaseError:
            return
        self._check_identity(*found)

    def _prepare(self, viewer: bool) -> None:
        version = self._check_identity(*_schema_identity(self._connection))
        self._file = _file_identity(self.path)
        for pragma in ("foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        (mode,) = self._connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        if mode != "truncate":
            raise StoreError(f"{self.path}: its journal mode is {mode} and cannot be changed")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        if version != schema.SCHEMA:
            self._upgrade()
        found = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != [("ok",)]:
            raise DamagedError(self.path, " ".join(str(found[0][0]).split()))
        if viewer:
            self._connection.execute("PRAGMA query_only = ON")

    def _check_identity(self, application: int, version: int, n_tables: int) -> int:
        """The schema's version; it is 0, without tables, if nothing has been written yet."""
        if (application, version, n_tables) == (0, 0, 0):
            return 0
        if application != schema.APPLICATION_ID:
            raise StoreError(
                f"{self.path}: is a database of another application; "
                "move it away, or give another folder (--store DIR)"
            )
        if version > schema.SCHEMA:
            raise StoreError(
                f"{self.path}: was written by a newer jmlp (schema {version}, this one supports "
                f"{schema.SCHEMA}); it was not changed; install the newer jmlp"
            )
        if version < schema.SCHEMA - len(schema.MIGRATIONS):
            raise DamagedError(self.path, f"there has never been a schema {version}")
        return version

    def _upgrade(self) -> None:
        """Creates the tables, or applies all migrations to an older schema, in one transaction."""
        with self.transaction() as connection:
            # Another process may have been faster.
            version = self._check_identity(*_schema_identity(connection))
            if version == schema.SCHEMA:
                return
            if _schema_identity(connection) == (0, 0, 0):
                steps: Sequence[Sequence[str]] = (schema.CREATE,)
            else:
                self._check_unused()
                self.copy(self.path.with_name(f"{NAME}.schema-{version}"))
                steps = schema.MIGRATIONS[version - schema.SCHEMA :]
            try:
                for statement in (statement for step in steps for statement in step):
                    connection.execute(statement)
            except sqlite3.OperationalError as error:
                if "no such" not in str(error):
                    raise
                raise DamagedError(self.path, str(error)) from error
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {schema.SCHEMA}")

    def _check_unused(self) -> None:
        owner = Lock(self.path.parent).owner()
        if owner is not None and owner.pid != os.getpid():
            raise StoreError(
                f"{self.path}: is of an older jmlp whose worker ({owner.process}) is using it; "
                "try again when that has ended"
            )

    # ---- errors

    def _os_error(self, error: OSError) -> StoreError:
        if error.errno in NO_SPACE:
            return DiskFullError(f"{self.path}: {_FAULTS[sqlite3.SQLITE_FULL]}")
        return StoreError(f"{self.path}: cannot be read or written: {error.strerror or error}")

    def _differences(self, error: sqlite3.Error) -> str:
        """What is wrong with the tables, if that can have caused the error; otherwise empty."""
        if _code(error) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT):
            return ""
        try:
            return _shortened(schema.differences(self._connection))
        except sqlite3.Error:  # the connection is closed, or the damage is worse than this
            return ""

    def _sqlite_error(self, error: sqlite3.Error) -> StoreError:
        code = _code(error)
        if code in _DAMAGE or str(error).startswith(_NO_TEXT):
            return DamagedError(self.path, str(error))
        kind = DiskFullError if code == sqlite3.SQLITE_FULL else StoreError
        return kind(f"{self.path}: {_FAULTS.get(code, f'cannot be read or written: {error}')}")


def _connection(path: Path) -> sqlite3.Connection:
    # isolation_level None: only this module begins and ends transactions.
    connection = sqlite3.connect(path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None)
    connection.create_function("row_digest", -1, row_digest, deterministic=True)
    connection.create_function("with_checksum", 4, with_checksum, deterministic=True)
    return connection


def _shortened(problems: Sequence[str]) -> str:
    """The first `_NAMED` problems, and the number of the others."""
    more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return ", ".join(problems[:_NAMED]) + more


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that has this path now; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _schema_identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application id, schema version, and number of tables.

    One statement reads them, so that no other process can create the tables in between.
    """
    found: tuple[int, int, int] = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id),"
        " (SELECT user_version FROM pragma_user_version), count(*) FROM sqlite_master"
    ).fetchone()
    return found


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary error code, without the extended code in its upper bits."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _is_fault(error: sqlite3.Error) -> bool:
    """Whether the error was caused by the file or the disk, and not by a bug in jmlp."""
    return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError)
