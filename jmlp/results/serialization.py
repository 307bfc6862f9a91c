"""Converts records to strict JSON and back; all data from files or databases is type-checked.

A non-finite number becomes the string "Infinity", "-Infinity" or "NaN", which `float` reads.
Python writes the shortest text that reads back as the same float, so no precision is lost.
"""

import functools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jmlp.training.records import CostPoint, Progress, RunResult, reached_limit

T = TypeVar("T")

NOT_FINITE = ("Infinity", "-Infinity", "NaN")

# The fields of a result whose values are neither records nor arrays.
FLAT_FIELDS = tuple(
    f.name
    for f in fields(RunResult)
    if f.name
    not in (
        "hyperparams",
        "costs",
        "provenance",
        "params",
        "state",
        "last",
        "snapshots",
        "contract",
    )
)
_OF_FINISHED = tuple(
    f"{part}_{what}" for part in ("training", "validation") for what in ("accuracy", "cost")
)
_KINDS: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "an integer of at most 64 bits",
    float: "a number",
    NoneType: "null",
    list: "an array",
    dict: "an object",
}
_FORMAT = re.compile(r"(.*-)([0-9]{1,9})")
_LARGEST = 2**63  # the limit of the database

# Converts a JSON value to a Python value; the second argument is its location in the record.
_Reader = Callable[[Any, str], Any]


class UnreadableError(Exception):
    """A problem with a document, without the name of its file."""


class NewerError(UnreadableError):
    """A newer jmlp wrote the document: it is intact, but has content unknown to this version."""


def run_table(run: RunResult, *, costs: bool = True) -> dict[str, Any]:
    """A result as JSON values, without parameters: the form of `results.json`.

    Args:
        run: the result.
        costs: whether to include its cost points, as columns of equal length.
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
    if run.contract is not None:
        table["contract"] = asdict(run.contract)
    strict_table: dict[str, Any] = strict(table)
    return strict_table


def progress_table(progress: Progress, *, points: bool) -> dict[str, Any]:
    """A progress record as JSON values.

    Args:
        progress: the record; its results are omitted.
        points: whether to include the new cost points.
    """
    names = [f.name for f in fields(Progress) if f.name not in ("results", "stops", "points")]
    table: dict[str, Any] = {name: getattr(progress, name) for name in names}
    table["stops"] = {run_id: asdict(stop) for run_id, stop in progress.stops.items()}
    if points:
        table["points"] = {run_id: asdict(point) for run_id, point in progress.points.items()}
    strict_table: dict[str, Any] = strict(table)
    return strict_table


def progress_from_table(table: Any) -> Progress:
    """The inverse of `progress_table`; missing members have their initial values.

    Raises:
        UnreadableError: it is not an object, or a member has another type.
    """
    initial = {**progress_table(Progress(), points=True), "results": []}
    return read(Progress, {**initial, **read(dict[str, Any], table)})


def run_from_table(table: Any, *, costs: bool = True) -> RunResult:
    """The inverse of `run_table`; the result has no parameters or snapshots.

    Args:
        table: the JSON value.
        costs: whether to read cost points, which must be present; otherwise the result has none.

    Raises:
        UnreadableError: a field is missing or has another type.
    """
    table = read(dict[str, Any], table)
    nested = {
        "costs": [asdict(point) for point in _costs(table)] if costs else [],
        **dict.fromkeys(("params", "state", "last")),
        "snapshots": [],
        "contract": _contract(table.get("contract")),
    }
    result = read(RunResult, {**table, **nested})
    needed = ("diverged_at",) if result.status == "diverged" else _OF_FINISHED
    if missing := [name for name in needed if getattr(result, name) is None]:
        raise UnreadableError(f"it {result.status} and has no {missing[0]}")
    hp = result.hyperparams
    if result.best_epoch is None or hp.evaluate_every != "epoch":
        return result
    # Earlier versions set `reached_limit` even if the patience ran out at the limit too.
    limit = reached_limit(hp.patience, result.best_epoch, result.stopped_epoch, hp.epochs)
    return replace(result, reached_limit=limit)


def read(kind: type[T], value: Any, place: str = "") -> T:
    """Converts a JSON value to a Python value of a given type, checking all types.

    Args:
        kind: a frozen dataclass, or any type composed of them, `Mapping`, `Sequence`, tuples,
            `Literal`, unions, numbers, text, and `Any`. Arrays become tuples. A dataclass must be
            an object with exactly its fields; a field whose metadata has "added" may be missing, as
            in files of earlier versions, and then has its default.
        value: the result of `parse`.
        place: its location in the document, for error messages.

    Raises:
        UnreadableError: something is missing or has another type.
        NewerError: there is a field, or a word, that this version does not know.
    """
    hint: Any = kind
    made: T = _reader(hint)(value, place)
    return made


def checked(
    table: Any, needed: Mapping[str, Any], optional: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Checks the types of some members of a JSON object, and returns the object unchanged.

    Args:
        table: the object.
        needed: types of the required members.
        optional: types of the optional members.

    Raises:
        UnreadableError: it is not an object, or a member is missing or has another type.
    """
    found = read(dict[str, Any], table)
    for name, kind in {**needed, **optional}.items():
        if name in needed or name in found:
            member(found, name, kind)
    return found


def strict(value: Any) -> Any:
    """Converts tuples to lists, and non-finite floats to text, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    return value


def parse(text: str | bytes) -> Any:
    """Parses strict JSON.

    Raises:
        UnreadableError: it is not JSON, not strict, or has a number that is too large.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error


def member(table: Any, key: str, kind: type[T]) -> T:
    """One value of a JSON object, converted by `read`.

    Raises:
        UnreadableError: it is missing or has another type, or `table` is not an object.
    """
    found = read(dict[str, Any], table)
    if key not in found:
        raise UnreadableError(f'"{key}" is missing')
    return read(kind, found[key], key)


def other_format(found: Any, kind: str) -> UnreadableError:
    """The error for a document whose "format" is not the one that this version reads.

    Args:
        found: its "format", of any type.
        kind: the expected format, such as "jmlp-run-1".
    """
    known = _FORMAT.fullmatch(kind)
    other = _FORMAT.fullmatch(found) if isinstance(found, str) else None
    if known and other and known[1] == other[1] and int(known[2]) < int(other[2]):
        return NewerError(
            f"of a newer jmlp (format {found!r}, this one reads {kind!r}): install the newer jmlp"
        )
    return UnreadableError(
        f"of another program or another version of jmlp (format {repr(found)[:60]}, expected "
        f"{kind!r})"
    )


def _contract(table: Any) -> Any:
    """The contract of a run on a table; None for other runs, without importing NumPy."""
    if table is None:
        return None
    from jmlp.data.contract import Contract, check_contract

    contract = read(Contract, table, "contract")
    try:
        check_contract(contract)
    except ValueError as error:
        raise UnreadableError(f'"contract": {error}') from error
    return contract


def _costs(table: Mapping[str, Any]) -> tuple[CostPoint, ...]:
    columns = member(table, "costs", dict[str, tuple[Any, ...]])
    names = [f.name for f in fields(CostPoint)]
    costs = [member(columns, name, tuple[Any, ...]) for name in names]
    if len(set(map(len, costs))) > 1:
        raise UnreadableError('the columns of "costs" differ in length')
    return tuple(
        read(CostPoint, dict(zip(names, point, strict=True)), "costs")
        for point in zip(*costs, strict=True)
    )


def _refuse_constant(name: str) -> None:
    raise UnreadableError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UnreadableError(f"{text[:60]} is too large a number")
    return value


# ---- readers, built once per type


@functools.cache
def _reader(hint: Any) -> _Reader:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value, place: value
    if isinstance(hint, type) and is_dataclass(hint):
        return _record_reader(hint)
    if origin in (Union, UnionType):
        return _union_reader([_reader(arg) for arg in args])
    if origin is Literal:
        return _word_reader(args)
    if origin in (tuple, Sequence):
        return _tuple_reader(args)
    if origin in (dict, Mapping):
        return _table_reader(_reader(args[1]))
    if hint is float:
        return _float
    if hint in (NoneType, None, bool, int, str):
        return _plain_reader(NoneType if hint is None else hint)
    raise TypeError(f"records have no reader for {hint}")


def _record_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    added = {field.name: field.default for field in fields(kind) if field.metadata.get("added")}

    def read_record(value: Any, place: str) -> Any:
        table = _object(value, place)
        if unknown := sorted(table.keys() - readers.keys()):
            raise NewerError(
                f'"{_joined(place, unknown[0])[:60]}" is not known here: a newer jmlp wrote it'
            )
        values = {}
        for name, reader in readers.items():
            if name in table:
                values[name] = reader(table[name], _joined(place, name))
            elif name not in added:
                raise UnreadableError(f'"{_joined(place, name)}" is missing')
        return kind(**values)

    return read_record


def _union_reader(parts: Sequence[_Reader]) -> _Reader:
    def read_union(value: Any, place: str) -> Any:
        refusal: UnreadableError | None = None
        for part in parts:
            try:
                return part(value, place)
            except UnreadableError as error:
                refusal = refusal or error
        assert refusal is not None
        raise refusal

    return read_union


def _word_reader(words: tuple[Any, ...]) -> _Reader:
    def read_word(value: Any, place: str) -> Any:
        if isinstance(value, str) and value in words:
            return value
        if isinstance(value, str):
            raise NewerError(f"{_is(value, place)}, which is not known here: {', '.join(words)}")
        raise UnreadableError(f"{_is(value, place)}, expected one of {', '.join(words)}")

    return read_word


def _tuple_reader(args: tuple[Any, ...]) -> _Reader:
    """Reader of `tuple[X, ...]`, `Sequence[X]` or `tuple[X, Y]`, given the type arguments."""
    is_fixed = len(args) > 1 and args[1] is not Ellipsis
    parts = [_reader(arg) for arg in args if arg is not Ellipsis]

    def read_tuple(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise _mismatch(value, place, list)
        if is_fixed and len(value) != len(parts):
            raise UnreadableError(f"{_is(value, place)}, expected {len(parts)} values")
        readers = parts if is_fixed else parts * len(value)
        return tuple(
            reader(item, f"{place}[{index}]")
            for index, (reader, item) in enumerate(zip(readers, value, strict=True))
        )

    return read_tuple


def _table_reader(part: _Reader) -> _Reader:
    def read_table(value: Any, place: str) -> dict[str, Any]:
        table = _object(value, place)
        return {key: part(item, _joined(place, key)) for key, item in table.items()}

    return read_table


def _plain_reader(kind: Any) -> _Reader:
    def read_plain(value: Any, place: str) -> Any:
        if type(value) is not kind or (kind is int and not -_LARGEST <= value < _LARGEST):
            raise _mismatch(value, place, kind)
        if kind is str and not value.isascii() and _has_surrogate(value):
            raise UnreadableError(f"{_is(value, place)}, which holds a lone surrogate")
        return value

    return read_plain


def _float(value: Any, place: str) -> Any:
    """Reads a number; an integer stays one, so that it is written back as it was read."""
    if type(value) is float or (type(value) is int and -_LARGEST <= value < _LARGEST):
        return value
    if isinstance(value, str) and value in NOT_FINITE:
        return float(value)
    raise _mismatch(value, place, float)


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _mismatch(value, place, dict)
    return value


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _mismatch(value: Any, place: str, kind: type) -> UnreadableError:
    return UnreadableError(f"{_is(value, place)}, expected {_KINDS[kind]}")


def _is(value: Any, place: str) -> str:
    text = json.dumps(value, default=str)
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return f'"{place[:60]}" is {shown}' if place else f"it is {shown}"


def _joined(place: str, name: Any) -> str:
    return f"{place}.{name}" if place else str(name)
