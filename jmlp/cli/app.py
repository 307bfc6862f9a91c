"""`jmlp tui`: opens the app, as `jmlp` alone does."""

from typing import Annotated

from cyclopts import Parameter

from jmlp.cli.store_option import StoreOption
from jmlp.cli.terminal import open_app


def tui(
    start: Annotated[
        str | None,
        Parameter(help="A study, the first digits of a run's id, or a tag, to open first."),
    ] = None,
    /,
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    debug: Annotated[
        bool, Parameter(negative=(), help="Show the traceback of a bug in jmlp.")
    ] = False,
) -> int:
    """Open the app: run experiments and watch them."""
    del debug  # `main` looks for it
    return open_app(store.folder(), start)
