"""Runs as the command shows them."""

from collections.abc import Sequence

from jmlp.training.plan import Run


def short(runs: Sequence[Run]) -> list[str]:
    """The ids as they are shown."""
    return [run.run_id[:8] for run in runs]


def cells(text: str) -> list[list[str]]:
    """The rows of the only table, without its title."""
    lines = text.splitlines()[2:]
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines]
