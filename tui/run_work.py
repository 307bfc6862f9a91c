"""What the screen of runs has done to them in a thread: tags, and files for other programs."""

from collections.abc import Sequence
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.store import Store
from tui.text import count

REMOVE_PREFIX = "-"
EXPORTS = "exports"  # a folder beside the runs
# Of each format what it is, and what is written by default.
FORMATS = {
    "json": ("JSON          all of the runs, with their cost curves", "runs.json"),
    "csv": ("CSV           a line a run, for a spreadsheet", "runs.csv"),
    "parquet": ("Parquet       a row a run, with their cost curves", "runs.parquet"),
    "safetensors": ("safetensors   the trained networks, a file each", "networks"),
    "tensorboard": ("TensorBoard   the cost curves, a folder each", "tensorboard"),
}
FOLDERS = ("safetensors", "tensorboard")  # formats of a file for each run


def change_tag(folder: Path, run_ids: Sequence[str], text: str) -> str:
    """Puts a tag on runs, or with a leading `-` takes it off those that bear it.

    Args:
        folder: of the store.
        run_ids: of the runs.
        text: what was typed.

    Returns:
        what was done, for people.

    Raises:
        StoreError: it cannot be a tag, or none of the runs bears it.
    """
    tag = text.removeprefix(REMOVE_PREFIX).strip()
    with Store(folder) as store:
        if not text.startswith(REMOVE_PREFIX):
            for run_id in run_ids:
                store.tag(run_id, tag)
            return f"{tag}: put on {count(len(run_ids), 'run')}"
        tagged = [run_id for run_id in run_ids if tag in store.run(run_id).tags]
        if not tagged:
            raise StoreError(f"{tag}: none of {count(len(run_ids), 'run')} has this tag")
        for run_id in tagged:
            store.untag(run_id, tag)
    return f"{tag}: taken off {count(len(tagged), 'run')}"


def would_overwrite(target: Path, as_: str) -> bool:
    """Whether an export there would replace a file, or write among others."""
    try:
        if as_ in FOLDERS:
            return target.is_dir() and any(target.iterdir())
        return target.is_file()
    except OSError:
        return False  # the export says why it cannot write there


def default_target(as_: str) -> str:
    """Where an export goes by default, as editable text."""
    name = FORMATS[as_][1]
    try:
        return str(Path(name).absolute())
    except OSError:  # the working folder is gone
        return name


def typed_target(text: str) -> Path:
    """The place that was typed."""
    path = Path(text.strip())
    try:
        return path.expanduser()
    except RuntimeError:  # the home directory of a user who has none
        return path


def unused_target(folder: Path, as_: str) -> Path:
    """A new name in the store's folder of exports: `runs.json`, `runs-2.json`."""
    name = Path(FORMATS[as_][1])
    target, n = folder / EXPORTS / name, 1
    while target.exists():
        n += 1
        target = folder / EXPORTS / f"{name.stem}-{n}{name.suffix}"
    return target
