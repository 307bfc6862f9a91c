"""Where jmlp keeps its files, and how it writes them.

All locations follow the platform's conventions. `JMLP_HOME` moves all of them; `JMLP_DATA` (data
sets), `JMLP_RUNS` (runs) and `JMLP_CONFIG` (settings) each move one and take precedence. Folders
are created only when something is written into them.
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

# The names of files that are read as tables end so.
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".parquet")

# Writing may succeed later: EFBIG is a limit of the process, which can be raised while it runs.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The name of a temporary file: the final name, the writing process's id, and a random part.
_TEMPORARY = re.compile(r"\..+\.([1-9][0-9]*)\.[0-9a-f]{8}\.tmp", re.DOTALL)

_writing: set[str] = set()  # names of this process's temporary files
_tidied: set[str] = set()  # folders in which this process has looked for leftovers

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def cache_dir() -> Path:
    """The folder for what can be downloaded or made again: data sets and compiled programs.

    Raises:
        StoreError: the user has no home folder and `JMLP_HOME` is not set.
    """
    home = _override("JMLP_HOME")
    return home / "cache" if home else _of_user(platformdirs.user_cache_path)


def data_dir() -> Path:
    """The folder for data sets, both downloaded ones and those placed there by hand."""
    return _override("JMLP_DATA") or cache_dir() / "datasets"


def compile_cache_dir() -> Path:
    """The folder for JAX's compiled programs; private, because they are executed as code."""
    return cache_dir() / "jax"


def config_dir() -> Path:
    """The folder for the user's own settings.

    Raises:
        StoreError: the user has no home folder and neither variable is set.
    """
    own = _override("JMLP_CONFIG")
    if own:
        return own
    home = _override("JMLP_HOME")
    return home / "config" if home else _of_user(platformdirs.user_config_path)


def runs_dir() -> Path:
    """The folder of the store of runs, which cannot be replaced."""
    own = _override("JMLP_RUNS")
    if own:
        return own
    home = _override("JMLP_HOME")
    return home / "runs" if home else _of_user(platformdirs.user_data_path)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Writes a file so that a reader, even after a crash, finds it either unchanged or complete.

    Missing folders are created. On return the bytes are on the disk, not just in a cache. A
    symbolic link is replaced by the file; its target is not changed.

    Raises:
        StoreError: nothing was written, and `path` is unchanged; or its folder could not be
            flushed, and a power failure may still undo the write. `DiskFullError` if there is no
            space.
    """
    with _Staged() as staged:
        staged.write(path, data)
        staged.put(path)


def write_together(files: Iterable[tuple[Path, bytes]], last: Path | None = None) -> list[Path]:
    """Writes files that belong together: none is put in place before all are on the disk.

    Args:
        files: each file with its content; may be a generator.
        last: the file whose existence guarantees that the others were written together with it. It
            is removed before the first of them is put in place; if it is one of them, it has to
            come after all others.

    Returns:
        The files, in the order in which they were put in place.

    Raises:
        StoreError: as for `write_atomically`. Every file is unchanged, or `last` is missing.
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
    """Files on the disk under temporary names; those not put in place are removed at the end."""

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
        """Writes the content of a file to a temporary file in the same folder."""
        if "\0" in str(path):
            raise StoreError(
                f"{str(path)!r}: cannot be written: a path cannot contain a NUL character"
            )
        if kind := other_kind(path):
            raise StoreError(f"{path}: cannot be written: it is {kind}, not a file")
        with _store_errors(path, "its folder cannot be created"):
            _make_folder(path.parent)
        _tidy(path.parent)
        # In the target's folder, because a rename cannot cross file systems.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        self._temporary[path] = temporary
        _writing.add(temporary.name)
        with _store_errors(path), temporary.open("xb") as file:
            reach("write")
            file.write(data)
            file.flush()
            reach("fsync")
            os.fsync(file.fileno())

    def remove(self, path: Path) -> None:
        """Removes a file, which may be missing."""
        with _store_errors(path), contextlib.suppress(FileNotFoundError):
            path.unlink()
            flush_folder(path.parent)

    def put(self, path: Path) -> None:
        """Puts a file in place, under its final name."""
        with _store_errors(path):
            reach("rename")
            self._temporary[path].replace(path)
            _writing.discard(self._temporary.pop(path).name)
            flush_folder(path.parent)


@contextlib.contextmanager
def _store_errors(path: Path, action: str = "cannot be written") -> Iterator[None]:
    """Turns an OSError into a StoreError that names the file."""
    try:
        yield
    except OSError as error:
        kind = DiskFullError if error.errno in NO_SPACE else StoreError
        raise kind(f"{path}: {action}: {error.strerror or error}") from error


def other_kind(path: Path) -> str:
    """What a path is if it is not a file, such as "a folder"; empty for a file or a missing path.

    Replacing a device or a pipe by a file would break every program that uses it.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return ""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def user_file(path: Path, option: str, *, force: bool) -> Path:
    """Checks, before any work is done, that a file named by the user can be written.

    Args:
        path: as the user gave it. The target of a symbolic link is written, and the link is kept.
        option: the option with which it was given, for the message.
        force: whether an existing file may be replaced.

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
        # Only writing shows that one can: permissions do not cover quotas and remote disks.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{path}: cannot be written: {reason}; give another name to {option}"
        ) from error
    return target


def is_leftover(name: str) -> bool:
    """Whether a name is that of a temporary file.

    A killed process has left it, or another process is writing it.
    """
    return _TEMPORARY.fullmatch(name) is not None


class NotRegularError(Exception):
    """A path is not a regular file; the message says what it is, without the path."""


@contextlib.contextmanager
def open_regular(path: Path, *, follow_links: bool = True) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a regular file for reading, and yields it with its size in bytes; never blocks.

    Args:
        path: the file.
        follow_links: whether a symbolic link is followed or rejected.

    Raises:
        NotRegularError: it is a folder, a pipe, a device, or a link that is not followed.
        OSError: it is missing, or cannot be opened or read.
    """
    if "\0" in str(path):
        raise NotRegularError("a path cannot contain a NUL character")
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
    """The names in a folder, sorted; none if the folder is missing.

    An unreadable folder, or a symbolic link with a missing target, does not count as empty.

    Raises:
        StoreError: it is not a folder, or the system denies access.
    """
    try:
        with seeing_links(folder):
            return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read: {error.strerror or error}") from error


class DanglingLinkError(OSError):
    """The target of a symbolic link is missing; it may be on a disk that is not mounted.

    This is not a `FileNotFoundError`, because the target may exist.
    """

    def __init__(self, link: Path) -> None:
        super().__init__(
            errno.ENOENT,
            f"the symbolic link {link} points to {os.readlink(link)}, which is missing",
        )


@contextlib.contextmanager
def seeing_links(path: Path) -> Iterator[None]:
    """Distinguishes a dangling symbolic link on a path from a missing path.

    Args:
        path: the path that is accessed in the `with` block.

    Raises:
        DanglingLinkError: instead of `FileNotFoundError`, if a link is the cause.
    """
    try:
        yield
    except FileNotFoundError:
        existing = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
        if existing.is_symlink():
            raise DanglingLinkError(existing) from None
        raise


def is_forbidden(error: JmlpError) -> bool:
    """Whether an error means that something exists but cannot be accessed.

    Its content is then unknown, and must not be treated as missing or damaged.
    """
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)


def is_there(path: Path) -> bool:
    """Whether anything has this path, including a dangling symbolic link.

    Raises:
        StoreError: the system denies access, or a link to its folder is dangling.
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
    """Removes the temporary files that killed processes have left in a folder.

    `write_atomically` does this itself when a process first writes into a folder.

    Raises:
        StoreError: they cannot be removed.
    """
    try:
        for name in os.listdir(folder):
            begun = _TEMPORARY.fullmatch(name)
            if begun and name not in _writing and not _is_another_alive(int(begun[1])):
                with contextlib.suppress(FileNotFoundError):  # another process has removed it
                    (folder / name).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{folder}: unfinished files in it cannot be removed: {reason}") from error


def _tidy(folder: Path) -> None:
    """Removes leftovers once per process and folder, as listing thousands of files takes time."""
    known = os.path.abspath(folder)
    if known not in _tidied:
        _tidied.add(known)
        with contextlib.suppress(StoreError):  # leftovers do no harm
            remove_leftovers(folder)


def _is_another_alive(pid: int) -> bool:
    # In a container, the killed process often had the same pid as this one.
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
    """Creates a folder and its parents, each flushed before anything is put into it."""
    if not folder.is_dir():
        _make_folder(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)
        flush_folder(folder.parent)


def make_private(folder: Path) -> str:
    """Creates a folder that only this user may read or write, whatever the umask.

    An existing folder is made private, and other users' files are removed from it.

    Args:
        folder: the folder; a symbolic link is followed.

    Returns:
        Why the folder cannot be trusted, to follow its name in a sentence; empty if it is private.
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
                _remove_other_users_files(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"cannot be used: {error.strerror or error}"
    return ""


def _remove_other_users_files(folder: int) -> None:
    for name in os.listdir(folder):
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != os.geteuid():
            os.unlink(name, dir_fd=folder)


def flush_folder(folder: Path) -> None:
    """Flushes a folder, so that the creation and removal of names in it are on the disk."""
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
    if not path.is_absolute():  # older versions of platformdirs keep the "~" instead
        raise StoreError(
            "there is no home folder to keep files in: set HOME, or JMLP_HOME to a folder"
        )
    return path
