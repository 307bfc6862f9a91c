"""Finds the runs that a user refers to: by a tag, a study, or the beginning of an id."""

import re

from jmlp.errors import StoreError
from jmlp.store.queries import Queries, named
from jmlp.store.rows import RunRow
from jmlp.study.rules import did_you_mean, plain

ALL, LAST = "all", "last"
SHORTEST_ID = 4

_ID_PREFIX = re.compile(rf"[0-9a-f]{{{SHORTEST_ID},64}}")
_BY_TAG = "FROM tags JOIN runs ON number = run WHERE tag = ? ORDER BY number"
_BY_LABEL = (
    "FROM studies JOIN links ON study = id JOIN runs ON number = run WHERE label = ?"
    " ORDER BY position"
)
_LAST = "FROM runs WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, number DESC LIMIT 1"


class Finding(Queries):
    """Adds the lookup of runs by what users type instead of full ids."""

    def find_runs(self, text: str) -> list[RunRow]:
        """The runs that a user refers to.

        Args:
            text: "all"; "last", the run that ended last; a tag; a study's label; or the beginning
                of one id, at least 4 characters. The first match in this order wins.

        Returns:
            At least one run, unless the text is "all" and there are none.

        Raises:
            StoreError: no run matches, or the beginning of an id is ambiguous.
        """
        with self._database.snapshot():
            if text == ALL:
                return self._runs("FROM runs ORDER BY number")
            if text == LAST:
                return self._runs(_LAST) or self._refuse(f"{LAST}: no run has ended yet")
            return (
                self._runs(_BY_TAG, text)
                or self._runs(_BY_LABEL, text)
                or self._by_id(text)
                or self._refuse(self._no_match(text))
            )

    def _by_id(self, text: str) -> list[RunRow]:
        if not _ID_PREFIX.fullmatch(text):
            return []
        found = self._runs("FROM runs WHERE run_id GLOB ? ORDER BY number", f"{text}*")
        if len(found) > 1:
            ids = [run.run_id[: len(text) + 8] for run in found]
            self._refuse(f"{text}: is the beginning of {len(found)} ids; {named('they are', ids)}")
        return found

    def _no_match(self, text: str) -> str:
        read = self._database.read
        labels = [plain(label) for (label,) in read("SELECT label FROM studies ORDER BY id")]
        tags = [plain(tag) for (tag,) in read("SELECT DISTINCT tag FROM tags ORDER BY tag")]
        near = did_you_mean(text, [*labels, *tags])
        return (
            f"{plain(text)}: matches no run{near}; give {ALL}, {LAST}, a tag, a study, or at least "
            f"{SHORTEST_ID} characters of an id ({named('tags', tags)}; {named('studies', labels)})"
        )

    def _refuse(self, what: str) -> list[RunRow]:
        raise StoreError(f"{self._database.path}: {what}")
