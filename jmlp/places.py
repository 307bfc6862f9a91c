"""Where jmlp keeps its files, and the one way it writes them.

Every place follows the platform's habit. `JMLP_HOME` moves all of them at once; `JMLP_DATA` (data
sets) and `JMLP_RUNS` (runs) move one and win over it. Nothing is made here but what is written.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import platformdirs

from jmlp.errors import DiskFullError, StoreError
from jmlp.faults import reach

# Writing may work later: EFBIG is a limit of the process, which can be raised while it runs.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The name of a file that is being written: of which file, by which process.
_TEMPORARY = re.compile(r"\..+\.([1-9][0-9]*)\.[0-9a-f]{8}\.tmp", re.DOTALL)


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
            and a loss of power may still undo the writing. `DiskFullError` where space is missing.
    """
    if "\0" in str(path):
        raise StoreError(f"{str(path)!r}: cannot be written: a path cannot hold a NUL character")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    action = "its folder cannot be made"
    try:
        _make_folder(path.parent)
        action = "cannot be written"
        try:
            # Beside the target, because a rename can not cross disks.
            with temporary.open("xb") as file:
                reach("write")
                file.write(data)
                file.flush()
                reach("fsync")
                os.fsync(file.fileno())
            reach("rename")
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        flush_folder(path.parent)
    except OSError as error:
        kind = DiskFullError if error.errno in NO_SPACE else StoreError
        raise kind(f"{path}: {action}: {error.strerror or error}") from error


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that were killed had begun to write into a folder.

    To be called by the only process that writes there.

    Raises:
        StoreError: it cannot.
    """
    try:
        for name in os.listdir(folder):
            begun = _TEMPORARY.fullmatch(name)
            if begun and not _is_another_alive(int(begun[1])):
                (folder / name).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{folder}: unfinished files in it cannot be removed: {reason}") from error


def _is_another_alive(pid: int) -> bool:
    # In a container the process that was killed often had the pid that this one has.
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _make_folder(folder: Path) -> None:
    """Makes it and those above it, each on the disk before anything is put into it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Waits until the names in a folder, new ones and those gone, are on the disk."""
    reach("folder")
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
