"""The tables of the store, and the migrations from each older schema to the next.

SQLite has no checksums, so rows of studies and of completed runs have a digest, and cost points end
with a CRC. Exact numbers are stored as bytes, because SQLite turns NaN into NULL. An epoch is an
integer or a float (`jmlp.training.records`). Ids of points and events are never reused, so that a
viewer can ask for what is new.
"""

import contextlib
import functools
import sqlite3

from jmlp.store.rows import DIGESTED, STUDY_DIGESTED

APPLICATION_ID = 0x6A6D6C70  # "jmlp": identifies our files
SCHEMA = 3

# `row_digest` and `with_checksum` are SQL functions implemented in `jmlp.store.rows`.
SET_STUDY_DIGEST = f"UPDATE studies SET digest = row_digest({', '.join(STUDY_DIGESTED)})"
SET_DIGEST = f"UPDATE runs SET digest = row_digest({', '.join(DIGESTED)}) WHERE record IS NOT NULL"

CREATE = (
    """CREATE TABLE studies (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        label TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        toml TEXT NOT NULL,
        data TEXT NOT NULL,
        command TEXT NOT NULL,
        hardware TEXT NOT NULL,
        state TEXT NOT NULL,
        code INTEGER,
        failure TEXT,
        submitted_at INTEGER NOT NULL,
        progress TEXT,
        digest TEXT
    ) STRICT""",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL UNIQUE,
        hyperparams TEXT NOT NULL,
        seed INTEGER NOT NULL,
        split_seed INTEGER NOT NULL,
        data TEXT NOT NULL,
        validation_fraction REAL NOT NULL,
        state TEXT NOT NULL,
        epoch ANY,
        step INTEGER,
        attempt INTEGER NOT NULL,
        failure TEXT,
        code INTEGER,
        ended_at INTEGER,
        record TEXT,
        digest TEXT,
        CHECK ((state IN ('finished', 'diverged')) = (record IS NOT NULL)),
        CHECK ((ended_at IS NULL) = (record IS NULL))
    ) STRICT""",
    """CREATE TABLE links (
        study INTEGER NOT NULL REFERENCES studies ON DELETE CASCADE,
        position INTEGER NOT NULL,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        experiments TEXT NOT NULL,
        PRIMARY KEY (study, run)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX links_of_run ON links (run)",
    """CREATE TABLE points (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch ANY NOT NULL,
        step INTEGER NOT NULL,
        has_batch_cost INTEGER NOT NULL,
        costs BLOB NOT NULL,
        UNIQUE (run, epoch)
    ) STRICT""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        study TEXT,
        run_id TEXT,
        kind TEXT NOT NULL,
        step INTEGER,
        detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX events_of_run ON events (run_id)",
    """CREATE TABLE commands (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        study INTEGER NOT NULL REFERENCES studies ON DELETE CASCADE,
        action TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE tags (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (run, tag)
    ) STRICT, WITHOUT ROWID""",
)

# The statements from each older schema to the next, the last ones to SCHEMA. Never change a
# released one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "ALTER TABLE runs ADD COLUMN digest TEXT",
        SET_DIGEST,
        "ALTER TABLE studies ADD COLUMN digest TEXT",
        SET_STUDY_DIGEST,
        "UPDATE points SET costs = with_checksum(epoch, step, has_batch_cost, costs)",
    ),
    (
        "ALTER TABLE points RENAME TO old_points",
        """CREATE TABLE points (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            epoch ANY NOT NULL,
            step INTEGER NOT NULL,
            has_batch_cost INTEGER NOT NULL,
            costs BLOB NOT NULL,
            UNIQUE (run, epoch)
        ) STRICT""",
        "INSERT INTO points SELECT id, run, epoch, step, has_batch_cost, costs FROM old_points",
        # The ids of points that were deleted are not used again either.
        "DELETE FROM sqlite_sequence WHERE name = 'points'",
        "INSERT INTO sqlite_sequence (name, seq)"
        " SELECT 'points', seq FROM sqlite_sequence WHERE name = 'old_points'",
        "DROP TABLE old_points",
        "ALTER TABLE runs DROP COLUMN epoch",
        "ALTER TABLE runs ADD COLUMN epoch ANY",
        "UPDATE runs SET epoch = (SELECT points.epoch FROM points WHERE run = number"
        " ORDER BY points.epoch DESC LIMIT 1)",
    ),
)

# The `sqlite_stat…` tables, which exist if someone has run ANALYZE, do not affect readers.
_OBJECTS = "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT GLOB 'sqlite_stat*'"
_COLUMNS = (
    'SELECT tables.name, columns.name, columns.type, columns."notnull", columns.pk'
    " FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns"
    " WHERE tables.type = 'table' AND tables.name NOT GLOB 'sqlite_stat*'"
)


def differences(connection: sqlite3.Connection) -> list[str]:
    """Describes how the tables of a database differ from those that this version creates.

    Does not compare their SQL, which differs in an upgraded database.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    found, wanted = _objects(connection), _wanted()
    return [
        *(f"{what} is missing" for what in sorted(wanted - found, key=_tables_first)),
        *(f"{what} does not belong to jmlp" for what in sorted(found - wanted, key=_tables_first)),
    ]


def _tables_first(what: str) -> tuple[bool, str]:
    return not what.startswith("the table "), what


@functools.cache
def _wanted() -> frozenset[str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in CREATE:
            connection.execute(statement)
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> frozenset[str]:
    """Describes tables, indices, triggers and views by name, and columns with their types."""
    found = {
        f"the {kind} {name}" + (f" of {table}" if table != name else "")
        for kind, name, table in connection.execute(_OBJECTS)
    }
    for table, column, kind, is_needed, key in connection.execute(_COLUMNS):
        traits = f"{kind}{' NOT NULL' if is_needed else ''}{f', key {key}' if key else ''}"
        found.add(f"the column {table}.{column} ({traits})")
    return frozenset(found)
