"""`python -m tui.serving.child STORE`: the app of one tab, started by the server."""

import os
import sys
from pathlib import Path


def main() -> int:
    """Runs the app until the tab is closed; returns the exit code."""
    keep_pipes_private()
    from tui.app import JmlpApp
    from tui.settings import Settings

    settings = Settings.of_user()
    code = JmlpApp(Path(sys.argv[1]), served=True, settings=settings).run()
    return 0 if code is None else code


def keep_pipes_private() -> None:
    """Moves the pipes to the server to descriptors that child processes do not inherit.

    A worker that outlived the app would otherwise keep the pipes open, and its output would end up
    among the packets.
    """
    sys.__stdin__ = sys.stdin = os.fdopen(os.dup(0), "r", encoding="utf-8")  # type: ignore[misc]
    sys.__stdout__ = sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")  # type: ignore[misc]
    sys.__stderr__ = sys.stderr = os.fdopen(  # type: ignore[misc]
        os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1
    )
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
