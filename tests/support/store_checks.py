"""Stores, asked by tests."""

from collections.abc import Callable
from typing import Any

import pytest

from jmlp.errors import StoreError
from jmlp.store import Store


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """Why a call is refused, without the names of the store."""
    with pytest.raises(StoreError) as error:
        call(*arguments)
    folder = call.__self__.folder  # type: ignore[attr-defined]
    return str(error.value).replace(f"{folder}/store.sqlite", "DATABASE").replace(str(folder), "IN")


def told(store: Store, **which: Any) -> list[tuple[str | None, str | None, str, int | None, str]]:
    """Events without ids and times."""
    return [(e.study, e.run_id, e.kind, e.step, e.detail) for e in store.events(**which)]
