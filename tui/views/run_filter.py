"""Parses the filter of the runs screen: words, fields and numbers that must all match."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jmlp.errors import ConfigError
from jmlp.store.states import RUN_STATES
from tui.views.runs import RunLine

HINT = "word  !not  state:  study:  tag:  seed:3  cost<0.3  accuracy>92"

Test = Callable[[RunLine], bool]

TEXTS: Mapping[str, Callable[[RunLine], str]] = {
    "state": lambda line: line.state,
    "study": lambda line: "\n".join(line.studies),
    "tag": lambda line: "\n".join(line.tags),
}
# Rounded as in the list, so that a number can be typed as it is shown.
NUMBERS: Mapping[str, Callable[[RunLine], float | None]] = {
    "accuracy": lambda line: None if line.accuracy is None else round(100 * line.accuracy, 2),
    "cost": lambda line: None if line.cost is None else round(line.cost, 4),
    "epoch": lambda line: line.epoch,
    "number": lambda line: line.number,
    "seed": lambda line: line.seed,
}
EXAMPLES = {
    "accuracy": "accuracy>92",
    "cost": "cost<0.3",
    "epoch": "epoch>=10",
    "number": "number>100",
    "seed": "seed:3",
}
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    ":": operator.eq,
}

# A quoted term; the closing quote may not have been typed yet.
_TERM = re.compile(r'(?:"[^"]*(?:"|$)|[^\s"])+')
_FIELD = re.compile(r"(?P<name>[a-z]+)(?P<sign><=|>=|<|>|=|:)(?P<value>.*)", re.S)


@dataclass(frozen=True)
class Filter:
    """Matches the runs that pass all of its tests."""

    text: str = ""
    tests: tuple[Test, ...] = ()

    def matches(self, line: RunLine) -> bool:
        """Returns whether the run matches."""
        return all(test(line) for test in self.tests)


def parse(text: str) -> Filter:
    """Parses a filter.

    Raises:
        ConfigError: with one line per mistake, which says what is allowed.
    """
    tests: list[Test] = []
    problems: list[str] = []
    for term in _TERM.findall(text):
        try:
            tests.append(_negated(term) if term.startswith("!") else _test(term))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return Filter(text, tuple(tests))


def _negated(term: str) -> Test:
    test = _test(term[1:])
    return lambda line: not test(line)


def _test(text: str) -> Test:
    match = _FIELD.fullmatch(text)
    if match is None:
        return _word(text)
    name, sign, value = match["name"], match["sign"], _unquoted(match["value"])
    if sign == ":" and name in TEXTS:
        return _text(name, value)
    if sign != ":" or name == "seed":
        return _number(name, sign, value)
    fields = ", ".join(f"{known}:" for known in (*TEXTS, "seed"))
    raise ConfigError(f"{name}: cannot be searched; use {fields}")


def _word(text: str) -> Test:
    word = _unquoted(text).casefold()
    if not word:
        raise ConfigError(f"{text or '!'}: needs a word")
    return lambda line: word in line.words


def _text(name: str, value: str) -> Test:
    wanted, of = value.casefold(), TEXTS[name]
    if name != "state":
        if not wanted:
            raise ConfigError(f"{name}: needs a word after it")
        return lambda line: wanted in of(line).casefold()
    if not wanted or not any(state.startswith(wanted) for state in RUN_STATES):
        got = f", got {value}" if value else ""
        raise ConfigError(f"state: must be one of {', '.join(RUN_STATES)}{got}")
    return lambda line: of(line).startswith(wanted)


def _number(name: str, sign: str, value: str) -> Test:
    if name not in NUMBERS:
        raise ConfigError(f"{name}: is not a numeric field; those are {', '.join(NUMBERS)}")
    try:
        wanted = float(value.removesuffix("%"))
    except ValueError:
        wanted = math.nan
    if math.isnan(wanted):
        got = f", got {value}" if value else ""
        raise ConfigError(f"{name}{sign} needs a number, such as {EXAMPLES[name]}{got}")
    of, compare = NUMBERS[name], COMPARISONS[sign]

    def test(line: RunLine) -> bool:
        number = of(line)
        return number is not None and compare(number, wanted)

    return test


def _unquoted(text: str) -> str:
    return text.replace('"', "")
