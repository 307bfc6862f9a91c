"""The rules for hyperparameters, as one table, and the error messages for violations.

A rule converts one TOML value to a Python value: a list becomes a tuple, "none" becomes None, an
integer becomes a float if a float is expected. Nothing else is converted.
"""

import datetime
import math
import numbers
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

ActivationName = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"]
Optimizer = Literal["sgd", "momentum", "nesterov", "adam", "adamw"]
Initialization = Literal["he", "normal", "glorot", "lecun", "zero"]
Schedule = Literal["constant", "linear", "cosine"]  # of the learning rate
ClassWeight = Literal["none", "balanced"]
BatchNormPlace = Literal["before", "after"]  # the activation
BackwardFault = Literal[
    "none",
    "batch_norm",
    "dropout_mask",
    "relu_mask",
    "batch_mean",
    "updated_weights",
    "weights_transposed",
    "bias_of_last",
    "bias_mean",
]
TrainingFault = Literal[
    "none", "step_sign", "raw_softmax", "labels_off_by_one", "no_shuffle", "raw_inputs"
]
EvaluateEvery = int | Literal["epoch"]  # a number of updates, or after every epoch
Missing = Literal["error", "mean", "drop"]  # what to do about missing values in a table

# Integers up to this magnitude are exactly representable as floats.
MAX_EXACT_INTEGER = 2**53
MAX_UPDATES = 2**31 - 1  # of a run; the update counter is 32 bits wide
MAX_RUNS = 100_000  # per study: what one plan can hold in memory
MAX_SEED = 2**63 - 1  # the largest integer that SQLite stores
MAX_EPOCHS = 100_000
MAX_LAYERS = 64
MAX_UNITS = 2**20  # also the largest batch size
MAX_SHIFT = 1000  # pixels
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


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`; did you mean learning_rate?`, or an empty string if no known name is similar.

    The initials of a name are similar to it: lr.
    """
    import difflib

    near = difflib.get_close_matches(name[:100], known, n=1)
    near += [one for one in known if "".join(word[:1] for word in one.split("_")) == name]
    return f"; did you mean {near[0]}?" if near else ""


def _cut(text: str, limit: int = _SHOWN_LENGTH) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def python_number(value: Any) -> Any:
    """Converts numbers and arrays to Python's own numbers and lists; returns all else unchanged.

    Numbers are those of NumPy and JAX, and whatever else is a `numbers.Integral` or `numbers.Real`,
    such as a `Fraction`. A boolean stays one.
    """
    if type(value) in (str, bool, int, float):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()  # of a float32: the equal float
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return value
    return value


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
            raise Refused(shown(value) + did_you_mean(value.lower(), words))
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
                if len(refusals) == _SHOWN_LENGTH:  # more than fit into the message
                    break
        if refusals:
            raise Refused(_cut(", ".join(refusals)) + f" in {shown(value)}")
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


def _per_layer(rule: Rule) -> Rule:
    """One value for all hidden layers, or a list of them, one per hidden layer."""
    wanted = f"{rule.wanted}, or a list of them, one per hidden layer"
    return _either(wanted, list_of("", rule, 1, MAX_LAYERS), rule)


def _or_none(rule: Rule) -> Rule:
    """A value, or "none"."""
    return Rule(f"{rule.wanted}, or 'none'", lambda v: None if v == "none" else rule.read(v))


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
_SHARE = number(">= 0 and < 1", lambda v: 0 <= v < 1)
_POSITIVE = number("> 0", lambda v: v > 0)
_NOT_NEGATIVE = number(">= 0", lambda v: v >= 0)
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
DIFFERENCE = _SHARE
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
    "activation": _per_layer(choice(*get_args(ActivationName))),
    "batch_size": integer(1, MAX_UNITS),
    "batch_norm": BOOLEAN,
    "batch_norm_place": choice(*get_args(BatchNormPlace)),
    "batch_norm_scale": BOOLEAN,
    "optimizer": choice(*get_args(Optimizer)),
    "initialization": choice(*get_args(Initialization)),
    "schedule": choice(*get_args(Schedule)),
    "learning_rate": _POSITIVE,
    "drop_rate": _per_layer(_SHARE),
    "input_drop_rate": _SHARE,
    "momentum": _SHARE,
    "weight_decay": _NOT_NEGATIVE,
    "l2": _NOT_NEGATIVE,
    "max_norm": _or_none(_POSITIVE),
    "clip_norm": _or_none(_POSITIVE),
    "label_smoothing": _SHARE,
    "class_weight": choice(*get_args(ClassWeight)),
    "warmup": _NOT_NEGATIVE,
    "weight_std": _POSITIVE,
    "epochs": EPOCHS,
    "patience": _or_none(EPOCHS),
    "min_delta": number("from 0 to 1,000", lambda v: 0 <= v <= 1000),
    "evaluate_every": Rule(f"{_UPDATES.wanted}, or 'epoch'", _evaluate_every),
    "shift": integer(0, MAX_SHIFT),
    "rotation": number("from 0 to 180", lambda v: 0 <= v <= 180),
    "elastic": number("from 0 to 100", lambda v: 0 <= v <= 100),
    "backward_fault": choice(*get_args(BackwardFault)),
    "training_fault": choice(*get_args(TrainingFault)),
}


def toml_value(value: Any) -> Any:
    """The TOML value that a rule reads as `value`; the inverse of reading."""
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value


def value_text(value: Any, name: str = "") -> str:
    """A value as shown to users; different values of one hyperparameter have different texts.

    A drop rate of 0 is shown as "none".
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (name in ("drop_rate", "input_drop_rate") and value == 0):
        return "none"
    if isinstance(value, tuple):
        return "\N{EN DASH}".join(value_text(v) for v in value)
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)


def _layers_mismatch(values: Any, hidden: tuple[int, ...]) -> str | None:
    if not isinstance(values, tuple) or len(values) == len(hidden):
        return None
    return (
        f"needs one value, or one per hidden layer: got {len(values)} values "
        f"for the {len(hidden)} of hidden = {shown(list(hidden))}"
    )


def _warmup_mismatch(warmup: float, epochs: int) -> str | None:
    if warmup <= epochs:
        return None
    return f"must be at most the {epochs:,} of epochs, got {shown(warmup)}"


PER_LAYER = ("drop_rate", "activation")  # one value, or a tuple with one per hidden layer

# Pairs of hyperparameters whose values must fit each other, and a function of both values that
# returns the error message, of the first one, or None.
MISMATCHES: Mapping[tuple[str, str], Callable[[Any, Any], str | None]] = {
    **{(name, "hidden"): _layers_mismatch for name in PER_LAYER},
    ("warmup", "epochs"): _warmup_mismatch,
}
