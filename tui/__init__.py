"""The terminal app: it draws what the store says, and training continues when it closes."""

from pathlib import Path


def run(folder: Path, start: str | None = None) -> int:
    """Opens the app on this terminal, until it is left; returns the exit code.

    Args:
        folder: of the store.
        start: the study, run or tag to open first; None: the list of studies.
    """
    from tui.launch import run as launch

    return launch(folder, start)
