"""Paths within a store; a module of its own, so that finding a file does not import NumPy."""

from pathlib import Path

RUN_FORMAT = "jmlp-run-1"


def path_of(folder: Path, run_id: str) -> Path:
    """The file of a completed run, whether it exists or not; `folder` is the store's."""
    return folder / "runs" / f"{run_id}.safetensors"
