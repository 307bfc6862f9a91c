"""Opens the app if there is a terminal for it.

Imports nothing heavy and no option parser, because this is all that `jmlp` alone waits for.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from jmlp.errors import ConfigError

INSTEAD = "without one: jmlp study original, jmlp runs ls, jmlp --help"


def lacking() -> str:
    """Why the app cannot use the standard streams as a terminal; empty if it can."""
    for name, stream in (
        ("standard input", sys.__stdin__),
        ("standard output", sys.__stdout__),
        ("standard error", sys.__stderr__),
    ):
        if stream is None:
            return f"{name} is closed"
        if not stream.isatty():
            return f"{name} is not a terminal"
    term = os.environ.get("TERM", "")
    if not term:
        return "TERM is not set"
    return f"TERM is {term!r}" if term.lower() in ("dumb", "unknown") else ""


def needs_terminal(lacks: str) -> ConfigError:
    """The error for the result of `lacking`."""
    return ConfigError(f"the app needs a terminal, but {lacks}\n{INSTEAD}")


def open_app(folder: Path, start: str | None = None) -> int:
    """Runs the app until the user quits it; returns the exit code.

    Args:
        folder: the store's folder.
        start: the study, run or tag to open first; None opens the list of studies.

    Raises:
        ConfigError: there is no terminal, or another package has the name of the app's.
    """
    if lacks := lacking():
        raise needs_terminal(lacks)
    check_app()
    import tui

    return tui.run(folder, start)


def check_app() -> None:
    """Has to be called before the app is imported, as other packages are named tui, too.

    Raises:
        ConfigError: Python finds another package of that name first, or the environment names
            glyphs for the app's curves that there are not.
    """
    ours = Path(__file__).absolute().parent.parent.parent / "tui"
    spec = find_spec("tui")
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    if not places:
        raise ConfigError(f"the app's package tui is missing: {ours}; install jmlp again")
    found = Path(places[0]).absolute()
    if os.path.realpath(found) != os.path.realpath(ours):
        raise ConfigError(
            f"the app's package tui is {ours}, but Python finds another package of that name "
            f"first: {found}\nremove it from {found.parent}, or remove that folder from PYTHONPATH"
        )
    from tui.charts.glyphs import glyphs_of

    glyphs_of(os.environ)
