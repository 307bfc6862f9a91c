"""Where jmlp keeps its files, and the one way it writes them.

Every place follows the platform's habit. `JMLP_HOME` moves all of them at once; `JMLP_DATA` (data
sets) and `JMLP_RUNS` (runs) move one and win over it. Nothing is made here but what is written.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import platformdirs

from jmlp.errors import StoreError


def cache_dir() -> Path:
    """What can be had again: data sets and compiled programs.

    Raises:
        StoreError: The user has no home folder and `JMLP_HOME` is not set.
    """
    home = _override("JMLP_HOME")
    return home / "cache" if home else _of_user(platformdirs.user_cache_path)


def data_dir() -> Path:
    """The data sets that were fetched, and those placed by hand."""
    return _override("JMLP_DATA") or cache_dir() / "datasets"


def compile_cache_dir() -> Path:
    """JAX's compiled programs. They are run as code, so the folder is for its owner alone."""
    return cache_dir() / "jax"


def runs_dir() -> Path:
    """The store of runs: what can not be had again."""
    own = _override("JMLP_RUNS")
    if own:
        return own
    home = _override("JMLP_HOME")
    return home / "runs" if home else _of_user(platformdirs.user_data_path)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file that a reader, or a crash, finds either as it was or complete.

    Missing folders are made. On return the bytes are on the disk, not only on their way to it.

    Raises:
        StoreError: Nothing was written; `path` is as it was. Or its folder could not be flushed,
            and a loss of power may still undo the writing.
    """
    if "\0" in str(path):
        raise StoreError(f"{str(path)!r}: cannot be written: a path cannot hold a NUL character")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    action = "its folder cannot be made"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        action = "cannot be written"
        try:
            # Beside the target, because a rename can not cross disks.
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: {action}: {error.strerror or error}") from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _override(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(os.path.abspath(os.path.expanduser(value))) if value else None


def _of_user(place: Callable[[str], Path]) -> Path:
    try:
        path = place("jmlp")
    except RuntimeError:  # without HOME and without an entry in the user database
        path = Path()
    if not path.is_absolute():  # older platformdirs leave "~" as it is instead
        raise StoreError(
            "there is no home folder to keep files in: set HOME, or JMLP_HOME to a folder"
        )
    return path
