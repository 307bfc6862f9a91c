"""Writes rows, both for the worker and for the rebuilding of a database."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jmlp.results.serialization import run_table
from jmlp.store.rows import point_values, to_json
from jmlp.store.schema import SET_DIGEST
from jmlp.training.records import CostPoint, RunResult

if TYPE_CHECKING:
    from jmlp.training.plan import Run

INSERT_POINT = (
    "INSERT OR REPLACE INTO points (run, epoch, step, has_batch_cost, costs) VALUES (?, ?, ?, ?, ?)"
)


def insert_run(
    connection: sqlite3.Connection,
    run: "Run | RunResult",
    data: Mapping[str, Any],
    validation_fraction: float,
) -> int:
    """Inserts a new run into the queue; returns its number."""
    cursor = connection.execute(
        "INSERT INTO runs (run_id, hyperparams, seed, split_seed, data, validation_fraction, state,"
        " attempt) VALUES (?, ?, ?, ?, ?, ?, 'queued', 1)",
        (
            run.run_id,
            to_json(asdict(run.hyperparams)),
            run.seed,
            run.split_seed,
            to_json(data),
            validation_fraction,
        ),
    )
    return int(cursor.lastrowid or 0)


def end_run(connection: sqlite3.Connection, number: int, result: RunResult, at: int) -> None:
    """Writes the state, record and cost points of a completed run; `at` is when it ended."""
    connection.execute(
        "UPDATE runs SET state = ?, failure = NULL, code = NULL, ended_at = ?, record = ?"
        " WHERE number = ?",
        (result.status, at, to_json(run_table(result, costs=False)), number),
    )
    set_points(connection, number, result.costs)
    connection.execute(f"{SET_DIGEST} AND number = ?", (number,))


def set_points(connection: sqlite3.Connection, number: int, costs: Sequence[CostPoint]) -> None:
    """Makes the points of a run exactly these; points that are already there keep their ids."""
    wanted = {point.epoch: point_values(point) for point in costs}
    stored = connection.execute(
        "SELECT epoch, step, has_batch_cost, costs FROM points WHERE run = ?", (number,)
    ).fetchall()
    connection.executemany(
        "DELETE FROM points WHERE run = ? AND epoch = ?",
        [(number, epoch) for epoch, *_ in stored if epoch not in wanted],
    )
    new = set(wanted.values()) - set(stored)
    connection.executemany(INSERT_POINT, [(number, *values) for values in sorted(new)])
    set_position(connection, number)


def set_position(connection: sqlite3.Connection, number: int) -> None:
    """Sets the epoch and step of a run to those of its last point."""
    connection.execute(
        "UPDATE runs SET (epoch, step) = (SELECT points.epoch, points.step FROM points"
        " WHERE run = number ORDER BY points.epoch DESC LIMIT 1) WHERE number = ?",
        (number,),
    )


def insert_event(
    connection: sqlite3.Connection,
    at: int,
    study: str | None,
    run_id: str | None,
    kind: str,
    step: int | None = None,
    detail: str = "",
) -> None:
    """Appends an event after all existing ones."""
    connection.execute(
        "INSERT INTO events (at, study, run_id, kind, step, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (at, study, run_id, kind, step, detail),
    )
