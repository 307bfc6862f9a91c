"""A run's result as strict JSON, and back.

A number that is not finite is the string "Infinity", "-Infinity" or "NaN", which `float` reads.
Python writes the shortest text that reads back as the same float, so nothing is lost.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from jmlp.config import ADDED, Hyperparams
from jmlp.results import CostPoint, Provenance, RunResult

T = TypeVar("T")

NOT_FINITE = ("Infinity", "-Infinity", "NaN")

# The fields of a result whose values are no records and no arrays.
FLAT_FIELDS = tuple(
    f.name
    for f in fields(RunResult)
    if f.name not in ("hyperparams", "costs", "provenance", "params", "state", "last", "snapshots")
)
_JSON_KINDS: Mapping[type, str] = {str: "a string", list: "an array", dict: "an object"}


class UnreadableError(Exception):
    """What is wrong with a document, without the name of its file."""


def run_table(run: RunResult, *, costs: bool = True) -> dict[str, Any]:
    """A result as values that JSON has, without parameters: the form of `results.json`.

    Args:
        run: the result.
        costs: whether its cost points are in it, as columns of equal length.
    """
    table = {
        "run_id": run.run_id,
        "experiments": run.experiments,
        "hyperparams": asdict(run.hyperparams),
        **{n: getattr(run, n) for n in FLAT_FIELDS if n not in ("run_id", "experiments")},
    }
    if costs:
        table["costs"] = {
            f.name: [getattr(p, f.name) for p in run.costs] for f in fields(CostPoint)
        }
    table["provenance"] = {
        **asdict(run.provenance),
        "versions": dict(run.provenance.versions),
    }
    strict_table: dict[str, Any] = strict(table)
    return strict_table


def run_from_table(table: Any, *, costs: bool = True) -> RunResult:
    """The result that `run_table` made a table of; parameters and snapshots are not there.

    Args:
        table: what JSON holds.
        costs: whether cost points must be in it; without, the result has none.

    Raises:
        UnreadableError: a field is missing or of another type.
    """
    nested = {
        "costs": _costs(table) if costs else (),
        "hyperparams": _record(Hyperparams, {**ADDED, **member(table, "hyperparams", dict)}),
        "provenance": _record(Provenance, member(table, "provenance", dict)),
        **dict.fromkeys(("params", "state", "last")),
        "snapshots": (),
    }
    return _record(RunResult, {**table, **nested})


def strict(value: Any) -> Any:
    """Tuples as lists, and floats that are not finite as text, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    return value


def parse(text: str | bytes) -> Any:
    """The values of strict JSON.

    Raises:
        UnreadableError: it is no JSON, or not strict.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error


def member(table: Any, key: str, kind: type[T]) -> T:
    """One value of a JSON object.

    Raises:
        UnreadableError: it is missing or of another type, or `table` is no object.
    """
    value = table.get(key) if isinstance(table, dict) else None
    if not isinstance(value, kind):
        raise UnreadableError(f'"{key}" is missing or not {_JSON_KINDS[kind]}')
    return value


def _costs(table: Any) -> tuple[CostPoint, ...]:
    columns = member(table, "costs", dict)
    names = [f.name for f in fields(CostPoint)]
    costs = [member(columns, name, list) for name in names]
    if len(set(map(len, costs))) > 1:
        raise UnreadableError('the columns of "costs" differ in length')
    return tuple(
        _record(CostPoint, dict(zip(names, point, strict=True)))
        for point in zip(*costs, strict=True)
    )


def _refuse_constant(name: str) -> None:
    raise UnreadableError(f"{name} is not JSON")


def _record(kind: type[T], table: Mapping[str, Any]) -> T:
    """A frozen record from a table that must hold every field with its type."""
    values = {}
    for name, conforms in _CHECKS[kind].items():
        if name not in table:
            raise UnreadableError(f'"{name}" is missing')
        value = tuple(table[name]) if isinstance(table[name], list) else table[name]
        if value in NOT_FINITE and conforms(0.0):
            value = float(value)
        if not conforms(value):
            raise UnreadableError(f'"{name}" must not be {json.dumps(table[name])[:60]}')
        values[name] = value
    return kind(**values)


def _check_of(hint: Any) -> Callable[[Any], bool]:
    """Whether a value is of a type."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: True
    if origin is UnionType:
        parts = tuple(map(_check_of, args))
        return lambda value: any(part(value) for part in parts)
    if origin is Literal:
        return lambda value: value in args
    if origin is tuple:
        part = _check_of(args[0])
        return lambda value: isinstance(value, tuple) and all(map(part, value))
    if origin is Mapping:
        part = _check_of(args[1])
        return lambda value: isinstance(value, dict) and all(map(part, value.values()))
    if hint in (int, float):
        numbers = (int, float) if hint is float else int
        return lambda value: isinstance(value, numbers) and not isinstance(value, bool)
    kind = NoneType if hint is None else hint
    return lambda value: isinstance(value, kind)


_CHECKS: Mapping[type, dict[str, Callable[[Any], bool]]] = {
    kind: {name: _check_of(hint) for name, hint in get_type_hints(kind).items()}
    for kind in (Hyperparams, CostPoint, Provenance, RunResult)
}
