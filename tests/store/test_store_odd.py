"""Files that are sealed rightly and say odd things, and rows in which something has changed."""

import contextlib
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Here
from database_checks import BEGINNING
from rebuilds import checkpoint, content
from store_runs import diverged_result, fill, plan, points, result

from jmlp.errors import CheckpointError, StoreError
from jmlp.results import tensor_files
from jmlp.store import (
    Store,
    checkpoints,
    documents,
    run_files,
    schema,
    submissions,
    tag_file,
)
from jmlp.store.checking import check
from jmlp.store.database import NAME, DamagedError
from jmlp.store.rebuild import rebuild
from jmlp.training.plan import Plan

NEWER = "leave it as it is, and use the newer jmlp"


def reseal(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Changes the arrays and the header of a sealed file, and reseals it."""
    about = tensor_files.read_about(path, sealed_kind(path))
    tensors, about = tensor_files.read(path, about["format"])
    change(tensors, about)
    tensor_files.write(path, tensors, about)


def sealed_kind(path: Path) -> str:
    return run_files.FORMAT if path.parent.name == "runs" else "jmlp-checkpoint-1"


def edit(path: Path, change: Callable[[dict[str, Any]], Any], kind: str) -> None:
    """Changes the content of a small file, and reseals it."""
    content = documents.read(path, kind)
    change(content)
    documents.write(path, kind, content)


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Plan]:
    """A store with everything in it: runs, a checkpoint, a submission, tags."""
    made = plan()
    fill(tmp_path, made, n_left=2)
    checkpoint(tmp_path, made)
    with Store(tmp_path) as store:
        store.tag(made.runs[1].run_id, "x")
    assert check(tmp_path) == []
    return tmp_path, made


RUNS: list[tuple[Callable[[Any, Any], Any], str]] = [
    (
        lambda t, a: a["run"]["hyperparams"].update(colour=1),
        '"hyperparams.colour" is not known here: a newer jmlp wrote it',
    ),
    (
        lambda t, a: a["run"]["hyperparams"].update(optimizer="lion"),
        '"hyperparams.optimizer" is "lion", which is not known here: sgd, momentum, nesterov, adam',
    ),
    (lambda t, a: a.update(extra=1), '"extra" is not known here: a newer jmlp wrote it'),
    (lambda t, a: a.pop("attempt"), '"attempt" is missing'),
    (lambda t, a: a.update(attempt=2**70), f'"attempt" is {2**70}, expected an integer of at most'),
    (lambda t, a: a.update(events=[1]), '"events[0]" is 1, expected an object'),
    (lambda t, a: a["studies"][0].pop("position"), '"studies[0].position" is missing'),
    (lambda t, a: a["studies"][0].update(toml="= ="), '"toml" is not a study: Invalid statement'),
    (
        lambda t, a: a["studies"][0].update(toml="validation_fraction = 2"),
        "validation_fraction must be a finite number > 0 and < 1, got 2",
    ),
    (lambda t, a: a.update(validation_fraction="NaN"), "validation_fraction must be a finite"),
    (lambda t, a: a["studies"].append(a["studies"][0]), '"studies" lists a study twice'),
    (
        lambda t, a: a["run"]["hyperparams"].update(learning_rate="NaN"),
        "hyperparams: learning_rate: must be a finite number > 0, got nan",
    ),
    (lambda t, a: a.update(ended_at=-1), "its time is -1"),
    (lambda t, a: a["events"][0].update(at=1 << 60), f"its time is {1 << 60}"),
    (lambda t, a: a["studies"][0].update(submitted_at=-1), "its time is -1"),
    (lambda t, a: t.update({"costs.x": np.zeros(3)}), "costs.x belongs to no cost point"),
    (lambda t, a: a["studies"][0].update(data={}), '"name" is missing'),
    (lambda t, a: a.update(data=None), '"data" is null, expected an object'),
    (lambda t, a: a["run"].update(run_id=7), '"run_id" is 7, expected text'),
    (lambda t, a: a["run"]["provenance"].update(width="x"), '"provenance.width" is "x", expected'),
    (lambda t, a: t.update(more=np.zeros(3, np.float32)), "more belongs to no part of a run"),
    (
        lambda t, a: a["run"].update(test_accuracy=None, validation_accuracy=None),
        "it finished and has no",
    ),
]


@pytest.mark.parametrize(("change", "what"), RUNS)
def test_an_odd_run_is_reported_and_skipped_and_nothing_else_suffers(
    change: Callable[[Any, Any], Any], what: str, whole: tuple[Path, Plan]
) -> None:
    folder, made = whole
    path = run_files.path_of(folder, made.runs[2].run_id)
    reseal(path, change)
    (problem,) = check(folder)
    assert problem.path == path
    assert problem.what.startswith(f"its header does not fit its numbers: {what}")
    assert (problem.remedy == NEWER) is ("not known here" in what)
    rebuilt = rebuild(folder)
    assert (rebuilt.n_runs, rebuilt.n_checkpoints) == (3, 1)
    assert rebuilt.refused == [f"{path}: {problem.what}"]
    with Store(folder) as store:
        assert store.counts("small") == (3, 6)
        assert store.run(made.runs[1].run_id).tags == ("x",)


CHECKPOINTS: list[Callable[[Any, Any], Any]] = [
    lambda t, a: a.update(run_ids=None),
    lambda t, a: a.update(run_ids=[]),
    lambda t, a: a.update(run_ids=[[1], {}]),
    lambda t, a: a.update(width=10**9),
    lambda t, a: a.update(width="2"),
    lambda t, a: a.update(epoch=-1),
    lambda t, a: a.update(n_steps=0),
    lambda t, a: a.update(step=11),
    lambda t, a: a.update(must=[1]),
    lambda t, a: a.update(new={}),
    lambda t, a: t.pop("costs[0].epoch"),
    lambda t, a: t.update({"arrays.step": np.arange(3)}),
    lambda t, a: t.update({"snapshots[0].epoch": np.zeros((2, 2))}),
]


@pytest.mark.parametrize("change", CHECKPOINTS)
def test_an_odd_checkpoint_is_reported_and_skipped_and_nothing_else_suffers(
    change: Callable[[Any, Any], Any], whole: tuple[Path, Plan]
) -> None:
    folder, _ = whole
    (path,) = (folder / "checkpoints").glob("*/*.safetensors")
    reseal(path, change)
    (problem,) = check(folder)
    assert problem.path == path
    assert problem.what.startswith("its header does not fit its numbers: ")
    rebuilt = rebuild(folder)
    assert (rebuilt.n_runs, rebuilt.n_checkpoints) == (4, 0)
    assert rebuilt.refused == [f"{path}: {problem.what}"]


KINDS = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "bool": "BOOL"}
HUGE = 900_000_000


def with_hole(path: Path, name: str, shape: tuple[int, ...], kind: Any) -> None:
    """Puts a huge array of zeros into a sealed file, as a hole that takes no space."""
    tensors, about = tensor_files.read(path, sealed_kind(path))
    tensors[name] = np.broadcast_to(np.zeros((), kind), shape)
    table, size = {}, 0
    for key, array in tensors.items():
        offsets = (size, size + array.nbytes)
        table[key] = {
            "dtype": KINDS[array.dtype.name],
            "shape": array.shape,
            "data_offsets": offsets,
        }
        size = offsets[1]
    header = json.dumps({"__metadata__": {"jmlp": json.dumps(about)}, **table}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


@pytest.mark.parametrize(
    ("part", "name", "shape", "kind"),
    [
        ("runs", "other", (HUGE,), np.float32),
        ("runs", "best.other", (HUGE,), np.float32),
        ("runs", "last.params[0].dense.W", (HUGE, 1), np.float32),
        ("runs", "costs.epoch", (HUGE,), np.int32),
        ("runs", "costs.other", (HUGE,), np.int32),
        ("runs", "snapshots.epoch", (HUGE,), np.int32),
        ("checkpoints", "other", (HUGE,), np.float32),
        ("checkpoints", "arrays.other", (HUGE,), np.float32),
        ("checkpoints", "costs[0].epoch", (HUGE,), np.int32),
        ("checkpoints", "snapshots[1].epoch", (HUGE,), np.int32),
    ],
)
def test_arrays_that_cannot_be_those_of_the_header_are_refused_before_they_are_read(
    part: str,
    name: str,
    shape: tuple[int, ...],
    kind: Any,
    whole: tuple[Path, Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = min((whole[0] / part).rglob("*.safetensors"))
    with_hole(path, name, shape, kind)
    monkeypatch.delattr(tensor_files, "from_bytes")  # what looks at the arrays once they are read
    read: Callable[[Path], object] = run_files.read if part == "runs" else checkpoints.read_state
    with pytest.raises(CheckpointError, match="its header does not fit its numbers: "):
        read(path)


SUBMISSIONS: list[Callable[[Any], Any]] = [
    lambda c: c.update(extra=1, runs=[{"run_id": "a"}]),
    lambda c: c.update(runs=[1]),
    lambda c: c["runs"].append(c["runs"][0]),
    lambda c: c["runs"][0]["hyperparams"].update(colour=1),
    lambda c: c["runs"][0].update(seed=2**70),
    lambda c: c["runs"][0].update(seed="1"),
    lambda c: c["runs"][0].update(run_id="../../x"),
    lambda c: c.pop("label"),
    lambda c: c.update(label="\ud800"),
    lambda c: c.update(data={"name": 1}),
    lambda c: c.update(data=None),
    lambda c: c.update(hardware={"device": "cpu", "cores": "two"}),
    lambda c: c.update(toml="validation_fraction = [1]"),
    lambda c: c.update(toml="x = " + "[" * 5000),
    lambda c: c.update(toml="validation_fraction = 1" + "0" * 400),
    lambda c: c.update(toml="validation_fraction = nan"),
    lambda c: c.update(toml="validation_fraction = 0"),
    lambda c: c["runs"][0]["hyperparams"].update(learning_rate="NaN"),
    lambda c: c["runs"][0]["hyperparams"].update(learning_rate="Infinity"),
    lambda c: c["runs"][0]["hyperparams"].update(hidden=[]),
    lambda c: c.update(submitted_at=-1),
    lambda c: c.update(submitted_at="now"),
]


@pytest.mark.parametrize("change", SUBMISSIONS)
def test_an_odd_submission_is_reported_and_skipped_and_nothing_else_suffers(
    change: Callable[[Any], Any], whole: tuple[Path, Plan]
) -> None:
    folder, _ = whole
    (path,) = submissions.paths(folder)
    edit(path, change, submissions.FORMAT)
    (problem,) = check(folder)
    assert problem.path == path
    rebuilt = rebuild(folder)
    assert (rebuilt.n_runs, rebuilt.refused) == (4, [f"{path}: {problem.what}"])
    with Store(folder) as store:
        assert store.counts("small") == (4, 4)  # the links of the runs are known


@pytest.mark.parametrize("tags", [None, {}, [1], [["a"]], [["a", 1]], [["a", "b", "c"]], "ab"])
def test_odd_tags_are_reported_and_skipped_and_nothing_else_suffers(
    tags: Any, whole: tuple[Path, Plan]
) -> None:
    folder, _ = whole
    documents.write(folder / "tags.json", tag_file.FORMAT, {"tags": tags})
    (problem,) = check(folder)
    assert problem.path == folder / "tags.json"
    assert problem.what.startswith('cannot be used: "tags')
    rebuilt = rebuild(folder)
    assert (rebuilt.n_runs, len(rebuilt.refused)) == (4, 1)


def test_files_of_a_newer_format_are_reported_as_such_and_skipped(whole: tuple[Path, Plan]) -> None:
    folder, made = whole
    run = run_files.path_of(folder, made.runs[0].run_id)
    reseal(run, lambda t, a: a.update(format="jmlp-run-2"))
    (submission,) = submissions.paths(folder)
    documents.write(submission, "jmlp-submission-2", {})
    problems = {p.path: p for p in check(folder)}
    for path, kind in ((run, "jmlp-run"), (submission, "jmlp-submission")):
        assert problems[path].what == (
            f"of a newer jmlp (format '{kind}-2', this one reads '{kind}-1'): install the newer "
            "jmlp"
        )
        assert problems[path].remedy == NEWER
    assert rebuild(folder).n_runs == 3


# ---- rows


def change_row(folder: Path, sql: str, *values: Any) -> None:
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(sql, values)
        connection.commit()


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        (
            "UPDATE runs SET record = replace(record, '0.901', '0.101') WHERE number = 2",
            "run {id}: its row is not the one that was written",
        ),
        (
            "UPDATE runs SET seed = 7 WHERE number = 2",
            "run {id}: its row is not the one that was written",
        ),
        (
            "UPDATE runs SET digest = NULL WHERE number = 2",
            "run {id}: its row is not the one that was written",
        ),
        (
            "UPDATE studies SET toml = replace(toml, '0.1', '0.9')",
            "study small: its row is not the one that was written",
        ),
        (
            "UPDATE runs SET validation_fraction = 9e999 WHERE number = 2",
            "run {id}: its row is not the one that was written",
        ),
        ("UPDATE studies SET state = 'doze'", "study small: its state is doze"),
        ("UPDATE studies SET progress = '{'", "study small: Expecting property name"),
        ('UPDATE studies SET progress = \'{"epoch":"x"}\'', 'study small: "epoch" is "x"'),
        (
            "UPDATE points SET step = step + 1 WHERE id = 3",
            "costs: the cost point of epoch 0 is not the one that was written",
        ),
        (
            "UPDATE points SET costs = x'00' WHERE id = 3",
            "costs: the cost point of epoch 0 is not the one that was written",
        ),
        ("UPDATE events SET at = 1 << 60 WHERE id = 1", f"events: its time is {1 << 60}"),
    ],
)
def test_a_changed_value_is_damage_for_all_readers(sql: str, what: str, tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    change_row(tmp_path, sql)
    told = what.format(id=made.runs[1].run_id[:8])
    with Store(tmp_path, viewer=True) as store:
        queries: list[Callable[[], object]] = [
            store.studies,
            store.runs,
            store.events,
            lambda: [store.points(run.run_id) for run in made.runs],
            lambda: store.results("small"),
        ]
        found = []
        for query in queries:
            try:
                query()
            except DamagedError as error:
                found.append(str(error))
    assert found
    assert all(error.startswith(f"{tmp_path / NAME}: is damaged ({told}") for error in found)
    assert all(error.endswith(f"; {BEGINNING}") for error in found)
    (problem,) = check(tmp_path)
    assert problem.path == tmp_path / NAME
    rebuild(tmp_path)
    assert check(tmp_path) == []


COMMANDS = (
    "runs ls",
    "runs ls --json",
    "runs show last",
    "runs compare all",
    "report small --force",
    "export all --as csv --output out.csv --force",
    "store check",
    "resume small",
    "stop small",
)


@pytest.mark.parametrize("seed", range(12))
def test_no_damage_to_a_row_is_taken_for_a_bug(
    seed: int, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    made = plan()
    folder = here.folder / "store"
    fill(folder, made, n_left=1)
    with Store(folder) as store:
        store.tag(made.runs[1].run_id, "x")
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(2):
            table = rng.choice(["studies", "runs", "points", "events", "links", "tags"])
            columns = [
                (name, kind)
                for _, name, kind, *_, key in connection.execute(f"PRAGMA table_info({table})")
                if not key
            ] or [("tag", "TEXT")]
            name, kind = rng.choice(columns)
            keys = {"links": "run", "tags": "run", "runs": "number"}
            key = keys.get(table, "id")
            ((number,),) = connection.execute(
                f"SELECT {key} FROM {table} ORDER BY random() LIMIT 1"
            ).fetchall()
            ((old,),) = connection.execute(
                f"SELECT {name} FROM {table} WHERE {key} = ? LIMIT 1", (number,)
            ).fetchall()
            new: Any
            if kind == "INTEGER":
                new = rng.choice([-1, 0, 2**62, -(2**63), 3])
            elif kind == "REAL":
                new = rng.choice([-1.0, 1e308, 0.0])
            elif kind == "BLOB":
                data = bytearray(old)
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                new = bytes(data)
            else:
                text = str(old or "")
                at = rng.randrange(len(text) + 1)
                new = rng.choice(
                    ["", "{}", "[]", "null", "\ud7ff", text[:at], f"{text[:at]}9{text[at + 1 :]}"]
                )
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", (new, number))
        connection.commit()
    for line in COMMANDS:
        done = here(*line.split())
        assert done.code in (0, 2, 3, 4, 5), (line, done)
        assert "bug" not in done.err, (line, done)
        assert "Traceback" not in done.err


def test_a_row_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=1)
    number = len(made.runs)
    change_row(tmp_path, f"UPDATE runs SET run_id = '../../x' WHERE number = {number}")
    with Store(tmp_path) as store, pytest.raises(DamagedError, match="x is not a run id"):
        store.runs()


@pytest.mark.parametrize("value", ["'3'", "'NaN'", "x'33'"])
@pytest.mark.parametrize("table", ["runs", "points"])
def test_an_epoch_that_is_no_number_is_damage(table: str, value: str, tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=1)
    number = len(made.runs)
    key = {"runs": "number", "points": "run"}[table]
    change_row(tmp_path, f"UPDATE {table} SET epoch = {value} WHERE {key} = {number} AND epoch = 1")
    with Store(tmp_path) as store:
        reading: dict[str, Any] = {
            "runs": store.runs,
            "points": lambda: store.points(made.runs[-1].run_id),
        }
        with pytest.raises(DamagedError, match=r"its epoch is .*, not a number"):
            reading[table]()


def test_text_that_is_no_utf8_is_damage(tmp_path: Path) -> None:
    fill(tmp_path)
    change_row(tmp_path, "UPDATE events SET detail = CAST(x'ff' AS TEXT) WHERE id = 1")
    with Store(tmp_path) as store, pytest.raises(DamagedError, match="Could not decode to UTF-8"):
        store.events()


@pytest.mark.parametrize("line", ["report small", "export all --as json --output out.json"])
def test_a_row_that_says_something_else_than_its_file_is_not_reported(
    line: str, here: Here
) -> None:
    made = plan()
    folder = here.folder / "store"
    fill(folder, made)
    run = made.runs[1]
    path = run_files.path_of(folder, run.run_id)
    with Store(folder) as store:
        run_files.write(path, result(run, 0.101), **store.about_run(run.run_id))
    done = here(*line.split())
    assert done == (
        4,
        "",
        f"jmlp: error: run {run.run_id[:8]}: the database disagrees with {path}; jmlp store "
        "check finds all differences, and jmlp store rebuild recreates the database from the "
        "files\n",
    )
    path.unlink()  # a file that is gone says nothing else
    assert here(*line.split()).code == 0


def test_a_database_of_schema_1_gets_digests_and_all_of_it_is_kept(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=2)
    before = content(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN digest")
        connection.execute("ALTER TABLE studies DROP COLUMN digest")
        connection.execute("UPDATE points SET costs = substr(costs, 1, 40)")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    assert content(tmp_path) == before
    with Store(tmp_path) as store:
        assert store.points(made.runs[-1].run_id) == points(2)
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)
        (without,) = connection.execute(
            "SELECT count(*) FROM runs WHERE (digest IS NULL) = (record IS NOT NULL)"
        ).fetchone()
    assert without == 0
    assert (tmp_path / f"{NAME}.schema-1").exists()


def test_a_run_that_is_begun_again_has_no_digest_of_the_past(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    run = made.runs[1]
    with Store(tmp_path) as store:
        store.set_runs([run.run_id], "queued")
        store.begin("small", [run.run_id])
        assert store.run(run.run_id).result is None
        store.end("small", [diverged_result(run)])
        assert store.run(run.run_id).state == "diverged"
        with pytest.raises(StoreError):
            store.confirm(store.results("small")[1])


# ---- rows that are lost


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM points",
        "DELETE FROM points WHERE run = 2 AND epoch = 1",
        "DELETE FROM points WHERE run = 2 AND epoch = 4",
    ],
)
@pytest.mark.parametrize("line", ["report small", "export all --as csv --output out.csv"])
def test_a_run_that_lost_cost_points_is_not_reported(
    sql: str, line: str, here: Here, tmp_path: Path
) -> None:
    fill(tmp_path / "store")
    change_row(tmp_path / "store", sql)
    done = here(*line.split(), "--store", str(tmp_path / "store"))
    assert done.code == 4
    assert "the database disagrees with" in done.err


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        (
            "DELETE FROM links WHERE position = 1",
            "disagrees with the database about the study",
        ),
        (
            "UPDATE links SET position = 9 WHERE position = 1",
            "disagrees with the database about the study",
        ),
        (
            "UPDATE links SET experiments = '[]' WHERE position = 1",
            "disagrees with the database about the study",
        ),
        ("DELETE FROM studies", "belongs to a study that is not in the database"),
    ],
)
def test_a_study_that_lost_runs_is_a_problem_that_a_rebuilding_mends(
    sql: str, what: str, whole: tuple[Path, Plan]
) -> None:
    folder, made = whole
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(sql)
        connection.commit()
    (path,) = submissions.paths(folder)
    assert [(p.path, p.what) for p in check(folder)] == [(path, what)]
    rebuild(folder)
    assert check(folder) == []
    with Store(folder) as store:
        assert [run.run_id for run in store.runs("small")] == [run.run_id for run in made.runs]


# ---- tables


def use(folder: Path, run_id: str) -> None:
    """Reads all tables of a store, and writes to one."""
    with Store(folder) as store:
        store.runs()
        store.points(run_id)
        store.set_runs([run_id], "queued")


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("ALTER TABLE tags RENAME TO labels", "the table tags is missing"),
        ("DROP TABLE points", "the table points is missing"),
        ("ALTER TABLE runs DROP COLUMN failure", "the column runs.failure (TEXT) is missing"),
        ("DROP INDEX links_of_run", "the index links_of_run of links is missing"),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON runs BEGIN SELECT raise(ABORT, 'no'); END",
            "the trigger t of runs does not belong to jmlp",
        ),
    ],
)
def test_tables_that_jmlp_does_not_make_are_damage_that_a_rebuilding_mends(
    sql: str, what: str, whole: tuple[Path, Plan]
) -> None:
    folder, made = whole
    change_row(folder, sql)
    problems = check(folder)
    assert problems
    assert all(p.path == folder / NAME and p.remedy in BEGINNING for p in problems)
    assert any(what in p.what for p in problems)
    if "INDEX" not in sql:
        with pytest.raises(DamagedError) as error:
            use(folder, made.runs[-1].run_id)
        assert what in error.value.what
    assert rebuild(folder).refused == []
    assert check(folder) == []
    with Store(folder) as store:
        assert store.counts("small") == (4, 6)
        assert store.run(made.runs[1].run_id).tags == ("x",)


def test_an_older_database_without_one_of_its_tables_is_damage(tmp_path: Path) -> None:
    fill(tmp_path)
    change_row(tmp_path, "PRAGMA user_version = 1")
    change_row(tmp_path, "DROP TABLE studies")
    with pytest.raises(DamagedError):
        Store(tmp_path)
    assert len(rebuild(tmp_path).refused) == 0
    assert check(tmp_path) == []
