"""What an upgrade and a kill leave of a database: the old state or the new one."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from database_checks import BEGINNING, INSERT, add, foreign, kinds, refusal
from store_runs import plan, point, submission

from jmlp.store import Store, schema
from jmlp.store import database as module
from jmlp.store.database import Database


def killed(code: str, folder: Path, **variables: str) -> None:
    """Runs Python that ends by SIGKILL."""
    command = [sys.executable, "-c", f"import pathlib, sys\n{code}", str(folder)]
    done = subprocess.run(
        command, env=os.environ | variables, check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a database of a schema that is one older, and the step to the next."""
    add(Database(tmp_path), "old")
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
    monkeypatch.setattr(
        schema,
        "MIGRATIONS",
        (("ALTER TABLE events ADD COLUMN new TEXT", "UPDATE events SET new = kind || '!'"),),
    )
    return tmp_path


pytestmark = pytest.mark.usefixtures("databases")


def test_an_older_schema_is_backed_up_and_brought_up_to_date(old: Path) -> None:
    database = Database(old, viewer=True)
    assert database.read("SELECT kind, new FROM events") == [("old", "old!")]
    assert database.read("PRAGMA user_version") == [(schema.SCHEMA,)]
    database.close()
    names = {module.NAME, f"{module.NAME}-journal"}
    assert {n for n in os.listdir(old) if not n.endswith("-journal")} == {
        module.NAME,
        f"{module.NAME}.schema-{schema.SCHEMA - 1}",
    }
    assert names <= set(os.listdir(old))
    with contextlib.closing(
        sqlite3.connect(old / f"{module.NAME}.schema-{schema.SCHEMA - 1}")
    ) as backup:
        assert backup.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA - 1,)
        assert backup.execute("SELECT * FROM events").fetchall() == [
            (1, 0, None, None, "old", None, "")
        ]
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# From the tables of this version to those of schema 2.
TO_SCHEMA_2 = (
    "ALTER TABLE points RENAME TO new_points",
    """CREATE TABLE points (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        step INTEGER NOT NULL,
        has_batch_cost INTEGER NOT NULL,
        costs BLOB NOT NULL,
        UNIQUE (run, epoch)
    ) STRICT""",
    "INSERT INTO points SELECT * FROM new_points",
    "DELETE FROM sqlite_sequence WHERE name = 'points'",
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('points', 3)",
    "DROP TABLE new_points",
    "ALTER TABLE runs DROP COLUMN epoch",
    "ALTER TABLE runs ADD COLUMN epoch INTEGER",
    "UPDATE runs SET epoch = (SELECT max(points.epoch) FROM points WHERE run = number)",
    "PRAGMA user_version = 2",
)


@pytest.mark.parametrize("n_deleted", [0, 1, 3])
def test_a_database_of_schema_2_keeps_its_points_and_never_gives_their_ids_again(
    n_deleted: int, tmp_path: Path
) -> None:
    made = plan(n_seeds=1)
    first, second = (run.run_id for run in made.runs)
    with Store(tmp_path) as store:
        store.submit(submission(made))
        store.record("small", [(first, point(epoch)) for epoch in range(3)], None)
        store.cut(first, 3 - n_deleted)
        before = store.points(first)
        rows = [(row.epoch, row.step) for row in store.runs()]
    with contextlib.closing(sqlite3.connect(tmp_path / module.NAME)) as connection, connection:
        for statement in TO_SCHEMA_2:
            connection.execute(statement)
    with Store(tmp_path) as store:
        assert store.points(first) == before
        assert [(row.epoch, row.step) for row in store.runs()] == rows
        store.record("small", [(second, replace(point(1), epoch=0.25))], None)
        assert store.new_points("small", 0)[0] == 4
        assert store.points(second)[0].epoch == store.run(second).epoch == 0.25
    with contextlib.closing(sqlite3.connect(tmp_path / module.NAME)) as connection:
        assert schema.differences(connection) == []


MIGRATE = """
from jmlp.store import schema
from jmlp.store.database import Database
schema.SCHEMA += 1
schema.MIGRATIONS = (("ALTER TABLE events ADD COLUMN new TEXT",),)
Database(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("point", ["commit", "folder"])
def test_a_kill_within_an_upgrade_leaves_the_old_database(point: str, tmp_path: Path) -> None:
    add(Database(tmp_path), "old")
    killed(MIGRATE, tmp_path, JMLP_FAULT=f"{point}:1:kill")
    assert kinds(tmp_path) == ["old"]
    with contextlib.closing(Database(tmp_path)) as database:
        assert database.read("PRAGMA user_version") == [(schema.SCHEMA,)]


def test_a_step_that_fails_leaves_the_old_database(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("ALTER TABLE events ADD COLUMN new TEXT", "UPDATE nowhere SET a = 1")
    monkeypatch.setattr(schema, "MIGRATIONS", (steps,))
    assert refusal(old) == f"is damaged (no such table: nowhere); {BEGINNING}"
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA - 1)
    assert kinds(old) == ["old"]


def test_a_schema_that_never_was_is_damage(tmp_path: Path) -> None:
    foreign(tmp_path, f"PRAGMA application_id = {schema.APPLICATION_ID}", "CREATE TABLE runs (id)")
    assert refusal(tmp_path) == f"is damaged (there has never been a schema 0); {BEGINNING}"


def test_a_database_is_not_upgraded_under_a_worker(old: Path) -> None:
    code = (
        "import pathlib, sys\nfrom jmlp.store.lock import Lock\n"
        "lock = Lock(pathlib.Path(sys.argv[1]))\nlock.acquire()\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(old)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        assert refusal(old).startswith(f"is of an older jmlp whose worker (process {worker.pid} on")
        worker.communicate()
    assert Database(old).read("SELECT new FROM events") == [("old!",)]


COMMITS = """
from jmlp.store.database import Database
database = Database(pathlib.Path(sys.argv[1]))
for kind in "abc":
    with database.transaction() as connection:
        for part in "12":
            connection.execute("INSERT INTO events (at, kind, detail) VALUES (0, ?, '')",
                               (kind + part,))
"""


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_kill_at_the_kth_commit_leaves_all_before_it(k: int, tmp_path: Path) -> None:
    killed(COMMITS, tmp_path, JMLP_FAULT=f"commit:{k}:kill")
    # The first commit makes the tables.
    assert kinds(tmp_path) == ["a1", "a2", "b1", "b2"][: 2 * max(k - 2, 0)]


HALF = """
import os, signal
from jmlp.store.database import Database
database = Database(pathlib.Path(sys.argv[1]))
with database.transaction() as connection:
    connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
    connection.execute("UPDATE events SET kind = 'new'")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("viewer", [True, False])
def test_a_commit_interrupted_by_a_kill_is_rolled_back_by_the_next_user(
    viewer: bool, tmp_path: Path
) -> None:
    with contextlib.closing(Database(tmp_path)) as database, database.transaction() as connection:
        connection.executemany(INSERT, [("old" * 100,)] * 1000)
    path = tmp_path / module.NAME
    before = path.read_bytes()
    killed(HALF, tmp_path)
    assert path.read_bytes() != before
    assert (tmp_path / f"{module.NAME}-journal").stat().st_size > 0
    with contextlib.closing(Database(tmp_path, viewer=viewer)) as database:
        assert database.read("SELECT DISTINCT kind FROM events") == [("old" * 100,)]
    assert kinds(tmp_path) == ["old" * 100] * 1000
