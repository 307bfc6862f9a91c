"""Reads files that anybody may have made: it never hangs, and believes no header's sizes."""

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
COPIES = 2  # of an array in memory: as it was read, and in the one form of all data
LARGEST_RATIO = 100  # of unpacked to packed; images pack 2 to 20 times, a bomb 1,000
RATIO_MATTERS = 64 * 2**20  # bytes; anything smaller may pack as well as it likes
SMALL_PART = 1 / 16  # of the free memory; likewise, as data that are nearly all 0 may do
PIECE = 2**20  # bytes
PACKED_PIECE = 2**16  # bytes


class UnreadableError(DataError):
    """The file is not there or the system does not give it: nothing is known about its content."""


class Stream(Protocol):
    """Something that gives at most `n` bytes, and fewer only at its end."""

    def read(self, n: int, /) -> bytes:
        """The next `n` bytes."""
        ...


def shown(text: object) -> str:
    """A name as it can safely be printed: control characters are escaped."""
    plain = str(text)
    return plain if plain.isprintable() else repr(plain)[1:-1]


def is_there(path: Path) -> bool:
    """Whether there is anything of this name; a link that leads nowhere is something.

    Raises:
        UnreadableError: The system does not let that be seen.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, ValueError):  # ValueError: a NUL
        return False
    except OSError as error:
        raise UnreadableError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    return True


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; its content must be read within the `with`.

    Raises:
        UnreadableError: No such file, not a regular file, or the system's reason on any read.
    """
    if "\0" in str(path):
        raise UnreadableError(f"{shown(path)}: a path cannot hold a NUL character")
    try:
        # O_NONBLOCK: a named pipe without a writer would wait for one for ever.
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
    """The one member of a gzip file, unpacked only as far as it is read."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._inflate = zlib.decompressobj(wbits=31)

    def read(self, n: int, /) -> bytes:
        """The next `n` bytes; fewer at the end, where length and checksum have been compared.

        Raises:
            DataError: The packed data is damaged or cut, or something follows the member.
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
                f"{self._name}: something follows the gzip member; one file of one member is read"
            )
        return b"".join(pieces)


def check_unpacked(n_bytes: int, packed: int, name: str) -> None:
    """Refuse an array that is too large, or that only a decompression bomb unpacks to.

    Args:
        n_bytes: What the header says the array takes.
        packed: The bytes that it is read from.
        name: What to call it in the message.

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
    matters = RATIO_MATTERS if free is None else max(RATIO_MATTERS, int(SMALL_PART * free))
    if n_bytes > max(matters, LARGEST_RATIO * packed):
        raise DataError(
            f"{name}: {packed:,} bytes would unpack to {n_bytes:,}, more than {LARGEST_RATIO} "
            "times as many: refused as a decompression bomb; if it is none, give the file unpacked "
            "(numpy.savez, gunzip)"
        )


def free_memory() -> int | None:
    """The bytes of memory that can be had without swapping; None where the system does not say."""
    limits = []
    with contextlib.suppress(OSError, LookupError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        limits.append(1024 * int(sizes["MemAvailable"].split()[0]))
    with contextlib.suppress(OSError, ValueError):  # of a container; "max" where it has no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=None)


def read_bytes(stream: Stream, n_bytes: int, name: str) -> NDArray[np.uint8]:
    """Exactly `n_bytes`, writable; the caller has checked that number.

    Raises:
        DataError: The stream ends earlier, or the memory does not suffice.
    """
    try:
        data = np.empty(n_bytes, np.uint8)
    except MemoryError as error:
        raise DataError(f"{name}: not enough memory for its {n_bytes:,} bytes") from error
    done = 0
    while done < n_bytes:
        piece = stream.read(min(PIECE, n_bytes - done))
        if not piece:
            raise DataError(
                f"{name}: cut off: {done:,} of {n_bytes:,} bytes of the array are there"
            )
        data[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return data
