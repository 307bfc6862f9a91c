"""Values of hyperparameters as people type them: one value, or several for an axis.

    0.01, 0.03*, 0.1      three values; * marks the baseline
    64 | 64,32            two networks: a comma joins the layers of one, so `|` separates values
    16..2048 x2           16, 32, 64 … 2048: each value is twice the one before
    0..0.9 +0.1           0, 0.1, 0.2 … 0.9
    0.01..1 log 5         five values with equal ratios, rounded to three digits

`--set` and the form read them by these functions; study files have TOML's own lists.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from jmlp.study.config import FLOAT_FIELDS, Value, python_value
from jmlp.study.rules import PER_LAYER, plain, toml_value

MAX_RANGE = 1000  # values of one range
RANGES = "16..2048 x2, 0..0.9 +0.1 or 0.01..1 log 5"

# Hyperparameters whose values may be lists, with one item per hidden layer: a comma between values
# could mean either.
_LISTS = ("hidden", *PER_LAYER)
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(
    rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})"
    rf"(?:\s+log\s+(?P<n>[0-9]{{1,6}})|\s*[x×]\s*(?P<factor>{_NUMBER})|\s*\+\s*(?P<step>{_NUMBER}))"
)
_NO_ZERO = re.compile(r"[+-]?\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?")
_OPEN, _CLOSE = "[(", ")]"

Parse = Callable[[str], dict[str, Any]]  # such as `tomllib.loads`


class TypedError(ValueError):
    """What was typed is not one value, nor several; the message says how to type them."""


@dataclass(frozen=True)
class Typed:
    """The values of one hyperparameter, as TOML values."""

    values: tuple[Any, ...]
    baseline: int | None = None  # the position of the value that is marked

    @property
    def several(self) -> bool:
        """Whether these are the values of an axis."""
        return len(self.values) > 1


def read_typed(name: str, text: str, parse: Parse = tomllib.loads) -> Typed:
    """Reads the values of a hyperparameter; the rules of study files check them afterwards.

    Args:
        name: the hyperparameter.
        text: what was typed.
        parse: reads TOML.

    Raises:
        TypedError: it is ambiguous, or not a range.
    """
    values: list[Any] = []
    marked: list[int] = []
    for item_text in _items(name, text):
        mark, item = item_text.endswith("*"), item_text.removesuffix("*").rstrip()
        if _is_range(item):
            found = [[n] if name == "hidden" else n for n in _range(name, item)]
        else:
            found = [_value(name, item, parse)]
        at = _index(name, found[0], values) if mark and len(found) == 1 else None
        if mark and len(found) > 1:
            _no_baseline(name, item)
        if at is None:
            at = len(values)
            values += found
        marked += [at] if mark else []
    if len(marked) > 1:
        raise TypedError("only one value can be the baseline: mark one with *")
    return Typed(tuple(values), marked[0] if marked else None)


def read_seeds(text: str, parse: Parse = tomllib.loads) -> Any:
    """Reads a number of seeds, or a list of them: `5`, `[4, 9]`, `4, 9` or `10..19 +1`."""
    values: list[Any] = []
    items = _split(text, ",|")
    for item in items:
        values += _range("seeds", item) if _is_range(item) else [toml_or_text(item, parse)]
    return values if len(items) > 1 or _is_range(text) else values[0]


def typed_text(name: str, values: Sequence[Value], baseline: Value = None) -> str:
    """Values as one would type them; `read_typed` reads them back.

    Args:
        name: the hyperparameter.
        values: one value, or those of an axis.
        baseline: the value to mark, if there are several.
    """
    texts = [_text(name, value) for value in values]
    if len(texts) > 1 and baseline in values:
        texts[list(values).index(baseline)] += "*"
    return (" | " if name in _LISTS else ", ").join(texts)


def with_baseline(name: str, text: str, cursor: int) -> str:
    """Marks one of several values as the baseline, and no other.

    Args:
        name: the hyperparameter.
        text: what was typed.
        cursor: a position in it, of the value to be marked.

    Raises:
        TypedError: there is only one value, or a range is at this position.
    """
    separators = "|" if name in _LISTS else ",|"
    items = [item.removesuffix("*").rstrip() for item in _split(text, separators)]
    at = len(_split(text[:cursor], separators)) - 1
    if len(items) == 1 and not _is_range(items[0]):
        raise TypedError("a single value has no baseline: type several")
    if _is_range(items[at]):
        _no_baseline(name, items[at])
    items[at] += "*"
    return (" | " if name in _LISTS else ", ").join(items)


def toml_or_text(text: str, parse: Parse = tomllib.loads) -> Any:
    """Reads a value as TOML, or else as a plain string."""
    try:
        table = parse(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text


def _no_baseline(name: str, item: str) -> NoReturn:
    first = _text(name, next(_range(name, item)))
    separator = " |" if name in _LISTS else ","
    raise TypedError(
        "a range has no single baseline: type the value again with its mark, as in "
        f"{item}{separator} {first}*"
    )


def _items(name: str, text: str) -> list[str]:
    """The values of one text, each still with its mark.

    Raises:
        TypedError: it is ambiguous, or a value is missing.
    """
    items = _split(text, "|" if name in _LISTS else ",|")
    if len(items) > 1 and not all(items):
        raise TypedError(f"a value is missing in {plain(text)}")
    if name in PER_LAYER:
        for item in items:
            values = _split(item.removesuffix("*"), ", ")
            if len(values) > 1 and not _is_range(item) and not _within_brackets(item):
                raise TypedError(
                    f"{plain(item)} could be several {name.replace('_', ' ')}s, which are typed as "
                    f"{' | '.join(filter(None, values))}, or one for each hidden layer: "
                    f"[{', '.join(filter(None, values))}]"
                )
    return items


def _split(text: str, separators: str) -> list[str]:
    """Splits at separators outside of brackets and quotes; the parts are stripped."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        if character in separators and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _within_brackets(text: str) -> bool:
    text = text.removesuffix("*").rstrip()
    return text[:1] in (*_OPEN,) and text[-1:] in (*_CLOSE,)


def _value(name: str, text: str, parse: Parse) -> Any:
    """One value as TOML; the layers of a network also without brackets.

    Raises:
        TypedError: it is a list where there should be one value.
    """
    in_brackets = _within_brackets(text)
    value = toml_or_text(f"0{text}" if _NO_ZERO.fullmatch(text) else text, parse)
    if isinstance(value, list) and name not in _LISTS:
        inner = text.strip().strip("".join((_OPEN, _CLOSE))).strip()
        raise TypedError(f"several values are typed without brackets, as in {plain(inner)}")
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        each = " | ".join(str(item).strip("[]") for item in value)
        raise TypedError(f"a list in a list: several values are typed as {plain(each)}")
    if isinstance(value, list) or (name != "hidden" and not in_brackets) or name not in _LISTS:
        return value
    inside = text[1:-1] if in_brackets else text
    items = [item for item in re.split(r"[,\s]+", inside) if item]
    return [toml_or_text(item, parse) for item in items] if items else value


def _is_range(text: str) -> bool:
    return ".." in text and not text.startswith(("'", '"'))


def _range(name: str, text: str) -> Iterator[Any]:
    """The values of a range.

    Raises:
        TypedError: it is none, is empty, or has too many values.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise TypedError(f"a range is typed as in {RANGES}, got {plain(text)}")
    low, high = Decimal(found["low"]), Decimal(found["high"])
    if low >= high:
        raise TypedError(f"a range goes from a lower to a higher number, got {plain(text)}")
    if found["n"]:
        n = int(found["n"])
        if low <= 0 or not 2 <= n <= MAX_RANGE:
            raise TypedError(
                f"a range with log has from 2 to {MAX_RANGE:,} values above 0, got {plain(text)}"
            )
        yield from _with_equal_ratios(name, low, high, n)
        return
    factor = Decimal(found["factor"] or 1)
    step = Decimal(found["step"] or 0)
    if (found["factor"] and (factor <= 1 or low <= 0)) or (found["step"] and step <= 0):
        raise TypedError(f"a range must grow with each step, got {plain(text)}")
    for _ in range(MAX_RANGE):
        yield _plain_number(low)
        low = low * factor + step
        if low > high:
            return
    raise TypedError(f"a range has at most {MAX_RANGE:,} values, got more in {plain(text)}")


def _with_equal_ratios(name: str, low: Decimal, high: Decimal, n: int) -> Iterator[Any]:
    ratio = (high.ln() - low.ln()) / (n - 1)
    yield _plain_number(low)
    for i in range(1, n - 1):
        between = (low.ln() + i * ratio).exp()
        rounded = f"{between:.3g}" if name in FLOAT_FIELDS else f"{between:.0f}"
        yield _plain_number(Decimal(rounded))
    yield _plain_number(high)


def _plain_number(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _index(name: str, value: Any, values: Sequence[Any]) -> int | None:
    """The position of an equal value."""
    equal = [python_value(name, other) == python_value(name, value) for other in values]
    return equal.index(True) if True in equal else None


def _text(name: str, value: Value) -> str:
    """One value; strings without quotes, layers without brackets."""
    value = toml_value(value)
    if isinstance(value, list):
        inside = ", ".join(_text("", item) for item in value)
        return inside if name == "hidden" else f"[{inside}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
