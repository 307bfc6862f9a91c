"""The terminal app: it shows what is in the store; training continues when it is closed."""

import gc
from pathlib import Path


def run(folder: Path, start: str | None = None) -> int:
    """Runs the app on this terminal and returns its exit code.

    Args:
        folder: the store's folder.
        start: the study, run or tag to open first; None: the list of studies.
    """
    # Imports leave no garbage, but collections would delay the first picture by 20 to 30 ms.
    gc.disable()
    from tui.launch import run as launch

    try:
        return launch(folder, start)
    finally:
        gc.enable()
