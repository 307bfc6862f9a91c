"""Permanently deletes stored runs."""

from collections.abc import Sequence
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.store import Lock, Store


def delete(folder: Path, run_ids: Sequence[str]) -> None:
    """Deletes runs: their files, costs, events and tags.

    Args:
        folder: the store's folder.
        run_ids: the ids of the runs.

    Raises:
        StoreError: a worker is using the store, or there is no such run, and none was deleted; or a
            file could not be deleted.
    """
    lock = Lock(folder)
    if not lock.acquire():
        owner = lock.owner()
        who = f" ({owner.process})" if owner else ""
        raise StoreError(
            f"{folder}: runs are being trained{who}; stop that first (jmlp stop STUDY), then delete"
        )
    try:
        with Store(folder) as store:
            store.remove(run_ids)
    finally:
        lock.release()
