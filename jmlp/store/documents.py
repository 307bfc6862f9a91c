"""Small JSON files next to the database; a damaged one is rejected as a whole."""

import hashlib
from pathlib import Path
from typing import Any

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, member, other_format, parse
from jmlp.store.rows import to_json
from jmlp.system.files import NotRegularError, open_regular, write_atomically

MAX_BYTES = 256_000_000


def write(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Writes JSON values together with their checksum.

    Args:
        path: the file.
        kind: the file's format, which `read` has to expect.
        content: the values.

    Raises:
        StoreError: the file cannot be written, and is unchanged.
    """
    document = {"format": kind, "sha256": _digest(content), "content": content}
    write_atomically(path, to_json(document).encode())


def read(path: Path, kind: str) -> dict[str, Any]:
    """The values that `write` wrote.

    Raises:
        StoreError: the file cannot be read, has another format, or is damaged.
    """
    try:
        with open_regular(path, follow_links=False) as (file, size):
            if size > MAX_BYTES:
                raise UnreadableError(f"{size:,} bytes, at most {MAX_BYTES:,}")
            document = parse(file.read(MAX_BYTES + 1))
        found = member(document, "format", str)
        if found != kind:
            problem = other_format(found, kind)
            raise StoreError(f"{path}: {problem}") from problem
        content = member(document, "content", dict[str, Any])
        if member(document, "sha256", str) != _digest(content):
            raise UnreadableError("its SHA-256 is not the one stored in it")
    except NotRegularError as error:
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnreadableError, ValueError) as error:
        raise StoreError(f"{path}: damaged, or not a file that jmlp wrote: {error}") from error
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(to_json(content).encode()).hexdigest()
