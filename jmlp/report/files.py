"""Raw results on disk: `results.json` for programs and for jmlp, `results.csv` for spreadsheets.

The JSON is strict: a cost that is not finite is the string "Infinity", "-Infinity" or "NaN", which
`float` reads. The CSV is safe to open: no text in it is taken for a formula.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from jmlp.config import Hyperparams, Study
from jmlp.errors import StoreError
from jmlp.results import NUMERICS, CostPoint, Provenance, RunResult

T = TypeVar("T")

NOT_FINITE = ("Infinity", "-Infinity", "NaN")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_FLAT = tuple(
    f.name
    for f in fields(RunResult)
    if f.name not in ("hyperparams", "costs", "provenance", "params", "state")
)
_HINTS: Mapping[type, dict[str, Any]] = {
    kind: get_type_hints(kind) for kind in (Hyperparams, CostPoint, Provenance, RunResult)
}


class _UnreadableError(Exception):
    """What is wrong with a file, without the file's name."""


# ---- JSON


def results_head(
    study: Study, source: str, digests: Mapping[str, str], command: str, created: datetime
) -> dict[str, Any]:
    """What precedes the runs in `results.json`: how they came to be.

    Args:
        study: what was run.
        source: where its data came from, for people.
        digests: SHA-256 of each array of the data.
        command: what makes the same results again.
        created: when, in UTC.
    """
    return {
        "study": study.name,
        "created": created.isoformat(timespec="seconds"),
        "command": command,
        "numerics": NUMERICS,
        "data": {"name": study.data, "source": source, "digests": dict(digests)},
    }


def results_json(head: Mapping[str, Any], results: Sequence[RunResult]) -> str:
    """The text of `results.json`: `head`, then every run on a line of its own.

    Args:
        head: what precedes the runs, "study" (the study's name) at least.
        results: the runs; parameters are left out.
    """
    opened = json.dumps(_strict(head), indent=1, allow_nan=False).removesuffix("\n}")
    runs = [json.dumps(_strict(_run_table(run)), allow_nan=False) for run in results]
    return opened + ',\n "runs": [' + ",".join(f"\n  {run}" for run in runs) + "\n ]\n}\n"


def read_results(path: Path) -> tuple[str, list[RunResult]]:
    """Read `results.json` back: the study's name and its runs, without parameters.

    Raises:
        StoreError: the file cannot be read, or is not what `write_report` writes.
    """
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        return _member(document, "study", str), [
            _run(run) for run in _member(document, "runs", list)
        ]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (_UnreadableError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}: is not a results.json that jmlp wrote: {error}; write the report again"
        ) from error


def _run_table(run: RunResult) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "experiments": run.experiments,
        "hyperparams": asdict(run.hyperparams),
        **{name: getattr(run, name) for name in _FLAT if name not in ("run_id", "experiments")},
        "costs": {f.name: [getattr(p, f.name) for p in run.costs] for f in fields(CostPoint)},
        "provenance": {**asdict(run.provenance), "versions": dict(run.provenance.versions)},
    }


def _run(table: Any) -> RunResult:
    columns = _member(table, "costs", dict)
    names = [f.name for f in fields(CostPoint)]
    costs = [_member(columns, name, list) for name in names]
    if len(set(map(len, costs))) > 1:
        raise _UnreadableError('the columns of "costs" differ in length')
    nested = {
        "hyperparams": _record(Hyperparams, _member(table, "hyperparams", dict)),
        "costs": tuple(
            _record(CostPoint, dict(zip(names, p, strict=True))) for p in zip(*costs, strict=True)
        ),
        "provenance": _record(Provenance, _member(table, "provenance", dict)),
        "params": None,
        "state": None,
    }
    return _record(RunResult, {**table, **nested})


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: _strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    return value


def _refuse_constant(name: str) -> None:
    raise _UnreadableError(f"{name} is not JSON")


def _member(table: Any, key: str, kind: type[T]) -> T:
    value = table.get(key) if isinstance(table, dict) else None
    if not isinstance(value, kind):
        raise _UnreadableError(f'"{key}" is missing or not {_JSON_KINDS[kind]}')
    return value


_JSON_KINDS: Mapping[type, str] = {str: "a string", list: "an array", dict: "an object"}


def _record(kind: type[T], table: Mapping[str, Any]) -> T:
    """A frozen record from a table that must hold every field with its type."""
    values = {}
    for name, hint in _HINTS[kind].items():
        if name not in table:
            raise _UnreadableError(f'"{name}" is missing')
        value = tuple(table[name]) if isinstance(table[name], list) else table[name]
        if value in NOT_FINITE and _conforms(0.0, hint):
            value = float(value)
        if not _conforms(value, hint):
            raise _UnreadableError(f'"{name}" must not be {json.dumps(table[name])[:60]}')
        values[name] = value
    return kind(**values)


def _conforms(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(_conforms(value, arg) for arg in args)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_conforms(v, args[0]) for v in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(_conforms(v, args[1]) for v in value.values())
    if hint in (int, float):
        numbers = (int, float) if hint is float else int
        return isinstance(value, numbers) and not isinstance(value, bool)
    return isinstance(value, NoneType if hint is None else hint)


# ---- CSV


def results_csv(results: Sequence[RunResult]) -> str:
    """The text of `results.csv`: one row a run; what a run has not is an empty field."""
    packages = sorted({package for run in results for package in run.provenance.versions})
    versions = [f"{package}_version" for package in packages]
    names = [*_FLAT, *(f.name for f in fields(Hyperparams)), "device", "width", "flags", *versions]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(names)
    for run in results:
        where = run.provenance
        values = [
            " ".join(run.experiments) if name == "experiments" else getattr(run, name)
            for name in _FLAT
        ]
        values += [getattr(run.hyperparams, f.name) for f in fields(Hyperparams)]
        values += [where.device, where.width, where.flags]
        values += [where.versions.get(package) for package in packages]
        writer.writerow([_field(value) for value in values])
    return out.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read `results.csv` back as text, one dictionary a run, as it was before it was made safe.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return [dict(zip(header, map(_text, row), strict=True)) for row in rows]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise StoreError(f"{path}: is not a results.csv that jmlp wrote: {error}") from error


def _field(value: Any) -> str | int | float:
    """A number as it is, all else as text that no spreadsheet runs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, tuple):
        return json.dumps(value)
    text = "" if value is None else str(value)
    # A text that begins with the mark itself gets one too, so that reading can take one off.
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def _text(field: str) -> str:
    return field.removeprefix("'")
