"""Where a store keeps what; here so that finding a file does not wait for NumPy."""

from pathlib import Path

RUN_FORMAT = "jmlp-run-1"


def path_of(folder: Path, run_id: str) -> Path:
    """The file of a run in the store of a folder."""
    return folder / "runs" / f"{run_id}.safetensors"
