"""Reads parts of a parsed TOML document by rules, and collects all problems."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from jmlp.study.rules import Refused, Rule, did_you_mean, plain, with_kind

Document = dict[str, Any]
Key = tuple[str | int, ...]  # ("experiments", "dropout", "claims", 0, "text")

MAX_PROBLEMS = 100  # listed; any further ones are only counted

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Reader:
    """Reads valid values, and records one line per invalid one: file or flag, key, problem."""

    def __init__(self, source: str, flags: Mapping[Key, str] | None = None) -> None:
        """Take the name of the file, and the flag for each key that was set by a flag."""
        self._source = source
        self._flags = flags or {}
        self._keys: set[Key] = set()
        self._lines: list[str] = []
        self.n_problems = 0

    def value(self, value: Any, at: Key, rule: Rule, into: Document) -> None:
        """Read one value into the dictionary `into`, under the last part of its key."""
        try:
            into[str(at[-1])] = rule.read(value)
        except Refused as refused:
            self.problem(at, f"must be {rule.wanted}, got {refused}")

    def fields(
        self,
        table: Document,
        at: Key,
        rules: Mapping[str, Rule],
        tables: Collection[str] = (),
        elsewhere: Mapping[str, str] | None = None,
    ) -> Document:
        """Read the values of a table that have rules; `tables` are read separately.

        `elsewhere` states where keys belong that are not allowed here.
        """
        values: Document = {}
        for key, value in table.items():
            if key in rules:
                self.value(value, (*at, key), rules[key], values)
            elif elsewhere and key in elsewhere:
                self.problem((*at, key), f"belongs {elsewhere[key]}")
            elif key not in tables:
                self.unknown((*at, key), [*rules, *tables])
        return values

    def table(self, value: Any, at: Key) -> Document:
        """The value if it is a table; otherwise an empty one, with a problem recorded."""
        if isinstance(value, dict):
            return value
        self.problem(at, f"must be a table, got {with_kind(value)}")
        return {}

    def tables(self, value: Any, at: Key) -> list[tuple[Document, Key]]:
        """The tables in a list, each with its key."""
        if not isinstance(value, list):
            self.problem(at, f"must be a list of tables, got {with_kind(value)}")
            return []
        return [
            (item, (*at, i)) for i, item in enumerate(value) if self.table(item, (*at, i)) is item
        ]

    def unknown(self, at: Key, known: Collection[str]) -> None:
        """Record an unknown key, with the closest known one, or with all known ones."""
        # The search is slow, so it is done only for lines that will be shown.
        near = did_you_mean(str(at[-1]), known) if self.n_problems < MAX_PROBLEMS else ""
        self.problem(at, f"unknown key{near or '; known here: ' + (', '.join(known) or 'none')}")

    def problem(self, at: Key, text: str) -> None:
        """Record a problem with a key."""
        self.n_problems += 1
        self._keys.add(at)
        if self.n_problems <= MAX_PROBLEMS:
            self._lines.append(f"{self._place(at)}: {text}")

    def refused(self, at: Key) -> bool:
        """Whether a problem was recorded for exactly this key."""
        return at in self._keys

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems, in the order found."""
        more = self.n_problems - len(self._lines)
        end = (f"{self._source}: and {more:,} more problems",) if more else ()
        return (*self._lines, *end)

    def _place(self, at: Key) -> str:
        for length in range(len(at), 0, -1):
            if flag := self._flags.get(at[:length]):
                return flag + "".join(map(_step, at[length:]))
        return f"{self._source}: {dotted(at)}" if at else self._source


def dotted(key: Key) -> str:
    """`experiments.dropout.claims[0].text`; a part that is not a bare TOML key is quoted."""
    return "".join(map(_step, key)).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return "." + plain(part if _BARE_KEY.fullmatch(part) else repr(part))
