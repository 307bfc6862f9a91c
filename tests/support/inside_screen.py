"""The screen *Inside* in tests: its numbers are computed in the process of the test."""

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from jmlp.inspection import helper
from jmlp.inspection.client import Inspector
from jmlp.inspection.views import Where
from jmlp.results import serialization

Say = Callable[[str], None]


def look_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has the app compute in this process; returns the names of all requests as they are made."""
    asked: list[str] = []

    def look(
        self: Inspector,
        kind: Any,
        do: str,
        where: Where,
        say: Say,
        stop: threading.Event | None = None,
        **request: Any,
    ) -> Any:
        asked.append(do)
        about = {"do": do, "store": str(self.folder), "where": asdict(where)}
        answer = helper.ANSWERS[do]({**about, **request}, say)
        return serialization.read(kind, answer)

    monkeypatch.setattr(Inspector, "look", look)
    return asked
