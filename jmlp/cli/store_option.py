"""The store that a command uses, and the runs in it that its arguments name."""

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
    """The option that chooses the store of runs."""

    store: Annotated[
        Path | None,
        Parameter(
            converter=as_path,
            help="The folder of stored runs; default: what jmlp store path prints.",
        ),
    ] = None

    def folder(self) -> Path:
        """The store's folder as an absolute path, whether it exists or not.

        Raises:
            StoreError: there is no home folder to keep runs in.
        """
        from jmlp.system import files

        return files.runs_dir() if self.store is None else Path(os.path.abspath(self.store))

    def open(self, *, viewer: bool = False) -> "Store":
        """Opens the store; with `viewer`, read-only and without creating it.

        Raises:
            StoreError: it cannot be opened.
        """
        from jmlp.store import Store

        return Store(self.folder(), viewer=viewer)


def find(store: "Store", names: Sequence[str]) -> "list[RunRow]":
    """The runs that these names refer to, each once, in that order.

    Args:
        store: the store of the runs.
        names: arguments of `Store.find_runs`: `all`, `last`, the first digits of an id, a tag, or
            the name of a study.

    Raises:
        StoreError: a name matches no run, or digits are the beginning of several ids.
    """
    found = {row.run_id: row for name in names for row in store.find_runs(name)}
    return list(found.values())


def find_one(store: "Store", name: str) -> "RunRow":
    """The one run that a name refers to.

    Raises:
        ConfigError: it refers to several.
        StoreError: it refers to none.
    """
    rows = store.find_runs(name)
    if not rows:
        raise StoreError(f"{store.folder}: there are no runs yet")
    if len(rows) > 1:
        near = ", ".join(row.run_id[:8] for row in rows[:4])
        more = ", ..." if len(rows) > 4 else ""
        found = f"{len(rows)} runs ({near}{more})"
        raise ConfigError(f"{plain(name)}: matches {found}; give one of them")
    return rows[0]
