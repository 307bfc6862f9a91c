"""The glossary: what the words of the app mean, read from `glossary.md`.

That file is also a page of the documentation. It has a title, an introduction, and sections of
entries, each a name in bold, other names for the same, a colon, and a line or two of plain text:

    - **validation cost**, **val. cost**: the cost on the validation part.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

PATH = Path(__file__).with_name("glossary.md")

_ENTRY = re.compile(r"- (?P<names>\*\*[^*]+\*\*(?:, \*\*[^*]+\*\*)*): (?P<text>\S.*\.)")
_NAME = re.compile(r"\*\*([^*]+)\*\*")
_MARKUP = re.compile(r"[*_`$\\<>]|\]\(")  # the app shows the text as it is


@dataclass(frozen=True)
class Entry:
    """A word and what it means."""

    names: tuple[str, ...]  # the word first, then other names for it, such as columns' titles
    text: str
    section: str

    @property
    def name(self) -> str:
        """The word."""
        return self.names[0]


@runtime_checkable
class Explained(Protocol):
    """A widget or screen that names what it shows at its cursor, for the help to explain."""

    @property
    def terms(self) -> Iterable[str]:
        """Names of entries, the most important first."""


def parse(text: str) -> tuple[Entry, ...]:
    """Reads the entries of a glossary.

    Raises:
        ValueError: a line is neither an entry nor a heading, or a name has two entries.
    """
    entries: list[Entry] = []
    section, known = "", set[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line and section:
            found = _ENTRY.fullmatch(line)
            if found is None or _MARKUP.search(found["text"]):
                raise ValueError(f"line {number}: must be `- **name**: Plain text.`, got {line}")
            names = tuple(_NAME.findall(found["names"]))
            if twice := known.intersection(map(str.casefold, names)):
                raise ValueError(f"line {number}: {', '.join(twice)} has an entry already")
            known.update(map(str.casefold, names))
            entries.append(Entry(names, found["text"], section))
    return tuple(entries)


@cache
def glossary() -> tuple[Entry, ...]:
    """The entries of the app's glossary, in the order of the file."""
    return parse(PATH.read_text(encoding="utf-8"))


@cache
def _by_name() -> Mapping[str, Entry]:
    return {name.casefold(): entry for entry in glossary() for name in entry.names}


@cache
def _any_name() -> re.Pattern[str]:
    longest_first = sorted(_by_name(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)")


def explained(names: Iterable[str]) -> dict[Entry, str]:
    """Returns the entries of these names, in this order, each with the first name for it.

    Capital and small letters are the same, and names without an entry are left out.
    """
    found: dict[Entry, str] = {}
    for name in names:
        if (entry := _by_name().get(name.casefold())) is not None:
            found.setdefault(entry, name)
    return found


def mentioned(text: str) -> list[str]:
    """Returns the names in a text that have an entry, such as those in `1 collapsed, done`."""
    return list(dict.fromkeys(_any_name().findall(text.casefold())))


def search(text: str) -> list[Entry]:
    """Returns the entries with this text: those with a name that begins with it come first."""
    wanted = text.casefold().strip()

    def rank(entry: Entry) -> int | None:
        names = [name.casefold() for name in entry.names]
        if any(name.startswith(wanted) for name in names):
            return 0
        if any(wanted in name for name in names):
            return 1
        return 2 if wanted in entry.text.casefold() else None

    ranks = {entry: rank(entry) for entry in glossary()}
    found = [entry for entry in glossary() if ranks[entry] is not None]
    return sorted(found, key=lambda entry: ranks[entry] or 0)
