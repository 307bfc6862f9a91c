"""What the runs screen does in threads: it tags runs and chooses where to export them."""

from collections.abc import Sequence
from pathlib import Path

from jmlp.client import exports
from jmlp.errors import StoreError
from jmlp.store import Store
from tui.text import count

REMOVE_PREFIX = "-"
# Each format's description and default file name.
FORMATS = {
    "json": ("JSON          all runs, with their cost curves", "runs.json"),
    "csv": ("CSV           one line per run, for a spreadsheet", "runs.csv"),
    "parquet": ("Parquet       one row per run, with its cost curve", "runs.parquet"),
    "safetensors": ("safetensors   the trained networks, one file each", "networks"),
    "pytorch": ("PyTorch       the trained networks, one folder each", "pytorch"),
    "onnx": ("ONNX          the trained networks, one file each", "onnx"),
    "tensorboard": ("TensorBoard   the cost curves, one folder each", "tensorboard"),
}
FOLDERS = (
    "safetensors",
    "pytorch",
    "onnx",
    "tensorboard",
)  # formats with a file or folder for each run


def change_tag(folder: Path, run_ids: Sequence[str], text: str) -> str:
    """Adds a tag to runs, or with a leading `-` removes it from those that have it.

    Args:
        folder: the store's folder.
        run_ids: the runs' ids.
        text: what was typed.

    Returns:
        A message that says what was done.

    Raises:
        StoreError: the text is not a valid tag, or none of the runs has it.
    """
    tag = text.removeprefix(REMOVE_PREFIX).strip()
    with Store(folder) as store:
        if not text.startswith(REMOVE_PREFIX):
            for run_id in run_ids:
                store.tag(run_id, tag)
            return f"{tag}: added to {count(len(run_ids), 'run')}"
        tagged = [run_id for run_id in run_ids if tag in store.run(run_id).tags]
        if not tagged:
            raise StoreError(f"{tag}: none of {count(len(run_ids), 'run')} has this tag")
        for run_id in tagged:
            store.untag(run_id, tag)
    return f"{tag}: removed from {count(len(tagged), 'run')}"


def file_in_the_way(target: Path) -> str:
    """Returns a question about the file at a path; empty if there is none."""
    try:
        there = target.is_file()
    except OSError:
        return ""  # writing will report the reason
    return f"{target} exists. Replace it?" if there else ""


def files_in_the_way(target: Path) -> str:
    """Returns a question about the files in a folder; empty if there are none."""
    try:
        there = target.is_dir() and any(target.iterdir())
    except OSError:
        return ""  # writing will report the reason
    return f"{target} is not empty. Write into it anyway?" if there else ""


def default_target(name: str) -> str:
    """Returns the path that is suggested for a file or folder."""
    try:
        return str(Path(name).absolute())
    except OSError:  # the working directory was removed
        return name


def typed_target(text: str) -> Path:
    """Returns the path that was typed."""
    path = Path(text.strip())
    try:
        return path.expanduser()
    except RuntimeError:  # `~` of a user without a home directory
        return path


def unused_target(folder: Path, name: str) -> Path:
    """Returns an unused path in the store's folder of exports: `runs.json`, `runs-2.json`."""
    return exports.unused(folder / exports.FOLDER / name)
