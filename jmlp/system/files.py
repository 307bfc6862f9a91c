"""Where jmlp keeps its files, and the one way it writes them.

Every place follows the platform's habit. `JMLP_HOME` moves all of them at once; `JMLP_DATA` (data
sets) and `JMLP_RUNS` (runs) move one and win over it. Nothing is made here but what is written.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs

from jmlp.errors import DiskFullError, JmlpError, StoreError
from jmlp.system.fault_injection import reach

# Writing may work later: EFBIG is a limit of the process, which can be raised while it runs.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The name of a file that is being written: of which file, by which process.
_TEMPORARY = re.compile(r"\..+\.([1-9][0-9]*)\.[0-9a-f]{8}\.tmp", re.DOTALL)

_writing: set[str] = set()  # names of temporary files of this process
_tidied: set[str] = set()  # folders in which it has looked for leftovers

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


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

    Missing folders are made. On return the bytes are on the disk, not only on their way to it. A
    symbolic link is replaced by the file; what it leads to stays as it is.

    Raises:
        StoreError: Nothing was written; `path` is as it was. Or its folder could not be flushed,
            and a loss of power may still undo the writing. `DiskFullError` where space is missing.
    """
    with _Staged() as staged:
        staged.write(path, data)
        staged.put(path)


def write_together(files: Iterable[tuple[Path, bytes]], last: Path | None = None) -> list[Path]:
    """Write files that belong together: none takes its place before all are on the disk.

    Args:
        files: each with its content; may be made one by one, as they are written.
        last: the one that vouches for the others: where it is there, they are those that were
            written with it. It is removed before the first of them takes its place; if it is one
            of them, it must come after all others.

    Returns:
        the files, in the order in which they took their places.

    Raises:
        StoreError: as for `write_atomically`. Every file is as it was, or `last` is missing.
    """
    paths = []
    with _Staged() as staged:
        for path, data in files:
            staged.write(path, data)
            paths.append(path)
        if last is not None:
            staged.remove(last)
        for path in paths:
            staged.put(path)
    return paths


class _Staged:
    """Files on the disk under temporary names; what was not put into its place is removed."""

    def __init__(self) -> None:
        self._temporary: dict[Path, Path] = {}

    def __enter__(self) -> "_Staged":
        return self

    def __exit__(self, *exception: object) -> None:
        for temporary in self._temporary.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
            _writing.discard(temporary.name)

    def write(self, path: Path, data: bytes | memoryview) -> None:
        """Writes the content of a file, beside it."""
        if "\0" in str(path):
            raise StoreError(
                f"{str(path)!r}: cannot be written: a path cannot hold a NUL character"
            )
        if kind := other_kind(path):
            raise StoreError(f"{path}: cannot be written: it is {kind}, not a file")
        with _told(path, "its folder cannot be made"):
            _make_folder(path.parent)
        _tidy(path.parent)
        # Beside the target, because a rename can not cross disks.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        self._temporary[path] = temporary
        _writing.add(temporary.name)
        with _told(path), temporary.open("xb") as file:
            reach("write")
            file.write(data)
            file.flush()
            reach("fsync")
            os.fsync(file.fileno())

    def remove(self, path: Path) -> None:
        """Removes a file, which may be missing."""
        with _told(path), contextlib.suppress(FileNotFoundError):
            path.unlink()
            flush_folder(path.parent)

    def put(self, path: Path) -> None:
        """Puts a file into its place."""
        with _told(path):
            reach("rename")
            self._temporary[path].replace(path)
            _writing.discard(self._temporary.pop(path).name)
            flush_folder(path.parent)


@contextlib.contextmanager
def _told(path: Path, action: str = "cannot be written") -> Iterator[None]:
    """What the system refuses is an error of ours that names the file."""
    try:
        yield
    except OSError as error:
        kind = DiskFullError if error.errno in NO_SPACE else StoreError
        raise kind(f"{path}: {action}: {error.strerror or error}") from error


def other_kind(path: Path) -> str:
    """What a path leads to that is not a file, in words; empty: a file, or nothing that is there.

    A file that takes the place of a device or a pipe breaks every program that uses it.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return ""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def user_file(path: Path, option: str, *, force: bool) -> Path:
    """The file to write where a user names one; tells before the work that it cannot be.

    Args:
        path: as it was given. What a symbolic link leads to is written, and the link stays.
        option: that it was given with, for the message.
        force: whether a file that is there may be replaced.

    Returns:
        The path for `write_atomically`.

    Raises:
        StoreError: it may not or cannot be written.
    """
    import tempfile

    if kind := other_kind(path):
        raise StoreError(f"{path}: is {kind}; give {option} the name of a file")
    if not force and os.path.lexists(path):
        raise StoreError(
            f"{path}: exists; give another name to {option}, or replace it with --force"
        )
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Only writing tells whether one can: permissions say nothing of quotas and foreign disks.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{path}: cannot be written: {reason}; give another name to {option}"
        ) from error
    return target


def is_leftover(name: str) -> bool:
    """Whether a file has a name of those that a killed process had begun to write.

    Or that another process writes at this moment.
    """
    return _TEMPORARY.fullmatch(name) is not None


class NotRegularError(Exception):
    """Something else than a regular file; the text says what is wrong, without the path."""


@contextlib.contextmanager
def open_regular(path: Path, *, follow_links: bool = True) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a regular file for reading, and tells its size in bytes; never waits, as for a pipe.

    Args:
        path: the file.
        follow_links: whether a symbolic link is taken for what it leads to, or refused.

    Raises:
        NotRegularError: it is a folder, a pipe, a device, or a link that is not followed.
        OSError: it is not there, or cannot be opened or read.
    """
    if "\0" in str(path):
        raise NotRegularError("a path cannot hold a NUL character")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with seeing_links(path):
            descriptor = os.open(path, flags | (0 if follow_links else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        what = "a loop of symbolic links" if follow_links else "a symbolic link"
        raise NotRegularError(f"{what}, not a regular file") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularError("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            yield file, status.st_size
    finally:
        os.close(descriptor)


def names(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where there is no such folder.

    What cannot be read is not taken for empty, nor is a symbolic link whose target is missing.

    Raises:
        StoreError: it is no folder, or the system does not let it be read.
    """
    try:
        with seeing_links(folder):
            return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read: {error.strerror or error}") from error


class DanglingLinkError(OSError):
    """The target of a symbolic link is missing: it may be on a disk that is not mounted.

    Not a `FileNotFoundError`, because nothing is known about what is behind the link.
    """

    def __init__(self, link: Path) -> None:
        super().__init__(
            errno.ENOENT, f"the symbolic link {link} leads to {os.readlink(link)}, which is missing"
        )


@contextlib.contextmanager
def seeing_links(path: Path) -> Iterator[None]:
    """Does not take a path for missing because a symbolic link on it leads nowhere.

    Args:
        path: what is looked for within.

    Raises:
        DanglingLinkError: in place of `FileNotFoundError`, where a link is the cause.
    """
    try:
        yield
    except FileNotFoundError:
        there = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
        if there.is_symlink():
            raise DanglingLinkError(there) from None
        raise


def is_forbidden(error: JmlpError) -> bool:
    """Whether an error says that the system does not let something be read that is there.

    Its content is not known then, and must not be taken for missing or damaged.
    """
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)


def is_there(path: Path) -> bool:
    """Whether there is anything of this name; a link that leads nowhere is something.

    Raises:
        StoreError: the system does not let that be seen, or a link to its folder leads nowhere.
    """
    try:
        with seeing_links(path):
            os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:  # ValueError: a NUL
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path}: cannot be read: {reason}") from error
    return True


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that were killed had begun to write into a folder.

    `write_atomically` does so of itself, the first time that a process writes into a folder.

    Raises:
        StoreError: it cannot.
    """
    try:
        for name in os.listdir(folder):
            begun = _TEMPORARY.fullmatch(name)
            if begun and name not in _writing and not _is_another_alive(int(begun[1])):
                with contextlib.suppress(FileNotFoundError):  # another process tidies too
                    (folder / name).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{folder}: unfinished files in it cannot be removed: {reason}") from error


def _tidy(folder: Path) -> None:
    """Removes leftovers, once in a process and folder: listing thousands of files takes time."""
    known = os.path.abspath(folder)
    if known not in _tidied:
        _tidied.add(known)
        with contextlib.suppress(StoreError):  # they are in the way of nothing
            remove_leftovers(folder)


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


def _make_folder(folder: Path, mode: int = 0o777) -> None:
    """Makes it and those above it, each on the disk before anything is put into it."""
    if not folder.is_dir():
        _make_folder(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)
        flush_folder(folder.parent)


def make_private(folder: Path) -> str:
    """Makes a folder that only this user may look into or write to, whatever the umask.

    One that is there already is made private, and what other users put into it is removed.

    Args:
        folder: the folder; a symbolic link is followed.

    Returns:
        Why the folder is not to be trusted, after its name in a sentence; empty: it is private.
    """
    try:
        _make_folder(folder.parent, 0o755)
        folder.mkdir(0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid():
                return "belongs to another user"
            if status.st_mode & 0o077:
                os.fchmod(descriptor, 0o700)
                if os.fstat(descriptor).st_mode & 0o077:
                    return "is open to other users, and its file system has no permissions"
            if status.st_mode & 0o022:
                _remove_of_others(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"cannot be used: {error.strerror or error}"
    return ""


def _remove_of_others(folder: int) -> None:
    for name in os.listdir(folder):
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != os.geteuid():
            os.unlink(name, dir_fd=folder)


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
