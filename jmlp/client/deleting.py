"""Stored runs, deleted for good."""

from collections.abc import Sequence
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.store import Lock, Store


def delete(folder: Path, run_ids: Sequence[str]) -> None:
    """Deletes runs: their files, costs, events and tags.

    Args:
        folder: of the store.
        run_ids: of the runs.

    Raises:
        StoreError: a worker has the store, or there is no such run: none was deleted. Or a file
            could not be deleted.
    """
    lock = Lock(folder)
    if not lock.acquire():
        owner = lock.owner()
        who = f" ({owner.process})" if owner else ""
        raise StoreError(
            f"{folder}: runs are being trained{who}; end that first (jmlp stop STUDY), then delete"
        )
    try:
        with Store(folder) as store:
            store.remove(run_ids)
    finally:
        lock.release()
