"""Reads untrusted files: never hangs, and never trusts the sizes in a header."""

import contextlib
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import DataError

LARGEST_ARRAY = 4 * 2**30  # bytes; the whole data set is kept in memory
COPIES = 2  # of an array in memory: as read, and as converted for `Dataset`
LARGEST_RATIO = 100  # of unpacked to packed size; images have 2 to 20, a decompression bomb 1,000
RATIO_MATTERS = 64 * 2**20  # bytes; below this any compression ratio is allowed
SMALL_PART = 1 / 16  # of the free memory; likewise, since data that is nearly all 0 compresses well
PIECE = 2**20  # bytes
PACKED_PIECE = 2**16  # bytes


class UnreadableError(DataError):
    """The file is missing or the system refuses to read it: its content is unknown."""


class Stream(Protocol):
    """A source of bytes; `read` returns fewer than `n` only at the end."""

    def read(self, n: int, /) -> bytes:
        """The next `n` bytes."""
        ...


def shown(text: object) -> str:
    """A name that is safe to print: control characters are escaped."""
    plain = str(text)
    return plain if plain.isprintable() else repr(plain)[1:-1]


def is_there(path: Path) -> bool:
    """Whether the path exists; a dangling symbolic link does.

    Raises:
        UnreadableError: The system does not allow to check.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, ValueError):  # ValueError: the path holds a NUL
        return False
    except OSError as error:
        raise UnreadableError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    return True


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; read it within the `with` block.

    Raises:
        UnreadableError: No such file, not a regular file, or a read failed.
    """
    if "\0" in str(path):
        raise UnreadableError(f"{shown(path)}: a path cannot hold a NUL character")
    try:
        # O_NONBLOCK: opening a named pipe without a writer would block forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableError(f"{shown(path)}: not a regular file")
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableError(f"{shown(path)}: cannot be read: {reason}") from error


def size_of(file: BinaryIO) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


class GzipMember:
    """The single member of a gzip file, decompressed only as far as it is read."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._inflate = zlib.decompressobj(wbits=31)

    def read(self, n: int, /) -> bytes:
        """The next `n` bytes; fewer at the end, after length and checksum have been verified.

        Raises:
            DataError: The compressed data is damaged or truncated, or data follows the member.
        """
        pieces = []
        while n > 0 and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(PACKED_PIECE)
            if not packed:
                raise DataError(f"{self._name}: the gzip data is cut off: get the file again")
            try:
                piece = self._inflate.decompress(packed, n)
            except zlib.error as error:
                message = f"{self._name}: damaged gzip data ({error}): get the file again"
                raise DataError(message) from error
            pieces.append(piece)
            n -= len(piece)
        if self._inflate.eof and (self._inflate.unused_data or self._file.read(1)):
            raise DataError(
                f"{self._name}: data follows the gzip member; only files with one member are read"
            )
        return b"".join(pieces)


def check_unpacked(n_bytes: int, packed: int, name: str) -> None:
    """Reject an array that is too large, or whose file looks like a decompression bomb.

    Args:
        n_bytes: Size of the array in bytes according to the header.
        packed: Size in bytes of the data it is read from.
        name: Name of the array in error messages.

    Raises:
        DataError: With both numbers.
    """
    if n_bytes > LARGEST_ARRAY:
        raise DataError(f"{name}: the header says {n_bytes:,} bytes, at most {LARGEST_ARRAY:,}")
    free = free_memory()
    if free is not None and COPIES * n_bytes > free:
        raise DataError(
            f"{name}: needs {COPIES * n_bytes / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            "free: use fewer examples, or a machine with more memory"
        )
    threshold = RATIO_MATTERS if free is None else max(RATIO_MATTERS, int(SMALL_PART * free))
    if n_bytes > max(threshold, LARGEST_RATIO * packed):
        raise DataError(
            f"{name}: {packed:,} bytes would unpack to {n_bytes:,}, more than {LARGEST_RATIO} "
            "times as many: refused as a decompression bomb; if it is not one, unpack the file "
            "first (numpy.savez, gunzip)"
        )


def free_memory() -> int | None:
    """Bytes of memory available without swapping; None where the system does not report it."""
    limits = []
    with contextlib.suppress(OSError, LookupError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        limits.append(1024 * int(sizes["MemAvailable"].split()[0]))
    with contextlib.suppress(OSError, ValueError):  # limit of a container; "max" if none
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=None)


def read_bytes(stream: Stream, n_bytes: int, name: str) -> NDArray[np.uint8]:
    """Read exactly `n_bytes` into a writable array; the caller has checked that number.

    Raises:
        DataError: The stream ends early, or there is not enough memory.
    """
    try:
        data = np.empty(n_bytes, np.uint8)
    except MemoryError as error:
        raise DataError(f"{name}: not enough memory for its {n_bytes:,} bytes") from error
    done = 0
    while done < n_bytes:
        piece = stream.read(min(PIECE, n_bytes - done))
        if not piece:
            raise DataError(f"{name}: cut off: holds {done:,} of {n_bytes:,} bytes of the array")
        data[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return data
