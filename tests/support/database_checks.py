"""Databases of the store, inspected and created independently of it."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from jmlp.errors import StoreError
from jmlp.store import database as module
from jmlp.store.database import Database

INSERT = "INSERT INTO events (at, kind, detail) VALUES (0, ?, '')"
BEGINNING = "jmlp store rebuild moves it aside and recreates it from the files of the runs"


def add(database: Database, kind: str) -> None:
    with database.transaction() as connection:
        connection.execute(INSERT, (kind,))


def kinds(folder: Path) -> list[str]:
    """All that is in a database that must be whole."""
    with contextlib.closing(Database(folder, viewer=True)) as database:
        assert database.problems() == []
        return [kind for (kind,) in database.read("SELECT kind FROM events ORDER BY id")]


def foreign(folder: Path, *statements: str) -> bytes:
    """Makes a database without jmlp's help; returns its bytes."""
    path = folder / module.NAME
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path.read_bytes()


def refusal(folder: Path, **options: Any) -> str:
    """Why a database is not opened, without its path."""
    with pytest.raises(StoreError) as error:
        Database(folder, **options)
    assert error.value.exit_code == 4
    return str(error.value).removeprefix(f"{folder / module.NAME}: ")
