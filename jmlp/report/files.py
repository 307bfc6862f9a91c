"""Results on disk as JSON for programs and for jmlp, and as CSV for spreadsheets.

`results.json` and `results.csv` hold the runs, `tables.json` and `tables.csv` every number of the
result tables; `results.json` holds the tables too.

The JSON is strict: a non-finite cost is the string "Infinity", "-Infinity" or "NaN", which `float`
reads. The CSV is safe to open: no text in it is interpreted as a formula.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.errors import StoreError
from jmlp.results.serialization import (
    FLAT_FIELDS,
    UnreadableError,
    member,
    parse,
    run_from_table,
    run_table,
    strict,
)
from jmlp.study.config import Hyperparams, Study
from jmlp.system.files import other_kind
from jmlp.training.records import NUMERICS, RunResult

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable
    from jmlp.results.tables.experiment_table import DifferenceRow, Row

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


# ---- JSON


def results_head(
    study: Study, source: str, digests: Mapping[str, str], command: str, created: datetime
) -> dict[str, Any]:
    """The metadata that precedes the runs in `results.json`.

    Args:
        study: the study that was run.
        source: where its data came from, as shown to users.
        digests: SHA-256 of each array of the data.
        command: the command that reproduces the results.
        created: time of creation in UTC.
    """
    return {
        "study": study.name,
        "created": created.isoformat(timespec="seconds"),
        "command": command,
        "numerics": NUMERICS,
        "data": {"name": study.data, "source": source, "digests": dict(digests)},
    }


def results_json(head: Mapping[str, Any], results: Sequence[RunResult]) -> str:
    """The text of `results.json`: `head`, then one line per run.

    Args:
        head: the metadata, at least "study" (the study's name).
        results: the runs; parameters are omitted.
    """
    opened = json.dumps(strict(head), indent=1, allow_nan=False).removesuffix("\n}")
    runs = [json.dumps(run_table(run), allow_nan=False) for run in results]
    return opened + ',\n "runs": [' + ",".join(f"\n  {run}" for run in runs) + "\n ]\n}\n"


def tables_values(tables: "Sequence[ExperimentTable]") -> list[dict[str, Any]]:
    """The result tables as JSON values: all numbers, and each cell's text by its column's title."""
    made = []
    for table in tables:
        values = asdict(table)
        for part, columns in (("rows", "columns"), ("differences", "difference_columns")):
            titles = [column["title"] for column in values.pop(columns)]
            for row in values[part]:
                row["cells"] = dict(zip(titles, row["cells"], strict=True))
        made.append(values)
    strict_tables: list[dict[str, Any]] = strict(made)
    return strict_tables


def tables_json(head: Mapping[str, Any]) -> str:
    """The text of `tables.json`: the metadata with the `tables_values`, as in `results.json`."""
    return json.dumps(strict(head), indent=1, allow_nan=False) + "\n"


def read_results(path: Path) -> tuple[str, list[RunResult]]:
    """Read `results.json` back: the study's name and its runs, without parameters.

    Raises:
        StoreError: the file cannot be read, or was not written by `write_report`.
    """
    try:
        document = parse(_file(path).read_bytes())
        return member(document, "study", str), [
            run_from_table(run) for run in member(document, "runs", tuple[Any, ...])
        ]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnreadableError as error:
        raise StoreError(
            f"{path}: is not a results.json that jmlp wrote: {error}; write the report again"
        ) from error


# ---- CSV


def results_csv(results: Sequence[RunResult], data: Sequence[Mapping[str, Any]]) -> str:
    """The text of `results.csv`: one row per run; missing values are empty fields.

    Args:
        results: the runs.
        data: "name", "source" and "digests" of the data of each run, as in `results_head`.
    """
    packages = sorted({package for run in results for package in run.provenance.versions})
    versions = [f"{package}_version" for package in packages]
    names = [
        *FLAT_FIELDS,
        *(f.name for f in fields(Hyperparams)),
        "data",
        "data_source",
        "data_digests",
        "device",
        "width",
        "can_drop",
        "flags",
        "settings",
        "source",
        *versions,
    ]
    rows = []
    for run, used in zip(results, data, strict=True):
        where = run.provenance
        values = [
            " ".join(run.experiments) if name == "experiments" else getattr(run, name)
            for name in FLAT_FIELDS
        ]
        values += [getattr(run.hyperparams, f.name) for f in fields(Hyperparams)]
        values += [used["name"], used["source"], json.dumps(dict(used["digests"]))]
        values += [where.device, where.width, where.can_drop, where.flags]
        known = where.settings is not None
        values += [json.dumps(where.settings) if known else None, where.source]
        values += [where.versions.get(package) for package in packages]
        rows.append(values)
    return csv_text(names, rows)


def csv_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV; missing values are empty fields, and no text is taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue()


def tables_csv(tables: "Sequence[ExperimentTable]") -> str:
    """The text of `tables.csv`: one row per configuration; missing values are empty fields.

    Differences are those to the baseline of the experiment, whose own row has none.
    """
    rows = []
    for table in tables:
        differences = {row.label: row for row in table.differences}
        for row in table.rows:
            rows.append(_table_row(table.name, row, differences.get(row.label)))
    return csv_text(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def _table_row(experiment: str, row: "Row", difference: "DifferenceRow | None") -> dict[str, Any]:
    values: dict[str, Any] = {"experiment": experiment, "configuration": row.label}
    values |= {f.name: getattr(row.hyperparams, f.name) for f in fields(Hyperparams)}
    values |= {name: getattr(row, name) for name in ("n", "n_seeds", "diverged", "collapsed")}
    values |= {"is_baseline": row.is_baseline, "is_best": row.is_best}
    for part in ("training_accuracy", "validation_accuracy", "test_accuracy"):
        interval = getattr(row, part)
        for name in ("mean", "low", "high", "std"):
            values[f"{part}_{name}"] = interval and getattr(interval, name)
    for part in ("best_epoch", "stopped_epoch"):
        epochs = getattr(row, part)
        for name in ("median", "low", "high"):
            values[f"{part}_{name}"] = epochs and getattr(epochs, name)
    original = row.original
    low, high = (original and original.interval) or (None, None)
    values |= {
        "original_test_accuracy": original and original.test_accuracy,
        "original_stopped": original and original.stopped,
        "prediction_low": low,
        "prediction_high": high,
        "original_is": original and original.place,
        "seeds_below_original": original and original.seeds_below,
    }
    comparison = difference and difference.comparison
    for name in ("mean", "low", "high", "p", "n", "verdict", "seeds_to_settle"):
        values[f"difference_{name}"] = comparison and getattr(comparison, name)
    values["difference_left_out"] = difference and difference.left_out
    return values


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read `results.csv` back as text, one dictionary per run, without the escaping of formulas.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with _file(path).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return [dict(zip(header, map(_text, row), strict=True)) for row in rows]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise StoreError(f"{path}: is not a results.csv that jmlp wrote: {error}") from error


def _file(path: Path) -> Path:
    """Returns `path` unless it is a pipe or device, which could block.

    Raises:
        StoreError: it is one.
    """
    if kind := other_kind(path):
        raise StoreError(f"{path}: cannot be read: it is {kind}, not a file")
    return path


def _field(value: Any) -> str | int | float:
    """A number unchanged, anything else as text that no spreadsheet interprets as a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, tuple):
        return json.dumps(value)
    text = "" if value is None else str(value)
    # Text that starts with the quote itself also gets one, so that reading can always remove one.
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def _text(field: str) -> str:
    return field.removeprefix("'")
