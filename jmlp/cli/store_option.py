"""The store that a command works on, and the runs in it that words name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jmlp.cli.paths import as_path
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import plain

if TYPE_CHECKING:
    from jmlp.store import RunRow, Store


@Parameter(name="*")
@dataclass(frozen=True)
class StoreOption:
    """Where runs are kept."""

    store: Annotated[
        Path | None,
        Parameter(
            converter=as_path,
            help="The folder of stored runs; default: what jmlp store path prints.",
        ),
    ] = None

    def folder(self) -> Path:
        """The store's folder, absolute, whether it is there or not.

        Raises:
            StoreError: there is no home folder to keep runs in.
        """
        from jmlp.system import files

        return files.runs_dir() if self.store is None else Path(os.path.abspath(self.store))

    def open(self, *, viewer: bool = False) -> "Store":
        """The store itself; `viewer` makes none where there is none.

        Raises:
            StoreError: it cannot be opened.
        """
        from jmlp.store import Store

        return Store(self.folder(), viewer=viewer)


def find(store: "Store", names: Sequence[str]) -> "list[RunRow]":
    """The runs that these words name, each once, in that order.

    Args:
        store: where they are.
        names: of each what `Store.find_runs` takes: `all`, `last`, the first digits of an id, a
            tag, or the name of a study.

    Raises:
        StoreError: a word that names no run, or digits that several ids begin with.
    """
    found = {row.run_id: row for name in names for row in store.find_runs(name)}
    return list(found.values())


def find_one(store: "Store", name: str) -> "RunRow":
    """The one run that a word names.

    Raises:
        ConfigError: it names several.
        StoreError: it names none.
    """
    rows = store.find_runs(name)
    if not rows:
        raise StoreError(f"{store.folder}: there are no runs yet")
    if len(rows) > 1:
        near = ", ".join(row.run_id[:8] for row in rows[:4])
        more = ", ..." if len(rows) > 4 else ""
        raise ConfigError(f"{plain(name)}: names {len(rows)} runs ({near}{more}); give one of them")
    return rows[0]
