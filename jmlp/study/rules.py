"""The rules for hyperparameters, as one table, and the error messages for violations.

A rule converts one TOML value to a Python value: a list becomes a tuple, "none" becomes None, an
integer becomes a float if a float is expected. Nothing else is converted.
"""

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from jmlp.errors import ConfigError
from jmlp.study.config import (
    DEFAULTS,
    MAX_EXACT_INTEGER,
    MAX_UPDATES,
    USED_ONLY_WITH,
    BackwardFault,
    BatchNormPlace,
    EvaluateEvery,
    Hyperparams,
    Initialization,
    Missing,
    Optimizer,
    Schedule,
    in_python_types,
    in_use,
    value_text,
)

MAX_RUNS = 100_000  # per study: what one plan can hold in memory
MAX_SEED = 2**63 - 1  # the largest integer that SQLite stores
MAX_EPOCHS = 100_000
MAX_LAYERS = 64
MAX_UNITS = 2**20  # also the largest batch size
MAX_TEXT = 500
MAX_PATH = 4096

_SHOWN_LENGTH = 60
_SHOWN_BITS = 192  # a longer integer does not fit, and Python may refuse to print it
# Control characters, line ends, lone surrogates, and marks that change the text direction.
_HIDDEN_CHARACTERS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_KINDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "a list",
    dict: "a table",
    datetime.datetime: "a date and time",
    datetime.date: "a date",
    datetime.time: "a time",
}


class Refused(Exception):
    """A value that its rule does not allow; the message describes the value found."""


@dataclass(frozen=True)
class Rule:
    """A description of the allowed values, and a reader that raises `Refused` for all others."""

    wanted: str
    read: Callable[[Any], Any]


def shown(value: object) -> str:
    """A value for an error message: escaped, and truncated to about 60 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list):
        # Only one level, and no more items than fit: a list may be deep and long.
        items = ["[…]" if isinstance(v, list) else shown(v) for v in value[:_SHOWN_LENGTH]]
        return _cut(f"[{', '.join(items)}]")
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"an integer of {value.bit_length():,} bits"
    return _cut(repr(value[: _SHOWN_LENGTH + 1] if isinstance(value, str) else value))


def with_kind(value: object) -> str:
    """A value of a wrong type for an error message, such as `'0.1' (a string)`."""
    if isinstance(value, dict):
        return "a table"
    return f"{shown(value)} ({_KINDS.get(type(value), type(value).__name__)})"


def plain(text: str, limit: int = _SHOWN_LENGTH) -> str:
    """A name or path for an error message: unchanged if printable, else escaped and quoted."""
    return _cut(text if text and text.isprintable() else repr(text[: limit + 1]), limit)


def _cut(text: str, limit: int = _SHOWN_LENGTH) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def integer(low: int, high: int, high_text: str = "") -> Rule:
    """An integer from `low` to `high`, inclusive; not a boolean."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(with_kind(value))
        if not low <= value <= high:
            raise Refused(shown(value))
        return value

    return Rule(f"an integer from {low:,} to {high_text or format(high, ',')}", read)


def number(limits: str, allowed: Callable[[float], bool]) -> Rule:
    """A finite float, or an integer that a float represents exactly."""

    def read(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Refused(with_kind(value))
        if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER:
            raise Refused(f"{shown(value)} (no exact float)")
        if not math.isfinite(value) or not allowed(value):
            raise Refused(shown(value))
        return float(value) + 0.0  # turns -0.0 into 0.0

    return Rule(f"a finite number {limits}", read)


def choice(*words: str) -> Rule:
    """One of the given words."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Refused(with_kind(value))
        if value not in words:
            raise Refused(shown(value))
        return value

    *first, last = map(repr, words)
    return Rule(f"{', '.join(first)} or {last}", read)


def text(low: int, limit: int) -> Rule:
    """One line of `low` to `limit` characters that cannot affect the text around it."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Refused(with_kind(value))
        if not low <= len(value) <= limit:
            raise Refused(f"{len(value):,} characters" if value else "''")
        if found := _HIDDEN_CHARACTERS.search(value):
            raise Refused(f"{found[0]!r} in {shown(value)}")
        return value

    length = f"{low} to {limit:,}" if low else f"at most {limit:,}"
    return Rule(
        f"a string of {length} characters without line ends, control or direction marks", read
    )


def list_of(wanted: str, rule: Rule, low: int, high: int) -> Rule:
    """A list of `low` to `high` items, each read by `rule`; converted to a tuple."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Refused(with_kind(value))
        if not low <= len(value) <= high:
            raise Refused(f"{len(value):,} of them" if value else "[]")
        items, refusals = [], []
        for item in value:
            try:
                items.append(rule.read(item))
            except Refused as refused:
                refusals.append(str(refused))
        if refusals:
            raise Refused(_cut(", ".join(refusals[:_SHOWN_LENGTH])) + f" in {shown(value)}")
        return tuple(items)

    return Rule(wanted, read)


def axis(name: str) -> Rule:
    """The values of one hyperparameter on an axis of an experiment."""
    rule = HYPERPARAMETERS[name]
    values = list_of(f"a list of different values, each {rule.wanted}", rule, 1, MAX_RUNS)

    def read(value: Any) -> tuple[Any, ...]:
        if value == []:
            raise Refused("[], which gives 0 runs")
        if name == "hidden" and isinstance(value, list) and all(type(v) is int for v in value):
            raise Refused(
                f"{shown(value)}: write {shown([value])} for one network, or "
                f"{shown([[v] for v in value])} for {len(value)} networks"
            )
        read_values: tuple[Any, ...] = values.read(value)
        # Compared by their texts, because these name the rows of the result table.
        texts = {value_text(v, name): v for v in read_values}
        if twice := _repeated([value_text(v, name) for v in read_values]):
            raise Refused(f"{shown([toml_value(texts[text]) for text in twice])} more than once")
        return read_values

    return Rule(values.wanted, read)


def _either(wanted: str, lists: Rule, other: Rule) -> Rule:
    """Reads lists by one rule and everything else by another."""
    return Rule(wanted, lambda v: (lists if isinstance(v, list) else other).read(v))


def _patience(value: Any) -> int | None:
    return None if value == "none" else int(EPOCHS.read(value))


def _evaluate_every(value: Any) -> EvaluateEvery:
    return "epoch" if value == "epoch" else int(_UPDATES.read(value))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(with_kind(value))
    return value


def is_name(value: str) -> bool:
    """Whether a string may name a study or an experiment, which also names files."""
    return _NAME.fullmatch(value) is not None


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(with_kind(value))
    if not is_name(value):
        raise Refused(shown(value))
    return value


def _distinct_seeds(value: Any) -> tuple[int, ...]:
    seeds: tuple[int, ...] = _SEED_LIST.read(value)
    if twice := _repeated(seeds):
        raise Refused(f"{shown(twice)} more than once")
    return seeds


def _seeds(value: Any) -> Sequence[int]:
    # A range, so that a huge number costs nothing before the runs are counted and refused.
    return _distinct_seeds(value) if isinstance(value, list) else range(_SEED_COUNT.read(value))


def _repeated(values: Sequence[Any]) -> list[Any]:
    """The values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


EPOCHS = integer(1, MAX_EPOCHS)
_UPDATES = integer(1, MAX_UPDATES)
_DROP_RATE = number(">= 0 and < 1", lambda v: 0 <= v < 1)
SEED = integer(0, MAX_SEED, "2**63 - 1")
_SEED_COUNT = integer(1, MAX_RUNS)
_SEED_LIST = list_of("", SEED, 1, MAX_RUNS)

NAME = Rule("1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit", _name)
SENTENCE = text(1, MAX_TEXT)
TITLE = text(0, MAX_TEXT)
PATH = text(1, MAX_PATH)
SENTENCES = list_of(f"a list of at most 100 sentences, each {SENTENCE.wanted}", SENTENCE, 0, 100)
SEEDS = Rule(
    f"{_SEED_COUNT.wanted}, or a list of distinct integers from 0 to 2**63 - 1",
    _seeds,
)
SPLIT_SEED = Rule(f"{SEED.wanted}, or 'seed'", lambda v: v if v == "seed" else SEED.read(v))
FRACTION = number("> 0 and < 1", lambda v: 0 < v < 1)
BOOLEAN = Rule("true or false", _boolean)
DIFFERENCE = number(">= 0 and < 1", lambda v: 0 <= v < 1)
COLUMN = text(1, MAX_TEXT)
COLUMNS = list_of(f"a list of names of columns, each {COLUMN.wanted}", COLUMN, 0, 10_000)
MISSING = choice(*get_args(Missing))
TEST = Rule(
    f"the path of a table, {PATH.wanted}, or the fraction of the rows to hold out, > 0 and < 1",
    lambda v: PATH.read(v) if isinstance(v, str) else FRACTION.read(v),
)
ACCURACY = number("from 0 to 1", lambda v: 0 <= v <= 1)

HYPERPARAMETERS: dict[str, Rule] = {
    "hidden": list_of(
        f"a list of 1 to {MAX_LAYERS} integers from 1 to {MAX_UNITS:,}",
        integer(1, MAX_UNITS),
        1,
        MAX_LAYERS,
    ),
    "batch_size": integer(1, MAX_UNITS),
    "batch_norm": BOOLEAN,
    "batch_norm_place": choice(*get_args(BatchNormPlace)),
    "batch_norm_scale": BOOLEAN,
    "optimizer": choice(*get_args(Optimizer)),
    "initialization": choice(*get_args(Initialization)),
    "schedule": choice(*get_args(Schedule)),
    "learning_rate": number("> 0", lambda v: v > 0),
    "drop_rate": _either(
        f"{_DROP_RATE.wanted}, or a list of them, one per hidden layer",
        list_of("", _DROP_RATE, 1, MAX_LAYERS),
        _DROP_RATE,
    ),
    "momentum": number(">= 0 and < 1", lambda v: 0 <= v < 1),
    "weight_std": number("> 0", lambda v: v > 0),
    "epochs": EPOCHS,
    "patience": Rule(f"{EPOCHS.wanted}, or 'none'", _patience),
    "min_delta": number("from 0 to 1,000", lambda v: 0 <= v <= 1000),
    "evaluate_every": Rule(f"{_UPDATES.wanted}, or 'epoch'", _evaluate_every),
    "backward_fault": choice(*get_args(BackwardFault)),
}


def toml_value(value: Any) -> Any:
    """The TOML value that a rule reads as `value`; the inverse of reading."""
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value


def layers_mismatch(drop_rate: Any, hidden: tuple[int, ...]) -> str | None:
    """The error message if drop rates do not fit the hidden layers, else None."""
    if not isinstance(drop_rate, tuple) or len(drop_rate) == len(hidden):
        return None
    return (
        f"needs one value, or one per hidden layer: got {len(drop_rate)} values "
        f"for the {len(hidden)} of hidden = {shown(list(hidden))}"
    )


def no_effect(name: str) -> str:
    """The error message for setting a hyperparameter without effect."""
    other, needed = USED_ONLY_WITH[name]
    return f"has no effect without {other} = {shown(needed)}: set that, or leave {name} out"


def check(hp: Hyperparams) -> None:
    """Check the hyperparameters of one run, built in Python.

    Raises:
        ConfigError: with one problem per invalid field.
    """
    hp = in_python_types(hp)
    problems = _problems(hp)
    for name in USED_ONLY_WITH:
        if getattr(hp, name) != DEFAULTS[name] and not in_use(name, hp):
            problems.setdefault(name, no_effect(name))
    if problems:
        raise ConfigError([f"{name}: {problem}" for name, problem in problems.items()])


def _problems(hp: Hyperparams) -> dict[str, str]:
    """Problems of hyperparameters in Python's types, by field."""
    problems = {}
    for name, rule in HYPERPARAMETERS.items():
        value = getattr(hp, name)
        try:
            read = rule.read(toml_value(value))
        except Refused as refused:
            problems[name] = f"must be {rule.wanted}, got {refused}"
        else:
            if read != value:  # the TOML form: "none"
                problems[name] = f"write it as {read!r} in Python, got {with_kind(value)}"
    if not problems.keys() & {"drop_rate", "hidden"} and (
        mismatch := layers_mismatch(hp.drop_rate, hp.hidden)
    ):
        problems["drop_rate"] = mismatch
    return problems
