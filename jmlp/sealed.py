"""Files of arrays that are whole or refused: safetensors with one JSON header and a seal.

There is no code in such a file, and other tools read it too. Its only metadata, "jmlp", is the JSON
text of one object: "format", what else belongs to the arrays, and before all of it "sha256", the
seal over the whole file, itself taken for zeros. The bytes of a file are a function of its content.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import CheckpointError, StoreError
from jmlp.places import write_atomically
from jmlp.tensors import Tensors

MAX_BYTES = 4_000_000_000
MAX_HEADER_BYTES = 16_000_000

_UNSEALED = "0" * 64
# How each file begins after the 8 bytes of its header's length; the seal follows.
_START = rb'{"__metadata__":{"jmlp":"{\"sha256\":\"'
_SEAL = slice(8 + len(_START), 8 + len(_START) + len(_UNSEALED))


class OtherFormatError(CheckpointError):
    """A file that is not damaged: some other program, or version of jmlp, wrote it."""


def write(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Writes arrays and what belongs to them, atomically.

    Args:
        path: the file.
        tensors: arrays of any shape by name: booleans, integers or floats.
        about: "format" at least; JSON values, of which floats must be finite. A "sha256" in it is
            left out.

    Raises:
        StoreError: the file cannot be written, or is larger than `read` allows.
    """
    write_atomically(path, content(path, tensors, about))


def content(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The bytes of the file that `write` writes.

    Raises:
        StoreError: they are more than `read` allows.
    """
    data = to_bytes(tensors, about)
    header = int.from_bytes(data[:8], "little")
    for what, size, limit in (
        ("its header", header, MAX_HEADER_BYTES),
        ("it", len(data), MAX_BYTES),
    ):
        if size > limit:
            raise StoreError(
                f"{path}: cannot be written: {what} would have {size:,} bytes, at most {limit:,}"
            )
    return data


def to_bytes(tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The bytes of such a file, however many."""
    from safetensors.numpy import save

    own = {key: value for key, value in about.items() if key != "sha256"}
    text = json.dumps(own, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # Not ascontiguousarray, which makes a scalar into a vector.
    ordered = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(ordered, {"jmlp": f'{{"sha256":"{_UNSEALED}",{text[1:]}'})
    if data[8 : _SEAL.start] != _START:
        raise RuntimeError("safetensors does not begin its header with the metadata any more")
    return b"".join((data[: _SEAL.start], _digest(data), memoryview(data)[_SEAL.stop :]))


def read(path: Path, kind: str, *, follow_links: bool = False) -> tuple[Tensors, dict[str, Any]]:
    """The arrays, which cannot be written to, and what belongs to them.

    Args:
        path: the file.
        kind: the "format" that it must have.
        follow_links: whether a symbolic link is taken for what it leads to, or refused.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is read in part.
    """
    return from_bytes(_content(path, follow_links), kind, path)


def from_bytes(data: bytes, kind: str, path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What `read` reads from a file of these bytes; `path` is for its messages."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    about = _about(data[: 8 + _header_size(data[:8], len(data), path)], kind, path)
    if data[_SEAL] != _digest(data):
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one stored in it")
    try:
        tensors = dict(sorted(load(data).items()))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    for array in tensors.values():
        array.flags.writeable = False
    return tensors, about


def read_about(path: Path, kind: str) -> dict[str, Any]:
    """What belongs to the arrays. They are not read, so the seal is not checked.

    Raises:
        CheckpointError: the file is not there, or has not such a header.
    """
    with _opened(path, follow_links=False) as (file, size):
        start = file.read(8)
        return _about(start + file.read(_header_size(start, size, path)), kind, path)


def _content(path: Path, follow_links: bool) -> bytes:
    with _opened(path, follow_links) as (file, _):
        return file.read()


@contextlib.contextmanager
def _opened(path: Path, follow_links: bool) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file of a size that is allowed, and its size in bytes."""
    # Not blocking, because the opening of a pipe would wait for somebody to write into it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{path}: not a regular file")
            if status.st_size > MAX_BYTES:
                raise CheckpointError(f"{path}: {status.st_size:,} bytes, at most {MAX_BYTES:,}")
            with open(descriptor, "rb", closefd=False) as file:
                yield file, status.st_size
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        if getattr(error, "errno", None) == errno.ELOOP:
            raise CheckpointError(f"{path}: a symbolic link, not a regular file") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error


def _header_size(start: bytes, size: int, path: Path) -> int:
    """The length of the header, in bytes, that a file of `size` bytes says that it has."""
    length = int.from_bytes(start, "little")
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise _no_header(path)
    return length


def _about(head: bytes, kind: str, path: Path) -> dict[str, Any]:
    """The JSON object in a header, of the right format."""
    try:
        table = json.loads(head[8:])
        about = json.loads(table.get("__metadata__", {}).get("jmlp", "{}"))
        found = about.get("format")
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise _no_header(path) from error
    if found != kind:
        raise OtherFormatError(
            f"{path}: of another program or another version of jmlp "
            f"(format {repr(found)[:60]}, wanted {kind!r})"
        )
    return dict(about)


def _no_header(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: damaged, or not a safetensors file: its header cannot be read")


def _digest(data: bytes) -> bytes:
    """The seal of a file of these bytes: hexadecimal digits, whatever is in the seal's place."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: _SEAL.start])
    digest.update(_UNSEALED.encode())
    digest.update(view[_SEAL.stop :])
    return digest.hexdigest().encode()
