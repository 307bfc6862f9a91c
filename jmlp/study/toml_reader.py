"""Reads the parts of a parsed TOML document by their rules, and keeps all that is wrong."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from jmlp.study.rules import Refused, Rule, plain, with_kind

Document = dict[str, Any]
Key = tuple[str | int, ...]  # ("experiments", "dropout", "claims", 0, "text")

MAX_PROBLEMS = 100  # told one by one; the others are counted

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Reader:
    """Reads what is right; for the rest it keeps one line each: file or flag, key, problem."""

    def __init__(self, source: str, flags: Mapping[Key, str] | None = None) -> None:
        """Take the name of the file, and for each key that a flag has set, that flag."""
        self._source = source
        self._flags = flags or {}
        self._keys: set[Key] = set()
        self._lines: list[str] = []
        self.n_problems = 0

    def value(self, value: Any, at: Key, rule: Rule, into: Document) -> None:
        """Read one value and put it into a dictionary under its key's last part."""
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
        """The values of a table that have rules; `tables` are read by others.

        `elsewhere` says of keys that are not known here where they belong.
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
        """The value, where it is a table."""
        if isinstance(value, dict):
            return value
        self.problem(at, f"must be a table, got {with_kind(value)}")
        return {}

    def tables(self, value: Any, at: Key) -> list[tuple[Document, Key]]:
        """The tables of a list, each with its key."""
        if not isinstance(value, list):
            self.problem(at, f"must be a list of tables, got {with_kind(value)}")
            return []
        return [
            (item, (*at, i)) for i, item in enumerate(value) if self.table(item, (*at, i)) is item
        ]

    def unknown(self, at: Key, known: Collection[str]) -> None:
        """Record a key that is not known, with the nearest one that is, or with all that are."""
        # The search takes time, which only a line that will be shown is worth.
        near = did_you_mean(str(at[-1]), known) if self.n_problems < MAX_PROBLEMS else ""
        self.problem(at, f"unknown key{near or '; known here: ' + (', '.join(known) or 'none')}")

    def problem(self, at: Key, text: str) -> None:
        """Record what is wrong with a key."""
        self.n_problems += 1
        self._keys.add(at)
        if self.n_problems <= MAX_PROBLEMS:
            self._lines.append(f"{self._place(at)}: {text}")

    def refused(self, at: Key) -> bool:
        """Whether something is wrong with this very key."""
        return at in self._keys

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems in the order in which they were found."""
        more = self.n_problems - len(self._lines)
        end = (f"{self._source}: and {more:,} more problems",) if more else ()
        return (*self._lines, *end)

    def _place(self, at: Key) -> str:
        for length in range(len(at), 0, -1):
            if flag := self._flags.get(at[:length]):
                return flag + "".join(map(_step, at[length:]))
        return f"{self._source}: {dotted(at)}" if at else self._source


def dotted(key: Key) -> str:
    """`experiments.dropout.claims[0].text`; a name that is no bare TOML key is quoted."""
    return "".join(map(_step, key)).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return "." + plain(part if _BARE_KEY.fullmatch(part) else repr(part))


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`; did you mean learning_rate?`, or nothing where no known name is near."""
    import difflib

    near = difflib.get_close_matches(name[:100], known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
