"""A file of all tags: run files do not contain them, so they would be lost with the database."""

from collections.abc import Iterable
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, member
from jmlp.store import documents
from jmlp.system.files import is_there

NAME = "tags.json"
FORMAT = "jmlp-tags-1"

# Selects all tags of a database, in the form that `write` expects.
OF_DATABASE = "SELECT run_id, tag FROM tags JOIN runs ON number = run ORDER BY run_id, tag"


def write(folder: Path, tags: Iterable[tuple[str, str]]) -> None:
    """Writes all tags of a store, as pairs of run id and tag.

    Raises:
        StoreError: the file cannot be written.
    """
    documents.write(folder / NAME, FORMAT, {"tags": [list(pair) for pair in tags]})


def read(folder: Path) -> list[tuple[str, str]]:
    """The tags of a store; none if the file is missing.

    Raises:
        StoreError: the file cannot be read, or was not written by `write`.
    """
    path = folder / NAME
    if not is_there(path):
        return []
    try:
        return list(member(documents.read(path, FORMAT), "tags", tuple[tuple[str, str], ...]))
    except UnreadableError as error:
        raise StoreError(f"{path}: cannot be used: {error}") from error
