"""Raw results: what was written is read back equal, and no other program is misled."""

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import CREATED, sizes_runs, sizes_study, with_costs
from table_runs import CPU, HP, diverged, finished

from jmlp.errors import StoreError
from jmlp.report import read_csv, read_results
from jmlp.report.files import (
    results_csv,
    results_head,
    results_json,
    tables_csv,
    tables_json,
    tables_values,
)
from jmlp.results.tables import ExperimentTable, study_tables
from jmlp.training.records import RunResult

HEAD = results_head(sizes_study(), "a shelf", {"x_train": "ab12"}, "jmlp study", CREATED)


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not strict JSON")


def document(runs: list[RunResult]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(results_json(HEAD, runs), parse_constant=refuse)
    return parsed


def through_json(folder: Path, runs: list[RunResult]) -> list[RunResult]:
    path = folder / "results.json"
    path.write_text(results_json(HEAD, runs), encoding="utf-8")
    study, back = read_results(path)
    assert study == "mine"
    return back


# ---- JSON


def test_runs_are_read_back_equal(tmp_path: Path) -> None:
    hp = replace(HP, hidden=(30,), drop_rate=(0.5,), patience=None, learning_rate=0.1 + 0.2)
    runs = [*sizes_runs(), finished(hp, 7, 0.1, test_accuracy=None, split_seed=7)]
    assert through_json(tmp_path, runs) == runs


def test_parameters_are_not_written(tmp_path: Path) -> None:
    run = finished(HP, 0, 0.9)
    assert through_json(tmp_path, [replace(run, params=object(), state=object())]) == [run]


def test_costs_that_are_not_finite_stay_strict_json_and_are_read_back(tmp_path: Path) -> None:
    run = with_costs(finished(HP, 0, 0.9, test_cost=math.inf), 2.0, -math.inf, math.nan)
    (table,) = document([run])["runs"]
    assert table["costs"]["validation_cost"] == [2.0, "-Infinity", "NaN"]
    (back,) = through_json(tmp_path, [run])
    assert (back.test_cost, back.costs[1]) == (math.inf, run.costs[1])
    assert math.isnan(back.costs[2].validation_cost)


def test_the_document_has_exactly_these_keys_in_this_order() -> None:
    parsed = document([finished(HP, 0, 0.9)])
    assert list(parsed) == ["study", "created", "command", "numerics", "data", "runs"]
    assert parsed["created"] == "2026-03-01T12:30:00+00:00"
    assert parsed["data"] == {
        "name": "mnist",
        "source": "a shelf",
        "digests": {"x_train": "ab12"},
    }
    assert list(parsed["runs"][0]) == [
        *("run_id", "experiments", "hyperparams", "seed", "split_seed", "status", "diverged_at"),
        *("collapsed", "best_epoch", "stopped_epoch", "reached_limit"),
        *("training_accuracy", "validation_accuracy", "test_accuracy"),
        *("training_cost", "validation_cost", "test_cost", "training_seconds"),
        *("costs", "provenance"),
    ]


def test_costs_are_columns_of_equal_length() -> None:
    (table,) = document([with_costs(finished(HP, 0, 0.9), 2.0, 1.0)])["runs"]
    assert table["costs"] == {
        "epoch": [0, 1],
        "step": [0, 100],
        "batch_cost": [None, 1.1],
        "training_cost": [1.875, 0.875],
        "training_accuracy": [0.5, 0.5],
        "validation_cost": [2.0, 1.0],
        "validation_accuracy": [0.5, 0.5],
    }


def test_a_diverged_run_has_null_where_others_have_numbers() -> None:
    (table,) = document([diverged(HP, 0, 12)])["runs"]
    assert (table["status"], table["diverged_at"]) == ("diverged", 12)
    parts = ("training", "validation", "test")
    numbers = [table[f"{part}_{what}"] for part in parts for what in ("accuracy", "cost")]
    assert [*numbers, table["best_epoch"]] == [None] * 7


def test_no_run_at_all_is_a_document_too(tmp_path: Path) -> None:
    assert through_json(tmp_path, []) == []


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        read_results(tmp_path / "none.json")
    assert str(error.value) == (f"{tmp_path}/none.json: cannot be read: No such file or directory")


def _drop(run: dict[str, Any]) -> None:
    del run["seed"]


def _boolean_seed(run: dict[str, Any]) -> None:
    run["seed"] = True


def _no_costs(run: dict[str, Any]) -> None:
    run["costs"] = []


def _ragged(run: dict[str, Any]) -> None:
    run["costs"]["epoch"] = [0]


def _other_status(run: dict[str, Any]) -> None:
    run["status"] = "running"


def _text_rate(run: dict[str, Any]) -> None:
    run["hyperparams"]["learning_rate"] = "0.1"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_drop, '"seed" is missing'),
        (_boolean_seed, '"seed" is true, expected an integer of at most 64 bits'),
        (_no_costs, '"costs" is [], expected an object'),
        (_ragged, 'the columns of "costs" differ in length'),
        (_other_status, '"status" is "running", which is not known here: finished, diverged'),
        (_text_rate, '"hyperparams.learning_rate" is "0.1", expected a number'),
    ],
)
def test_a_run_that_is_not_whole_is_refused(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], what: str
) -> None:
    parsed = document([finished(HP, 0, 0.9)])
    damage(parsed["runs"][0])
    path = tmp_path / "results.json"
    path.write_text(json.dumps(parsed), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        read_results(path)
    assert str(error.value) == (
        f"{path}: is not a results.json that jmlp wrote: {what}; write the report again"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("NaN", "NaN is not JSON"),
        ("[]", "it is [], expected an object"),
        ('{"study": "s", "runs": [1]}', "it is 1, expected an object"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError) as error:
        read_results(path)
    assert str(error.value) == (
        f"{path}: is not a results.json that jmlp wrote: {what}; write the report again"
    )


# ---- CSV


DATA = {"name": "=mine.npz", "source": "mine.npz", "digests": {"x_train": "ab12"}}


def raw_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def csv_of(runs: list[RunResult]) -> str:
    return results_csv(runs, [DATA] * len(runs))


def through_csv(runs: list[RunResult]) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.csv")
        path.write_bytes(csv_of(runs).encode())
        return read_csv(path)


def on(device: str) -> RunResult:
    return finished(HP, 0, 0.9, provenance=replace(CPU, device=device))


def test_a_run_is_one_flat_row() -> None:
    run = finished(
        HP,
        3,
        0.5,
        experiments=("sizes", "final"),
        training_accuracy=0.25,
        training_seconds=12.25,
    )
    (row,) = raw_rows(csv_of([run]))
    expected = {
        "experiments": "sizes final",
        "seed": "3",
        "status": "finished",
        "diverged_at": "",
        "collapsed": "false",
        "training_accuracy": "0.25",
        "test_accuracy": "0.5",
        "hidden": "[20, 7, 5]",
        "batch_norm": "false",
        "learning_rate": "0.009",
        "patience": "2",
        "training_seconds": "12.25",
        "data": "'=mine.npz",
        "data_source": "mine.npz",
        "data_digests": '{"x_train": "ab12"}',
        "device": "cpu",
        "width": "8",
        "jax_version": "0.10.0",
    }
    assert {name: row[name] for name in expected} == expected


def test_settings_are_a_json_object_and_what_an_old_file_lacks_is_empty() -> None:
    known = replace(CPU, settings={"jax_optimization_level": "O1"}, source="00ff")
    new, old = raw_rows(csv_of([finished(HP, 0, 0.9, provenance=known), finished(HP, 1, 0.9)]))
    assert json.loads(new["settings"]) == {"jax_optimization_level": "O1"}
    assert (new["source"], old["settings"], old["source"]) == ("00ff", "", "")
    assert old["training_seconds"] == ""


def test_a_diverged_run_has_a_status_and_empty_fields() -> None:
    (row,) = raw_rows(csv_of([diverged(HP, 0, 12)]))
    assert (row["status"], row["diverged_at"]) == ("diverged", "12")
    assert {row["test_accuracy"], row["validation_cost"], row["best_epoch"]} == {""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_run_is_marked_and_quoted(start: str) -> None:
    assert f'"\'{start}cmd"' in csv_of([on(f"{start}cmd")])


def test_a_negative_number_stays_a_number() -> None:
    assert ",-1.5," in csv_of([finished(HP, 0, 0.9, test_cost=-1.5)])


@given(device=st.text() | st.from_regex(r"['=+\-@\t\r]+.*", fullmatch=True))
def test_every_text_is_safe_to_open_and_read_back_equal(device: str) -> None:
    (raw,) = raw_rows(csv_of([on(device)]))
    assert not raw["device"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert through_csv([on(device)])[0]["device"] == device


# ---- tables


def made_tables() -> tuple[ExperimentTable, ...]:
    return study_tables(sizes_study(), sizes_runs())


def test_the_tables_hold_every_cell_and_every_number() -> None:
    tables = made_tables()
    head = {**HEAD, "tables": tables_values(tables)}
    document = json.loads(tables_json(head), parse_constant=refuse)
    assert (document["study"], len(document["tables"])) == ("mine", len(tables))
    for found, table in zip(document["tables"], tables, strict=True):
        assert (found["name"], found["notes"]) == (table.name, list(table.notes))
        assert [claim["answer"] for claim in found["claims"]] == [c.answer for c in table.claims]
        for part, columns, rows in (
            ("rows", table.columns, table.rows),
            ("differences", table.difference_columns, table.differences),
        ):
            titles = [column.title for column in columns]
            assert [list(row["cells"]) for row in found[part]] == [titles] * len(rows)
            cells = [tuple(row["cells"].values()) for row in found[part]]
            assert cells == [row.cells for row in rows]
        means = [row["test_accuracy"] and row["test_accuracy"]["mean"] for row in found["rows"]]
        assert means == [row.test_accuracy and row.test_accuracy.mean for row in table.rows]
        verdicts = [row["comparison"]["verdict"] for row in found["differences"]]
        assert verdicts == [row.comparison.verdict for row in table.differences]


def test_results_hold_the_tables_and_are_read_back_without_them(tmp_path: Path) -> None:
    runs = sizes_runs()
    values = tables_values(made_tables())
    text = results_json({**HEAD, "tables": values}, runs)
    assert json.loads(text)["tables"] == json.loads(json.dumps(values))
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    assert [run.run_id for run in read_results(path)[1]] == [run.run_id for run in runs]


def test_the_csv_of_the_tables_has_a_row_for_each_configuration(tmp_path: Path) -> None:
    tables = made_tables()
    path = tmp_path / "tables.csv"
    path.write_text(tables_csv(tables), encoding="utf-8")
    rows = read_csv(path)
    wanted = [(table.name, row) for table in tables for row in table.rows]
    assert [(row["experiment"], row["configuration"]) for row in rows] == [
        (name, row.label) for name, row in wanted
    ]
    for found, (_, row) in zip(rows, wanted, strict=True):
        assert found["batch_size"] == str(row.hyperparams.batch_size)
        assert found["n"] == str(row.n)
        assert found["is_baseline"] == ("true" if row.is_baseline else "false")
        mean = row.test_accuracy and row.test_accuracy.mean
        assert found["test_accuracy_mean"] == ("" if mean is None else repr(mean))
        assert (found["difference_verdict"] == "") == row.is_baseline
    assert tables_csv(()) == "\n"
